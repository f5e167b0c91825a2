use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// What search must give: every live memory scored on its own.
fn scan(index: &ScopeIndex, query: &ResolvedQuery, allowed: Option<&SlotSet>, k: usize) -> Vec<(Slot, f32)> {
    let mut all: Vec<_> = index
        .slots()
        .filter(|s| allowed.is_none_or(|a| a.contains(*s)))
        .map(|s| (s, index.piece_score(s, query).0))
        .filter(|(_, score)| *score > 0.0)
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| index.id_of(a.0).cmp(&index.id_of(b.0))));
    all.truncate(k);
    all
}

/// BM25 over the pieces, from the documents alone.
fn by_hand(docs: &BTreeMap<u128, LexDoc>, query: &str) -> HashMap<u128, f64> {
    let pieces = |d: &LexDoc| -> Vec<Vec<String>> {
        let terms: Vec<_> = d.terms.iter().map(str::to_owned).collect();
        if terms.is_empty() { vec![vec![]] } else { terms.chunks(100).map(<[_]>::to_vec).collect() }
    };
    let all: Vec<_> = docs.iter().flat_map(|(n, d)| pieces(d).into_iter().map(|p| (*n, p))).collect();
    let n = all.len() as f64;
    let average = all.iter().map(|(_, p)| p.len().max(1)).sum::<usize>() as f64 / n;
    let mut best = HashMap::new();
    let mut words = Vec::new();
    analyse(query, &mut |t, _, _| words.push(t.to_owned()));
    for (doc, piece) in &all {
        let mut score = 0.0;
        for word in &words {
            let df = all.iter().filter(|(_, p)| p.contains(word)).count() as f64;
            let tf = piece.iter().filter(|t| *t == word).count() as f64;
            let norm = 0.9 * (1.0 - 0.4 + 0.4 * piece.len().max(1) as f64 / average);
            score += (1.0 + (n - df + 0.5) / (df + 0.5)).ln() * tf * 1.9 / (tf + norm);
        }
        let entry = best.entry(*doc).or_insert(0.0f64);
        *entry = entry.max(score);
    }
    best
}

#[derive(Debug, Clone)]
enum Step {
    Put(u128, Vec<u8>, bool),
    Remove(u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let words = prop_oneof![4 => prop::collection::vec(0u8..12, 0..9), 1 => prop::collection::vec(0u8..12, 90..320)];
    let put = (0u128..24, words, any::<bool>()).prop_map(|(n, w, s)| Step::Put(n, w, s));
    prop::collection::vec(prop_oneof![4 => put, 1 => (0u128..24).prop_map(Step::Remove)], 1..60)
}

fn content(words: &[u8]) -> String {
    words.iter().map(|w| format!("z{w} ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn after_any_changes_statistics_and_search_are_those_of_what_is_left(
        steps in steps(), query in prop::collection::vec(0u8..14, 0..7), k in 0usize..12, compact: bool
    ) {
        let mut index = ScopeIndex::new();
        let mut docs = BTreeMap::new();
        for (seq, step) in (1u64..).zip(steps) {
            match step {
                Step::Put(n, words, in_session) => {
                    let session_id = in_session.then(|| "s".to_owned());
                    let doc = LexDoc::from_memory(&Memory { seq, session_id, ..memory(n, &content(&words)) });
                    index.put(doc.clone());
                    docs.insert(n, doc);
                }
                Step::Remove(n) => prop_assert_eq!(index.remove(id(n)), docs.remove(&n).is_some()),
            }
        }
        if compact {
            index.compact();
        }
        prop_assert_eq!(index.len(), docs.len());
        prop_assert_eq!(index.pieces() as usize, docs.values().map(|d| d.terms.pieces()).sum::<usize>());
        let text = content(&query);
        let resolved = index.resolve(&text);
        let expected = by_hand(&docs, &text);
        for slot in index.slots() {
            let n = index.id_of(slot).unwrap().0.as_u128();
            prop_assert!((f64::from(index.piece_score(slot, &resolved).0) - expected[&n]).abs() < 1e-4);
        }
        prop_assert_eq!(index.search(&resolved, None, k), scan(&index, &resolved, None, k));
        let some: SlotSet = index.slots().filter(|s| s.index() % 3 != 0).collect();
        prop_assert_eq!(index.search(&resolved, Some(&some), k), scan(&index, &resolved, Some(&some), k));
        let mut all: Vec<_> = docs.into_values().collect();
        all.sort_by_key(|d| d.seq);
        prop_assert_eq!(index.docs_between(0, u64::MAX), all);
    }
}

/// Words as frequent as in a language: the n-th with a share of about 1/n.
fn large(seed: u64, docs: u128) -> (ScopeIndex, fastrand::Rng) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut index = ScopeIndex::new();
    for n in 0..docs {
        let words = if rng.u8(..100) == 0 { rng.usize(100..400) } else { rng.usize(0..16) };
        let text: String = (0..words).map(|_| format!("z{} ", word(&mut rng))).collect();
        // Ids in another order than slots: ties go by id.
        index.put(LexDoc::from_memory(&memory((n * 7_919) % docs, &text)));
    }
    (index, rng)
}

fn word(rng: &mut fastrand::Rng) -> u32 {
    (2_000f64.powf(rng.f64()) * 1.5) as u32
}

#[test]
fn over_many_windows_and_blocks_search_equals_a_scan() {
    let (mut index, mut rng) = large(11, 20_000);
    for _ in 0..3 {
        for _ in 0..40 {
            let text: String = (0..rng.usize(1..12)).map(|_| format!("z{} ", word(&mut rng))).collect();
            let query = index.resolve(&text);
            for k in [1, 10, 300] {
                assert_eq!(index.search(&query, None, k), scan(&index, &query, None, k), "{text}");
                let step = rng.usize(1..400);
                let some: SlotSet = index.slots().filter(|s| s.index().is_multiple_of(step)).collect();
                assert_eq!(index.search(&query, Some(&some), k), scan(&index, &query, Some(&some), k), "{text}");
            }
        }
        for _ in 0..2_500 {
            index.remove(id(u128::from(rng.u32(..20_000))));
        }
    }
    assert!(index.metas.len() < 17_000, "a fifth dead must have been cleaned up");
}

#[test]
fn a_removed_memory_leaves_no_word_or_name_after_compaction() {
    let mut index = index_of(&[
        Memory { speaker: Some("Zoe".into()), tags: vec!["secret".into()], ..memory(1, "zebra crossing") },
        memory(2, "crossing a river"),
    ]);
    assert!(index.remove(id(1)) && !index.remove(id(1)));
    assert!(found(&index, "zebra").is_empty());
    assert_eq!(index.resolve("zebra").terms.len(), 0);
    index.compact();
    assert_eq!(index.terms.get("zebra"), None);
    assert_eq!((index.number("Zoe"), index.number("secret")), (None, None));
    assert_eq!(found(&index, "crossing"), [2]);
}

#[test]
fn changing_one_memory_over_and_over_does_not_grow_the_index() {
    let mut index = index_of(&[memory(1, "first words")]);
    for seq in 2..5_000 {
        index.put(LexDoc::from_memory(&Memory { seq, ..memory(1, &format!("version{seq} words")) }));
    }
    assert_eq!(index.len(), 1);
    assert!(index.metas.len() < 1_000 && index.terms.len() < 1_000);
    assert_eq!(found(&index, "version4999"), [1]);
}

#[test]
fn a_stale_document_changes_nothing() {
    let mut index = index_of(&[Memory { seq: 9, ..memory(1, "new") }]);
    index.put(LexDoc::from_memory(&Memory { seq: 8, ..memory(1, "old") }));
    assert_eq!((found(&index, "new"), found(&index, "old")), (vec![1], vec![]));
}

#[test]
fn equal_scores_come_by_ascending_id() {
    let index = index_of(&[memory(3, "red fox"), memory(1, "red fox"), memory(2, "red fox")]);
    assert_eq!(found(&index, "fox"), [1, 2, 3]);
}

#[test]
fn a_long_memory_counts_by_its_best_piece_and_comes_once() {
    let filler = "filler ".repeat(150);
    let index = index_of(&[memory(1, &format!("{filler} tiger tiger {filler}")), memory(2, "a tiger")]);
    let query = index.resolve("tiger");
    assert_eq!(index.piece_score(index.slot_of(id(1)).unwrap(), &query).1, 1);
    assert_eq!(found(&index, "tiger"), [2, 1]);
    assert_eq!(index.meta(index.slot_of(id(1)).unwrap()).unwrap().pieces(), 4);
}

#[test]
fn an_endless_query_keeps_the_rarest_terms() {
    let many: String = (0..200).map(|w| format!("z{w} ")).collect();
    let index = index_of(&[memory(1, &many), memory(2, "z0 z1"), memory(3, "z0")]);
    let query = index.resolve(&many);
    assert_eq!(query.terms.len(), crate::limits::QUERY_TERMS_MAX);
    assert!(query.terms.iter().all(|t| t.idf >= index.resolve("z5").terms[0].idf - 1e-12));
    assert_eq!(index.search(&query, None, 5), scan(&index, &query, None, 5));
}

#[test]
fn an_empty_index_and_an_empty_query_find_nothing() {
    let index = ScopeIndex::new();
    assert!(index.search(&index.resolve("anything"), None, 10).is_empty());
    let index = index_of(&[memory(1, ""), memory(2, "it is")]);
    assert!(found(&index, "").is_empty() && found(&index, "what is it").is_empty());
    assert_eq!(index.pieces(), 2);
}

#[test]
fn emoji_accents_and_scripts_without_spaces_are_found() {
    let index = index_of(&[
        memory(1, "🎉🎉"),
        memory(2, "un café noir"),
        memory(3, "東京に行きました"),
        memory(4, "서울 여행"),
    ]);
    for (query, n) in [("🎉", 1), ("Cafe", 2), ("東京", 3), ("서울", 4)] {
        assert_eq!(found(&index, query), [n], "{query}");
    }
}

#[test]
fn the_date_and_the_speaker_are_searchable() {
    let said =
        Memory { occurred_at: Some(time(1_683_554_160)), speaker: Some("Caroline".into()), ..memory(1, "I went") };
    assert_eq!(document_text(&said), "(8 May, 2023) Caroline: I went");
    assert_eq!(embed_text(&said), "(8 May, 2023) I went");
    let generic = Memory { speaker: Some("Assistant".into()), ..memory(2, " I went ") };
    assert_eq!(document_text(&generic), " I went ");
    assert_eq!(embed_text(&generic), "I went");
    let index = index_of(&[said, generic]);
    assert_eq!((found(&index, "caroline 2023"), found(&index, "assistant")), (vec![1], vec![]));
}
