//! Places for what is dear, of which no tenant has more than its share.

use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    /// The most that one tenant has.
    share: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// The tenant has its share.
    Share,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    of: Option<(String, Arc<Mutex<HashMap<String, usize>>>)>,
}

impl Places {
    /// So many places. A tenant has at most half of them, and at least one.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), share: (count / 2).max(1), taken: Arc::default() }
    }

    /// A place that is free now. `None` is the operator, who has no share.
    pub fn take(&self, tenant: Option<&str>) -> Result<Place, Full> {
        let mut taken = self.taken.lock();
        if tenant.is_some_and(|tenant| taken.get(tenant).is_some_and(|taken| *taken >= self.share)) {
            return Err(Full::Share);
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Full::All)?;
        let of = tenant.map(|tenant| {
            *taken.entry(tenant.to_owned()).or_default() += 1;
            (tenant.to_owned(), Arc::clone(&self.taken))
        });
        Ok(Place { _permit: permit, of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((tenant, taken)) = self.of.take() else { return };
        let mut taken = taken.lock();
        if let Some(count) = taken.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_at_most_half_of_the_places_and_at_least_one() {
        for (count, share) in [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4)] {
            let places = Places::new(count);
            let mut own: Vec<Place> = (0..share).map(|_| places.take(Some("a")).unwrap()).collect();
            assert_eq!(places.take(Some("a")).unwrap_err(), Full::Share, "of {count}");
            let others: Vec<Place> = (0..count - share).map(|_| places.take(None).unwrap()).collect();
            assert_eq!(places.take(Some("b")).unwrap_err(), Full::All, "of {count}");
            // What is given back is there for all, and nothing is remembered of who went.
            drop(own.pop());
            drop(places.take(Some("b")).unwrap());
            drop((own, others));
            assert!(places.taken.lock().is_empty());
            assert_eq!(places.free.available_permits(), count);
        }
    }
}
