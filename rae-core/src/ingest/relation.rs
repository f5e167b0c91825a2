//! The caller's words for a relation, and the checks that turn them into a memory.

use super::{fingerprint::dedup_key, input::NewMemory};
use crate::{
    error::Result,
    model::{Claim, InfoClass, Kind, Memory, MemoryId, Scope, Timestamp, TrustLevel},
};
use serde::{Deserialize, Serialize};

/// What `relate` takes: a subject, how it stands to an object, and since when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRelation {
    /// What it is about: 1 to 200 characters.
    pub subject: String,
    /// How the two stand to each other, such as `works_at`: letters, digits and underscores, at most 64. "Works at" is the same.
    pub relation: String,
    /// The other end: 1 to 200 characters.
    pub object: String,
    /// How strong it is: more than 0, at most 1,000; default 1.
    #[serde(default)]
    pub weight: Option<f64>,
    /// How sure it is: 0 to 1; default 1.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// From when it holds; default now.
    #[serde(default)]
    pub valid_from: Option<Timestamp>,
    /// Until when it holds (exclusive); default open.
    #[serde(default)]
    pub valid_to: Option<Timestamp>,
    /// The memory that says so. Erasure follows it.
    #[serde(default)]
    pub source_id: Option<MemoryId>,
    /// User it belongs to: it is erased with the user, and merges with that user's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Agent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Trust in who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_level: Option<TrustLevel>,
    /// Default `internal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_class: Option<InfoClass>,
}

impl NewRelation {
    /// A relation with all defaults.
    pub fn new(subject: impl Into<String>, relation: impl Into<String>, object: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            relation: relation.into(),
            object: object.into(),
            weight: None,
            confidence: None,
            valid_from: None,
            valid_to: None,
            source_id: None,
            user_id: None,
            agent_id: None,
            trust_level: None,
            info_class: None,
        }
    }

    /// Checks everything and gives the memory to store: a fact in words that carries the claim.
    pub fn into_memory(self, scope: &Scope, id: MemoryId, now: Timestamp) -> Result<Memory> {
        let claim = Claim::new(&self.subject, &self.relation, &self.object, self.weight.unwrap_or(1.0))?;
        let new = NewMemory {
            kind: Some(Kind::Fact),
            confidence: self.confidence,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            user_id: self.user_id,
            agent_id: self.agent_id,
            trust_level: self.trust_level,
            info_class: self.info_class,
            ..NewMemory::new(claim.sentence())
        };
        let mut memory = new.into_memory(scope, id, now)?;
        memory.provenance.derived_from.extend(self.source_id);
        memory.claim = Some(claim);
        // Made anew, as it is now a claim's.
        memory.dedup_key = dedup_key(&memory);
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn made(new: NewRelation) -> Result<Memory> {
        new.into_memory(&Scope::default(), MemoryId(uuid::Uuid::nil()), at("2026-01-01"))
    }

    fn ada() -> NewRelation {
        NewRelation::new(" Ada", "Works at", "Acme")
    }

    #[test]
    fn a_relation_is_a_fact_in_words_that_carries_its_claim() {
        let source = MemoryId(uuid::Uuid::from_u128(7));
        let memory = made(NewRelation { weight: Some(2.0), source_id: Some(source), ..ada() }).unwrap();
        assert_eq!((memory.content.as_str(), memory.kind), ("Ada works at Acme", Kind::Fact));
        assert_eq!(memory.claim, Some(Claim::new("Ada", "works_at", "Acme", 2.0).unwrap()));
        assert_eq!(memory.provenance.derived_from, [source]);
    }

    #[test]
    fn the_key_is_of_the_three_parts_and_the_validity_as_given() {
        let key = |new: NewRelation| made(new).unwrap().dedup_key.unwrap();
        let past = || NewRelation { valid_from: Some(at("2019-01-01")), valid_to: Some(at("2020-01-01")), ..ada() };
        for same in [
            NewRelation { weight: Some(9.0), confidence: Some(0.1), ..ada() },
            NewRelation { source_id: Some(MemoryId(uuid::Uuid::nil())), ..ada() },
            NewRelation::new("ADA", "works-at", "aCME"),
        ] {
            assert_eq!(key(same), key(ada()));
        }
        assert_eq!(key(past()), key(past()), "what is past has a key too");
        let mut all: Vec<_> = [
            ada(),
            past(),
            NewRelation { valid_to: None, ..past() },
            NewRelation { valid_from: None, ..past() },
            NewRelation { object: "Initech".into(), ..ada() },
            NewRelation { relation: "owns".into(), ..ada() },
            NewRelation::new("Acme", "works_at", "Ada"),
        ]
        .into_iter()
        .map(key)
        .collect();
        all.push(made(ada()).map(|m| dedup_key(&Memory { claim: None, ..m })).unwrap().unwrap());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (new, about) in [
            (NewRelation { weight: Some(0.0), ..ada() }, "weight"),
            (NewRelation { confidence: Some(1.1), ..ada() }, "confidence"),
            (NewRelation { valid_from: Some(at("2020-01-01")), valid_to: Some(at("2020-01-01")), ..ada() }, "valid_to"),
            (NewRelation { subject: "\n".into(), ..ada() }, "subject"),
            (NewRelation { object: "x".repeat(201), ..ada() }, "object"),
            (NewRelation { relation: "?".into(), ..ada() }, "relation"),
        ] {
            let error = made(new).unwrap_err();
            assert!(error.message().starts_with(about), "{error}");
        }
    }
}
