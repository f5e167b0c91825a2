//! The graph against plain models of what it should say.

use super::*;
use crate::model::{Claim, MemoryId, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NOW: i64 = 1_000;

pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn id(n: u128) -> MemoryId {
    MemoryId(uuid::Uuid::from_u128(n))
}

pub(super) fn edge(n: u128, subject: &str, relation: &str, object: &str) -> Edge {
    Edge {
        id: id(n),
        subject: subject.into(),
        relation: relation.into(),
        object: object.into(),
        weight: 1.0,
        confidence: 1.0,
        valid_from: time(0),
        valid_to: None,
        expires_at: None,
        over: false,
        sources: Vec::new(),
        owner: 0,
    }
}

fn graph(edges: &[(&str, &str, &str)]) -> Graph {
    let mut graph = Graph::new();
    for (n, (subject, relation, object)) in edges.iter().enumerate() {
        graph.upsert(edge(n as u128, subject, relation, object));
    }
    graph
}

fn now() -> Moment {
    Moment::present(time(NOW))
}

fn at(micros: i64) -> Moment {
    Moment::past(time(NOW), time(micros))
}

fn names(view: &mut View<'_>, entity: &str, depth: usize) -> Vec<String> {
    view.neighbors(entity, depth, None, 100).neighbors.into_iter().map(|n| n.name).collect()
}

fn found(graph: &Graph, query: &str) -> Vec<String> {
    View::new(graph, now()).entities(Some(query), None, 100).items.into_iter().map(|e| e.name).collect()
}

#[test]
fn an_entity_has_its_most_frequent_spelling_and_the_first_of_equals() {
    let graph = graph(&[("ada", "knows", "BOB"), ("Ada", "likes", "tea"), ("Ada", "owns", "Bob")]);
    let mut view = View::new(&graph, now());
    let page = view.entities(None, None, 10);
    let told: Vec<_> = page.items.iter().map(|e| (e.name.as_str(), e.degree)).collect();
    assert_eq!(told, [("Ada", 3), ("BOB", 2), ("tea", 1)]);
}

#[test]
fn names_differ_by_signs_but_not_by_case_width_or_white_space() {
    let graph =
        graph(&[("C", "is", "language"), ("C++", "is", "Language"), ("Ｃ", "is", "Language "), ("c  ", "a", "b")]);
    assert_eq!(found(&graph, "language"), ["Language"]);
    assert_eq!(found(&graph, "c++"), ["C++", "C"]);
    assert_eq!(graph.names(), 4);
}

#[test]
fn a_search_finds_the_same_name_then_beginnings_then_words_and_needs_no_accents() {
    let graph = graph(&[
        ("Café", "near", "Café Central"),
        ("The Café", "near", "Café Central"),
        ("Café Central", "in", "Wien"),
        ("Caféteria", "in", "Graz"),
    ]);
    assert_eq!(found(&graph, "cafe"), ["Café", "Café Central", "Caféteria", "The Café"]);
    assert_eq!(found(&graph, "central cafe"), ["Café Central"]);
    assert_eq!(found(&graph, "CENTRAL"), ["Café Central"]);
    assert!(found(&graph, "eteria").is_empty());
}

#[test]
fn pages_of_entities_follow_each_other_without_gaps_or_doubles() {
    let edges: Vec<_> = (0..50).map(|n| edge(n, &format!("n{}", n % 23), "r", &format!("m.{}", n % 7))).collect();
    let mut graph = Graph::new();
    edges.into_iter().for_each(|edge| graph.upsert(edge));
    let whole = View::new(&graph, now()).entities(None, None, 100);
    assert_eq!((whole.items.len(), whole.next_cursor), (30, None));
    let (mut items, mut after) = (Vec::new(), None::<Place>);
    loop {
        let page = View::new(&graph, now()).entities(None, after.as_ref(), 7);
        items.extend(page.items);
        match page.next_cursor {
            Some(next) => after = Some(next.parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(items, whole.items);
    for bad in ["", "1", "x.1.a", "0.1.", "0.-1.a", "300.1.a"] {
        assert_eq!(bad.parse::<Place>().unwrap_err().code(), "invalid_cursor", "{bad}");
    }
}

#[test]
fn neighbors_are_near_then_strong_then_by_name() {
    let mut graph = graph(&[("a", "r", "z"), ("b", "r", "a"), ("z", "r", "far"), ("a", "other", "c")]);
    graph.upsert(Edge { weight: 5.0, confidence: 0.5, ..edge(9, "a", "r", "strong") });
    graph.upsert(Edge { weight: 0.1, ..edge(10, "a", "r", "b") });
    let mut view = View::new(&graph, now());
    assert_eq!(names(&mut view, "A", 1), ["strong", "b", "c", "z"]);
    assert_eq!(names(&mut view, "A", 2), ["strong", "b", "c", "z", "far"]);
    let near = view.neighbors("a", 2, None, 100);
    assert_eq!((near.neighbors[0].strength, near.neighbors[1].relation.id), (2.5, id(1)));
    assert_eq!((near.neighbors[4].depth, near.truncated), (2, false));
    let other = view.neighbors("a", 3, Some("other"), 100);
    assert_eq!(other.neighbors.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["c"]);
    let few = view.neighbors("a", 2, None, 2);
    assert_eq!((few.neighbors.len(), few.truncated), (2, true));
    assert_eq!(view.neighbors("nobody", 1, None, 10), Neighborhood::default());
}

#[test]
fn a_question_about_a_time_sees_what_held_then() {
    let mut graph = Graph::new();
    graph.upsert(Edge {
        valid_from: time(10),
        valid_to: Some(time(20)),
        over: true,
        ..edge(1, "Ada", "works_at", "Acme")
    });
    graph.upsert(Edge { valid_from: time(20), ..edge(2, "Ada", "works_at", "Globex") });
    graph.upsert(Edge { valid_from: time(2 * NOW), ..edge(3, "Ada", "works_at", "Initech") });
    graph.upsert(Edge { over: true, ..edge(4, "Ada", "lives_in", "Oslo") });
    graph.upsert(Edge { expires_at: Some(time(NOW)), ..edge(5, "Ada", "rents", "car") });
    let told = |moment| names(&mut View::new(&graph, moment), "Ada", 1);
    assert_eq!(told(now()), ["Globex"]);
    for (when, expected) in [(9, vec!["Oslo"]), (10, vec!["Acme", "Oslo"]), (19, vec!["Acme", "Oslo"])] {
        assert_eq!(told(at(when)), expected, "{when}");
    }
    assert_eq!(told(at(20)), ["Globex", "Oslo"]);
    assert_eq!(told(at(2 * NOW)), ["Globex", "Initech", "Oslo"]);
    // An entity that nothing names then is not there.
    assert!(View::new(&graph, at(15)).entities(Some("globex"), None, 10).items.is_empty());
    assert_eq!(View::new(&graph, at(15)).path("Ada", "Globex").unwrap(), None);
}

#[test]
fn same_as_makes_names_one_entity_for_as_long_as_it_holds() {
    let mut graph =
        graph(&[("Ada", "knows", "J. Smith"), ("John Smith", "owns", "boat"), ("John Smith", "in", "Oslo")]);
    graph.upsert(Edge { valid_from: time(100), ..edge(7, "J. Smith", "same_as", "John Smith") });
    let before = View::new(&graph, at(50)).path("Ada", "boat").unwrap();
    assert_eq!(before, None);
    let mut view = View::new(&graph, now());
    let path = view.path("Ada", "boat").unwrap().unwrap();
    assert_eq!((path.entities, path.cost), (vec!["Ada".into(), "John Smith".into(), "boat".into()], 2.0));
    assert_eq!(path.relations[0].object, "John Smith");
    let smith = view.entities(Some("j smith"), None, 10).items;
    let expected = Entity { name: "John Smith".into(), aliases: vec!["J. Smith".into()], degree: 3 };
    assert_eq!(smith, [expected]);
    let around = view.subgraph(&["J. Smith"], 1, 10);
    assert_eq!((around.entities.len(), around.relations.len()), (4, 3));
    graph.remove(id(7));
    assert_eq!(View::new(&graph, now()).path("Ada", "boat").unwrap(), None);
}

#[test]
fn the_path_is_the_cheapest_one_and_then_the_shortest() {
    let mut graph = graph(&[("a", "r", "b"), ("b", "r", "c"), ("c", "r", "d")]);
    graph.upsert(Edge { weight: 0.25, ..edge(8, "a", "r", "d") });
    let cost = |graph: &Graph| View::new(graph, now()).path("a", "d").unwrap().unwrap();
    assert_eq!((cost(&graph).cost, cost(&graph).relations.len()), (3.0, 3));
    graph.upsert(Edge { confidence: 1.0 / 3.0, ..edge(8, "d", "r", "a") });
    assert_eq!((cost(&graph).cost, cost(&graph).relations.len()), (3.0, 1));
    let mut view = View::new(&graph, now());
    assert_eq!(view.path("a", "A").unwrap().unwrap().entities, ["a"]);
    assert_eq!(view.path("a", "x").unwrap(), None);
    graph.upsert(Edge { confidence: 0.0, ..edge(20, "d", "r", "e") });
    assert_eq!(View::new(&graph, now()).path("a", "e").unwrap(), None);
}

#[test]
fn what_is_too_large_to_be_searched_is_said() {
    let mut graph = Graph::new();
    let many = crate::limits::GRAPH_RELATIONS_MAX as u128 + 1;
    (0..many).for_each(|n| graph.upsert(edge(n, "hub", "r", "spoke")));
    graph.upsert(edge(many, "spoke", "r", "rim"));
    let mut view = View::new(&graph, now());
    let around = view.subgraph(&["hub"], 1, 10);
    assert_eq!((around.relations.len(), around.truncated), (crate::limits::GRAPH_RELATIONS_MAX, true));
    assert!(view.path("hub", "rim").unwrap().is_some());
    view.visits_max = 100;
    assert_eq!(view.path("hub", "rim").unwrap_err().code(), "graph_too_large");
    let near = view.neighbors("hub", 2, None, 10);
    assert_eq!((near.neighbors.len(), near.truncated), (1, true));
}

#[test]
fn a_relation_is_near_a_question_that_names_its_entities_or_their_neighbors() {
    let graph = graph(&[
        ("Ada Lovelace", "works_at", "Acme"),
        ("Acme", "located_in", "Oslo"),
        ("Oslo", "part_of", "Norway"),
        ("Norway", "part_of", "Europe"),
        ("Lovelace", "likes", "tea"),
    ]);
    let near = |question: &str| {
        let ids: Vec<MemoryId> = (0..6).map(id).collect();
        View::new(&graph, now()).nearness(question, &ids)
    };
    assert_eq!(near("Where does ADA  LOVELACE's firm sit?"), [1.0, 0.5, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(near("What about acme?"), [1.0, 1.0, 0.5, 0.0, 0.0, 0.0]);
    assert_eq!(near("Who is Adam?"), [0.0; 6]);
}

#[test]
fn proposals_join_spellings_but_never_numbers() {
    let names =
        ["John Smith", "J. Smith", "john smith", "IBM", "International Business Machines", "Model 3", "Model 4"];
    let told: Vec<_> = same_as(&names, &[], 0.85).into_iter().map(|p| (p.alias, p.name)).collect();
    assert_eq!(
        told,
        [
            ("IBM".to_owned(), "International Business Machines".to_owned()),
            ("J. Smith".to_owned(), "John Smith".to_owned())
        ]
    );
    let unit = Some(vec![1.0, 0.0]);
    let vectors = vec![unit; 3];
    let near = same_as(&["car", "automobile", "car 2"], &vectors, 0.7);
    assert_eq!((near.len(), near[0].alias.as_str(), near[0].name.as_str()), (1, "car", "automobile"));
    assert!(same_as(&["Model 3", "Model 4"], &[], 0.0).is_empty());
    assert!(same_as(&["C", "C++", "C#"], &[], 0.9).is_empty());
}

/// W. W. Zachary, "An information flow model for conflict and fission in small groups", 1977: who met whom outside of the club.
const KARATE: &[(usize, &[usize])] = &[
    (1, &[2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 20, 22, 32]),
    (2, &[3, 4, 8, 14, 18, 20, 22, 31]),
    (3, &[4, 8, 9, 10, 14, 28, 29, 33]),
    (4, &[8, 13, 14]),
    (5, &[7, 11]),
    (6, &[7, 11, 17]),
    (7, &[17]),
    (9, &[31, 33, 34]),
    (10, &[34]),
    (14, &[34]),
    (15, &[33, 34]),
    (16, &[33, 34]),
    (19, &[33, 34]),
    (20, &[34]),
    (21, &[33, 34]),
    (23, &[33, 34]),
    (24, &[26, 28, 30, 33, 34]),
    (25, &[26, 28, 32]),
    (26, &[32]),
    (27, &[30, 34]),
    (28, &[34]),
    (29, &[32, 34]),
    (30, &[33, 34]),
    (31, &[33, 34]),
    (32, &[33, 34]),
    (33, &[34]),
];

#[test]
fn the_karate_club_falls_into_its_known_communities() {
    let pairs: Vec<_> = KARATE.iter().flat_map(|(a, to)| to.iter().map(move |b| ((a - 1, b - 1), 1.0))).collect();
    assert_eq!(pairs.len(), 78);
    let club = Weighted::new(34, pairs.clone());
    let of = louvain(&club);
    let quality = modularity(&club, &of);
    assert!(quality >= 0.40, "{quality}");
    // The instructor and the administrator, whose quarrel split the club.
    assert_ne!(of[0], of[33]);
    assert!(modularity(&club, &[0; 34]).abs() < 1e-12);
    // As the graph of relations sees it.
    let mut graph = Graph::new();
    for (n, ((a, b), _)) in pairs.iter().enumerate() {
        graph.upsert(edge(n as u128, &format!("m{a:02}"), "meets", &format!("m{b:02}")));
    }
    let communities = View::new(&graph, now()).communities(100, 2, 50);
    let sizes: Vec<usize> = communities.iter().map(|c| c.entities.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 34);
    assert!(sizes.is_sorted_by(|a, b| a >= b));
    for community in &communities {
        assert_eq!(community.relations.len(), crate::limits::COMMUNITY_RELATIONS_MAX.min(community.relations.len()));
        let inside = |name: &String| community.entities.contains(name);
        assert!(community.relations.iter().all(|r| inside(&r.subject) && inside(&r.object)));
    }
    assert_eq!(sizes.len(), of.iter().max().unwrap() + 1);
    assert_eq!(View::new(&graph, now()).communities(33, 2, 50).len(), 1);
}

/// Few names, so that edges meet: some differ by case alone.
fn any_edge() -> impl Strategy<Value = Edge> {
    let name = || prop::sample::select(vec!["a", "A", "b", "c", "d", "e", "f g", "F  G", "h"]);
    let relation = prop::sample::select(vec!["r", "r", "s", "same_as"]);
    let when = (0..4_i64, prop::option::of(1..6_i64));
    (0..24_u128, name(), relation, name(), 0..4_u8, when, any::<bool>()).prop_map(
        |(n, subject, relation, object, weight, (from, to), over)| Edge {
            weight: f64::from(weight) / 2.0,
            valid_from: time(from),
            valid_to: to.map(time),
            over,
            ..edge(n, subject, relation, object)
        },
    )
}

/// The present, and times.
fn moments() -> [Option<i64>; 4] {
    [None, Some(0), Some(2), Some(4)]
}

/// Which entity each name is, by trying until nothing changes.
fn plain_entities(edges: &BTreeMap<MemoryId, Edge>, holds: impl Fn(&Edge) -> bool) -> BTreeMap<String, String> {
    let mut of: BTreeMap<String, String> = BTreeMap::new();
    for name in edges.values().flat_map(|e| [&e.subject, &e.object]) {
        of.insert(Claim::name_key(name), Claim::name_key(name));
    }
    for _ in 0..of.len() {
        for edge in edges.values().filter(|e| holds(e) && e.relation == SAME_AS) {
            let (a, b) = (of[&Claim::name_key(&edge.subject)].clone(), of[&Claim::name_key(&edge.object)].clone());
            let least = a.min(b);
            of.insert(Claim::name_key(&edge.subject), least.clone());
            of.insert(Claim::name_key(&edge.object), least);
        }
    }
    of
}

fn holds(edge: &Edge, moment: Option<i64>) -> bool {
    let when = time(moment.unwrap_or(NOW));
    let is_short = |to: Timestamp| to.micros() <= edge.valid_from.micros() + 1;
    let holds = edge.valid_from <= when && edge.valid_to.is_none_or(|to| when < to && !is_short(to));
    holds && (moment.is_some() || !edge.over)
}

/// Costs of the cheapest ways between all entities (Floyd and Warshall), and how many relations apart they are.
fn plain_costs(edges: &BTreeMap<MemoryId, Edge>, moment: Option<i64>) -> BTreeMap<(String, String), (f64, usize)> {
    let of = plain_entities(edges, |e| holds(e, moment));
    let all: BTreeSet<&String> = of.values().collect();
    let mut cost: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut hops: BTreeMap<(String, String), usize> = BTreeMap::new();
    for edge in edges.values().filter(|e| holds(e, moment) && e.relation != SAME_AS) {
        let (a, b) = (of[&Claim::name_key(&edge.subject)].clone(), of[&Claim::name_key(&edge.object)].clone());
        for pair in [(a.clone(), b.clone()), (b, a)] {
            hops.insert(pair.clone(), 1);
            if edge.strength() > 0.0 {
                let known = cost.entry(pair).or_insert(f64::INFINITY);
                *known = known.min(1.0 / edge.strength());
            }
        }
    }
    let key = |a: &String, b: &String| (a.clone(), b.clone());
    all.iter().for_each(|a| {
        cost.insert(key(a, a), 0.0);
        hops.insert(key(a, a), 0);
    });
    for via in &all {
        for a in &all {
            for b in &all {
                if let (Some(x), Some(y)) = (cost.get(&key(a, via)), cost.get(&key(via, b))) {
                    let sum = x + y;
                    let known = cost.entry(key(a, b)).or_insert(f64::INFINITY);
                    *known = known.min(sum);
                }
                if let (Some(x), Some(y)) = (hops.get(&key(a, via)), hops.get(&key(via, b))) {
                    let sum = x + y;
                    let known = hops.entry(key(a, b)).or_insert(usize::MAX);
                    *known = sum.min(*known);
                }
            }
        }
    }
    hops.into_iter()
        .map(|(pair, hops)| {
            let c = cost.get(&pair).copied().unwrap_or(f64::INFINITY);
            (pair, (c, hops))
        })
        .collect()
}

proptest! {
    #[test]
    fn a_graph_that_followed_changes_is_the_one_built_anew(
        steps in prop::collection::vec(prop_oneof![3 => any_edge().prop_map(Ok), 1 => (0..24_u128).prop_map(Err)], 0..80),
    ) {
        let (mut graph, mut model) = (Graph::new(), BTreeMap::new());
        for step in steps {
            match step {
                Ok(edge) => { model.insert(edge.id, edge.clone()); graph.upsert(edge); }
                Err(n) => { prop_assert_eq!(graph.remove(id(n)), model.remove(&id(n)).is_some()); }
            }
        }
        let mut rebuilt = Graph::new();
        model.into_values().rev().for_each(|edge| rebuilt.upsert(edge));
        prop_assert_eq!(graph, rebuilt);
    }

    #[test]
    fn ways_and_neighbors_are_those_of_a_plain_search(edges in prop::collection::vec(any_edge(), 0..30)) {
        let (mut graph, mut model) = (Graph::new(), BTreeMap::new());
        for edge in edges { model.insert(edge.id, edge.clone()); graph.upsert(edge); }
        for moment in moments() {
            let of = plain_entities(&model, |e| holds(e, moment));
            let costs = plain_costs(&model, moment);
            let named: BTreeSet<String> = model.values().filter(|e| holds(e, moment))
                .flat_map(|e| [of[&Claim::name_key(&e.subject)].clone(), of[&Claim::name_key(&e.object)].clone()]).collect();
            let mut view = View::new(&graph, moment.map_or_else(now, at));
            prop_assert_eq!(view.entities(None, None, 100).items.len(), named.len());
            for a in &named {
                for depth in 1..=3 {
                    let near = view.neighbors(a, depth, None, 100).neighbors;
                    let mut told: Vec<(String, usize)> = near.iter().map(|n| (of[&Claim::name_key(&n.name)].clone(), n.depth)).collect();
                    told.sort();
                    let within = |(pair, (_, hops)): (&(String, String), &(f64, usize))| (pair.0 == *a && (1..=depth).contains(hops)).then(|| (pair.1.clone(), *hops));
                    prop_assert_eq!(told, costs.iter().filter_map(within).collect::<Vec<_>>());
                }
                for b in &named {
                    let there = view.path(a, b).unwrap();
                    let mut back = view.path(b, a).unwrap();
                    if let Some(path) = &mut back { path.entities.reverse(); path.relations.reverse(); }
                    prop_assert_eq!(&there, &back);
                    let expected = costs.get(&(a.clone(), b.clone())).map(|c| c.0).filter(|c| c.is_finite());
                    prop_assert_eq!(there.as_ref().is_some(), expected.is_some());
                    if let (Some(path), Some(expected)) = (there, expected) {
                        prop_assert!((path.cost - expected).abs() < 1e-9);
                        prop_assert_eq!(path.relations.len() + 1, path.entities.len());
                    }
                }
            }
        }
    }

    #[test]
    fn communities_never_have_less_modularity_than_they_began_with(
        pairs in prop::collection::vec(((0..12_usize, 0..12_usize), 0..4_u8), 0..40),
    ) {
        let graph = Weighted::new(12, pairs.into_iter().map(|(pair, weight)| (pair, f64::from(weight))));
        let of = louvain(&graph);
        let alone: Vec<usize> = (0..12).collect();
        let quality = modularity(&graph, &of);
        prop_assert!((-0.5..=1.0).contains(&quality));
        prop_assert!(quality >= modularity(&graph, &alone) - 1e-9);
        // Each community is in one piece, and what is not connected is never together.
        let whole = components(&graph);
        for a in 0..12 { for b in 0..12 { prop_assert!(of[a] != of[b] || whole[a] == whole[b]); } }
        prop_assert_eq!(louvain(&graph), of);
    }

    #[test]
    fn no_numbers_are_joined_whatever_the_threshold(
        names in prop::collection::vec("[ab]{1,2} ?[12]{0,2}", 0..10), threshold in 0.0..1.0_f64,
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let digits = |s: &str| s.chars().filter(char::is_ascii_digit).collect::<String>();
        for proposal in same_as(&names, &[], threshold) {
            prop_assert_eq!(digits(&proposal.alias), digits(&proposal.name));
            prop_assert_ne!(Claim::name_key(&proposal.alias), Claim::name_key(&proposal.name));
        }
    }
}
