//! How near relations are to what a question names.

use super::view::{Group, View};
use crate::{
    lexical::folded_words,
    limits::{GRAPH_NAME_WORDS_MAX, GRAPH_NEAR_MAX, GRAPH_QUESTION_WORDS_MAX},
    model::MemoryId,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Of a relation with an entity that is one relation away from one that the question names.
const NEXT: f64 = 0.5;

impl View<'_> {
    /// For each of the memories: 1 where its relation has an entity that the question names, 0.5 where it has one that is next to such
    /// an entity, else 0.
    pub fn nearness(&mut self, question: &str, ids: &[MemoryId]) -> Vec<f64> {
        let near = self.near(question);
        let mut nearness = Vec::with_capacity(ids.len());
        for id in ids {
            let ends = self.held(*id).map(|held| [Arc::clone(&held.subject), Arc::clone(&held.object)]);
            let mut best = 0.0_f64;
            for end in ends.iter().flatten() {
                let group = self.group(end);
                best = best.max(near.get(&group).copied().unwrap_or(0.0));
            }
            nearness.push(best);
        }
        nearness
    }

    /// The relations of the entities that the question names, and of those next to them, with the memories they were read from, each
    /// with its nearness: at most `limits::GRAPH_NEAR_MAX`, what is nearer first.
    pub fn memories_near(&mut self, question: &str) -> BTreeMap<MemoryId, f64> {
        let mut near: Vec<(Group, f64)> = self.near(question).into_iter().collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| self.root(a.0).cmp(self.root(b.0))));
        let mut around: BTreeMap<MemoryId, f64> = BTreeMap::new();
        for (group, nearness) in near {
            for id in self.incident(group) {
                let sources = self.held(id).map(|held| held.edge.sources.as_slice()).unwrap_or_default();
                for id in [id].iter().chain(sources) {
                    if around.len() >= GRAPH_NEAR_MAX {
                        return around;
                    }
                    around.entry(*id).or_insert(nearness);
                }
            }
        }
        around
    }

    /// The entities that the question names, and those next to them.
    fn near(&mut self, question: &str) -> HashMap<Group, f64> {
        let mut near: HashMap<Group, f64> = HashMap::new();
        let named = self.named(question);
        let mut visits = 0;
        for group in &named {
            let links = self.links(*group, None);
            visits += links.len();
            near.extend(links.into_iter().map(|link| (link.to, NEXT)));
            if visits > self.visits_max {
                break;
            }
        }
        near.extend(named.into_iter().map(|group| (group, 1.0)));
        near
    }

    /// The entities whose whole name stands in the question.
    fn named(&mut self, question: &str) -> Vec<Group> {
        let mut words = folded_words(question);
        words.truncate(GRAPH_QUESTION_WORDS_MAX);
        let graph = self.graph;
        let mut groups = Vec::new();
        for from in 0..words.len() {
            let mut name = String::new();
            for word in words.iter().skip(from).take(GRAPH_NAME_WORDS_MAX) {
                if !name.is_empty() {
                    name.push(' ');
                }
                name.push_str(word);
                for key in graph.by_words.get(&name).into_iter().flatten() {
                    let group = self.group(key);
                    if !groups.contains(&group) {
                        groups.push(group);
                    }
                }
            }
        }
        groups
    }
}
