//! How near relations are to what a question names.

use super::view::{Group, View};
use crate::{
    lexical::folded_words,
    limits::{GRAPH_NAME_WORDS_MAX, GRAPH_QUESTION_WORDS_MAX},
    model::MemoryId,
};
use std::{collections::HashMap, sync::Arc};

/// Of a relation with an entity that is one relation away from one that the question names.
const NEXT: f64 = 0.5;

impl View<'_> {
    /// For each of the memories: 1 where its relation has an entity that the question names, 0.5 where it has one that is next to such
    /// an entity, else 0.
    pub fn nearness(&mut self, question: &str, ids: &[MemoryId]) -> Vec<f64> {
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
