//! What a store does with memories as they age.

use crate::{
    error::{Error, Result},
    limits::{LIFECYCLE_DAYS_MAX, SOURCES_MAX, TAG_BYTES_MAX, TAGS_MAX},
    model::{InfoClass, Kind, Layer, Life, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Days in which the strength of a summary of sessions halves without use, where its layer has no half-life.
const SUMMARY_HALF_LIFE_DAYS: f64 = 180.0;

/// What `maintain` does with memories as they age. By default it lowers the strength of what nobody uses, and deletes nothing but
/// what its time to live or the capacity of its layer ends: a memory may be its user's only copy, so anything more is for a policy
/// to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifecyclePolicy {
    /// Whether strength sinks without use. Default true.
    pub decay: bool,
    /// Half-lives in days of layers that shall not have their own (`LayerPolicy::half_life_days`). Default: none.
    pub half_life_days: BTreeMap<Layer, f64>,
    /// What has one of these tags neither fades nor is forgotten. Default: `pinned`.
    pub protected_tags: BTreeSet<String>,
    /// What is of one of these kinds neither fades nor is forgotten. Default: lesson, strategy.
    pub protected_kinds: BTreeSet<Kind>,
    /// Memories are forgotten whose strength times importance is below this. Default: none, nothing is forgotten.
    pub forget_below: Option<f64>,
    /// And that were not used for so many days. Default 30.
    pub forget_after_days: f64,
    /// How long memories of a class are kept, in days since they were first stored. No tag and no kind protects from it: it is for
    /// rules that leave no choice. Default: for ever.
    pub keep_class_days: BTreeMap<InfoClass, f64>,
    /// The same by kind. The shorter time counts.
    pub keep_kind_days: BTreeMap<Kind, f64>,
    /// What a user says in so many sessions becomes a fact of the semantic layer, with its sources. Default: none, nothing does.
    pub consolidate_sessions: Option<usize>,
}

impl Default for LifecyclePolicy {
    fn default() -> Self {
        Self {
            decay: true,
            half_life_days: BTreeMap::new(),
            protected_tags: BTreeSet::from(["pinned".to_owned()]),
            protected_kinds: BTreeSet::from([Kind::Lesson, Kind::Strategy]),
            forget_below: None,
            forget_after_days: 30.0,
            keep_class_days: BTreeMap::new(),
            keep_kind_days: BTreeMap::new(),
            consolidate_sessions: None,
        }
    }
}

impl LifecyclePolicy {
    /// Reads a policy from JSON, an object with the names of the fields. What is not named, or null, has its default; a name or value that is
    /// none is InvalidInput.
    pub fn parse(json: serde_json::Value) -> Result<Self> {
        let serde_json::Value::Object(mut fields) = json else {
            return Err(Error::invalid("lifecycle must be a JSON object").with_code("lifecycle_policy"));
        };
        fields.retain(|_, value| !value.is_null());
        // The words of serde name the field and the values that it takes.
        let policy: Self = serde_json::from_value(fields.into())
            .map_err(|e| Error::invalid(format!("lifecycle: {e}")).with_code("lifecycle_policy"))?;
        policy.check()?;
        Ok(policy)
    }

    /// The same from text.
    pub fn parse_text(text: &str) -> Result<Self> {
        let json = serde_json::from_str(text).map_err(|e| {
            Error::invalid(format!("lifecycle must be a JSON object: {e}")).with_code("lifecycle_policy")
        })?;
        Self::parse(json)
    }

    /// InvalidInput where a number is out of its range.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str, must: &str| {
            Err(Error::invalid(format!("lifecycle: {what} must be {must}")).with_code("lifecycle_policy"))
        };
        let days = |n: f64| n.is_finite() && n > 0.0 && n <= LIFECYCLE_DAYS_MAX;
        let range = format!("days, more than 0 and at most {LIFECYCLE_DAYS_MAX}");
        if !self.half_life_days.values().copied().all(days) {
            return wrong("half_life_days", &range);
        }
        if !self.keep_class_days.values().copied().all(days) {
            return wrong("keep_class_days", &range);
        }
        if !self.keep_kind_days.values().copied().all(days) {
            return wrong("keep_kind_days", &range);
        }
        if !days(self.forget_after_days) {
            return wrong("forget_after_days", &range);
        }
        if !self.forget_below.is_none_or(|floor| floor.is_finite() && floor > 0.0 && floor <= 1.0) {
            return wrong("forget_below", "more than 0 and at most 1");
        }
        if !self.consolidate_sessions.is_none_or(|n| (2..=SOURCES_MAX).contains(&n)) {
            return wrong("consolidate_sessions", &format!("a whole number from 2 to {SOURCES_MAX}"));
        }
        if self.protected_tags.len() > TAGS_MAX
            || self.protected_tags.iter().any(|tag| tag.is_empty() || tag.len() > TAG_BYTES_MAX)
        {
            return wrong("protected_tags", &format!("at most {TAGS_MAX} tags of 1 to {TAG_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// Days in which strength halves without use; `None` where it does not sink.
    pub(super) fn half_life(&self, layer: Layer) -> Option<f64> {
        let own = || self.half_life_days.get(&layer).copied().or_else(|| layer.policy().half_life_days);
        self.decay.then(own).flatten()
    }

    /// The same of a memory. What sums sessions up fades although its layer does not: a later summary takes it up. Lessons stay.
    pub(super) fn half_life_of(&self, life: &Life) -> Option<f64> {
        let is_summary = life.kind == Kind::Reflection && life.layer == Layer::Reflective;
        self.half_life(life.layer).or_else(|| (self.decay && is_summary).then_some(SUMMARY_HALF_LIFE_DAYS))
    }

    pub(super) fn is_protected(&self, life: &Life) -> bool {
        self.protects(life.kind, &life.tags)
    }

    /// Whether what has this kind and these tags is to be left as it is.
    pub(crate) fn protects(&self, kind: Kind, tags: &[String]) -> bool {
        self.protected_kinds.contains(&kind) || tags.iter().any(|tag| self.protected_tags.contains(tag))
    }

    /// How long it is kept at all.
    pub(super) fn kept_days(&self, life: &Life) -> Option<f64> {
        let (class, kind) = (self.keep_class_days.get(&life.info_class), self.keep_kind_days.get(&life.kind));
        class.into_iter().chain(kind).copied().reduce(f64::min)
    }

    /// Whether it may go, at this strength.
    pub(super) fn forgets(&self, life: &Life, strength: f64, now: Timestamp) -> bool {
        self.forget_below.is_some_and(|floor| strength * life.importance < floor)
            && now.days_since(life.last_use()) >= self.forget_after_days
    }
}
