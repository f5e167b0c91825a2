//! Which entities belong together: communities by modularity, and what is connected at all.

use super::{
    Relation,
    view::{Group, View},
};
use crate::{limits::COMMUNITY_RELATIONS_MAX, model::MemoryId};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeMap};

/// Least gain of modularity for which a node moves: below it sums of rounded numbers would move nodes in circles.
const GAIN_MIN: f64 = 1e-9;
/// Rounds over all nodes at one level, and levels. Both end by themselves long before.
const ROUNDS_MAX: usize = 100;
const LEVELS_MAX: usize = 64;

/// An undirected graph of numbered nodes with weights, as sums: one number for each two nodes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weighted {
    links: Vec<Vec<(usize, f64)>>,
    /// Weight inside of a node that stands for several: counted from both ends, as links are.
    loops: Vec<f64>,
}

impl Weighted {
    /// Of `nodes` nodes. A pair may come in either order, and more than once; what is not positive is left out.
    pub fn new(nodes: usize, pairs: impl IntoIterator<Item = ((usize, usize), f64)>) -> Self {
        let mut sums: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for ((a, b), weight) in pairs {
            if a < nodes && b < nodes && weight.is_finite() && weight > 0.0 {
                *sums.entry((a.min(b), a.max(b))).or_default() += weight;
            }
        }
        let mut new = Self { links: vec![Vec::new(); nodes], loops: vec![0.0; nodes] };
        for ((a, b), weight) in sums {
            if a == b {
                new.loops[a] += 2.0 * weight;
            } else {
                new.links[a].push((b, weight));
                new.links[b].push((a, weight));
            }
        }
        new.links.iter_mut().for_each(|links| links.sort_by_key(|link| link.0));
        new
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The weight at a node.
    fn degree(&self, node: usize) -> f64 {
        self.loops[node] + self.links[node].iter().map(|link| link.1).sum::<f64>()
    }

    /// One node for each community.
    fn joined(&self, of: &[usize], communities: usize) -> Self {
        let mut pairs = Vec::new();
        for (a, links) in self.links.iter().enumerate() {
            pairs.push(((of[a], of[a]), self.loops[a] / 2.0));
            pairs.extend(links.iter().filter(|(b, _)| a < *b).map(|(b, weight)| ((of[a], of[*b]), *weight)));
        }
        Self::new(communities, pairs)
    }
}

/// How much more weight lies inside of the communities than would by chance: the sum over the communities of `inside / 2m - (total /
/// 2m)^2`, with the weight inside counted from both ends, the sum of the weights at its nodes, and `2m` that sum over all nodes
/// (Newman and Girvan, Physical Review E 69, 026113, 2004; with weights: Newman, Physical Review E 70, 056131, 2004). -1/2 to 1; 0
/// without weights.
pub fn modularity(graph: &Weighted, of: &[usize]) -> f64 {
    let mut inside: BTreeMap<usize, f64> = BTreeMap::new();
    let mut total: BTreeMap<usize, f64> = BTreeMap::new();
    for (a, links) in graph.links.iter().enumerate() {
        let within = links.iter().filter(|(b, _)| of[*b] == of[a]).map(|link| link.1).sum::<f64>();
        *inside.entry(of[a]).or_default() += graph.loops[a] + within;
        *total.entry(of[a]).or_default() += graph.degree(a);
    }
    let all: f64 = total.values().sum();
    if all <= 0.0 {
        return 0.0;
    }
    inside.values().sum::<f64>() / all - total.values().map(|t| (t / all).powi(2)).sum::<f64>()
}

/// Communities by the method of Louvain (Blondel, Guillaume, Lambiotte and Lefebvre, Journal of Statistical Mechanics, P10008, 2008):
/// the number of each node's community. Nodes are taken in their order and ties go to the lowest number, so that the same graph has
/// the same communities. A community that came apart is split at the end, which the method alone does not do (Traag, Waltman and
/// van Eck, Scientific Reports 9, 5233, 2019) and which never lowers the modularity. Nodes without weight stay alone.
pub fn louvain(graph: &Weighted) -> Vec<usize> {
    let mut of: Vec<usize> = (0..graph.len()).collect();
    let mut level = graph.clone();
    for _ in 0..LEVELS_MAX {
        let (moved, communities) = numbered(&settled(&level));
        of.iter_mut().for_each(|community| *community = moved[*community]);
        if communities == level.len() {
            break;
        }
        level = level.joined(&moved, communities);
    }
    numbered(&split(graph, &of)).0
}

/// Moves nodes to the neighbouring community that gains most, until none gains.
fn settled(graph: &Weighted) -> Vec<usize> {
    let degrees: Vec<f64> = (0..graph.len()).map(|node| graph.degree(node)).collect();
    let all: f64 = degrees.iter().sum();
    let mut of: Vec<usize> = (0..graph.len()).collect();
    let mut totals = degrees.clone();
    if all <= 0.0 {
        return of;
    }
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for (node, &degree) in degrees.iter().enumerate() {
            let home = of[node];
            let mut near: BTreeMap<usize, f64> = BTreeMap::from([(home, 0.0)]);
            for (other, weight) in &graph.links[node] {
                *near.entry(of[*other]).or_default() += weight;
            }
            totals[home] -= degree;
            // What the modularity gains by the node's entry, times half the weight of all.
            let gain = |community: usize, weight: f64| weight - totals[community] * degree / all;
            let stay = near.get(&home).map_or(0.0, |weight| gain(home, *weight));
            let mut best = (home, stay);
            for (&community, &weight) in &near {
                let gained = gain(community, weight);
                if gained > best.1 + GAIN_MIN * all {
                    best = (community, gained);
                }
            }
            totals[best.0] += degree;
            of[node] = best.0;
            moved |= best.0 != home;
        }
        if !moved {
            break;
        }
    }
    of
}

/// What is connected inside of each community.
fn split(graph: &Weighted, of: &[usize]) -> Vec<usize> {
    reach(graph, |a, b| of[a] == of[b])
}

/// What is connected at all: the number of each node's component, in the order of their first nodes.
pub fn components(graph: &Weighted) -> Vec<usize> {
    numbered(&reach(graph, |_, _| true)).0
}

/// For each node the first one that it reaches over links that `may` be gone.
fn reach(graph: &Weighted, may: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut of = vec![usize::MAX; graph.len()];
    for start in 0..graph.len() {
        if of[start] != usize::MAX {
            continue;
        }
        of[start] = start;
        let mut todo = vec![start];
        while let Some(node) = todo.pop() {
            for &(other, _) in &graph.links[node] {
                if of[other] == usize::MAX && may(node, other) {
                    of[other] = start;
                    todo.push(other);
                }
            }
        }
    }
    of
}

/// The same communities, numbered from 0 in the order of their first nodes; and how many there are.
fn numbered(of: &[usize]) -> (Vec<usize>, usize) {
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut new = Vec::with_capacity(of.len());
    for community in of {
        let next = numbers.len();
        new.push(*numbers.entry(*community).or_insert(next));
    }
    (new, numbers.len())
}

/// Entities that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Community {
    /// Their names: those with the most relations first.
    pub entities: Vec<String>,
    /// The strongest relations among them, at most `limits::COMMUNITY_RELATIONS_MAX`.
    pub relations: Vec<Relation>,
}

impl View<'_> {
    /// The `limit` largest communities of at least `least` entities. With more than `most` entities in all they are what is connected:
    /// less telling, but one pass.
    pub fn communities(&mut self, most: usize, least: usize, limit: usize) -> Vec<Community> {
        let (groups, sums) = self.strengths();
        let graph = Weighted::new(groups.len(), sums);
        let of = if groups.len() > most { components(&graph) } else { louvain(&graph) };
        let mut members: BTreeMap<usize, Vec<Group>> = BTreeMap::new();
        for (group, community) in groups.into_iter().zip(of) {
            members.entry(community).or_default().push(group);
        }
        let mut found: Vec<Vec<Group>> = members.into_values().filter(|groups| groups.len() >= least.max(1)).collect();
        // Communities are numbered by their first entities, so that equal ones stay in the order of names.
        found.sort_by_key(|groups| Reverse(groups.len()));
        found.truncate(limit);
        found.into_iter().map(|groups| self.community(groups)).collect()
    }

    fn community(&mut self, mut groups: Vec<Group>) -> Community {
        let mut within: BTreeMap<MemoryId, usize> = BTreeMap::new();
        for id in groups.iter().flat_map(|group| self.incident(*group)) {
            *within.entry(id).or_default() += 1;
        }
        // An edge between two of them was met at both ends.
        let mut ids: Vec<(f64, MemoryId)> = Vec::new();
        for id in within.into_iter().filter(|(_, ends)| *ends == 2).map(|(id, _)| id) {
            ids.extend(self.held(id).map(|held| (held.edge.strength(), id)));
        }
        ids.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        ids.truncate(COMMUNITY_RELATIONS_MAX);
        groups.sort_by_cached_key(|group| (Reverse(self.incident(*group).len()), self.root(*group).to_owned()));
        Community {
            entities: groups.into_iter().map(|group| self.name(group).to_owned()).collect(),
            relations: ids.into_iter().filter_map(|(_, id)| self.relation(id)).collect(),
        }
    }
}
