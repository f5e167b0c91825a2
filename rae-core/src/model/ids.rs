//! Opaque ids, the generator that makes them, and the scope that every call names.

use super::Timestamp;
use crate::{
    error::{Error, Result},
    limits::NAME_BYTES_MAX,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Id of a memory: a UUIDv7, opaque to callers. Sorts by the time it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemoryId(pub Uuid);

impl fmt::Display for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MemoryId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| {
            Error::invalid("a memory id must be a UUID, as `remember` returned it").with_code("invalid_id")
        })
    }
}

/// Makes UUIDv7 from a clock and a generator that tests can seed, so that they replay exactly.
///
/// Ids of one generator are strictly increasing, also within one millisecond.
#[derive(Debug)]
pub struct IdGenerator {
    state: Mutex<(fastrand::Rng, Uuid)>,
}

impl IdGenerator {
    /// Seeded by the system's entropy: a generator seeded within the process would give forked children the same ids, and a
    /// batch id seen before is taken for a repeat.
    pub fn random() -> Self {
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        Self { state: Mutex::new((fastrand::Rng::with_seed(seed), Uuid::nil())) }
    }

    /// The same ids for the same seed and clock.
    pub fn seeded(seed: u64) -> Self {
        Self { state: Mutex::new((fastrand::Rng::with_seed(seed), Uuid::nil())) }
    }

    /// The next id at `now`.
    pub fn next(&self, now: Timestamp) -> MemoryId {
        let millis = u64::try_from(now.micros().div_euclid(1_000)).unwrap_or(0);
        let mut state = self.state.lock();
        let mut bytes = [0u8; 10];
        state.0.fill(&mut bytes);
        let fresh = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
        // A clock that stands still or steps back must not break the order: then the last id is counted on, inside the
        // 62 bits behind the variant, where an overflow is not reachable.
        let id = if fresh > state.1 { fresh } else { Uuid::from_u128(state.1.as_u128() + 1) };
        state.1 = id;
        MemoryId(id)
    }

    /// An id for a write batch, a job or a store: opaque, not a memory.
    pub fn next_uuid(&self, now: Timestamp) -> Uuid {
        self.next(now).0
    }
}

/// Tenant and project: the walls that no read or write crosses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    tenant: String,
    project: String,
}

impl Scope {
    /// Both names: 1 to 256 bytes, no control characters. Compared byte for byte; nothing in them is a wildcard.
    pub fn new(tenant: impl Into<String>, project: impl Into<String>) -> Result<Self> {
        let (tenant, project) = (tenant.into(), project.into());
        for (what, name) in [("tenant", &tenant), ("project", &project)] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(Error::invalid(format!(
                    "{what} must have 1 to {NAME_BYTES_MAX} bytes and no control characters"
                )));
            }
        }
        Ok(Self { tenant, project })
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self { tenant: "default".into(), project: "default".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_increase_strictly_even_when_the_clock_stands_still_or_steps_back() {
        let ids = IdGenerator::seeded(7);
        let now = Timestamp::parse("2026-01-01").unwrap();
        let mut last = ids.next(now);
        for i in 0..10_000 {
            let t = if i % 3 == 0 { now.saturating_add_seconds(-5) } else { now };
            let id = ids.next(t);
            assert!(id > last);
            assert_eq!(id.0.get_version_num(), 7);
            last = id;
        }
    }

    #[test]
    fn two_generators_of_the_system_give_different_ids() {
        let now = Timestamp::parse("2026-01-01").unwrap();
        assert_ne!(IdGenerator::random().next(now), IdGenerator::random().next(now));
    }

    #[test]
    fn the_same_seed_and_clock_give_the_same_ids() {
        let now = Timestamp::parse("2026-01-01").unwrap();
        let (a, b) = (IdGenerator::seeded(1), IdGenerator::seeded(1));
        assert!((0..100).all(|_| a.next(now) == b.next(now)));
    }

    #[test]
    fn a_scope_refuses_empty_long_and_control_names() {
        for bad in ["", "a\0b", "x\n", &"x".repeat(257)] {
            assert!(Scope::new(bad, "default").is_err());
            assert!(Scope::new("default", bad).is_err());
        }
        assert!(Scope::new("%", "_*?").is_ok());
    }
}
