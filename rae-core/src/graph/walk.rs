//! Ways from entity to entity.

use super::{
    Entity, Neighbor, Relation,
    view::{Group, Link, View},
};
use crate::{
    error::{Error, ErrorKind, Result},
    limits::GRAPH_RELATIONS_MAX,
    model::MemoryId,
};
use serde::{Deserialize, Serialize};
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
    rc::Rc,
};

/// Least strength of a relation that is a way: the cost of a weaker one is no number to add to others.
const STRENGTH_MIN: f64 = 1e-9;
/// Share by which two sums of the same costs may differ.
const ROUNDING: f64 = 1e-9;

/// What is around an entity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Neighborhood {
    /// The entity asked about; none where no relation names it.
    pub entity: Option<Entity>,
    /// Near ones first; then those with the stronger relation; then by name.
    pub neighbors: Vec<Neighbor>,
    /// Whether there are more than are told.
    pub truncated: bool,
}

/// A way from one entity to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The entities on the way, both ends included.
    pub entities: Vec<String>,
    /// The relations between them, one fewer.
    pub relations: Vec<Relation>,
    /// The sum of `1 / (weight * confidence)` over the relations: their number where all are certain and of weight 1.
    pub cost: f64,
}

/// Entities and what relates them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Subgraph {
    /// Those asked about first, in the order of the question; then the near ones first, as in [`Neighborhood`].
    pub entities: Vec<Entity>,
    /// The relations among them, in the order of their memories.
    pub relations: Vec<Relation>,
    /// Whether there is more within that depth than is told.
    pub truncated: bool,
}

/// How an entity was reached.
#[derive(Clone, Copy)]
struct Reached {
    group: Group,
    depth: usize,
    strength: f64,
    by: MemoryId,
}

/// Links of the entities that one question met, so that each is counted once.
struct Links {
    known: HashMap<Group, Rc<[Link]>>,
    visits: usize,
}

impl Links {
    /// Those of an entity that are ways.
    fn of(&mut self, view: &mut View<'_>, group: Group) -> Result<Rc<[Link]>> {
        if let Some(links) = self.known.get(&group) {
            return Ok(Rc::clone(links));
        }
        let all = view.links(group, None);
        self.visits += all.len();
        if self.visits > view.visits_max {
            let why = format!("no way was found within {} relations; ask for nearer entities", view.visits_max);
            return Err(Error::new(ErrorKind::Unsupported, why).with_code("graph_too_large"));
        }
        let links: Rc<[Link]> = all.into_iter().filter(|link| link.strength >= STRENGTH_MIN).collect();
        self.known.insert(group, Rc::clone(&links));
        Ok(links)
    }
}

/// One of the two searches that meet.
struct Side {
    best: HashMap<Group, f64>,
    done: HashMap<Group, f64>,
    heap: BinaryHeap<Reverse<Front>>,
}

impl Side {
    fn top(&self) -> Option<f64> {
        self.heap.peek().map(|front| front.0.cost)
    }
}

/// How far apart two entities are, and how far what was looked at is from the second.
struct Far {
    cost: f64,
    /// What was not looked at is at least so far; none where all was.
    least: Option<f64>,
    done: HashMap<Group, f64>,
}

impl Far {
    /// Whether no cheapest way leads by an entity that costs so much to come to. Sums from both ends are rounded differently.
    fn is_farther(&self, cost: f64, group: Group) -> bool {
        let rest = self.done.get(&group).copied().or(self.least);
        rest.is_none_or(|rest| cost + rest > self.cost * (1.0 + ROUNDING))
    }
}

impl View<'_> {
    /// The entities within `depth` relations of `entity`, whichever way they point, at most `limit`; of one relation where it is
    /// named. At most `limits::GRAPH_VISITS_MAX` relations are looked at.
    pub fn neighbors(&mut self, entity: &str, depth: usize, relation: Option<&str>, limit: usize) -> Neighborhood {
        let Some(start) = self.find(entity).filter(|group| self.is_named(*group)) else {
            return Neighborhood::default();
        };
        let (mut reached, mut truncated) = self.around(&[start], depth, relation, limit);
        truncated |= reached.len() > limit;
        reached.truncate(limit);
        let neighbors = reached
            .into_iter()
            .filter_map(|r| {
                let relation = self.relation(r.by)?;
                Some(Neighbor { name: self.name(r.group).to_owned(), depth: r.depth, strength: r.strength, relation })
            })
            .collect();
        Neighborhood { entity: Some(self.entity(start)), neighbors, truncated }
    }

    /// Layer by layer: what is within `depth` of `starts`, and whether the search was given up. Ends with the layer in which more
    /// than `enough` were found.
    fn around(
        &mut self,
        starts: &[Group],
        depth: usize,
        relation: Option<&str>,
        enough: usize,
    ) -> (Vec<Reached>, bool) {
        let mut seen: HashSet<Group> = starts.iter().copied().collect();
        let mut layer = starts.to_vec();
        let mut reached: Vec<Reached> = Vec::new();
        let mut visits = 0;
        for depth in 1..=depth {
            let mut found: HashMap<Group, Reached> = HashMap::new();
            for group in std::mem::take(&mut layer) {
                let links = self.links(group, relation);
                visits += links.len();
                for link in links.into_iter().filter(|link| !seen.contains(&link.to)) {
                    let new = Reached { group: link.to, depth, strength: link.strength, by: link.id };
                    let known = found.entry(link.to).or_insert(new);
                    if new.strength.total_cmp(&known.strength).then(known.by.cmp(&new.by)).is_gt() {
                        *known = new;
                    }
                }
                if visits > self.visits_max {
                    break;
                }
            }
            let mut found: Vec<Reached> = found.into_values().collect();
            found.sort_by(|a, b| {
                let names = self.name(a.group).cmp(self.name(b.group));
                b.strength.total_cmp(&a.strength).then(names).then(self.root(a.group).cmp(self.root(b.group)))
            });
            seen.extend(found.iter().map(|r| r.group));
            layer.extend(found.iter().map(|r| r.group));
            reached.extend(found);
            if visits > self.visits_max {
                return (reached, true);
            }
            if reached.len() > enough || layer.is_empty() {
                break;
            }
        }
        (reached, false)
    }

    /// The cheapest way from `a` to `b`, where each relation costs `1 / (weight * confidence)` and may be gone both ways (Dijkstra,
    /// 1959); of equally cheap ones the one with fewer relations. The way back is the same way. Relations without weight or
    /// confidence are no way, nor are those that are next to nothing. `None` where there is none, or either is unknown.
    ///
    /// # Errors
    /// Unsupported (`graph_too_large`) where more than `limits::GRAPH_VISITS_MAX` relations would have to be looked at.
    pub fn path(&mut self, a: &str, b: &str) -> Result<Option<Path>> {
        let (Some(a), Some(b)) = (self.find(a), self.find(b)) else { return Ok(None) };
        if !self.is_named(a) || !self.is_named(b) {
            return Ok(None);
        }
        // One direction for both, so that ties fall alike.
        let turned = self.root(b) < self.root(a);
        let (from, to) = if turned { (b, a) } else { (a, b) };
        let Some((cost, steps)) = self.cheapest(from, to)? else { return Ok(None) };
        let mut groups: Vec<Group> = std::iter::once(from).chain(steps.iter().map(|step| step.1)).collect();
        let mut ids: Vec<MemoryId> = steps.into_iter().map(|step| step.0).collect();
        if turned {
            groups.reverse();
            ids.reverse();
        }
        let entities = groups.into_iter().map(|group| self.name(group).to_owned()).collect();
        let relations = ids.into_iter().filter_map(|id| self.relation(id)).collect();
        Ok(Some(Path { entities, relations, cost }))
    }

    /// The cost, and the steps: over which memory to which entity. How far each end is from the other is looked at first, from both
    /// sides at once; the search proper then leaves out what lies on no cheapest way, and so is the same as if it left out nothing.
    #[allow(clippy::type_complexity)] // one caller, next to it
    fn cheapest(&mut self, from: Group, to: Group) -> Result<Option<(f64, Vec<(MemoryId, Group)>)>> {
        let mut links = Links { known: HashMap::new(), visits: 0 };
        let Some(far) = self.far(&mut links, from, to)? else { return Ok(None) };
        let mut best: HashMap<Group, (f64, usize)> = HashMap::from([(from, (0.0, 0))]);
        let mut came: HashMap<Group, (MemoryId, Group)> = HashMap::new();
        let mut heap = BinaryHeap::from([Reverse(self.front(from, (0.0, 0)))]);
        let mut done = HashSet::new();
        while let Some(Reverse(front)) = heap.pop() {
            if front.group == to {
                let mut steps = Vec::new();
                let mut at = to;
                while let Some((id, before)) = came.get(&at) {
                    steps.push((*id, at));
                    at = *before;
                }
                steps.reverse();
                return Ok(Some((front.cost, steps)));
            }
            if !done.insert(front.group) {
                continue;
            }
            for link in links.of(self, front.group)?.iter().filter(|link| !done.contains(&link.to)) {
                let new = (front.cost + 1.0 / link.strength, front.steps + 1);
                if far.is_farther(new.0, link.to) {
                    continue;
                }
                let known = best.get(&link.to);
                if known.is_none_or(|known| new.0.total_cmp(&known.0).then(new.1.cmp(&known.1)).is_lt()) {
                    best.insert(link.to, new);
                    came.insert(link.to, (link.id, front.group));
                    heap.push(Reverse(self.front(link.to, new)));
                }
            }
        }
        Ok(None)
    }

    fn front(&self, group: Group, (cost, steps): (f64, usize)) -> Front {
        Front { cost, steps, root: self.root(group).into(), group }
    }

    /// The cost of the cheapest way, by Dijkstra's search from both ends until they meet (Nicholson, 1966); none where they do not.
    fn far(&mut self, links: &mut Links, from: Group, to: Group) -> Result<Option<Far>> {
        let mut sides = [from, to].map(|end| Side {
            best: HashMap::from([(end, 0.0)]),
            done: HashMap::new(),
            heap: BinaryHeap::from([Reverse(self.front(end, (0.0, 0)))]),
        });
        let mut cost = if from == to { 0.0 } else { f64::INFINITY };
        loop {
            let [near, back] = &mut sides;
            let (Some(one), Some(other)) = (near.top(), back.top()) else { break };
            if one + other >= cost {
                break;
            }
            let (side, across) = if one <= other { (near, &*back) } else { (back, &*near) };
            let Some(Reverse(front)) = side.heap.pop() else { break };
            if side.done.contains_key(&front.group) {
                continue;
            }
            side.done.insert(front.group, front.cost);
            for link in links.of(self, front.group)?.iter() {
                let new = front.cost + 1.0 / link.strength;
                if side.best.get(&link.to).is_none_or(|known| new < *known) {
                    side.best.insert(link.to, new);
                    side.heap.push(Reverse(self.front(link.to, (new, 0))));
                }
                if let Some(rest) = across.best.get(&link.to) {
                    cost = cost.min(new + rest);
                }
            }
        }
        let [_, back] = sides;
        Ok(cost.is_finite().then(|| Far { cost, least: back.heap.peek().map(|front| front.0.cost), done: back.done }))
    }

    /// The entities within `depth` relations of any of `names`, at most `limit` of them, and the relations among them, at most
    /// `limits::GRAPH_RELATIONS_MAX`. Names that no relation has are passed over.
    pub fn subgraph(&mut self, names: &[&str], depth: usize, limit: usize) -> Subgraph {
        let mut groups: Vec<Group> = Vec::new();
        for name in names {
            if let Some(group) = self.find(name).filter(|group| self.is_named(*group))
                && !groups.contains(&group)
            {
                groups.push(group);
            }
        }
        let (reached, mut truncated) = self.around(&groups, depth, None, limit.saturating_sub(groups.len()));
        groups.extend(reached.iter().map(|r| r.group));
        truncated |= groups.len() > limit;
        groups.truncate(limit);
        let within: HashSet<Group> = groups.iter().copied().collect();
        let mut ids: BTreeSet<MemoryId> = BTreeSet::new();
        for group in &groups {
            for id in self.incident(*group) {
                let Some(held) = self.held(id) else { continue };
                let ends = [self.group(&held.subject), self.group(&held.object)];
                if ends.iter().all(|end| within.contains(end)) {
                    ids.insert(id);
                }
            }
            if ids.len() > GRAPH_RELATIONS_MAX {
                break;
            }
        }
        truncated |= ids.len() > GRAPH_RELATIONS_MAX;
        let relations = ids.into_iter().take(GRAPH_RELATIONS_MAX).filter_map(|id| self.relation(id)).collect();
        Subgraph { entities: groups.into_iter().map(|group| self.entity(group)).collect(), relations, truncated }
    }

    /// Sums of the strengths between entities, both ways alike: for communities. The entities are numbered in the order of their
    /// first names; the names come with them.
    pub(super) fn strengths(&mut self) -> (Vec<Group>, BTreeMap<(usize, usize), f64>) {
        let groups = self.all();
        let place: HashMap<Group, usize> = groups.iter().enumerate().map(|(place, group)| (*group, place)).collect();
        let mut sums: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for &group in &groups {
            for link in self.links(group, None) {
                if let (Some(&a), Some(&b)) = (place.get(&group), place.get(&link.to))
                    && a < b
                {
                    *sums.entry((a, b)).or_default() += link.strength;
                }
            }
        }
        (groups, sums)
    }
}

/// The end of a way that may go on. Cheap ones first, then short ones, then by name.
#[derive(Debug)]
struct Front {
    cost: f64,
    steps: usize,
    root: Box<str>,
    group: Group,
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cost.total_cmp(&other.cost).then(self.steps.cmp(&other.steps)).then_with(|| self.root.cmp(&other.root))
    }
}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Front {}
