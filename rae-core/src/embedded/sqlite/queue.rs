//! A bounded queue from async callers to worker threads: full means that callers wait without blocking their executor.

use super::errors::closed;
use crate::{ctx::Ctx, error::Result};
use futures::{channel::oneshot, future::select};
use futures_timer::Delay;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Callers that found it full. All are woken when there is room: a woken caller that gave up meanwhile can then not
    /// keep the others asleep.
    waiting: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl<T> Queue<T> {
    pub fn new(capacity: usize) -> Self {
        let state = State { items: VecDeque::new(), waiting: Vec::new(), closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), capacity }
    }

    /// Appends `item`, waiting for room at most until the deadline of `ctx`.
    pub async fn push(&self, ctx: &Ctx, item: T) -> Result<()> {
        let mut item = Some(item);
        loop {
            ctx.check()?;
            let Some(room) = self.try_push(&mut item)? else { return Ok(()) };
            match ctx.remaining() {
                None => drop(room.await),
                Some(left) => drop(select(room, Delay::new(left)).await),
            }
        }
    }

    /// `None` once it is in; else what tells when there is room.
    fn try_push(&self, item: &mut Option<T>) -> Result<Option<oneshot::Receiver<()>>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        if state.items.len() < self.capacity {
            state.items.extend(item.take());
            self.ready.notify_one();
            return Ok(None);
        }
        let (tell, room) = oneshot::channel();
        state.waiting.retain(|w| !w.is_canceled());
        state.waiting.push(tell);
        Ok(Some(room))
    }

    /// Moves at most `most` items to `into`, waiting for the first one; false once it is closed and empty.
    pub fn pop(&self, most: usize, into: &mut Vec<T>) -> bool {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            self.ready.wait(&mut state);
        }
        let n = most.min(state.items.len());
        into.extend(state.items.drain(..n));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        wake(waiting);
        true
    }

    /// Refuses what comes from now on; what is in is still handed out.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.ready.notify_all();
        wake(waiting);
    }
}

fn wake(waiting: Vec<oneshot::Sender<()>>) {
    for caller in waiting {
        // A caller that gave up has nothing to be told.
        let _ = caller.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, model::Scope};
    use futures::executor::block_on;
    use std::{sync::Arc, time::Duration};

    #[test]
    fn a_full_queue_makes_callers_wait_and_hands_everything_out_in_order() {
        let queue = Arc::new(Queue::new(2));
        let q = Arc::clone(&queue);
        let pusher = std::thread::spawn(move || {
            for i in 0..100 {
                block_on(q.push(&Ctx::new(Scope::default()), i)).unwrap();
            }
            q.close();
        });
        let mut seen = Vec::new();
        while queue.pop(3, &mut seen) {}
        pusher.join().unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_for_room_ends_at_the_deadline_and_at_close() {
        let queue = Arc::new(Queue::new(1));
        let ctx = Ctx::new(Scope::default());
        block_on(queue.push(&ctx, 1)).unwrap();
        let late = ctx.clone().with_timeout(Duration::from_millis(5));
        assert_eq!(block_on(queue.push(&late, 2)).unwrap_err().kind(), ErrorKind::Timeout);
        let q = Arc::clone(&queue);
        let waiter = std::thread::spawn(move || block_on(q.push(&Ctx::new(Scope::default()), 3)));
        queue.close();
        assert_eq!(waiter.join().unwrap().unwrap_err().code(), "closed");
        let mut rest = Vec::new();
        assert!(queue.pop(9, &mut rest));
        assert!(!queue.pop(9, &mut rest));
        assert_eq!(rest, [1]);
    }
}
