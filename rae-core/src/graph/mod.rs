//! What the claims of a scope say together: who is related to whom. Pure: no I/O, no clock.
//!
//! A relation is a memory that carries a claim, so there is nothing to store here: [`Graph`] is derived from those memories, one edge
//! a memory, and follows the change log edge by edge. Every question is asked of a [`View`]: the graph at one moment.

mod communities;
mod join;
mod near;
mod resolve;
mod search;
mod store;
mod view;
mod walk;

pub use communities::{Community, Weighted, components, louvain, modularity};
pub use join::{ALIAS_PHRASES, Join, Stated, stated};
pub use resolve::{SameAs, same_as};
pub use search::{EntityPage, Place};
pub use store::{Edge, Graph};
pub use view::{Moment, View};
pub use walk::{Neighborhood, Path, Subgraph};

use crate::model::{MemoryId, Timestamp};
use serde::{Deserialize, Serialize};

/// The relation that makes two names one entity for as long as it holds.
pub const SAME_AS: &str = "same_as";

/// Someone or something that relations name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// The most frequent spelling; of equally frequent ones the first in the order of characters.
    pub name: String,
    /// Names of the same entity that `same_as` relations join to it, without `name`.
    pub aliases: Vec<String>,
    /// Relations that hold at the moment of the question, `same_as` aside.
    pub degree: usize,
}

/// A relation, as far as the graph knows it; its memory has the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// The memory that claims it.
    pub id: MemoryId,
    /// Who or what.
    pub subject: String,
    /// In which relation.
    pub relation: String,
    /// To whom or what.
    pub object: String,
    /// How strong it is.
    pub weight: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// From when it holds.
    pub valid_from: Timestamp,
    /// Until when, exclusive.
    pub valid_to: Option<Timestamp>,
}

/// An entity that was reached from another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its name.
    pub name: String,
    /// Relations on the shortest way to it.
    pub depth: usize,
    /// Weight times confidence of `relation`.
    pub strength: f64,
    /// The strongest relation by which it was reached.
    pub relation: Relation,
}

#[cfg(test)]
mod tests;
