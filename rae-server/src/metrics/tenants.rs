//! Operations by tenant with a bounded number of series: the busiest tenants by name, the others together.
//!
//! A tenant that was given a series keeps it while it is busy, so that its counter only grows. Who else may need one is guessed from
//! a small table (the Space-Saving sketch): a tenant outside that has twice the weight of the quietest one inside takes its
//! place, and what the quiet one had counted goes to the others. Weights are halved now and then, so that yesterday's
//! busiest do not stay for ever. Every operation is in exactly one series, and no series falls.

use parking_lot::Mutex;
use std::collections::HashMap;

/// Label of all tenants without a series of their own. A tenant of this name is counted here too.
pub const OTHER: &str = "other";
/// Most tenants with a series.
pub const NAMED_MAX: usize = 200;
/// Tenants watched from outside for each one inside.
const WATCHED_PER_NAMED: usize = 4;
/// How much busier than the quietest one inside a tenant must be to take its place.
const LEAD: u64 = 2;
/// Operations after which weights are halved.
const HALVE_AFTER: u64 = 1 << 17;

type Counts = HashMap<&'static str, u64>;

/// The counters.
#[derive(Debug)]
pub struct Tenants {
    named_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    named: HashMap<String, Named>,
    /// Tenants without a series.
    watched: HashMap<String, Watched>,
    others: Counts,
    since_halved: u64,
}

#[derive(Debug)]
struct Named {
    weight: u64,
    counts: Counts,
}

/// What is known of a tenant outside.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Operations of its own since it is in the table.
    own: u64,
    /// What it took over from the one whose place it has: perhaps its own too.
    taken_over: u64,
}

impl Watched {
    fn guess(self) -> u64 {
        self.own + self.taken_over
    }
}

impl Tenants {
    /// With at most `named_max` tenants by name; 0 counts nothing.
    pub fn new(named_max: usize) -> Self {
        Self { named_max: named_max.min(NAMED_MAX), inner: Mutex::default() }
    }

    /// Counts `items` operations of a tenant.
    pub fn count(&self, tenant: &str, operation: &'static str, items: u64) {
        if self.named_max == 0 || items == 0 {
            return;
        }
        let inner = &mut *self.inner.lock();
        inner.age(items);
        let is_outside = tenant != OTHER && !inner.named.contains_key(tenant);
        if is_outside && inner.earns_a_name(tenant, items, self.named_max) {
            let weight = inner.watched.remove(tenant).map_or(0, |watched| watched.own.saturating_sub(items));
            inner.named.insert(tenant.to_owned(), Named { weight, counts: Counts::new() });
        }
        let counts = match inner.named.get_mut(tenant) {
            Some(named) => {
                named.weight += items;
                &mut named.counts
            }
            None => &mut inner.others,
        };
        *counts.entry(operation).or_default() += items;
    }

    /// Every series with its value: tenant, operation, operations so far.
    pub fn series(&self) -> Vec<(String, &'static str, u64)> {
        let inner = self.inner.lock();
        let named = inner.named.iter().map(|(tenant, named)| (tenant.as_str(), &named.counts));
        let all = named.chain([(OTHER, &inner.others)]);
        all.flat_map(|(tenant, counts)| counts.iter().map(|(operation, n)| (tenant.to_owned(), *operation, *n)))
            .collect()
    }
}

impl Inner {
    /// Whether the tenant takes a free place, or that of a quieter one; who lost it is counted among the others.
    fn earns_a_name(&mut self, tenant: &str, items: u64, most: usize) -> bool {
        if self.named.len() < most {
            return true;
        }
        let weight = self.watch(tenant, items, most * WATCHED_PER_NAMED);
        let quietest = self.named.iter().min_by_key(|(name, named)| (named.weight, *name));
        let Some((name, _)) = quietest.filter(|(_, named)| weight > named.weight.saturating_mul(LEAD)) else {
            return false;
        };
        let name = name.clone();
        if let Some(lost) = self.named.remove(&name) {
            for (operation, n) in lost.counts {
                *self.others.entry(operation).or_default() += n;
            }
        }
        true
    }

    /// What the tenant did for certain, with `items` more. Where the table is full it takes the place of the one that is guessed
    /// the quietest, with that one's guess: who comes once does not push out who comes often.
    fn watch(&mut self, tenant: &str, items: u64, most: usize) -> u64 {
        if let Some(watched) = self.watched.get_mut(tenant) {
            watched.own += items;
            return watched.own;
        }
        let mut watched = Watched { own: items, taken_over: 0 };
        if self.watched.len() >= most
            && let Some((lightest, least)) = self.watched.iter().min_by_key(|(name, watched)| (watched.guess(), *name))
        {
            watched.taken_over = least.guess();
            let lightest = lightest.clone();
            self.watched.remove(&lightest);
        }
        self.watched.insert(tenant.to_owned(), watched);
        items
    }

    fn age(&mut self, items: u64) {
        self.since_halved += items;
        if self.since_halved < HALVE_AFTER {
            return;
        }
        self.since_halved = 0;
        self.named.values_mut().for_each(|named| named.weight /= 2);
        for watched in self.watched.values_mut() {
            *watched = Watched { own: watched.own / 2, taken_over: watched.taken_over / 2 };
        }
        self.watched.retain(|_, watched| watched.guess() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(tenants: &Tenants) -> u64 {
        tenants.series().iter().map(|(_, _, n)| n).sum()
    }

    #[test]
    fn ten_thousand_tenants_make_few_series_and_the_sum_is_right() {
        let tenants = Tenants::new(20);
        for round in 0..3 {
            for i in 0..10_000 {
                tenants.count(&format!("tenant-{i}"), "remember", 1);
                tenants.count(&format!("tenant-{i}"), "recall", round);
            }
        }
        let series = tenants.series();
        assert!(series.len() <= (20 + 1) * 2, "{}", series.len());
        assert_eq!(sum(&tenants), 3 * 10_000 + 10_000 * (1 + 2));
        assert!(tenants.inner.lock().watched.len() <= 20 * WATCHED_PER_NAMED);
    }

    #[test]
    fn the_busy_get_names_and_no_series_ever_falls() {
        let tenants = Tenants::new(3);
        let mut before: HashMap<(String, &str), u64> = HashMap::new();
        for i in 0..20_000u64 {
            tenants.count(&format!("small-{}", i % 500), "recall", 1);
            tenants.count(["ada", "bob", "eve"][(i % 3) as usize], "recall", 2);
            if i % 97 == 0 {
                for (tenant, operation, n) in tenants.series() {
                    let key = (tenant, operation);
                    assert!(key.0 != OTHER || before.get(&key).is_none_or(|old| *old <= n));
                    before.insert(key, n);
                }
            }
        }
        let mut names: Vec<String> = tenants.series().into_iter().map(|(tenant, _, _)| tenant).collect();
        names.sort();
        assert_eq!(names, ["ada", "bob", "eve", "other"]);
        assert_eq!(sum(&tenants), 20_000 * 3);
    }

    #[test]
    fn a_tenant_named_like_the_others_is_one_of_them_and_zero_turns_it_off() {
        let tenants = Tenants::new(5);
        tenants.count(OTHER, "recall", 2);
        assert_eq!(tenants.series(), [(OTHER.to_owned(), "recall", 2)]);
        let off = Tenants::new(0);
        off.count("ada", "recall", 1);
        assert!(off.series().is_empty());
    }
}
