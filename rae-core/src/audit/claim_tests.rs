use super::*;
use crate::{
    audit::{agree, compared},
    ingest::NewMemory,
    model::{IdGenerator, Kind, Scope, Timestamp},
};
use proptest::prelude::*;

fn memory(new: NewMemory) -> Memory {
    let now = Timestamp::parse("2026-01-01").unwrap();
    new.into_memory(&Scope::default(), IdGenerator::seeded(1).next(now), now).unwrap()
}

fn fact(text: &str) -> Memory {
    memory(NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) })
}

fn contradict(a: &Memory, b: &Memory) -> bool {
    let (a, b) = (claims(a), claims(b));
    a.iter().flatten().any(|a| {
        b.iter().flatten().any(|b| match (a, b) {
            (Compared::Value(k, v), Compared::Value(l, w)) | (Compared::Denial(k, v), Compared::Denial(l, w)) => {
                k == l && !agree(v, w)
            }
            _ => false,
        })
    })
}

#[track_caller]
fn check(a: &str, b: &str, expect: bool) {
    assert_eq!(contradict(&fact(a), &fact(b)), expect, "{a} / {b}");
    assert_eq!(contradict(&fact(b), &fact(a)), expect, "{b} / {a}");
}

#[test]
fn two_values_of_what_has_one_contradict() {
    for (a, b) in [
        ("Ada lives in Porto.", "Ada lives in Ghent."),
        ("Ada lives in Porto.", "ada lives in New York"),
        ("I live in Rio de Janeiro.", "I live in Porto."),
        ("The door code is 4711.", "The door code is 4712."),
        ("The code of the garage door is A-17.", "The code of the garage door is B-17."),
        ("Ada works at Acme.", "Ada works at Globex"),
        ("Ada was born in 1990.", "Ada was born in 1991."),
        ("Ada was born on 8 May 1990.", "Ada was born on May 9, 1990."),
        ("The meeting starts at 10:30.", "The meeting starts at 11:30."),
        ("The ticket costs $12.50.", "The ticket costs $13."),
        ("The parcel weighs 3 kg.", "The parcel weighs 4 kg."),
        ("Ada's email address is ada@example.org.", "Ada's email address is ada@example.com."),
        ("The name of Ada's dog is Scout.", "The name of Ada's dog is Rex."),
        ("Ada's favourite city is Porto.", "Ada's favourite city is Ghent."),
        ("The office is in Gdansk.", "The office is in Warsaw."),
        ("Ada is 42 years old.", "Ada is 43 years old."),
        ("The rent is due on Monday.", "The rent is due on Friday."),
        ("The dog is called Scout.", "The dog is called Rex."),
        ("“Ada lives in Porto”", "Ada lives in Ghent!"),
    ] {
        check(a, b, true);
    }
}

#[test]
fn what_may_both_be_true_does_not_contradict() {
    for (a, b) in [
        ("Ada likes tea.", "Ada likes coffee."),
        ("Ada likes Porto.", "Ada likes Ghent."),
        ("Ada speaks Dutch.", "Ada speaks German."),
        ("Ada visited Porto.", "Ada visited Ghent."),
        ("Ada has lived in Porto.", "Ada has lived in Ghent."),
        ("Ada's friend is Ben.", "Ada's friend is Tom."),
        ("One of the primes is 5.", "One of the primes is 7."),
        ("A ticket costs 12 euros.", "A ticket costs 14 euros."),
        ("Ada also works at Acme.", "Ada also works at Globex."),
        ("She lives in Porto.", "She lives in Ghent."),
        ("Ada lives in Porto and Ghent.", "Ada lives in Porto and Lyon."),
        ("Ada lives in Porto.", "Ada lives in Porto, Portugal."),
        ("Ada lives in Porto.", "Ben lives in Ghent."),
        ("Ada was born in Porto.", "Ada was born in 1990."),
        ("Ada was born in 1990.", "Ada was born in May 1990."),
        ("Ada was born on 8 May 1990.", "Ada was born on May 8th, 1990."),
        ("Ada was born on 1990-05-08.", "Ada was born on 08.05.1990."),
        ("The ticket costs $1,000.", "The ticket costs $1000.00"),
        ("The ticket costs 1.000", "The ticket costs 1000"),
        ("The ticket costs 12 EUR.", "The ticket costs 13 USD."),
        ("The door code is 47-11.", "The door code is 4711."),
        ("Does Ada live in Porto?", "Does Ada live in Ghent?"),
        ("So, the number of outcomes is 2.", "So, the number of outcomes is 6."),
        ("For the record: Ada lives in Porto.", "For the record: Ada lives in Ghent."),
        ("If Ada lives in Porto, call.", "If Ada lives in Ghent, call."),
        ("Ada lives in Porto. Ben does too.", "Ada lives in Ghent. Ben does too."),
        ("The sale runs from 5 to 7.", "The sale runs from 5 to 9."),
        ("The office is open.", "The office is big."),
        ("ADA LIVES IN PORTO", "ADA LIVES IN GHENT"),
    ] {
        check(a, b, false);
    }
}

#[test]
fn what_is_said_and_denied_contradicts() {
    for (a, b) in [
        ("Ada is allergic to nuts.", "Ada is not allergic to nuts."),
        ("Ada is allergic to nuts.", "Ada isn't allergic to nuts!"),
        ("Ada likes tea.", "Ada doesn’t like tea."),
        ("Ada tries new food.", "Ada does not try new food."),
        ("Ada has a car.", "Ada does not have a car."),
        ("We eat meat.", "We don't eat meat."),
        ("Ada smokes cigars.", "Ada never smokes cigars."),
        ("Ada lives in Porto.", "Ada no longer lives in Porto."),
        ("Ada lives in Porto.", "Ada doesn't live in Porto anymore."),
        ("Ada can swim well.", "Ada cannot swim well."),
        ("Ada will come home.", "Ada won't come home."),
    ] {
        check(a, b, true);
    }
    for (a, b) in [
        ("Ada is in Porto.", "Ada is not only in Porto."),
        ("Ada liked the film.", "Ada doesn't like the film."),
        ("Ada does not like tea.", "Ada does not like coffee."),
        ("Ada does not live in Porto.", "Ada lives in Ghent."),
        ("Nobody lives in Porto.", "Ada lives in Porto."),
        ("Ada is not not happy.", "Ada is happy."),
    ] {
        check(a, b, false);
    }
}

#[test]
fn another_user_agent_or_speaker_of_i_does_not_contradict() {
    let said = |text: &str, change: &dyn Fn(&mut NewMemory)| {
        let mut new = NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) };
        change(&mut new);
        memory(new)
    };
    let mine = said("I live in Porto.", &|n| n.speaker = Some("Ada".into()));
    assert!(!contradict(&mine, &said("I live in Ghent.", &|n| n.speaker = Some("Ben".into()))));
    assert!(contradict(&mine, &said("I live in Ghent.", &|n| n.speaker = Some("Ada".into()))));
    let told = said("Ada lives in Porto.", &|n| n.speaker = Some("Ada".into()));
    assert!(contradict(&told, &said("Ada lives in Ghent.", &|n| n.speaker = Some("Ben".into()))));
    assert!(!contradict(&told, &said("Ada lives in Ghent.", &|n| n.user_id = Some("u".into()))));
    assert!(!contradict(&told, &said("Ada lives in Ghent.", &|n| n.agent_id = Some("u".into()))));
}

#[test]
fn only_texts_and_facts_that_nothing_superseded_make_claims() {
    let now = Timestamp::parse("2026-01-01").unwrap();
    let kinds = |m: &Memory| compared(m, now).filter(|c| !matches!(c, Compared::Text(_))).count();
    let mut told = fact("Ada lives in Porto.");
    assert_eq!(kinds(&told), 2);
    told.kind = Kind::Conversation;
    assert_eq!(kinds(&told), 0);
    told.kind = Kind::Text;
    told.superseded_by = Some(told.id);
    assert_eq!(compared(&told, now).count(), 0);
}

proptest! {
    #[test]
    fn any_text_is_read_without_harm_and_agrees_with_itself(text in "\\PC{1,60}|[A-Za-z0-9 .,'@$é-]{1,60}") {
        prop_assume!(!text.trim().is_empty());
        prop_assert!(!contradict(&fact(&text), &fact(&text)));
    }

    #[test]
    fn sentences_of_the_word_lists_are_read_without_harm(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "Ada", "lives", "in", "is", "not", "does", "don't", "can't", "no", "longer", "never", "Porto,", "12", "May",
                "of", "the", "code", "costs", "€3.50", "a@b.c", "de", "and", "n't", ".", "\"", "I", "anymore", "1,00", "born",
            ]),
            1..12,
        ),
    ) {
        let text = words.join(" ");
        prop_assert!(!contradict(&fact(&text), &fact(&text)));
        prop_assert!(!contradict(&fact(&text), &fact(&text.to_lowercase())) || text != text.to_lowercase());
    }

    #[test]
    fn two_names_in_the_slot_contradict_exactly_when_neither_holds_the_other(
        a in prop::collection::vec("Z[a-z]{2,6}", 1..4),
        b in prop::collection::vec("Z[a-z]{2,6}", 1..4),
    ) {
        prop_assume!(a.iter().chain(&b).all(|w| !CALENDAR.contains(&w.to_lowercase().as_str())));
        let say = |names: &[String]| fact(&format!("Ada lives in {}.", names.join(" ")));
        let within = |x: &[String], y: &[String]| x.iter().all(|w| y.contains(w));
        prop_assert_eq!(contradict(&say(&a), &say(&b)), !within(&a, &b) && !within(&b, &a));
    }

    #[test]
    fn numbers_contradict_exactly_when_they_differ(a in 0u32..100_000, b in 0u32..100_000) {
        let say = |n: u32| fact(&format!("The parcel weighs {n} g."));
        prop_assert_eq!(contradict(&say(a), &say(b)), a != b);
    }
}
