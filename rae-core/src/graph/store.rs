//! The edges and the names at their ends, kept up to date one memory at a time.

use super::SAME_AS;
use crate::{
    lexical::folded_words,
    model::{Claim, MemoryId, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What one memory claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// The memory.
    pub id: MemoryId,
    /// Who or what, as it was written.
    pub subject: String,
    /// In which relation, as [`Claim::relation_key`] has it.
    pub relation: String,
    /// To whom or what, as it was written.
    pub object: String,
    /// How strong the relation is; not negative.
    pub weight: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// From when it holds.
    pub valid_from: Timestamp,
    /// Until when, exclusive.
    pub valid_to: Option<Timestamp>,
    /// When the memory ceases to exist.
    pub expires_at: Option<Timestamp>,
    /// Whether another memory superseded it.
    pub over: bool,
    /// The memories that it was read from.
    pub sources: Vec<MemoryId>,
    /// Stands for the user, the agent and the class of the memory: the same for the same.
    pub owner: u128,
}

impl Edge {
    /// What a way over this edge is worth.
    pub fn strength(&self) -> f64 {
        let strength = self.weight * self.confidence;
        if strength.is_finite() { strength.max(0.0) } else { 0.0 }
    }
}

/// An edge with the keys of its ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub edge: Edge,
    pub subject: Arc<str>,
    pub object: Arc<str>,
}

/// A name that edges end at.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Node {
    /// How often the name is spelled so.
    pub spellings: BTreeMap<String, usize>,
    /// Edges but those of `same`.
    pub edges: BTreeSet<MemoryId>,
    /// `same_as` edges.
    pub same: BTreeSet<MemoryId>,
    /// The words of the name without case and accents, for searching.
    pub words: String,
}

/// The relations of one scope. What it holds does not depend on the order in which edges came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    pub(super) edges: BTreeMap<MemoryId, Held>,
    pub(super) nodes: BTreeMap<Arc<str>, Node>,
    /// The nodes by their words.
    pub(super) by_words: BTreeMap<String, BTreeSet<Arc<str>>>,
}

/// The words of a name, for searching; the key where there are none.
pub(super) fn search_words(name: &str) -> String {
    let words = folded_words(name).join(" ");
    if words.is_empty() { Claim::name_key(name) } else { words }
}

impl Graph {
    /// No edges.
    pub fn new() -> Self {
        Self::default()
    }

    /// Edges, of all times.
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Names, of all times.
    pub fn names(&self) -> usize {
        self.nodes.len()
    }

    /// The edge of a memory.
    pub fn edge(&self, id: MemoryId) -> Option<&Edge> {
        self.edges.get(&id).map(|held| &held.edge)
    }

    /// Puts the edge of a memory, in place of the one it had.
    pub fn upsert(&mut self, edge: Edge) {
        self.remove(edge.id);
        let id = edge.id;
        let subject = self.note(&edge.subject, id, &edge.relation);
        let object = self.note(&edge.object, id, &edge.relation);
        self.edges.insert(id, Held { edge, subject, object });
    }

    /// Takes out the edge of a memory; whether it had one.
    pub fn remove(&mut self, id: MemoryId) -> bool {
        let Some(held) = self.edges.remove(&id) else { return false };
        self.forget(&held.subject, &held.edge.subject, id);
        self.forget(&held.object, &held.edge.object, id);
        true
    }

    fn note(&mut self, name: &str, id: MemoryId, relation: &str) -> Arc<str> {
        let key: Arc<str> = Claim::name_key(name).into();
        let node = self.nodes.entry(Arc::clone(&key)).or_default();
        if node.words.is_empty() {
            // Of the key, not of the spelling that came first: the order of edges must not show.
            node.words = search_words(&key);
            self.by_words.entry(node.words.clone()).or_default().insert(Arc::clone(&key));
        }
        *node.spellings.entry(name.trim().to_owned()).or_default() += 1;
        if relation == SAME_AS {
            node.same.insert(id)
        } else {
            node.edges.insert(id)
        };
        key
    }

    fn forget(&mut self, key: &Arc<str>, name: &str, id: MemoryId) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let name = name.trim();
        if let Some(count) = node.spellings.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                node.spellings.remove(name);
            }
        }
        node.edges.remove(&id);
        node.same.remove(&id);
        if node.spellings.is_empty() {
            let words = std::mem::take(&mut node.words);
            self.nodes.remove(key);
            if let Some(keys) = self.by_words.get_mut(&words) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_words.remove(&words);
                }
            }
        }
    }
}
