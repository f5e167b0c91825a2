use super::*;
use crate::model::{InfoClass, Kind, Layer, MemoryId, Provenance, Scope};

fn at(day: u32) -> Timestamp {
    Timestamp::parse(&format!("2026-05-{day:02}")).unwrap()
}

fn id(n: u128) -> MemoryId {
    MemoryId(uuid::Uuid::from_u128(n))
}

fn draft(relation: &str, object: &str, day: u32) -> Draft {
    let (subject, relation, object) = ("Ada".to_owned(), relation.to_owned(), object.to_owned());
    let (from, latest) = (at(day), at(day));
    Draft { subject, relation, object, is_end: false, confidence: 0.9, from, latest, start: 0, end: 1 }
}

/// A fact read from the memory `100 + n`.
fn fact(n: u128, relation: &str, object: &str, from: u32, to: Option<u32>) -> Memory {
    Memory {
        id: id(n),
        scope: Scope::default(),
        layer: Layer::Semantic,
        kind: Kind::Fact,
        content: "x".to_owned(),
        role: None,
        speaker: None,
        session_id: None,
        agent_id: None,
        user_id: None,
        tags: Vec::new(),
        metadata: serde_json::Map::new(),
        importance: 0.7,
        strength: 1.0,
        confidence: 0.9,
        trust_level: None,
        info_class: InfoClass::Internal,
        provenance: Provenance { derived_from: vec![id(100 + n)], sources: Vec::new() },
        created_at: at(20),
        updated_at: at(20),
        occurred_at: None,
        valid_from: Some(at(from)),
        valid_to: to.map(at),
        superseded_by: None,
        expires_at: None,
        version: 1,
        seq: 0,
        seq_in_session: None,
        content_hash: [0; 32],
        dedup_key: to.is_none().then_some([1; 32]),
        witness_count: 1,
        claim: Some(Claim::new("Ada", relation, object, 1.0).unwrap()),
    }
}

fn change(n: u128) -> Change {
    Change { id: id(n), version: 1, from: None, to: None, by: None, is_sourced: false, gone: Vec::new() }
}

fn put(from: u32) -> Put {
    Put { from: at(from), to: None, by: None, into: None }
}

fn decided(draft: &Draft, known: &[Memory]) -> Option<(Option<Put>, Vec<Change>)> {
    decide(draft, id(9), known, &Heard::new()).map(|d| (d.put, d.changes))
}

#[test]
fn a_later_value_of_what_has_one_ends_the_earlier() {
    let oslo = fact(1, "lives_in", "Oslo", 1, None);
    let expected = (Some(put(5)), vec![Change { to: Some(at(5)), by: Some(By::New), ..change(1) }]);
    assert_eq!(decided(&draft("lives_in", "Bergen", 5), &[oslo]), Some(expected));
}

#[test]
fn an_earlier_value_is_over_when_it_comes() {
    let bergen = fact(1, "lives_in", "Bergen", 5, None);
    let over = Put { to: Some(at(5)), by: Some(id(1)), ..put(2) };
    assert_eq!(decided(&draft("lives_in", "Oslo", 2), &[bergen.clone()]), Some((Some(over), vec![])));
    // Between two it ends the first.
    let rome = fact(2, "lives_in", "Rome", 1, Some(5));
    let expected = (Some(over), vec![Change { to: Some(at(2)), by: Some(By::New), ..change(2) }]);
    assert_eq!(decided(&draft("lives_in", "Oslo", 2), &[rome, bergen]), Some(expected));
}

#[test]
fn values_of_the_same_instant_stand_beside_each_other() {
    let oslo = fact(1, "lives_in", "Oslo", 5, None);
    assert_eq!(decided(&draft("lives_in", "Bergen", 5), &[oslo]), Some((Some(put(5)), vec![])));
}

#[test]
fn the_same_value_merges_and_may_have_held_earlier() {
    let oslo = fact(1, "lives_in", "Oslo", 5, None);
    let into = Some(id(1));
    let known = [oslo];
    assert_eq!(decided(&draft("lives_in", "OSLO", 7), &known), Some((Some(Put { into, ..put(7) }), vec![])));
    let earlier = vec![Change { from: Some(at(2)), ..change(1) }];
    assert_eq!(decided(&draft("lives_in", "Oslo", 2), &known), Some((Some(Put { into, ..put(2) }), earlier)));
    // What was ended is not brought back: it holds anew.
    let over = fact(1, "lives_in", "Oslo", 2, Some(5));
    assert_eq!(decided(&draft("lives_in", "Oslo", 7), &[over]), Some((Some(put(7)), vec![])));
}

#[test]
fn what_has_many_values_keeps_them() {
    let tea = fact(1, "likes", "tea", 1, None);
    assert_eq!(decided(&draft("likes", "coffee", 5), &[tea]), Some((Some(put(5)), vec![])));
}

#[test]
fn an_end_closes_the_same_value_alone() {
    let end = |object: &str| Draft { is_end: true, ..draft("works_at", object, 5) };
    let acme = fact(1, "works_at", "Acme", 1, None);
    let closed = vec![Change { to: Some(at(5)), is_sourced: true, ..change(1) }];
    assert_eq!(decided(&end("Acme"), std::slice::from_ref(&acme)), Some((None, closed)));
    assert_eq!(decided(&end("Initech"), &[acme]), None);
    assert_eq!(decided(&end("Acme"), &[]), None);
}

#[test]
fn last_month_lies_behind_what_is_known_of_that_month() {
    let moved = Draft { latest: at(9), ..draft("lives_in", "Bergen", 2) };
    let oslo = fact(1, "lives_in", "Oslo", 4, None);
    let expected = (Some(put(9)), vec![Change { to: Some(at(9)), by: Some(By::New), ..change(1) }]);
    assert_eq!(decided(&moved, &[oslo]), Some(expected));
}

#[test]
fn what_was_decided_is_not_decided_again() {
    let (from, draft) = (fact(1, "lives_in", "Oslo", 5, None), draft("lives_in", "Oslo", 5));
    let source = from.provenance.derived_from[0];
    assert_eq!(decide(&draft, source, std::slice::from_ref(&from), &Heard::new()), None);
    assert_eq!(decide(&Draft { is_end: true, ..draft }, source, &[from], &Heard::new()), None);
}

#[test]
fn two_who_did_not_see_each_other_end_the_same() {
    let (oslo, bergen) = (fact(1, "lives_in", "Oslo", 2, None), fact(2, "lives_in", "Bergen", 5, None));
    let known = [oslo, bergen];
    let expected = Some(Decision {
        changes: vec![Change { to: Some(at(5)), by: Some(By::Old(id(2))), ..change(1) }],
        ..Decision::default()
    });
    for (n, object, day) in [(1, "Oslo", 2), (2, "Bergen", 5)] {
        assert_eq!(decide(&draft("lives_in", object, day), id(100 + n), &known, &Heard::new()), expected, "{object}");
    }
}

#[test]
fn what_somebody_took_back_stays_so() {
    let (mut oslo, bergen) = (fact(1, "lives_in", "Oslo", 2, None), fact(2, "lives_in", "Bergen", 5, None));
    (oslo.version, oslo.updated_at) = (3, at(21));
    assert_eq!(decide(&draft("lives_in", "Bergen", 5), id(102), &[oslo, bergen], &Heard::new()), None);
}

#[test]
fn what_was_said_again_after_it_holds_again_after_it() {
    let mut oslo = fact(1, "lives_in", "Oslo", 1, None);
    oslo.provenance.derived_from = vec![id(101), id(107), id(108)];
    let heard = Heard::from([(id(101), at(1)), (id(107), at(7)), (id(108), at(8))]);
    let found = decide(&draft("lives_in", "Bergen", 5), id(9), std::slice::from_ref(&oslo), &heard).unwrap();
    assert_eq!(found.put, Some(Put { to: Some(at(7)), ..put(5) }));
    let gone = vec![id(107), id(108)];
    assert_eq!(found.changes, [Change { to: Some(at(5)), by: Some(By::New), gone: gone.clone(), ..change(1) }]);
    assert_eq!(found.resumed, Some(Resumed { of: id(1), from: at(7), to: None, by: None, sources: gone }));
}
