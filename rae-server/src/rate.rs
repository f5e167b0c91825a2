//! How many requests a tenant may make. A sliding window over two counters in the cache, which replicas share; without the cache
//! each process counts for itself.
//!
//! The count of the window before is weighed by how much of it still lies in the last `window` seconds, so a tenant that asks evenly
//! sees no edge, and one that asks all at once has its whole allowance once a window.

use parking_lot::Mutex;
use rae_core::{Rae, model::Scope};
use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Tenants counted at once in this process; past that those of former windows go, then all.
const TENANTS_MAX: usize = 10_000;
/// Project that the counters stand under.
const PROJECT: &str = "default";

/// The limit of every tenant.
#[derive(Debug)]
pub struct Rates {
    /// Requests a window; 0 is no limit.
    limit: u64,
    window: Duration,
    seen: Mutex<HashMap<String, Seen>>,
}

/// What this process knows of a tenant's window.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Number of the window.
    window: u64,
    /// Requests in the window before, as far as is known.
    before: u64,
    /// Requests in this window, as far as is known: those let in here, and those that the cache told of.
    now: u64,
    /// Whether the cache was asked for `before`.
    asked: bool,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// Requests a window.
    pub limit: u64,
    /// How many more may be made now.
    pub remaining: u64,
    /// Whole seconds until more may be made, at least 1: for a refused request until the next one may be, for another until the
    /// window ends.
    pub reset: u64,
    /// Length of the window in whole seconds.
    pub window: u64,
}

impl Rates {
    /// `limit` requests in `window`, which must not be zero.
    pub fn new(limit: u64, window: Duration) -> Self {
        Self { limit, window: window.max(Duration::from_secs(1)), seen: Mutex::default() }
    }

    /// Counts a request of a tenant; `None` where there is no limit. Never fails: without the cache this process counts alone.
    pub async fn take(&self, rae: &Rae, tenant: &str) -> Option<Verdict> {
        if self.limit == 0 {
            return None;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (number, into) = self.place(since);
        let seen = self.look(tenant, number);
        if let Some(refused) = self.refused(&seen, into) {
            return Some(refused);
        }
        // A name that is no scope has not come this far.
        let rae = rae.with_scope(Scope::new(tenant, PROJECT).ok()?);
        let ttl = self.window * 2;
        let count = |number: u64, amount: i64| {
            let (rae, counter) = (rae.clone(), format!("rate/{number}"));
            async move { rae.count(&counter, amount, ttl).await.ok().and_then(|sum| u64::try_from(sum).ok()) }
        };
        let before = if seen.asked { None } else { count(number.saturating_sub(1), 0).await };
        let now = count(number, 1).await;
        let seen = self.note(tenant, number, before, now);
        // This request is counted already.
        let over = Seen { now: seen.now.saturating_sub(1), ..seen };
        Some(self.refused(&over, into).unwrap_or_else(|| self.verdict(true, &seen, into)))
    }

    /// Number of the window, and how far into it this is, 0 to 1.
    fn place(&self, since: Duration) -> (u64, f64) {
        let windows = since.as_secs_f64() / self.window.as_secs_f64();
        (windows as u64, windows.fract())
    }

    fn look(&self, tenant: &str, number: u64) -> Seen {
        let mut seen = self.seen.lock();
        if seen.len() >= TENANTS_MAX && !seen.contains_key(tenant) {
            seen.retain(|_, s| s.window >= number);
            if seen.len() >= TENANTS_MAX {
                seen.clear();
            }
        }
        let fresh = Seen { window: number, before: 0, now: 0, asked: false };
        let entry = seen.entry(tenant.to_owned()).or_insert(fresh);
        if entry.window < number {
            let before = if entry.window + 1 == number { entry.now } else { 0 };
            *entry = Seen { before, ..fresh };
        }
        *entry
    }

    /// Notes what the cache said, or counts here where it said nothing.
    fn note(&self, tenant: &str, number: u64, before: Option<u64>, now: Option<u64>) -> Seen {
        let mut seen = self.seen.lock();
        let fresh = Seen { window: number, before: 0, now: 0, asked: false };
        let entry = seen.entry(tenant.to_owned()).or_insert(fresh);
        if entry.window == number {
            entry.now = now.unwrap_or(0).max(entry.now + 1);
            if let Some(before) = before {
                (entry.before, entry.asked) = (entry.before.max(before), true);
            }
        }
        *entry
    }

    /// Requests that count at this point of the window.
    fn used(seen: &Seen, into: f64) -> f64 {
        seen.before as f64 * (1.0 - into) + seen.now as f64
    }

    fn refused(&self, seen: &Seen, into: f64) -> Option<Verdict> {
        (Self::used(seen, into) + 1.0 > self.limit as f64).then(|| self.verdict(false, seen, into))
    }

    fn verdict(&self, allowed: bool, seen: &Seen, into: f64) -> Verdict {
        let window = self.window.as_secs_f64();
        let left = (self.limit as f64 - Self::used(seen, into)).max(0.0);
        // Until one more may be made: in this window as the former one fades, else in the next as this one does.
        let (limit, before, now) = (self.limit as f64, seen.before as f64, seen.now as f64);
        let fades =
            |count: f64, rest: f64| if count > 0.0 { (1.0 - (limit - 1.0 - rest) / count).max(0.0) } else { 0.0 };
        let wait = match allowed {
            true => 1.0 - into,
            false if now < limit => fades(before, now) - into,
            false => 1.0 - into + fades(now, 0.0),
        };
        Verdict {
            allowed,
            limit: self.limit,
            remaining: left as u64,
            reset: ((wait * window).ceil() as u64).max(1),
            window: window.ceil() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::new(10, Duration::from_secs(60))
    }

    fn seen(before: u64, now: u64) -> Seen {
        Seen { window: 5, before, now, asked: true }
    }

    #[test]
    fn the_window_before_counts_for_what_still_lies_in_the_last_minute() {
        let rates = rates();
        assert!(rates.refused(&seen(10, 0), 0.0).is_some());
        assert!(rates.refused(&seen(10, 5), 0.4).is_some());
        assert!(rates.refused(&seen(10, 4), 0.5).is_none());
        assert!(rates.refused(&seen(0, 9), 0.0).is_none());
        assert!(rates.refused(&seen(0, 10), 0.99).is_some());
    }

    #[test]
    fn after_the_time_told_another_request_may_be_made() {
        let rates = rates();
        for (before, now, into) in
            [(10, 0, 0.0), (10, 5, 0.2), (100, 9, 0.3), (0, 10, 0.0), (10, 10, 0.9), (3, 50, 0.5)]
        {
            let state = seen(before, now);
            let refused = rates.refused(&state, into).unwrap();
            assert!(!refused.allowed && refused.remaining == 0, "{refused:?}");
            let then = into + refused.reset as f64 / 60.0;
            let (state, into) = if then < 1.0 { (state, then) } else { (seen(now, 0), then - 1.0) };
            assert!(rates.refused(&state, into).is_none(), "{before} {now}: {refused:?}");
        }
    }

    #[test]
    fn without_a_cache_this_process_counts_and_a_new_window_remembers_the_old_one() {
        let rates = rates();
        for n in 1..=10 {
            assert_eq!(rates.look("t", 7).now, n - 1);
            assert_eq!(rates.note("t", 7, None, None).now, n);
        }
        assert!(rates.refused(&rates.look("t", 7), 0.5).is_some());
        assert_eq!(rates.look("t", 8).before, 10);
        assert_eq!((rates.look("t", 10).before, rates.look("u", 10).now), (0, 0));
        // What the cache knows of other replicas counts too, and never less than what was seen here.
        assert_eq!(rates.note("u", 10, Some(4), Some(9)).now, 9);
        assert_eq!((rates.look("u", 10).before, rates.note("u", 10, None, Some(2)).now), (4, 10));
    }

    #[test]
    fn the_tenants_counted_are_bounded() {
        let rates = rates();
        for n in 0..TENANTS_MAX + 10 {
            rates.look(&n.to_string(), 1);
        }
        assert!(rates.seen.lock().len() <= TENANTS_MAX);
    }
}
