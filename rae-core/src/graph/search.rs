//! Entities by name.

use super::{
    Entity,
    store::search_words,
    view::{Group, View},
};
use crate::{
    error::{Error, Result},
    model::Claim,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeMap, fmt, str::FromStr};

/// How well a name fits a query; the better is the smaller.
const EXACT: u8 = 0;
const SAME_WORDS: u8 = 1;
const PREFIX: u8 = 2;
const WORDS: u8 = 3;

/// Where a page of entities ends: the place of its last one in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    fit: u8,
    degree: Reverse<usize>,
    root: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.fit, self.degree.0, self.root)
    }
}

impl FromStr for Place {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        match (part().parse(), part().parse(), part()) {
            (Ok(fit), Ok(degree), root) if !root.is_empty() => {
                Ok(Self { fit, degree: Reverse(degree), root: root.to_owned() })
            }
            _ => Err(Error::invalid("cursor must be a `next_cursor` of an earlier page").with_code("invalid_cursor")),
        }
    }
}

/// Some entities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EntityPage {
    /// Best first.
    pub items: Vec<Entity>,
    /// Where the next page goes on; none at the end.
    pub next_cursor: Option<String>,
}

impl View<'_> {
    /// At most `limit` entities that a relation names at this moment, after the place `after`: those whose name is the query, first
    /// with its accents and signs and then without, those whose name begins with it, then those that have all of its words (the last one may be the beginning of a word); within
    /// these the ones with more relations first, then by name. Without a query all of them.
    pub fn entities(&mut self, query: Option<&str>, after: Option<&Place>, limit: usize) -> EntityPage {
        let wanted = query.map(Wanted::new);
        let graph = self.graph;
        let mut fits: BTreeMap<Group, u8> = BTreeMap::new();
        for (key, node) in &graph.nodes {
            let fit = wanted.as_ref().map_or(Some(EXACT), |wanted| wanted.fit(key, &node.words));
            if let Some(fit) = fit {
                let best = fits.entry(self.group(key)).or_insert(fit);
                *best = fit.min(*best);
            }
        }
        fits.retain(|group, _| self.is_named(*group));
        let place = |(group, fit): (Group, u8)| {
            let degree = Reverse(self.incident(group).len());
            (Place { fit, degree, root: self.root(group).to_owned() }, group)
        };
        let mut found: Vec<(Place, Group)> = fits.into_iter().map(place).collect();
        found.sort();
        let mut rest = found.into_iter().filter(|(place, _)| after.is_none_or(|after| place > after));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let last = page.last().map(|(place, _)| place.to_string());
        EntityPage {
            next_cursor: last.filter(|_| rest.next().is_some()),
            items: page.iter().map(|(_, group)| self.entity(*group)).collect(),
        }
    }
}

struct Wanted {
    key: String,
    words: String,
}

impl Wanted {
    fn new(query: &str) -> Self {
        Self { key: Claim::name_key(query), words: search_words(query) }
    }

    fn fit(&self, key: &str, words: &str) -> Option<u8> {
        if key == self.key {
            return Some(EXACT);
        }
        if words == self.words {
            return Some(SAME_WORDS);
        }
        if words.starts_with(&self.words) || key.starts_with(&self.key) {
            return Some(PREFIX);
        }
        let has = |wanted: &str| words.split(' ').any(|word| word == wanted);
        let begins = |wanted: &str| words.split(' ').any(|word| word.starts_with(wanted));
        let mut wanted: Vec<&str> = self.words.split(' ').collect();
        let last = wanted.pop()?;
        (wanted.into_iter().all(has) && begins(last)).then_some(WORDS)
    }
}
