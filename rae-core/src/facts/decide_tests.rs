use super::*;
use crate::facts::{
    fixture::{at, fact, id},
    is_single,
};

fn draft(relation: &str, object: &str, day: u32) -> Draft {
    let (subject, relation, object) = ("Ada".to_owned(), relation.to_owned(), object.to_owned());
    let (from, latest) = (at(day), at(day));
    Draft { subject, relation, object, is_end: false, confidence: 0.9, from, latest, start: 0, end: 1 }
}

fn change(n: u128) -> Change {
    Change { id: id(n), version: 1, from: None, to: None, by: None, is_sourced: false, gone: Vec::new() }
}

fn put(from: u32) -> Put {
    Put { from: at(from), to: None, by: None, into: None }
}

fn decided(draft: &Draft, known: &[Memory]) -> Option<(Option<Put>, Vec<Change>)> {
    decide(draft, id(9), known, &Heard::new(), (is_single(&draft.relation), &Weights::default()))
        .map(|d| (d.put, d.changes))
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
    assert_eq!(decided(&draft("lives_in", "Oslo", 2), std::slice::from_ref(&bergen)), Some((Some(over), vec![])));
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
    assert_eq!(
        decide(
            &draft,
            source,
            std::slice::from_ref(&from),
            &Heard::new(),
            (is_single(&draft.relation), &Weights::default())
        ),
        None
    );
    assert_eq!(
        decide(&Draft { is_end: true, ..draft }, source, &[from], &Heard::new(), (true, &Weights::default())),
        None
    );
}

#[test]
fn what_was_said_again_after_it_holds_again_after_it() {
    let mut oslo = fact(1, "lives_in", "Oslo", 1, None);
    oslo.provenance.derived_from = vec![id(101), id(107), id(108)];
    let heard = Heard::from([(id(101), at(1)), (id(107), at(7)), (id(108), at(8))]);
    let found = decide(
        &draft("lives_in", "Bergen", 5),
        id(9),
        std::slice::from_ref(&oslo),
        &heard,
        (true, &Weights::default()),
    )
    .unwrap();
    assert_eq!(found.put, Some(Put { to: Some(at(7)), ..put(5) }));
    let gone = vec![id(107), id(108)];
    assert_eq!(found.changes, [Change { to: Some(at(5)), by: Some(By::New), gone: gone.clone(), ..change(1) }]);
    assert_eq!(found.resumed, Some(Resumed { of: id(1), from: at(7), to: None, by: None, sources: gone }));
}

#[test]
fn words_that_count_less_end_nothing_and_stand_beside_what_counts_more() {
    let low = Weight::new(Some(TrustLevel::Low), false);
    let own = Weight::new(None, true);
    for (of_draft, of_fact) in [(low, Weight::default()), (Weight::new(Some(TrustLevel::High), false), own)] {
        let oslo = fact(1, "lives_in", "Oslo", 1, None);
        let weights = Weights { draft: of_draft, facts: HashMap::from([(id(1), of_fact)]) };
        let known = std::slice::from_ref(&oslo);
        let rome = draft("lives_in", "Rome", 5);
        let found = decide(&rome, id(9), known, &Heard::new(), (true, &weights)).unwrap();
        assert_eq!((found.put, found.changes), (Some(put(5)), vec![]));
        let end = Draft { is_end: true, ..draft("lives_in", "Oslo", 5) };
        assert_eq!(decide(&end, id(9), known, &Heard::new(), (true, &weights)), None);
    }
    // What is said of an earlier time is not cut by later words that count less.
    let rome = fact(1, "lives_in", "Rome", 5, None);
    let weights = Weights { draft: own, facts: HashMap::from([(id(1), low)]) };
    let oslo = draft("lives_in", "Oslo", 2);
    let found = decide(&oslo, id(9), &[rome], &Heard::new(), (true, &weights)).unwrap();
    assert_eq!((found.put, found.changes), (Some(put(2)), vec![]));
}

#[test]
fn what_could_not_end_a_fact_does_when_more_is_behind_it() {
    let known = [fact(1, "lives_in", "Oslo", 1, None), fact(2, "lives_in", "Rome", 3, None)];
    let own = Weight::new(None, true);
    let weights = Weights { draft: own, facts: HashMap::from([(id(1), own)]) };
    let found = decide(&draft("lives_in", "Rome", 5), id(9), &known, &Heard::new(), (true, &weights)).unwrap();
    assert_eq!(found.put, Some(Put { into: Some(id(2)), ..put(5) }));
    assert_eq!(found.changes, [Change { to: Some(at(5)), by: Some(By::Old(id(2))), ..change(1) }]);
}

/// What the job writes, on a list.
fn write(known: &mut Vec<Memory>, decision: Decision, (draft, source): &(Draft, MemoryId), next: &mut u128) {
    let (new, again) = (id(*next), id(*next + 1));
    *next += 2;
    for change in &decision.changes {
        let old = known.iter_mut().find(|m| m.id == change.id).unwrap();
        old.version += 1;
        old.valid_from = change.from.or(old.valid_from);
        old.valid_to = change.to.or(old.valid_to);
        old.superseded_by = change.by.map(|by| if let By::Old(id) = by { id } else { new }).or(old.superseded_by);
        old.dedup_key = old.dedup_key.filter(|_| change.to.is_none());
        old.provenance.derived_from.retain(|id| !change.gone.contains(id));
        old.provenance.derived_from.extend(change.is_sourced.then_some(*source));
    }
    if let Some(put) = decision.put {
        let value = &draft.object;
        // As the store does it: an open fact of this value takes the new one in.
        let same = |m: &&mut Memory| m.dedup_key.is_some() && m.claim.as_ref().is_some_and(|c| c.object == *value);
        let merges = put.into.is_some() || put.to.is_none();
        if let Some(same) = known.iter_mut().find(|m| merges && same(m)) {
            if !same.provenance.derived_from.contains(source) {
                same.provenance.derived_from.push(*source);
            }
        } else {
            let mut memory = fact(1, &draft.relation, &draft.object, 1, None);
            (memory.id, memory.valid_from, memory.valid_to) = (new, Some(put.from), put.to);
            memory.superseded_by = put.by.or(decision.resumed.as_ref().map(|_| again));
            memory.dedup_key = put.to.is_none().then_some([1; 32]);
            memory.provenance.derived_from = vec![*source];
            known.push(memory);
        }
    }
    if let Some(resumed) = decision.resumed {
        let mut memory = known.iter().find(|m| m.id == resumed.of).unwrap().clone();
        (memory.id, memory.version, memory.superseded_by) = (again, 1, resumed.by);
        (memory.valid_from, memory.valid_to) = (Some(resumed.from), resumed.to);
        memory.dedup_key = resumed.to.is_none().then_some([1; 32]);
        memory.provenance.derived_from = resumed.sources;
        known.push(memory);
    }
}

/// Decides and writes until nothing is left to do.
fn written(known: &mut Vec<Memory>, said: &(Draft, MemoryId), heard: &Heard, next: &mut u128) {
    for _ in 0..4 {
        let Some(decision) = decide(&said.0, said.1, known, heard, (is_single(&said.0.relation), &Weights::default()))
        else {
            return;
        };
        write(known, decision, said, next);
    }
    panic!("it came to no end");
}

fn held(known: &[Memory]) -> Vec<(Timestamp, Option<Timestamp>, String)> {
    let object = |m: &Memory| m.claim.clone().unwrap().object;
    let mut all: Vec<_> = known.iter().map(|m| (m.valid_from.unwrap(), m.valid_to, object(m))).collect();
    all.sort();
    all
}

proptest::proptest! {
    #[test]
    fn in_whichever_order_statements_come_the_same_facts_hold(
        values in proptest::collection::vec(0..3usize, 1..8), seed in 0..1_000u64
    ) {
        let said: Vec<(Draft, MemoryId)> = values.iter().enumerate().map(|(i, value)| {
            let day = u32::try_from(i).unwrap() + 1;
            (draft("lives_in", ["Oslo", "Rome", "Bergen"][*value], day), id(1_000 + u128::from(day)))
        }).collect();
        let heard: Heard = said.iter().map(|(draft, id)| (*id, draft.from)).collect();
        let mut mixed: Vec<usize> = (0..said.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut mixed);
        let all = |order: &[usize]| {
            let (mut known, mut next) = (Vec::new(), 1);
            order.iter().for_each(|i| written(&mut known, &said[*i], &heard, &mut next));
            // Once more changes nothing.
            let before = held(&known);
            said.iter().for_each(|one| written(&mut known, one, &heard, &mut next));
            assert_eq!(held(&known), before);
            before
        };
        let alone = all(&(0..said.len()).collect::<Vec<_>>());
        proptest::prop_assert_eq!(&all(&mixed), &alone, "{:?}", mixed);
    }
}
