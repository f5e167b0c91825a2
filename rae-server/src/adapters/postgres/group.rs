//! Group commit: batches that wait for one scope share a transaction. As many as came while the last transaction was under way go
//! into the next one, so nobody waits for company.

use super::{
    apply::apply_all,
    errors::Fault,
    session::{Core, Mode, boxed},
};
use parking_lot::Mutex;
use rae_core::{
    Ctx, Error, Result,
    limits::{GROUP_COMMIT_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX},
    model::{Applied, Op, Scope, WriteBatch},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::oneshot::{self, Receiver, Sender, error::TryRecvError};

/// `None` where the batch must be applied alone.
type Answer = Option<Result<Applied>>;

/// Code inside this file: one of those who share a transaction was told meanwhile that its time is over.
const LEFT: &str = "member_left";

/// A batch that waits.
struct Member {
    batch: Arc<WriteBatch>,
    answer: Sender<Answer>,
}

/// Who waits, by scope.
#[derive(Default)]
pub(super) struct Group {
    waiting: Mutex<HashMap<Scope, VecDeque<Member>>>,
}

impl Group {
    /// Applies a batch together with those that wait beside it. `None` where it must be applied alone: the transaction of all failed,
    /// or was given up. It may be written already then; its id keeps it from being written twice.
    pub async fn apply(self: &Arc<Self>, core: &Arc<Core>, ctx: &Ctx, batch: Arc<WriteBatch>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let scope = ctx.scope().clone();
        self.waiting.lock().entry(scope.clone()).or_default().push_back(Member { batch, answer });
        let (group, inner) = (Arc::clone(self), Arc::clone(core));
        let work = async move { Ok(group.lead(&inner, &scope, answered).await) };
        match core.task(ctx, Mode::Write, work).await {
            Ok(answer) => answer,
            Err(error) => Some(Err(error)),
        }
    }

    /// Waits for the turn of the scope, then applies those in front until the own answer is there. Where another leader was quicker,
    /// the answer comes before the turn.
    async fn lead(&self, core: &Core, scope: &Scope, mut answered: Receiver<Answer>) -> Answer {
        let _turn = tokio::select! {
            biased;
            answer = &mut answered => return answer.ok().flatten(),
            turn = core.turn(scope.tenant(), scope.project()) => turn,
        };
        loop {
            match answered.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) => self.apply_next(core, scope).await,
            }
        }
    }

    /// Applies those in front that may share a transaction. One whose caller is told before the commit that its time is over is not
    /// written. Past that point the end of its time says nothing: a commit under way may come to pass, as with any write that times
    /// out. Who then sends the batch again under its id has it once.
    async fn apply_next(&self, core: &Core, scope: &Scope) {
        let mut members = self.take(scope);
        // The time of one call must not end the calls of others.
        let ctx = Ctx::new(scope.clone());
        let (applied, members) = loop {
            members.retain(|member| !member.answer.is_closed());
            if members.is_empty() {
                return;
            }
            let shared = Arc::new(members);
            let inside = Arc::clone(&shared);
            let applied = core
                .again(&ctx, Mode::Write, move |tx| {
                    let members = Arc::clone(&inside);
                    boxed(async move {
                        let batches: Vec<_> = members.iter().map(|member| Arc::clone(&member.batch)).collect();
                        let applied = apply_all(tx, &batches).await?;
                        match members.iter().any(|member| member.answer.is_closed()) {
                            true => Err(Error::internal("a member of a group left").with_code(LEFT).into()),
                            false => Ok(applied),
                        }
                    })
                })
                .await;
            // Nobody else holds them any more; were it so, each would find its answer gone, and apply its batch alone.
            let Some(back) = Arc::into_inner(shared) else { return };
            members = back;
            match applied {
                Err(Fault::Ours(error)) if error.code() == LEFT => {}
                applied => break (applied, members),
            }
        };
        let alone = members.len() == 1;
        let mut answers = match applied {
            Ok(all) => all.into_iter().map(|applied| Some(Ok(applied))).collect(),
            // One who was alone already has its own error.
            Err(fault) if alone => vec![Some(Err(fault.into()))],
            Err(_) => Vec::new(),
        }
        .into_iter();
        for member in members {
            // Whoever went away needs no answer.
            let _ = member.answer.send(answers.next().flatten());
        }
    }

    /// Those in front that may share a transaction: the same preconditions, and no more than one transaction should hold.
    fn take(&self, scope: &Scope) -> Vec<Member> {
        let mut all = self.waiting.lock();
        let Some(waiting) = all.get_mut(scope) else { return Vec::new() };
        let (mut members, mut items, mut bytes) = (Vec::<Member>::new(), 0, 0);
        while let Some(next) = waiting.front() {
            if next.answer.is_closed() {
                // Its caller was told that its time is over: it must not be written after that.
                waiting.pop_front();
                continue;
            }
            items += next.batch.ops.len();
            bytes += next.batch.ops.iter().map(size).sum::<usize>();
            let first = members.first().unwrap_or(next);
            let fits = first.batch.preconditions == next.batch.preconditions
                && items <= TRANSACTION_ITEMS_MAX
                && bytes <= TRANSACTION_BYTES_MAX;
            if members.len() == GROUP_COMMIT_MAX || (!members.is_empty() && !fits) {
                break;
            }
            members.extend(waiting.pop_front());
        }
        if waiting.is_empty() {
            all.remove(scope);
        }
        members
    }
}

fn size(op: &Op) -> usize {
    match op {
        Op::PutMemory { memory, .. } => memory.content.len(),
        _ => 0,
    }
}
