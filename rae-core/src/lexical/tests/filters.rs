use super::*;
use proptest::prelude::*;
use std::{collections::HashSet, sync::Arc};

fn allowed(index: &ScopeIndex, filter: &DocFilter) -> Vec<u128> {
    let set = index.allowed(filter).unwrap_or_else(|| index.slots().collect());
    let mut out: Vec<_> = index.ids(&set).into_iter().map(|i| i.0.as_u128()).collect();
    out.sort_unstable();
    out
}

fn store() -> ScopeIndex {
    index_of(&[
        Memory { layer: Layer::Semantic, kind: Kind::Fact, tags: vec!["a".into(), "b".into()], ..memory(1, "one") },
        Memory { session_id: Some("s".into()), tags: vec!["b".into()], created_at: time(50), ..memory(2, "two") },
        Memory { occurred_at: Some(time(100)), valid_to: Some(time(300)), created_at: time(70), ..memory(3, "three") },
        Memory {
            expires_at: Some(time(500)),
            agent_id: Some("x".into()),
            user_id: Some("u".into()),
            ..memory(4, "four")
        },
        Memory { occurred_at: Some(time(100)), valid_from: Some(time(10)), created_at: time(200), ..memory(5, "five") },
    ])
}

#[test]
fn without_a_filter_nothing_is_computed_until_something_is_over() {
    let index = store();
    assert!(index.allowed(&DocFilter::at(time(299))).is_none());
    assert_eq!(allowed(&index, &DocFilter::at(time(300))), [1, 2, 4, 5]);
    assert_eq!(allowed(&index, &DocFilter::at(time(500))), [1, 2, 5]);
}

#[test]
fn columns_filter_one_by_one() {
    let index = store();
    let open = || DocFilter::at(time(250));
    let own = |text: &str| Some(text.to_owned());
    let some = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let cases: [(DocFilter, &[u128]); 16] = [
        (DocFilter { layers: vec![Layer::Semantic, Layer::Working], ..open() }, &[1]),
        (DocFilter { kinds: vec![Kind::Fact], ..open() }, &[1]),
        (DocFilter { tags_all: some(&["a", "b"]), ..open() }, &[1]),
        (DocFilter { tags_all: some(&["b", "nobody's"]), ..open() }, &[]),
        (DocFilter { tags_any: some(&["b", "nobody's"]), ..open() }, &[1, 2]),
        (DocFilter { tags_any: some(&["nobody's"]), ..open() }, &[]),
        (DocFilter { session: own("s"), ..open() }, &[2]),
        (DocFilter { session: own("S"), ..open() }, &[]),
        (DocFilter { agent: own("x"), user: own("u"), ..open() }, &[4]),
        (DocFilter { since: Some(time(50)), ..open() }, &[2, 3, 5]),
        (DocFilter { until: Some(time(100)), ..open() }, &[1, 2, 4]),
        (DocFilter { known_at: Some(time(70)), ..open() }, &[1, 2, 3, 4]),
        (DocFilter { as_of: Some(time(99)), ..open() }, &[1, 2, 4, 5]),
        (DocFilter { as_of: Some(time(299)), ..DocFilter::at(time(400)) }, &[1, 2, 3, 4, 5]),
        (DocFilter { as_of: Some(time(300)), ..open() }, &[1, 2, 4, 5]),
        (DocFilter { only: Some(Arc::new([id(2), id(3), id(77)].into())), ..open() }, &[2, 3]),
    ];
    for (filter, expected) in cases {
        assert_eq!(allowed(&index, &filter), expected, "{filter:?}");
    }
}

#[test]
fn a_removed_memory_is_never_allowed() {
    let mut index = store();
    let slot = index.slot_of(id(1)).unwrap();
    index.remove(id(1));
    assert!(!index.is_allowed(slot, &DocFilter::at(time(0))));
    assert!(index.meta(slot).is_none() && index.id_of(slot).is_none());
}

proptest! {
    #[test]
    fn the_set_holds_exactly_what_is_allowed_one_by_one(
        times in prop::collection::vec((prop::option::of(0i64..20), prop::option::of(0i64..20), 0i64..20, 0u8..3), 0..40),
        now in 0i64..20, since in prop::option::of(0i64..20), as_of in prop::option::of(0i64..20),
        session in prop::option::of(0u8..4), only: bool,
    ) {
        let memories: Vec<_> = (0u128..).zip(times).map(|(n, (valid_to, expires_at, created, s))| Memory {
            valid_to: valid_to.map(time), expires_at: expires_at.map(time), created_at: time(created),
            session_id: (s > 0).then(|| s.to_string()), ..memory(n, "words")
        }).collect();
        let index = index_of(&memories);
        let only = only.then(|| Arc::new((0..memories.len() as u128).step_by(2).map(id).collect::<HashSet<_>>()));
        let filter = DocFilter {
            since: since.map(time), as_of: as_of.map(time), session: session.map(|s| s.to_string()), only: only.clone(),
            ..DocFilter::at(time(now))
        };
        let expected: Vec<_> = memories.iter().filter(|m| !m.is_expired(time(now))
            && as_of.map_or(m.valid_to.is_none_or(|t| t > time(now)),
                |t| m.valid_start() <= time(t) && m.valid_to.is_none_or(|e| time(t) < e))
            && since.is_none_or(|t| m.event_time() >= time(t))
            && session.is_none_or(|s| m.session_id == Some(s.to_string()))
            && only.as_ref().is_none_or(|o| o.contains(&m.id))).map(|m| m.id.0.as_u128()).collect();
        prop_assert_eq!(&allowed(&index, &filter), &expected);
        let each: Vec<_> = index.slots().filter(|s| index.is_allowed(*s, &filter)).collect();
        prop_assert_eq!(each.len(), expected.len());
    }
}
