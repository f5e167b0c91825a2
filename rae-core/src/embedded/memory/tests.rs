//! Rules of the reference store that the public suite does not try.

use super::*;
use crate::{error::ErrorKind, ports::SystemClock};
use futures::executor::block_on;

fn store() -> ReferenceStore {
    ReferenceStore::new(Arc::new(SystemClock))
}

#[test]
fn a_deadline_that_has_passed_is_timeout() {
    let ctx = Ctx::new(Scope::default()).with_timeout(Duration::ZERO);
    assert_eq!(block_on(store().head(&ctx)).unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn there_is_nothing_to_back_up() {
    let error = block_on(store().backup(&Ctx::new(Scope::default()), Path::new("x"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_lease_of_any_length_ends_inside_the_range_of_times() {
    let now = SystemClock.now();
    assert_eq!(later(now, Duration::from_secs(1)), now.saturating_add_seconds(1));
    assert_eq!(later(now, Duration::MAX), now.saturating_add_seconds(i64::MAX));
}
