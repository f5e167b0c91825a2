use super::*;
use crate::facts::fixture::{self, at, id};
use std::collections::BTreeMap;

/// "Ada lives in" some place from a day, perhaps until another, ended by some memory.
fn fact(n: u128, object: &str, from: u32, over: Option<(u32, Option<u128>)>) -> Memory {
    Memory {
        valid_to: over.map(|(to, _)| at(to)),
        superseded_by: over.and_then(|(_, by)| by).map(id),
        dedup_key: over.is_none().then_some([1; 32]),
        ..fixture::fact(n, "lives_in", object, from, None)
    }
}

/// The history of fact 1, "Oslo" from the first: how it stood in each version.
fn history(states: &[Option<(u32, Option<u128>)>]) -> Vec<MemoryVersion> {
    let version = |(n, over): (usize, &Option<(u32, Option<u128>)>)| {
        let memory = Memory { version: u32::try_from(n).unwrap() + 1, ..fact(1, "Oslo", 1, *over) };
        let replaced_at = (n + 1 < states.len()).then(|| at(20));
        MemoryVersion { memory, replaced_at }
    };
    states.iter().enumerate().map(version).collect()
}

/// With these facts beside it, of which those that are named are gone, and all ends the engine's.
fn restored(states: &[Option<(u32, Option<u128>)>], others: &[Memory]) -> Option<Restored> {
    let history = history(states);
    let known: Vec<Memory> =
        history.last().map(|v| v.memory.clone()).into_iter().chain(others.iter().cloned()).collect();
    let live: Vec<MemoryId> = others.iter().map(|m| m.id).collect();
    restore(&history, &known, |id| !live.contains(&id), |_| true, true)
}

fn was(to: Option<u32>, by: Option<u128>, key: Option<[u8; 32]>) -> Option<Restored> {
    Some(Restored { to: to.map(at), by: by.map(id), key: Key::Was(key) })
}

fn until(to: u32, by: u128) -> Option<Restored> {
    Some(Restored { to: Some(at(to)), by: Some(id(by)), key: Key::Over })
}

#[test]
fn what_ended_it_is_gone_and_it_stands_as_before() {
    let ended = [None, Some((5, Some(2)))];
    assert_eq!(restored(&ended, &[]), was(None, None, Some([1; 32])));
    assert_eq!(restored(&ended, &[fact(2, "Bergen", 5, None)]), None, "it is there");
    // It had an end of its own.
    assert_eq!(restored(&[Some((9, None)), Some((5, Some(2)))], &[]), was(Some(9), None, None));
    // It was written as over.
    let anew = Restored { to: None, by: None, key: Key::Anew };
    assert_eq!(restored(&[Some((5, Some(2)))], &[]), Some(anew));
    // Something between that changed nothing of it.
    assert_eq!(restored(&[None, None, ended[1], ended[1]], &[]), was(None, None, Some([1; 32])));
}

#[test]
fn of_a_chain_the_next_one_that_is_there_ends_it() {
    let ended = [None, Some((5, Some(2)))];
    let rome = fact(3, "Rome", 9, None);
    assert_eq!(restored(&ended, std::slice::from_ref(&rome)), until(9, 3));
    let lima = fact(4, "Lima", 7, Some((9, Some(3))));
    assert_eq!(restored(&ended, &[rome.clone(), lima]), until(7, 4));
    // What begins behind an end of its own, before it began, or held for no time does not.
    assert_eq!(restored(&[Some((6, None)), ended[1]], std::slice::from_ref(&rome)), was(Some(6), None, None));
    let mut undone = fact(4, "Lima", 7, None);
    undone.valid_to = Timestamp::from_micros(at(7).micros() + 1).ok();
    assert_eq!(restored(&ended, &[undone, fact(5, "Bonn", 1, None)]), was(None, None, Some([1; 32])));
    // Ended by one that came between: it stands as that one found it.
    assert_eq!(
        restored(&[None, Some((9, Some(3))), ended[1]], std::slice::from_ref(&rome)),
        was(Some(9), Some(3), None)
    );
    // And where that one is gone, too, as before that.
    assert_eq!(restored(&[None, Some((9, Some(3))), ended[1]], &[]), was(None, None, Some([1; 32])));
}

#[test]
fn an_end_that_was_taken_back_is_not_made_again() {
    let rome = fact(3, "Rome", 9, None);
    let states = [None, Some((9, Some(3))), None, Some((5, Some(2)))];
    assert_eq!(restored(&states, std::slice::from_ref(&rome)), was(None, None, Some([1; 32])));
    // But for what its source took back itself and says again since.
    let mut again = rome;
    again.metadata.insert(REVIVED.to_owned(), serde_json::json!(Revived { at: at(21), version: 3 }));
    let known: Vec<Memory> = [history(&states).last().unwrap().memory.clone(), again].into();
    let mut since = history(&states);
    assert_eq!(restore(&since, &known, |by| by == id(2), |_| true, true), until(9, 3));
    since[1].memory.updated_at = at(21);
    assert_eq!(restore(&since, &known, |by| by == id(2), |_| true, true), was(None, None, Some([1; 32])));
}

#[test]
fn a_fact_that_was_withdrawn_and_written_again_as_over_is_open_without_what_ended_it() {
    let mut states = history(&[None, Some((1, None)), Some((5, Some(2))), Some((5, Some(2)))]);
    for state in states.iter_mut().skip(2) {
        state.memory.metadata.insert(REVIVED.to_owned(), serde_json::json!(Revived { at: at(2), version: 3 }));
    }
    let known = vec![states.last().unwrap().memory.clone()];
    let anew = Restored { to: None, by: None, key: Key::Anew };
    assert_eq!(restore(&states, &known, |_| true, |_| true, true), Some(anew));
    // What it was before that need not be known, how it was written must be.
    states.drain(..2);
    assert_eq!(restore(&states, &known, |_| true, |_| true, true), Some(anew));
    states.remove(0);
    assert_eq!(restore(&states, &known, |_| true, |_| true, true), None);
}

#[test]
fn what_has_many_values_is_ended_by_none_and_the_same_told_by_another_needs_nothing() {
    let history = history(&[None, Some((5, Some(2)))]);
    let present = history.last().unwrap().memory.clone();
    let rome = fact(3, "Rome", 9, None);
    let many = restore(&history, &[present.clone(), rome], |id| id == super::tests::id(2), |_| true, false);
    assert_eq!(many, was(None, None, Some([1; 32])));
    assert_eq!(restored(&[None, Some((5, Some(2)))], &[fact(3, "oslo", 1, None)]), None);
    assert_eq!(restored(&[None, Some((5, Some(2)))], &[fact(3, "oslo", 9, None)]), until(9, 3));
}

#[test]
fn what_somebody_ended_or_moved_since_and_what_is_no_longer_known_stays() {
    let by = |versions: &[u32], states: &[Option<(u32, Option<u128>)>]| {
        let ours: BTreeMap<u32, ()> = versions.iter().map(|v| (*v, ())).collect();
        let history = history(states);
        let known = vec![history.last().unwrap().memory.clone()];
        restore(&history, &known, |_| true, |version| ours.contains_key(&version), true)
    };
    let states = [None, Some((5, Some(2)))];
    assert_eq!(by(&[2], &states), was(None, None, Some([1; 32])));
    assert_eq!(by(&[], &states), None, "somebody ended it");
    // Another end since, by somebody or by a statement of its own.
    assert_eq!(by(&[2], &[None, states[1], Some((4, Some(2)))]), None);
    // The engine moved it itself.
    assert_eq!(by(&[2, 3], &[None, states[1], Some((4, Some(2)))]), was(None, None, Some([1; 32])));
    // The version before it is no longer there.
    let mut pruned = history(&[None, states[1]]);
    pruned.remove(0);
    let known = vec![pruned[0].memory.clone()];
    assert_eq!(restore(&pruned, &known, |_| true, |_| true, true), None);
}
