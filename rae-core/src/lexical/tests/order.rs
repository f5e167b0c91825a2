use super::*;

fn around(index: &ScopeIndex, n: u128) -> Vec<u128> {
    index.neighbours(index.slot_of(id(n)).unwrap()).map(|s| index.id_of(s).unwrap().0.as_u128()).collect()
}

fn passage(index: &ScopeIndex, n: u128, query: &str) -> f32 {
    index.passage_score(index.slot_of(id(n)).unwrap(), &index.resolve(query), &|_| true)
}

#[test]
fn neighbours_are_previous_next_and_those_behind_them() {
    let talk: Vec<_> = (0..6).map(|n| turn(n, "s", "", "words")).collect();
    let index = index_of(&talk);
    assert_eq!(around(&index, 0), [1, 2]);
    assert_eq!(around(&index, 3), [2, 4, 1, 5]);
    assert_eq!(around(&index, 5), [4, 3]);
}

#[test]
fn a_message_of_the_user_starts_an_exchange_that_no_passage_crosses() {
    let roles = ["user", "assistant", "assistant", "user", "assistant"];
    let talk: Vec<_> = (0..).zip(roles).map(|(n, role)| turn(n, "s", role, "words")).collect();
    let index = index_of(&talk);
    assert_eq!(around(&index, 0), [1, 2]);
    assert_eq!(around(&index, 1), [0, 2]);
    assert_eq!(around(&index, 2), [1, 0]);
    assert_eq!(around(&index, 3), [4]);
    assert_eq!(around(&index, 4), [3]);
}

#[test]
fn sessions_order_by_time_then_place_then_id_whatever_the_order_of_arrival() {
    let at = |n, seconds, place| Memory {
        occurred_at: Some(time(seconds)),
        seq_in_session: Some(place),
        ..turn(n, "s", "", "w")
    };
    let index = index_of(&[at(1, 50, 9), at(2, 50, 8), at(3, 10, 99), at(4, 90, 0), at(5, 50, 9)]);
    assert_eq!(around(&index, 3), [2, 1]);
    assert_eq!(around(&index, 1), [2, 5, 3, 4]);
}

#[test]
fn other_sessions_and_no_session_have_no_part_in_a_passage() {
    let index =
        index_of(&[turn(1, "a", "", "apple"), turn(2, "b", "", "banana"), memory(3, "cherry"), memory(4, "date")]);
    for n in 1..5 {
        assert!(around(&index, n).is_empty());
    }
    assert_eq!(passage(&index, 1, "banana"), 0.0);
}

#[test]
fn a_passage_widens_a_short_memory_and_its_coverage() {
    let index = index_of(&[turn(1, "s", "", "Which pet do you have?"), turn(2, "s", "", "A tortoise")]);
    let (slot, query) = (index.slot_of(id(2)).unwrap(), index.resolve("pet tortoise"));
    assert!(index.passage_score(slot, &query, &|_| true) > index.piece_score(slot, &query).0);
    assert!((index.coverage(slot, &query, &|_| true) - 1.0).abs() < 1e-6);
    assert!((index.coverage(slot, &query, &|_| false) - 0.5).abs() < 1e-6);
    let unknown = index.coverage(slot, &index.resolve("tortoise submarine"), &|_| true);
    assert!(unknown > 0.0 && unknown < 0.5, "{unknown}");
    assert_eq!(index.coverage(slot, &index.resolve("what is it"), &|_| true), 0.0);
}

#[test]
fn an_invisible_or_removed_neighbour_lends_no_words() {
    let mut index = index_of(&[turn(1, "s", "", "secret"), turn(2, "s", "", "open"), turn(3, "s", "", "other")]);
    let (first, middle) = (index.slot_of(id(1)).unwrap(), index.slot_of(id(2)).unwrap());
    let query = index.resolve("secret");
    assert!(index.passage_score(middle, &query, &|_| true) > 0.0);
    assert_eq!(index.passage_score(middle, &query, &|s| s != first), 0.0);
    index.remove(id(1));
    assert_eq!(passage(&index, 2, "secret"), 0.0);
    assert_eq!(around(&index, 2), [3]);
}

#[test]
fn pieces_tile_the_content() {
    let said = Memory {
        occurred_at: Some(time(0)),
        speaker: Some("Ann".into()),
        ..memory(1, &(0..250).map(|w| format!("z{w}, ")).collect::<String>())
    };
    let spans = piece_spans(&said);
    // Four terms of the first piece are the date (1, January, 1970) and the name.
    assert_eq!(spans.len(), LexDoc::from_memory(&said).terms.pieces());
    assert_eq!(spans[0].0, 0);
    assert!(said.content[spans[1].0..].starts_with("z96,"));
    assert!(spans.windows(2).all(|w| w[0].1 == w[1].0));
    assert_eq!(spans.last().unwrap().1, said.content.len());
    assert_eq!(piece_spans(&memory(1, "it is")), [(0, 5)]);
    assert_eq!(piece_spans(&memory(1, &"word ".repeat(100))), [(0, 500)]);
}
