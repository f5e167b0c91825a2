//! The graph at one moment: which edges hold, and which names are one entity then.

use super::{
    Entity, Relation,
    store::{Graph, Held},
};
use crate::{
    limits::GRAPH_VISITS_MAX,
    model::{Claim, MemoryId, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Which relations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    now: Timestamp,
    at: Timestamp,
    superseded: bool,
}

impl Moment {
    /// What holds now, and was not superseded.
    pub fn present(now: Timestamp) -> Self {
        Self::known(now, now)
    }

    /// What held at a time, superseded since or not. `now` is the time of the call: what expired by then is gone.
    pub fn past(now: Timestamp, at: Timestamp) -> Self {
        Self { now, at, superseded: true }
    }

    /// What was the present at `then`, in a graph of what was known then.
    pub fn known(now: Timestamp, then: Timestamp) -> Self {
        Self { now, at: then, superseded: false }
    }

    fn holds(self, held: &Held) -> bool {
        let edge = &held.edge;
        edge.expires_at.is_none_or(|end| self.now < end)
            && edge.valid_from <= self.at
            // What was taken back holds for a microsecond, which is no time.
            && edge.valid_to.is_none_or(|end| self.at < end && edge.valid_from.micros().saturating_add(1) < end.micros())
            && (self.superseded || !edge.over)
    }
}

/// Number of an entity within one view.
pub(super) type Group = usize;

/// Names that are one entity.
#[derive(Debug)]
struct Members {
    /// In the order of their characters; the first stands for all in every order.
    keys: Vec<Arc<str>>,
    name: String,
}

/// A step over an edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub id: MemoryId,
    pub to: Group,
    pub strength: f64,
}

/// The graph at a moment. Entities are put together from their names as questions meet them.
#[derive(Debug)]
pub struct View<'g> {
    pub(super) graph: &'g Graph,
    moment: Moment,
    /// Relations that one question looks at.
    pub(super) visits_max: usize,
    of: HashMap<Arc<str>, Group>,
    groups: Vec<Members>,
}

impl<'g> View<'g> {
    /// Looks at `graph`.
    pub fn new(graph: &'g Graph, moment: Moment) -> Self {
        Self { graph, moment, visits_max: GRAPH_VISITS_MAX, of: HashMap::new(), groups: Vec::new() }
    }

    /// The entity of a name, where the graph has the name.
    pub(super) fn find(&mut self, name: &str) -> Option<Group> {
        let (key, _) = self.graph.nodes.get_key_value(Claim::name_key(name).as_str())?;
        Some(self.group(key))
    }

    /// The entity that a name belongs to.
    pub(super) fn group(&mut self, key: &Arc<str>) -> Group {
        if let Some(&group) = self.of.get(key) {
            return group;
        }
        let mut keys = BTreeSet::from([Arc::clone(key)]);
        let mut todo = vec![Arc::clone(key)];
        while let Some(key) = todo.pop() {
            let Some(node) = self.graph.nodes.get(&key) else { continue };
            for held in node.same.iter().filter_map(|id| self.held(*id)) {
                for end in [&held.subject, &held.object] {
                    if keys.insert(Arc::clone(end)) {
                        todo.push(Arc::clone(end));
                    }
                }
            }
        }
        let group = self.groups.len();
        let mut spellings: BTreeMap<&str, usize> = BTreeMap::new();
        for node in keys.iter().filter_map(|key| self.graph.nodes.get(key)) {
            node.spellings.iter().for_each(|(name, count)| *spellings.entry(name).or_default() += count);
        }
        let name = most_frequent(&spellings);
        keys.iter().for_each(|key| {
            self.of.insert(Arc::clone(key), group);
        });
        self.groups.push(Members { keys: keys.into_iter().collect(), name });
        group
    }

    /// The edge of a memory, where it holds.
    pub(super) fn held(&self, id: MemoryId) -> Option<&'g Held> {
        self.graph.edges.get(&id).filter(|held| self.moment.holds(held))
    }

    /// The names of an entity.
    pub(super) fn keys(&self, group: Group) -> &[Arc<str>] {
        self.groups.get(group).map(|members| members.keys.as_slice()).unwrap_or_default()
    }

    /// What an entity is called.
    pub(super) fn name(&self, group: Group) -> &str {
        self.groups.get(group).map(|members| members.name.as_str()).unwrap_or_default()
    }

    /// What stands for an entity in every order: its first name.
    pub(super) fn root(&self, group: Group) -> &str {
        self.keys(group).first().map(|key| &**key).unwrap_or_default()
    }

    /// Edges of an entity that hold, in the order of their memories.
    pub(super) fn incident(&self, group: Group) -> BTreeSet<MemoryId> {
        let nodes = self.keys(group).iter().filter_map(|key| self.graph.nodes.get(key));
        nodes.flat_map(|node| &node.edges).copied().filter(|id| self.held(*id).is_some()).collect()
    }

    /// Whether a relation names the entity at this moment.
    pub(super) fn is_named(&self, group: Group) -> bool {
        let nodes = self.keys(group).iter().filter_map(|key| self.graph.nodes.get(key));
        nodes.flat_map(|node| node.edges.iter().chain(&node.same)).any(|id| self.held(*id).is_some())
    }

    /// Steps from an entity to others, in the order of the memories; both ways along each edge.
    pub(super) fn links(&mut self, group: Group, relation: Option<&str>) -> Vec<Link> {
        let mut links = Vec::new();
        for id in self.incident(group) {
            let Some(held) = self.held(id).filter(|held| relation.is_none_or(|r| held.edge.relation == r)) else {
                continue;
            };
            let (subject, object) = (self.group(&held.subject), self.group(&held.object));
            let to = if subject == group { object } else { subject };
            if to != group {
                links.push(Link { id, to, strength: held.edge.strength() });
            }
        }
        links
    }

    /// An entity for the caller.
    pub(super) fn entity(&self, group: Group) -> Entity {
        let name = self.name(group).to_owned();
        let spelled = |key: &Arc<str>| {
            let spellings = &self.graph.nodes.get(key)?.spellings;
            Some(most_frequent(&spellings.iter().map(|(name, count)| (name.as_str(), *count)).collect()))
        };
        let mut aliases: Vec<String> = self.keys(group).iter().filter_map(spelled).collect();
        aliases.retain(|alias| *alias != name);
        Entity { name, aliases, degree: self.incident(group).len() }
    }

    /// A relation for the caller, with the names that its entities have here.
    pub(super) fn relation(&mut self, id: MemoryId) -> Option<Relation> {
        let held = self.held(id)?;
        let (subject, object) = (self.group(&held.subject), self.group(&held.object));
        let edge = &held.edge;
        Some(Relation {
            id,
            subject: self.name(subject).to_owned(),
            relation: edge.relation.clone(),
            object: self.name(object).to_owned(),
            weight: edge.weight,
            confidence: edge.confidence,
            valid_from: edge.valid_from,
            valid_to: edge.valid_to,
        })
    }

    /// All entities that a relation names at this moment, in the order of their first names.
    pub(super) fn all(&mut self) -> Vec<Group> {
        let graph = self.graph;
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for (key, node) in &graph.nodes {
            let is_named = node.edges.iter().chain(&node.same).any(|id| self.held(*id).is_some());
            if is_named {
                let group = self.group(key);
                if seen.insert(group) {
                    all.push(group);
                }
            }
        }
        all.sort_by(|a, b| self.root(*a).cmp(self.root(*b)));
        all
    }
}

/// The first of the most frequent ones.
fn most_frequent(spellings: &BTreeMap<&str, usize>) -> String {
    let best = spellings.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
    best.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
}
