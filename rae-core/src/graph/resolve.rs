//! Which names may be one entity: proposals of `same_as` relations.

use crate::{extract::resolve_entities, limits::ENTITIES_MAX, model::Claim};
use serde::{Deserialize, Serialize};

/// Two names that seem to be one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SameAs {
    /// The other name.
    pub alias: String,
    /// The name to call it by: the longest.
    pub name: String,
    /// How alike all names of this entity are at least, 0 to 1.
    pub score: f64,
}

/// Whether a sign tells two names apart that have the same letters: "Model 3" and "Model 4", "C" and "C++".
fn tells_apart(c: char) -> bool {
    c.is_numeric() || matches!(c, '+' | '#')
}

/// Proposals for `names`, of which the first `limits::ENTITIES_MAX` are compared. `vectors` are those of the names, or none. Names
/// are joined where every two of a group are at least `threshold` alike, never where their numbers differ, or a plus or a hash; spellings that are one
/// name anyway give no proposal.
pub fn same_as(names: &[&str], vectors: &[Option<Vec<f32>>], threshold: f64) -> Vec<SameAs> {
    let names = names.get(..ENTITIES_MAX).unwrap_or(names);
    let marks = |name: &str| Claim::name_key(name).chars().filter(|c| tells_apart(*c)).collect::<String>();
    let mut proposals = Vec::new();
    for cluster in resolve_entities(names, vectors, threshold) {
        let name = &cluster.canonical;
        for alias in cluster.members.iter().filter_map(|place| names.get(*place)) {
            // A wrong join is costly, and the threshold is the caller's: even 0 joins no numbers.
            if Claim::name_key(alias) != Claim::name_key(name) && marks(alias) == marks(name) {
                proposals.push(SameAs { alias: (*alias).to_owned(), name: name.clone(), score: cluster.score });
            }
        }
    }
    proposals.sort_by(|a, b| (&a.name, &a.alias).cmp(&(&b.name, &b.alias)));
    proposals.dedup_by(|a, b| a.name == b.name && Claim::name_key(&a.alias) == Claim::name_key(&b.alias));
    proposals
}
