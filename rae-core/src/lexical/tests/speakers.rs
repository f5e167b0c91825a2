use super::*;

fn said_by(names: &[&str]) -> ScopeIndex {
    let memories: Vec<_> =
        (0u128..).zip(names).map(|(n, name)| Memory { speaker: Some((*name).into()), ..memory(n, "hello") }).collect();
    index_of(&memories)
}

fn named<'i>(index: &'i ScopeIndex, query: &str) -> Vec<&'i str> {
    index.speakers_named(query).iter().map(|s| index.speaker_name(s).unwrap()).collect()
}

#[test]
fn a_speaker_is_named_by_his_whole_name_in_any_case() {
    let index = said_by(&["Joanna", "Nate", "user", "Assistant", "José", "Mary-Jane O'Hara"]);
    assert_eq!(named(&index, "What did joanna tell NATE?"), ["Joanna", "Nate"]);
    assert_eq!(named(&index, "Joanna's and Joanna’s cat"), ["Joanna"]);
    assert_eq!(named(&index, "has Jose met mary-jane o'hara?"), ["José", "Mary-Jane O'Hara"]);
    assert!(named(&index, "did the user or Natelie tell the assistant? nate_x").is_empty());
}

#[test]
fn a_first_name_counts_while_nobody_shares_it() {
    let mut index = said_by(&["Ann Smith", "Bob Stone", "Bob Miller"]);
    assert_eq!(named(&index, "what does Ann like"), ["Ann Smith"]);
    assert!(named(&index, "what does Bob like").is_empty());
    assert_eq!(named(&index, "what does Bob Stone like"), ["Bob Stone"]);
    assert!(named(&index, "Smith").is_empty());
    assert!(named(&index, "Bob. Stone walls").len() == 1 && named(&index, "Bob, stone walls").is_empty());
    index.remove(id(2));
    assert_eq!(named(&index, "what does Bob like"), ["Bob Stone"]);
}

#[test]
fn a_name_that_is_also_a_stop_word_or_a_month_must_be_capitalised() {
    let index = said_by(&["Will", "May Parker", "June"]);
    assert!(named(&index, "what will happen in june, may i ask?").is_empty());
    assert_eq!(named(&index, "Did Will meet June and May?"), ["Will", "June", "May Parker"]);
}

#[test]
fn names_in_scripts_without_spaces_are_found_inside_the_text() {
    let index = said_by(&["田中", "田村"]);
    assert_eq!(named(&index, "田中さんは何が好きですか"), ["田中"]);
    assert!(named(&index, "田んぼ").is_empty());
}

#[test]
fn a_speaker_without_live_memories_is_forgotten() {
    let mut index = said_by(&["Zoe", "Adam"]);
    index.remove(id(0));
    assert!(named(&index, "Zoe").is_empty());
    index.compact();
    assert!(named(&index, "Zoe").is_empty());
    assert_eq!(named(&index, "Adam"), ["Adam"]);
    let adam = index.speakers_named("Adam")[0];
    assert!(index.is_speaker(index.slot_of(id(1)).unwrap(), &adam));
}

#[test]
fn spellings_of_one_name_are_one_speaker() {
    let index = said_by(&["Anna", "anna", "ANNA"]);
    let anna = index.speakers_named("Anna");
    assert_eq!(anna.len(), 1);
    assert!(index.slots().all(|s| index.is_speaker(s, &anna[0])));
}

#[test]
fn names_become_they_for_embedding() {
    let index = said_by(&["Joanna", "Nate", "Will"]);
    for (query, without) in [
        ("What did Joanna tell Nate's dog?", "What did they tell they dog?"),
        ("Joanna’s book", "they book"),
        ("will it rain for nate", "will it rain for nate"),
        ("will Will come?", "will they come?"),
        ("Joannas house", "Joannas house"),
        ("", ""),
    ] {
        assert_eq!(index.without_names(query), without);
    }
    let lower = said_by(&["nate"]);
    assert_eq!(lower.without_names("does nate swim"), "does they swim");
}
