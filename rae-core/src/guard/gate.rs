//! A small fair semaphore for futures of any runtime.

use futures::channel::oneshot;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Lets a number of holders in at once; the others wait in the order they came.
#[derive(Debug)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// A place inside; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Permit(Option<Arc<Mutex<State>>>);

impl Gate {
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, waiting: VecDeque::new() })))
    }

    /// Waits for a place. Dropping the future gives the turn to the next one.
    pub async fn enter(&self) -> Permit {
        let turn = {
            let mut state = self.0.lock();
            // Whoever gave up must not count as waiting, nor pile up behind holders that hang.
            state.waiting.retain(|next| !next.is_canceled());
            if state.free > 0 && state.waiting.is_empty() {
                state.free -= 1;
                return Permit(Some(self.0.clone()));
            }
            let (next, turn) = oneshot::channel();
            state.waiting.push_back(next);
            turn
        };
        // A sender leaves the queue only to be used, so the turn always comes; a permit without a place is the harmless answer.
        turn.await.unwrap_or(Permit(None))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(state) = self.0.take() else { return };
        loop {
            let next = {
                let mut inside = state.lock();
                match inside.waiting.pop_front() {
                    Some(next) => next,
                    None => {
                        inside.free += 1;
                        return;
                    }
                }
            };
            // The place itself travels: a receiver dropped after this hands it on by dropping it.
            match next.send(Permit(Some(state.clone()))) {
                Ok(()) => return,
                Err(mut refused) => refused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, executor::block_on};

    #[test]
    fn places_are_given_in_order_and_a_waiter_that_left_is_passed_over() {
        let gate = Gate::new(1);
        let inside = block_on(gate.enter());
        let (mut first, mut second, mut third) =
            (Box::pin(gate.enter()), Box::pin(gate.enter()), Box::pin(gate.enter()));
        for waiter in [&mut first, &mut second, &mut third] {
            assert!(waiter.as_mut().now_or_never().is_none());
        }
        drop(first);
        drop(inside);
        assert!(third.as_mut().now_or_never().is_none());
        let inside = second.as_mut().now_or_never().unwrap();
        drop(inside);
        assert!(third.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_place_sent_to_a_waiter_that_leaves_is_not_lost() {
        let gate = Gate::new(1);
        let inside = block_on(gate.enter());
        let mut waiter = Box::pin(gate.enter());
        assert!(waiter.as_mut().now_or_never().is_none());
        drop(inside);
        drop(waiter);
        assert!(gate.enter().now_or_never().is_some());
    }
}
