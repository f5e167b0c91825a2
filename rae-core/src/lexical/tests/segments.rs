use super::*;
use crate::{ErrorKind, limits::TERM_BYTES_MAX};
use proptest::prelude::*;

fn docs() -> Vec<LexDoc> {
    let rich = Memory {
        speaker: Some("Ann".into()),
        agent_id: Some("agent".into()),
        user_id: Some("Ann".into()),
        tags: vec!["a".into(), "b".into()],
        occurred_at: Some(time(-5)),
        valid_from: Some(time(1)),
        valid_to: Some(time(2)),
        expires_at: Some(time(3)),
        seq: 3,
        version: 7,
        ..turn(1, "s", "user", "Riding horses along the coast")
    };
    [rich, Memory { seq: 5, ..memory(2, "") }, Memory { seq: 6, ..memory(3, &"long words ".repeat(200)) }]
        .iter()
        .map(LexDoc::from_memory)
        .collect()
}

/// The segment with another body and the checksum that belongs to it.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut out = segment::encode(&[]).unwrap()[..9].to_vec();
    out.extend_from_slice(blake3::hash(body).as_bytes());
    out.extend_from_slice(body);
    out
}

fn is_corrupt(bytes: &[u8]) -> bool {
    let mut index = index_of(&[memory(9, "there before")]);
    let loaded = index.load(bytes).map(|_| ());
    assert!(loaded.is_ok() || index.docs_between(0, 99).len() == 1, "a refused segment must change nothing");
    let decoded = segment::decode(bytes).map(|_| ());
    assert_eq!(loaded.is_ok(), decoded.is_ok());
    decoded.is_err_and(|e| e.kind() == ErrorKind::Corrupt)
}

#[test]
fn a_segment_reads_back_what_was_written() {
    let docs = docs();
    let bytes = segment::encode(&docs).unwrap();
    assert_eq!(segment::decode(&bytes).unwrap(), docs);
    assert!(segment::decode(&segment::encode(&[]).unwrap()).unwrap().is_empty());
}

#[test]
fn an_index_loaded_from_segments_is_the_one_that_was_written() {
    let mut index = ScopeIndex::new();
    docs().into_iter().for_each(|d| index.put(d));
    let first = segment::encode(&index.docs_between(0, 5)).unwrap();
    let second = segment::encode(&index.docs_between(5, 6)).unwrap();
    let mut loaded = ScopeIndex::new();
    assert_eq!((loaded.load(&first).unwrap(), loaded.load(&second).unwrap()), (2, 1));
    assert_eq!(loaded.docs_between(0, 9), docs());
    for query in ["horse coast 1969", "long words"] {
        assert_eq!(loaded.search(&loaded.resolve(query), None, 5), index.search(&index.resolve(query), None, 5));
    }
    // An older segment read later does not undo a newer state.
    loaded.put(LexDoc::from_memory(&Memory { seq: 10, ..memory(1, "now sailing") }));
    loaded.load(&first).unwrap();
    assert_eq!((found(&loaded, "sailing"), found(&loaded, "horse")), (vec![1], vec![]));
}

#[test]
fn loading_goes_on_rightly_over_a_compaction() {
    let all: Vec<_> =
        (0..600).map(|n| LexDoc::from_memory(&memory(n, &format!("common word{n} text{}", n % 7)))).collect();
    let mut index = ScopeIndex::new();
    let newer: Vec<_> = all.iter().map(|d| LexDoc { seq: 2, ..d.clone() }).collect();
    all.into_iter().for_each(|d| index.put(d));
    (0..100).for_each(|n| assert!(index.remove(id(n))));
    index.load(&segment::encode(&newer).unwrap()).unwrap();
    assert_eq!(index.docs_between(0, 9).len(), 600);
    for n in [0, 99, 100, 350, 599] {
        assert_eq!(found(&index, &format!("word{n}")), [n]);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_corrupt() {
    let bytes = segment::encode(&docs()).unwrap();
    for place in 0..bytes.len() {
        let mut odd = bytes.clone();
        odd[place] ^= 1 << (place % 8);
        assert!(is_corrupt(&odd), "flip at {place}");
        assert!(is_corrupt(&bytes[..place]), "cut at {place}");
    }
    assert!(is_corrupt(&[&bytes[..], &[0]].concat()));
}

#[test]
fn a_body_that_names_what_is_not_there_is_corrupt_under_a_right_checksum() {
    let doc = |change: &dyn Fn(&mut LexDoc)| {
        let mut doc = docs().remove(0);
        change(&mut doc);
        segment::encode(&[doc])
    };
    assert!(doc(&|d| d.columns.importance = f32::NAN).is_err());
    assert!(doc(&|d| d.columns.created_at = i64::MAX).is_err());
    let bytes = doc(&|_| {}).unwrap();
    let body = &bytes[41..];
    // The last byte is the number of the last term.
    assert!(!is_corrupt(&sealed(body)));
    let mut odd = body.to_vec();
    *odd.last_mut().unwrap() = 100;
    assert!(is_corrupt(&sealed(&odd)));
    // A list of terms that says it has 2^32 members.
    assert!(is_corrupt(&sealed(&[255, 255, 255, 255, 15])));
    assert!(is_corrupt(&sealed(&[])));
}

#[test]
fn terms_from_other_encodings_keep_their_bounds() {
    let text = serde_json::to_string(&docs()[0]).unwrap();
    assert_eq!(serde_json::from_str::<LexDoc>(&text).unwrap(), docs()[0]);
    let long = format!("[\"{}\"]", "x".repeat(TERM_BYTES_MAX + 1));
    assert!(serde_json::from_str::<Terms>(&long).is_err() && serde_json::from_str::<Terms>("[\"\"]").is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(is_corrupt(&bytes));
        is_corrupt(&sealed(&bytes));
    }

    #[test]
    fn a_damaged_body_under_a_right_checksum_never_breaks_the_reader(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut: prop::sample::Index
    ) {
        let bytes = segment::encode(&docs()).unwrap();
        let mut body = bytes[41..].to_vec();
        for (place, byte) in damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        is_corrupt(&sealed(&body));
        body.truncate(cut.index(body.len()));
        is_corrupt(&sealed(&body));
    }
}
