//! Which names are one entity for sure: by their spelling, or because somebody said so. What is merely alike is
//! [`same_as`](super::same_as)'s to propose.

use super::{
    Moment, SAME_AS, View,
    store::{Graph, Held, Node},
};
use crate::{
    extract::{DENIALS, SUPPOSES, sentences},
    limits::GRAPH_NAME_WORDS_MAX,
    model::{Claim, MemoryId, NAMELESS, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Relations that say of a thing what else it is called. Of the first a thing has one.
const ALIASES: &[&str] = &[IS_NAMED, "also_known_as", "also_called", "aka", "alias", "has_alias"];
const IS_NAMED: &str = "is_named";
/// Words that stand for whoever speaks: many people have them.
const NOBODY: &[&str] = &["user", "assistant", "system", "tool", "me", "i", "human", "bot", "agent"];
/// What stands between two names of one thing in a text.
pub const ALIAS_PHRASES: &[&str] = &["also known as", "also called", "better known as", "a.k.a.", " aka "];

/// Two names that are one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// The name that is used less.
    pub alias: String,
    /// The other one.
    pub name: String,
    /// Whether it was said, and not seen from the spelling.
    pub is_stated: bool,
    /// The memories that show it.
    pub sources: Vec<MemoryId>,
    /// Since when the first of the two names is known.
    pub valid_from: Timestamp,
}

/// A memory says that two names are one entity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stated {
    /// What it is called.
    pub name: String,
    /// What else it is called.
    pub alias: String,
    /// The memory.
    pub source: MemoryId,
    /// Whose it is, as [`Edge::owner`](super::Edge::owner).
    pub owner: u128,
}

/// Names that a text says are one thing: "Ada Lovelace, also known as Countess Ada". Names are runs of capitalised words. What is
/// asked, denied or supposed is not said.
pub fn stated(text: &str) -> Vec<(String, String)> {
    let text = text.replace("a.k.a.", "aka").replace("A.K.A.", "aka").replace('(', "( ");
    let mut found = Vec::new();
    for (_, sentence) in sentences(&text) {
        let low = sentence.to_lowercase();
        if low.split(|c: char| !c.is_alphanumeric()).any(|w| DENIALS.contains(&w) || SUPPOSES.contains(&w)) {
            continue;
        }
        for phrase in ["also known as", "also called", "better known as", "aka"] {
            let Some((before, after)) = sentence.split_once(&format!(" {phrase} ")) else { continue };
            let before = before.trim_end_matches([',', '(', ' ']);
            let before = [" is", " was"].iter().find_map(|verb| before.strip_suffix(verb)).unwrap_or(before);
            let (Some(name), Some(alias)) = (last_name(before), first_name(after)) else { continue };
            found.push((name, alias));
        }
    }
    found
}

fn is_name_word(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
}

/// The run of capitalised words at the end.
fn last_name(text: &str) -> Option<String> {
    let mut run = Vec::new();
    for word in text.split_whitespace().rev() {
        // A sign behind a word parts it from the name that follows.
        let parts = !run.is_empty() && word.ends_with([',', ';', ':', ')', '"']);
        if parts || !is_name_word(word) {
            break;
        }
        run.push(word.trim_end_matches([',', ';', ':', ')', '"']));
    }
    run.reverse();
    (1..=GRAPH_NAME_WORDS_MAX).contains(&run.len()).then(|| run.join(" "))
}

/// The run of capitalised words at the beginning.
fn first_name(text: &str) -> Option<String> {
    let mut run = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_end_matches([',', ';', ':', ')', '"', '.']);
        if !is_name_word(bare) {
            break;
        }
        run.push(bare);
        if bare.len() < word.len() {
            break;
        }
    }
    (1..=GRAPH_NAME_WORDS_MAX).contains(&run.len()).then(|| run.join(" "))
}

/// What spellings of one name share for sure. Points of abbreviations and hyphens between words do not count; accents, digits and what
/// stands beside them, and every other sign do. A name of capitals alone, as "US", is none of a word, as "us".
fn sure_key(spelling: &str) -> String {
    let chars: Vec<char> = spelling.chars().collect();
    let is_digit = |place: Option<usize>| place.and_then(|p| chars.get(p)).is_some_and(|c| c.is_numeric());
    let parts = |(place, c): (usize, &char)| {
        let is_hyphen = matches!(c, '-' | '\u{2010}'..='\u{2014}');
        let beside = is_digit(place.checked_sub(1)) || is_digit(Some(place + 1));
        if is_hyphen && !beside { ' ' } else { *c }
    };
    let spaced: String = chars.iter().enumerate().map(parts).collect();
    let words: Vec<(String, bool)> = spaced.split_whitespace().map(bare).collect();
    match words.as_slice() {
        [(word, true)] => format!("^{}", Claim::name_key(word)),
        words => Claim::name_key(&words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")),
    }
}

/// A word without the points of an abbreviation, and whether it is one of capitals.
fn bare(word: &str) -> (String, bool) {
    let word = word.replace(['\u{2018}', '\u{2019}'], "'");
    let letters: String = word.chars().filter(|c| *c != '.').collect();
    let count = letters.chars().count();
    let points = word.chars().filter(|c| *c == '.').count();
    let alternates =
        word.chars().enumerate().all(|(place, c)| if place % 2 == 0 { c.is_alphabetic() } else { c == '.' });
    let is_capitals = count > 1 && letters.chars().all(|c| c.is_alphabetic() && c.is_uppercase());
    if alternates && points > 0 && (points == count || points + 1 == count) {
        return (letters, count > 1);
    }
    let ends = points == 1 && word.ends_with('.') && letters.chars().last().is_some_and(char::is_alphabetic);
    if ends { (letters, is_capitals) } else { (word, is_capitals) }
}

/// Whether the name that somebody gives may be one more of somebody with this name: "Ann Smith" of "Ann", not "Karl". What is no
/// name, as the id of a user, says nothing against it.
fn may_be_named(name: &str, alias: &str) -> bool {
    let is_nameless = name.strip_prefix(NAMELESS).is_some_and(|rest| rest.starts_with(" of "));
    let is_name = name.split(' ').all(|word| word.chars().all(|c| c.is_alphabetic() || matches!(c, '.' | '\'' | '-')));
    is_nameless || !is_name || name.split(' ').any(|word| alias.split(' ').any(|other| word == other))
}

impl Graph {
    /// The joins that are not there yet, at most `max`, in the order of the names. `texts` are statements of memories that are no
    /// relations. Two names are never joined where relations of another owner, or of another class, have one of them; where a relation
    /// stands between the two; or where a `same_as` between them, or between others that they would bring together, is over.
    pub fn joins(&self, now: Timestamp, texts: &[Stated], max: usize) -> Vec<Join> {
        let mut joining = Joining { view: View::new(self, Moment::present(now)), merged: BTreeMap::new(), now };
        let mut joins = Vec::new();
        let spelled = self.spelled_alike();
        let stated = joining.stated(texts);
        for (a, b, source) in spelled.into_iter().map(|(a, b)| (a, b, None)).chain(stated) {
            if joins.len() >= max {
                break;
            }
            joins.extend(joining.join(&a, &b, source));
        }
        joins
    }

    /// Whose the relations of a name are, where all have one owner.
    pub fn owner(&self, name: &str) -> Option<u128> {
        self.nodes.get(Claim::name_key(name).as_str()).and_then(|node| self.only_owner(node))
    }

    fn only_owner(&self, node: &Node) -> Option<u128> {
        let mut owners = self.edges_of(node).map(|held| held.edge.owner);
        let first = owners.next()?;
        owners.all(|owner| owner == first).then_some(first)
    }

    fn edges_of<'g>(&'g self, node: &'g Node) -> impl Iterator<Item = &'g Held> {
        node.edges.iter().chain(&node.same).filter_map(|id| self.edges.get(id))
    }

    /// Pairs of names that are spelled alike, each with the first of them.
    fn spelled_alike(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let mut alike: BTreeMap<String, Vec<&Arc<str>>> = BTreeMap::new();
        for (key, node) in self.nodes.iter().filter(|(_, node)| !node.edges.is_empty()) {
            let sure: BTreeSet<String> = node.spellings.keys().map(|spelling| sure_key(spelling)).collect();
            // With two, the name is a word as well as an abbreviation.
            if let (1, Some(sure)) = (sure.len(), sure.into_iter().next()) {
                alike.entry(sure).or_default().push(key);
            }
        }
        let pairs = alike.into_values().flat_map(|keys| {
            let first = keys.first().copied();
            keys.into_iter().skip(1).filter_map(move |key| Some((Arc::clone(first?), Arc::clone(key))))
        });
        pairs.collect()
    }
}

/// The graph while joins are added to it.
struct Joining<'g> {
    view: View<'g>,
    /// Entities by what they were joined to.
    merged: BTreeMap<usize, usize>,
    now: Timestamp,
}

impl Joining<'_> {
    fn entity(&mut self, key: &Arc<str>) -> usize {
        let mut entity = self.view.group(key);
        while let Some(into) = self.merged.get(&entity) {
            entity = *into;
        }
        entity
    }

    /// Statements of texts and of relations, without those that may mean two things: an alias of two, a thing with two names.
    fn stated(&mut self, texts: &[Stated]) -> Vec<(Arc<str>, Arc<str>, Option<MemoryId>)> {
        let graph = self.view.graph;
        let known =
            |name: &str| graph.nodes.get_key_value(Claim::name_key(name).as_str()).map(|(key, _)| Arc::clone(key));
        let mut said = BTreeSet::new();
        for one in texts {
            if let (Some(name), Some(alias)) = (known(&one.name), known(&one.alias)) {
                let owners = [&name, &alias].map(|key| graph.nodes.get(key).and_then(|node| graph.only_owner(node)));
                if owners == [Some(one.owner); 2] {
                    said.insert((name, alias, one.source, false));
                }
            }
        }
        let ids: Vec<MemoryId> = graph.edges.keys().copied().collect();
        for held in ids.into_iter().filter_map(|id| self.view.held(id)) {
            if ALIASES.contains(&held.edge.relation.as_str()) {
                let is_only = held.edge.relation == IS_NAMED;
                said.insert((Arc::clone(&held.subject), Arc::clone(&held.object), held.edge.id, is_only));
            }
        }
        let (mut things, mut names) =
            (BTreeMap::<Arc<str>, BTreeSet<usize>>::new(), BTreeMap::<usize, BTreeSet<Arc<str>>>::new());
        for (name, alias, _, is_only) in &said {
            let entity = self.entity(name);
            things.entry(Arc::clone(alias)).or_default().insert(entity);
            if *is_only {
                names.entry(entity).or_default().insert(Arc::clone(alias));
            }
        }
        let mut sure = Vec::new();
        for (name, alias, source, is_only) in said {
            let entity = self.entity(&name);
            let is_one = things.get(&alias).is_none_or(|all| all.len() == 1);
            let has_one = !is_only || names.get(&entity).is_none_or(|all| all.len() == 1);
            let has_one = has_one && (!is_only || may_be_named(&name, &alias));
            let is_somebody = ![&name, &alias].iter().any(|key| NOBODY.contains(&key.as_ref()));
            if is_one && has_one && is_somebody {
                sure.push((name, alias, Some(source)));
            }
        }
        sure
    }

    /// Joins two names, where nothing speaks against it.
    fn join(&mut self, a: &Arc<str>, b: &Arc<str>, said: Option<MemoryId>) -> Option<Join> {
        let graph = self.view.graph;
        let (one, other) = (self.entity(a), self.entity(b));
        if one == other {
            return None;
        }
        let (left, right) = (self.keys(one), self.keys(other));
        let nodes = |keys: &BTreeSet<Arc<str>>| keys.iter().filter_map(|key| graph.nodes.get(key)).collect::<Vec<_>>();
        let all: Vec<&Node> = nodes(&left).into_iter().chain(nodes(&right)).collect();
        let owner = graph.only_owner(all.first()?)?;
        if all.iter().any(|node| graph.only_owner(node) != Some(owner)) {
            return None;
        }
        let across = |held: &Held| {
            let ends = [&held.subject, &held.object];
            ends.iter().any(|end| left.contains(*end)) && ends.iter().any(|end| right.contains(*end))
        };
        let speaks_against = |held: &Held| {
            let relation = held.edge.relation.as_str();
            across(held) && (relation == SAME_AS || !ALIASES.contains(&relation))
        };
        if all.iter().flat_map(|node| graph.edges_of(node)).any(speaks_against) {
            return None;
        }
        let [first, second] = [a, b].map(|key| graph.nodes.get(key));
        let (first, second) = (first?, second?);
        // The one that more relations have is the name; of equal ones the first in order.
        let (name, alias) = if second.edges.len() > first.edges.len() { (second, first) } else { (first, second) };
        let lives = |held: &&Held| held.edge.expires_at.is_none_or(|end| self.now < end);
        let shows = |node: &Node| graph.edges_of(node).find(lives).map(|held| held.edge.id);
        let sources = match said {
            Some(source) => vec![source],
            None => vec![shows(name)?, shows(alias)?],
        };
        let valid_from = all.iter().flat_map(|node| graph.edges_of(node)).map(|held| held.edge.valid_from).min()?;
        let called = |node: &Node| node.spellings.iter().max_by_key(|(_, count)| **count).map(|(name, _)| name.clone());
        let join = Join { alias: called(alias)?, name: called(name)?, is_stated: said.is_some(), sources, valid_from };
        self.merged.insert(other, one);
        Some(join)
    }

    /// All names of an entity and of those that were joined to it.
    fn keys(&self, entity: usize) -> BTreeSet<Arc<str>> {
        let mut entities = BTreeSet::from([entity]);
        loop {
            let more: Vec<usize> = self
                .merged
                .iter()
                .filter(|(from, to)| entities.contains(to) && !entities.contains(from))
                .map(|(from, _)| *from)
                .collect();
            if more.is_empty() {
                return entities.iter().flat_map(|entity| self.view.keys(*entity)).cloned().collect();
            }
            entities.extend(more);
        }
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
