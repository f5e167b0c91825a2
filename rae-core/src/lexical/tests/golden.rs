use super::*;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/lexical.json")).unwrap()
}

fn store(golden: &Value) -> ScopeIndex {
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
    let memories: Vec<_> = (0u128..)
        .zip(golden["items"].as_array().unwrap())
        .map(|(n, item)| {
            let at = time(item["ts"].as_i64().unwrap());
            Memory {
                speaker: text(item, "speaker"),
                role: text(item, "role"),
                session_id: text(item, "session"),
                occurred_at: item.get("when").map(|_| at),
                created_at: at,
                ..memory(n, item["text"].as_str().unwrap())
            }
        })
        .collect();
    index_of(&memories)
}

fn terms(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    analyse(text, &mut |t, _, _| out.push(t.to_owned()));
    out
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect()
}

#[test]
fn words_have_the_stems_of_the_reference() {
    for pair in golden()["stems"].as_array().unwrap() {
        assert_eq!(terms(pair[0].as_str().unwrap()), strings(&pair[1]), "{pair}");
    }
}

#[test]
fn piece_and_passage_scores_are_those_of_the_reference() {
    let golden = golden();
    let index = store(&golden);
    for case in golden["queries"].as_array().unwrap() {
        let text = case["query"].as_str().unwrap();
        assert_eq!(terms(text), strings(&case["terms"]));
        let query = index.resolve(text);
        for (n, (b, p)) in (0u128..).zip(case["b"].as_array().unwrap().iter().zip(case["p"].as_array().unwrap())) {
            let slot = index.slot_of(id(n)).unwrap();
            let (b, p) = (b.as_f64().unwrap(), p.as_f64().unwrap());
            let ours =
                (f64::from(index.piece_score(slot, &query).0), f64::from(index.passage_score(slot, &query, &|_| true)));
            assert!((ours.0 - b).abs() < 1e-4, "B of {n} for {text}: {} and {b}", ours.0);
            assert!((ours.1 - p).abs() < 1e-4, "P of {n} for {text}: {} and {p}", ours.1);
        }
    }
}
