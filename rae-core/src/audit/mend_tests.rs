use super::*;
use crate::{
    ingest::NewMemory,
    model::{IdGenerator, Kind, Scope},
};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn found(ids: &IdGenerator, text: &str, change: impl FnOnce(&mut Memory)) -> Found {
    let new = NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) };
    let mut memory = new.into_memory(&Scope::default(), ids.next(at("2026-01-01")), at("2026-01-01")).unwrap();
    change(&mut memory);
    Found { memory, uses: 0, is_protected: false, is_own: false }
}

fn now() -> Timestamp {
    at("2026-06-01")
}

fn kept(found: &[Found]) -> Option<MemoryId> {
    duplicates(found, now()).map(|(kept, _)| kept)
}

#[test]
fn of_duplicates_the_protected_then_the_more_used_then_the_older_stays() {
    let ids = IdGenerator::seeded(1);
    let mut pair = [found(&ids, "The code is 1.", |_| {}), found(&ids, "the code is 1", |_| {})];
    assert_eq!(kept(&pair), Some(pair[0].memory.id));
    pair[1].uses = 1;
    assert_eq!(kept(&pair), Some(pair[1].memory.id));
    pair[0].is_protected = true;
    assert_eq!(kept(&pair), Some(pair[0].memory.id));
    pair[1].is_protected = true;
    assert_eq!(kept(&pair), None);
}

#[test]
fn the_one_that_stays_takes_what_the_others_knew() {
    let ids = IdGenerator::seeded(1);
    let pair = [
        found(&ids, "The code is 1.", |m| m.tags = vec!["a".into()]),
        found(&ids, "the code is 1", |m| {
            m.tags = vec!["b".into()];
            m.provenance.sources = vec!["mail".into()];
            m.provenance.derived_from = vec![ids.next(now())];
            m.importance = 0.9;
        }),
    ];
    let (kept, patches) = duplicates(&pair, now()).unwrap();
    let patch = |id| patches.iter().find(|(own, _)| *own == id).map(|(_, patch)| patch.clone()).unwrap();
    let mut stays = pair[0].memory.clone();
    patch(kept).apply_to(&mut stays);
    assert_eq!((stays.tags, stays.provenance.sources), (vec!["a".into(), "b".into()], vec!["mail".into()]));
    // What nobody derived does not go with the source of another.
    assert!(stays.provenance.derived_from.is_empty());
    assert_eq!((stays.witness_count, stays.importance), (2, 0.9));
    let gone = patch(pair[1].memory.id);
    assert_eq!((gone.superseded_by, gone.valid_to), (Some(Some(kept)), Some(Some(now()))));
}

#[test]
fn duplicates_of_another_class_or_a_longer_life_are_left() {
    let ids = IdGenerator::seeded(1);
    let pair = |change: fn(&mut Memory)| [found(&ids, "The code is 1.", |_| {}), found(&ids, "the code is 1", change)];
    assert_eq!(kept(&pair(|m| m.info_class = InfoClass::Restricted)), None);
    assert_eq!(kept(&pair(|m| m.trust_level = Some(TrustLevel::Low))), None);
    assert_eq!(kept(&pair(|m| m.content = "The code is 2.".into())), None);
    // What lives for ever stays beside what a tag keeps for a while.
    let mut pair = pair(|_| {});
    (pair[0].is_protected, pair[0].memory.expires_at) = (true, Some(at("2027-01-01")));
    assert_eq!(kept(&pair), None);
}

fn claim(ids: &IdGenerator, object: &str, from: &str) -> Found {
    found(ids, &format!("Ada lives in {object}."), |m| {
        m.claim = Some(Claim::new("Ada", "lives_in", object, 1.0).unwrap());
        m.valid_from = Some(at(from));
    })
}

#[test]
fn a_contradiction_is_decided_where_the_claims_began_at_different_times() {
    let ids = IdGenerator::seeded(1);
    let three =
        [claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2025-05-01"), claim(&ids, "Bergen", "2025-03-01")];
    let ended: Vec<_> = contradiction(&three, now())
        .unwrap()
        .into_iter()
        .map(|(id, patch)| (id, patch.valid_to, patch.superseded_by))
        .collect();
    let end = |text: &str, by: &Found| (Some(Some(at(text))), Some(Some(by.memory.id)));
    let (oslo, bergen) = (end("2025-03-01", &three[2]), end("2025-05-01", &three[1]));
    assert_eq!(ended, [(three[0].memory.id, oslo.0, oslo.1), (three[2].memory.id, bergen.0, bergen.1)]);
}

#[test]
fn a_contradiction_of_one_instant_of_less_trust_or_of_words_alone_is_left() {
    let ids = IdGenerator::seeded(1);
    assert_eq!(contradiction(&[claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2025-01-01")], now()), None);
    let mut pair = [claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2025-02-01")];
    pair[0].memory.trust_level = Some(TrustLevel::High);
    assert_eq!(contradiction(&pair, now()), None);
    pair[0].memory.trust_level = None;
    pair[0].is_protected = true;
    assert_eq!(contradiction(&pair, now()), None);
    pair[0].is_protected = false;
    assert!(contradiction(&pair, now()).is_some());
    pair[1].memory.claim = None;
    assert_eq!(contradiction(&pair, now()), None);
}

#[test]
fn a_contradiction_with_what_has_not_begun_or_ends_sooner_is_left_as_nothing_would_hold_after_it() {
    let ids = IdGenerator::seeded(1);
    assert_eq!(contradiction(&[claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2099-01-01")], now()), None);
    let mut pair = [claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2025-02-01")];
    pair[1].memory.valid_to = Some(at("2025-03-01"));
    assert_eq!(contradiction(&pair, now()), None);
    // Of one mark of trust alone nobody knows which is trusted more.
    let mut pair = [claim(&ids, "Oslo", "2025-01-01"), claim(&ids, "Rome", "2025-02-01")];
    pair[1].memory.trust_level = Some(TrustLevel::Low);
    assert_eq!(contradiction(&pair, now()), None);
}

#[test]
fn of_duplicates_the_one_that_holds_first_stays_and_what_another_session_said_stays_beside_it() {
    let ids = IdGenerator::seeded(1);
    let pair = |change: fn(&mut Memory)| [found(&ids, "The code is 1.", |_| {}), found(&ids, "the code is 1", change)];
    let early = pair(|m| m.valid_from = Some(at("2020-01-01")));
    assert_eq!(kept(&early), Some(early[1].memory.id));
    assert_eq!(kept(&pair(|m| m.session_id = Some("s".into()))), None);
}

#[test]
fn the_links_of_an_orphan_go_and_what_was_over_stays_over() {
    let ids = IdGenerator::seeded(1);
    let gone = ids.next(now());
    let mut orphan_of = found(&ids, "The old hours.", |m| {
        m.superseded_by = Some(gone);
        m.provenance.derived_from = vec![gone];
    });
    let (_, patch) = orphan(&orphan_of, &HashSet::new(), now()).unwrap().remove(0);
    assert_eq!((patch.superseded_by, patch.valid_to), (Some(None), Some(Some(now()))));
    assert!(patch.provenance.unwrap().derived_from.is_empty());
    assert_eq!(orphan(&orphan_of, &HashSet::from([gone]), now()), None);
    orphan_of.is_protected = true;
    assert_eq!(orphan(&orphan_of, &HashSet::new(), now()), None);
}
