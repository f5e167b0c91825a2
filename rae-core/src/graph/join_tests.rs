//! What is surely one entity, and above all what is not.

use super::{
    super::{
        Edge,
        tests::{edge, time},
    },
    *,
};
use uuid::Uuid;

fn graph(edges: &[(&str, &str, &str)]) -> Graph {
    let mut graph = Graph::new();
    for (n, (subject, relation, object)) in (1..).zip(edges) {
        graph.upsert(edge(n, subject, relation, object));
    }
    graph
}

fn joined(graph: &Graph, texts: &[Stated]) -> Vec<(String, String)> {
    graph.joins(time(10), texts, 100).into_iter().map(|join| (join.alias, join.name)).collect()
}

fn pair(alias: &str, name: &str) -> Vec<(String, String)> {
    vec![(alias.to_owned(), name.to_owned())]
}

#[test]
fn spellings_of_one_name_are_joined_and_near_misses_are_not() {
    for (a, b) in [
        ("U.S.A.", "USA"),
        ("U.S.A", "USA"),
        ("Jean-Luc Picard", "Jean Luc Picard"),
        ("Acme Inc.", "Acme Inc"),
        ("J. Smith", "J Smith"),
        ("U.S. Army", "US Army"),
        ("O\u{2019}Brien", "O'Brien"),
    ] {
        let found = joined(&graph(&[("Ada", "likes", a), ("Bob", "likes", b)]), &[]);
        assert_eq!(found.len(), 1, "{a} {b}");
    }
    for (a, b) in [
        ("Max", "Maxi"),
        ("C", "C++"),
        ("C++", "C#"),
        ("Model 3", "Model 4"),
        ("Model-3", "Model 3"),
        ("v1.2", "v12"),
        ("1-2", "1 2"),
        ("Café", "Cafe"),
        ("us", "U.S."),
        ("it", "I.T."),
        ("Postgres", "PostgreSQL"),
        ("J. Smith", "John Smith"),
        ("Smith", "Smiths"),
        ("Ada", "Ada Lovelace"),
        ("The Beatles", "Beatles"),
        ("OBrien", "O'Brien"),
        ("AT&T", "ATT"),
        ("a/b", "a b"),
    ] {
        let found = joined(&graph(&[("Eve", "likes", a), ("Bob", "likes", b)]), &[]);
        assert_eq!(found, [], "{a} {b}");
    }
}

#[test]
fn a_name_that_is_also_a_word_is_not_joined_with_an_abbreviation() {
    let names = graph(&[("Ada", "likes", "U.S."), ("Bob", "likes", "US"), ("Eve", "helps", "us")]);
    assert_eq!(joined(&names, &[]), []);
}

#[test]
fn an_alias_that_a_relation_states_is_joined_unless_it_may_mean_two() {
    let one = graph(&[("Ada", "is_named", "Ada Lovelace"), ("Ada", "likes", "Oslo")]);
    assert_eq!(joined(&one, &[]), pair("Ada Lovelace", "Ada"));
    assert!(one.joins(time(10), &[], 100)[0].is_stated);
    for twice in [
        graph(&[("Bob", "also_known_as", "Rob"), ("Robert", "also_known_as", "Rob")]),
        graph(&[("Max", "is_named", "Max Power"), ("Max", "is_named", "Max Smith")]),
        graph(&[("user", "is_named", "Ada")]),
        graph(&[("Ada", "also_known_as", "Countess"), ("Ada", "knows", "Countess")]),
    ] {
        assert_eq!(joined(&twice, &[]), []);
    }
    let many = graph(&[("Bob", "also_known_as", "Rob"), ("Bob", "also_known_as", "Bobby")]);
    assert_eq!(joined(&many, &[]).len(), 2);
}

#[test]
fn a_text_that_says_so_joins_names_that_relations_have() {
    let says = |text: &str| {
        stated(text).into_iter().map(|(name, alias)| format!("{name} = {alias}")).collect::<Vec<_>>().join("; ")
    };
    for (text, expected) in [
        ("Ada Lovelace, also known as Countess Ada, wrote it.", "Ada Lovelace = Countess Ada"),
        ("We met Robert (aka Bob) there.", "Robert = Bob"),
        ("Robert a.k.a. Bob came.", "Robert = Bob"),
        ("Big Blue is better known as IBM.", "Big Blue = IBM"),
        ("Is Robert also known as Bob?", ""),
        ("Robert is not also known as Bob.", ""),
        ("Maybe Robert, also known as Bob, came.", ""),
        ("A tomato, also known as a fruit, is red.", ""),
        ("Anna, Robert, also known as Bob", "Robert = Bob"),
    ] {
        assert_eq!(says(text), expected, "{text}");
    }
    let names = graph(&[("Robert", "likes", "Oslo"), ("Bob", "lives_in", "Bergen")]);
    let text =
        |owner| Stated { name: "Robert".into(), alias: "Bob".into(), source: MemoryId(Uuid::from_u128(9)), owner };
    assert_eq!(joined(&names, &[text(0)]), pair("Bob", "Robert"));
    assert_eq!(joined(&names, &[text(1)]), [], "another owner's word joins nothing");
    let unknown = Stated { alias: "Rob".into(), ..text(0) };
    assert_eq!(joined(&names, &[unknown]), [], "a name without a relation is no entity");
}

#[test]
fn names_that_relations_of_two_owners_have_are_not_joined() {
    for (n, subject, object) in [(3, "Eve", "USA"), (3, "U.S.A.", "Oslo")] {
        let mut names = graph(&[("Ada", "likes", "U.S.A."), ("Bob", "likes", "USA")]);
        assert_eq!(joined(&names, &[]).len(), 1);
        names.upsert(Edge { owner: 1, ..edge(n, subject, "visited", object) });
        assert_eq!(joined(&names, &[]), []);
    }
}

#[test]
fn what_is_joined_or_was_parted_is_not_joined_again() {
    let mut names = graph(&[("Ada", "likes", "U.S.A."), ("Bob", "likes", "USA"), ("USA", "same_as", "U.S.A.")]);
    assert_eq!(joined(&names, &[]), []);
    names.upsert(Edge { valid_to: Some(time(5)), ..edge(3, "USA", "same_as", "U.S.A.") });
    assert_eq!(joined(&names, &[]), []);
    // Nor by way of a third.
    names.upsert(edge(4, "Eve", "likes", "U.S.A"));
    let found = joined(&names, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0] != ("USA".into(), "U.S.A.".into()) && found[0] != ("U.S.A.".into(), "USA".into()));
}

#[test]
fn joins_do_not_depend_on_the_order_of_edges_and_are_bounded() {
    let edges: Vec<Edge> = (0..20)
        .flat_map(|n| {
            let plain = edge(2 * n + 1, "Ada", "likes", &format!("Item {}", "X".repeat(n as usize + 1)));
            let pointed = edge(2 * n + 2, "Bob", "likes", &format!("Item {}.", "X".repeat(n as usize + 1)));
            [plain, pointed]
        })
        .collect();
    let (mut forth, mut back) = (Graph::new(), Graph::new());
    edges.iter().cloned().for_each(|edge| forth.upsert(edge));
    edges.into_iter().rev().for_each(|edge| back.upsert(edge));
    assert_eq!(forth.joins(time(10), &[], 100), back.joins(time(10), &[], 100));
    assert_eq!(forth.joins(time(10), &[], 7).len(), 7);
}
