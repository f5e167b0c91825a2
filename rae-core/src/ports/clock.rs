//! The clock.

use crate::model::Timestamp;
use parking_lot::Mutex;
use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the engine gets the time from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        // A machine clock outside the years -9999 to 9999 is held at the epoch rather than failing every call.
        Timestamp::from_micros(micros).or_else(|_| Timestamp::from_micros(0)).unwrap_or_else(|_| unreachable!())
    }
}

/// A clock that only moves when told, for tests that replay exactly.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves on.
    pub fn advance_seconds(&self, seconds: i64) {
        let mut now = self.0.lock();
        *now = now.saturating_add_seconds(seconds);
    }

    /// Jumps.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}
