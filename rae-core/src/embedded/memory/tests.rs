//! Rules of the reference store that the public suite does not try.

use super::*;
use crate::{error::ErrorKind, ports::SystemClock};
use futures::executor::block_on;

fn store() -> ReferenceStore {
    ReferenceStore::new(Arc::new(SystemClock))
}

#[test]
fn a_deadline_that_has_passed_is_timeout() {
    let ctx = Ctx::new(Scope::default()).with_timeout(std::time::Duration::ZERO);
    assert_eq!(block_on(store().head(&ctx)).unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn there_is_nothing_to_back_up() {
    let error = block_on(store().backup(&Ctx::new(Scope::default()), Path::new("x"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
