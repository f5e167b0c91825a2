//! Holding SQLite still for a `fork`. SQLite keeps locks of its own in global memory; a child that is forked while one is held
//! can never open a store. A binding whose host forks calls [`before_fork`] first and one of the others after.
//!
//! Atomics alone: a lock of ours could be held at the fork just as well.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread::sleep,
    time::{Duration, Instant},
};

static PAUSED: AtomicBool = AtomicBool::new(false);
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
const LOOK: Duration = Duration::from_micros(50);
/// A task longer than this is not waited for.
const WAIT: Duration = Duration::from_secs(10);

/// While it lives, the thread may be inside SQLite.
pub(super) struct Inside(());

/// Enters SQLite; waits while a fork is under way.
pub(super) fn enter() -> Inside {
    loop {
        ACTIVE.fetch_add(1, SeqCst);
        if !PAUSED.load(SeqCst) {
            return Inside(());
        }
        leave();
        while PAUSED.load(SeqCst) {
            sleep(LOOK);
        }
    }
}

fn leave() {
    // A child sets the count to nothing; what it inherited must not take it below.
    let _ = ACTIVE.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
}

impl Drop for Inside {
    fn drop(&mut self) {
        leave();
    }
}

/// Lets no thread into SQLite any more and waits until all are out, at most 10 s; gives whether they are.
pub fn before_fork() -> bool {
    PAUSED.store(true, SeqCst);
    let begun = Instant::now();
    while ACTIVE.load(SeqCst) > 0 {
        if begun.elapsed() > WAIT {
            return false;
        }
        sleep(LOOK);
    }
    true
}

/// Goes on in the process that forked.
pub fn after_fork_in_parent() {
    PAUSED.store(false, SeqCst);
}

/// Goes on in the child, where the threads that may have been at the door do not exist.
pub fn after_fork_in_child() {
    ACTIVE.store(0, SeqCst);
    PAUSED.store(false, SeqCst);
}
