//! Reserve, call, settle: how the money of one attempt moves. The store decides; this says when.
//!
//! A [`Ticket`] is money that is held. Whoever drops one without ending it leaves the end to the background thread of the store; if
//! the process dies, the store itself ends it when its time is over.

use crate::{
    deps::Deps,
    error::{Error, ErrorKind, Result},
    limits::STRAYS_MAX,
    model::{
        Amount, Applied, Booking, CallLabel, CallStatus, Funds, NewReservation, Op, Outcome, Scope, Settlement,
        TokenUsage, Usage, Usd,
    },
    ports::{Charge, LlmFailure},
};
use futures::lock::Mutex as AsyncMutex;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What a reservation outlives its call by.
const HOLD_BEYOND: Duration = Duration::from_secs(60);
/// Pages of what ran out that one call ends before it is refused; housekeeping ends the rest.
const EXPIRE_PAGES_MAX: u32 = 20;

/// The worst that an attempt may cost.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub label: CallLabel,
    pub worst: Amount,
    /// Longest time of the attempt.
    pub within: Duration,
    /// 1 for the first attempt of a call.
    pub attempt: u32,
}

/// Money that is held for an attempt.
#[derive(Debug)]
pub(crate) struct Ticket {
    deps: Deps,
    scope: Scope,
    id: Uuid,
    label: CallLabel,
    held: Amount,
    state: State,
    /// Since when the provider has it.
    sent: Option<Instant>,
    /// How it ended, once that is known.
    end: Option<Settlement>,
    funds: Option<Funds>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Sent,
    Ended,
}

/// The end of a reservation that nobody waits for.
#[derive(Debug)]
pub(crate) struct Stray {
    scope: Scope,
    id: Uuid,
    label: CallLabel,
    /// `None` gives it back.
    settlement: Option<Settlement>,
}

/// Ends that the background thread sees to.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    waiting: Mutex<VecDeque<Stray>>,
    /// One at a time: whoever comes second finds them booked, and not only taken.
    turn: AsyncMutex<()>,
}

impl Ticket {
    /// Holds the worst cost of an attempt. BudgetExceeded where a limit would be passed. Where costs are not tracked nothing is
    /// held, and nothing is booked later.
    pub async fn hold(deps: &Deps, scope: &Scope, claim: Claim) -> Result<Self> {
        let deps = Deps { timeout: None, ..deps.clone() };
        let id = deps.ids.next_uuid(deps.clock.now());
        let mut ticket = Self {
            deps,
            scope: scope.clone(),
            id,
            label: claim.label,
            held: claim.worst,
            state: State::Held,
            sent: None,
            end: None,
            funds: None,
        };
        if !ticket.deps.desk.tracking {
            return Ok(ticket);
        }
        let reservation = NewReservation {
            id,
            amount: claim.worst,
            hold: claim.within.saturating_add(HOLD_BEYOND),
            defaults: ticket.deps.desk.defaults,
            label: ticket.label.clone(),
            attempt: claim.attempt,
        };
        match ticket.reserve(reservation).await {
            Ok(outcome) => {
                ticket.note(outcome);
                Ok(ticket)
            }
            Err(error) => {
                // Refused: nothing is held. Lost on the way: it may be, and dropping the ticket gives it back.
                if matches!(
                    error.kind(),
                    ErrorKind::BudgetExceeded | ErrorKind::InvalidInput | ErrorKind::PermissionDenied
                ) {
                    ticket.state = State::Ended;
                }
                Err(error)
            }
        }
    }

    /// What is held.
    pub fn held(&self) -> Amount {
        self.held
    }

    /// Its id, which is the id of the ledger row as well.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Where the budgets stood after the last step.
    pub fn funds(&self) -> Option<&Funds> {
        self.funds.as_ref()
    }

    /// Says that the first byte is about to leave.
    pub async fn sent(&mut self) -> Result<()> {
        if self.deps.desk.tracking {
            // Nothing has left: marked or not, until then it ends at nothing.
            self.end = Some(Settlement {
                status: CallStatus::Cancelled,
                usage: TokenUsage::default(),
                estimated: false,
                cost: Usd::ZERO,
                saved: Usd::ZERO,
                error: Some("not_sent".to_owned()),
            });
            match self.apply(Op::MarkSent { id: self.id }).await? {
                Outcome::Done => {}
                _ => {
                    self.state = State::Ended;
                    return Err(Error::unavailable("the money held for this call was given back; make the call again")
                        .with_code("reservation_lost")
                        .temporary());
                }
            }
        }
        (self.end, self.state, self.sent) = (None, State::Sent, Some(Instant::now()));
        Ok(())
    }

    /// Books how the attempt ended. The answer was paid for, so a store that does not answer does not take it from the caller: the
    /// end is left to the background thread.
    pub async fn settle(mut self, settlement: Settlement) -> Option<Funds> {
        self.tell_time();
        if !self.deps.desk.tracking {
            self.state = State::Ended;
            self.deps.desk.observer.booked(&self.scope, &self.label, &settlement, None);
            return None;
        }
        let op = settle(&self.deps, self.id, &settlement);
        // Whoever waits for this may go away meanwhile.
        self.end = Some(settlement.clone());
        match self.apply(op).await {
            Ok(outcome) => {
                self.state = State::Ended;
                self.funds = None;
                self.note(outcome);
                // Without funds it was not this end that was booked: it ran out, and whoever ended it told of it.
                if let Some(funds) = &self.funds {
                    self.deps.desk.observer.booked(&self.scope, &self.label, &settlement, Some(funds));
                }
            }
            Err(error) => {
                tracing::warn!(%error, id = %self.id, "a call could not be booked yet");
                self.abandon(Some(settlement));
            }
        }
        self.funds.take()
    }

    /// Leaves the end to the background thread.
    pub fn abandon(&mut self, settlement: Option<Settlement>) {
        self.tell_time();
        self.state = State::Ended;
        if !self.deps.desk.tracking {
            return;
        }
        let stray = Stray { scope: self.scope.clone(), id: self.id, label: self.label.clone(), settlement };
        self.deps.desk.strays.push(stray);
        self.deps.background.nudge(&self.scope);
    }

    /// Leaves what is held to whoever comes back with its id.
    pub fn leave(mut self) -> (Uuid, Amount, Option<Funds>) {
        // Who asks the model is elsewhere.
        self.sent = None;
        self.state = State::Ended;
        (self.id, self.held, self.funds.take())
    }

    /// The end of an attempt of which nobody knows what was charged for it: all that was held.
    pub fn unconfirmed(&self, status: CallStatus, error: Option<String>) -> Settlement {
        let usage = TokenUsage { input_tokens: self.held.tokens, ..TokenUsage::default() };
        Settlement { status, usage, estimated: true, cost: self.held.usd, saved: Usd::ZERO, error }
    }

    /// The end of an attempt that failed: what the provider charged for it, priced by the caller, or all that was held where
    /// nobody knows.
    pub fn failed(&self, failure: &LlmFailure, priced: impl FnOnce(Usage) -> Settlement) -> Settlement {
        let error = Some(failure.error.code().to_owned());
        match failure.charge {
            Charge::Nothing => Settlement {
                status: CallStatus::Failed,
                usage: TokenUsage::default(),
                estimated: false,
                cost: Usd::ZERO,
                saved: Usd::ZERO,
                error,
            },
            Charge::Usage(usage) => Settlement { error, ..priced(usage) },
            Charge::Unknown => self.unconfirmed(CallStatus::Unconfirmed, error),
        }
    }

    /// A refusal takes back what the store ended before it, so what ran out is ended by itself then, a page at a time.
    async fn reserve(&self, reservation: NewReservation) -> Result<Outcome> {
        let reservation = Box::new(reservation);
        let mut pages = 0;
        loop {
            match self.apply(Op::Reserve { reservation: reservation.clone() }).await {
                Err(error) if error.kind() == ErrorKind::BudgetExceeded && pages < EXPIRE_PAGES_MAX => {
                    match self.apply(Op::ExpireReservations).await? {
                        Outcome::Expired { released, booked } if released + booked > 0 => pages += 1,
                        _ => return Err(error),
                    }
                }
                result => return result,
            }
        }
    }

    async fn apply(&self, op: Op) -> Result<Outcome> {
        let ctx = self.deps.ctx(&self.scope)?;
        let applied = self.deps.relational.apply(&ctx, self.deps.batch(vec![op])).await?;
        tell_ran_out(&self.deps, &self.scope, &applied);
        first(applied)
    }

    /// Tells how long the provider had it, once.
    fn tell_time(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.deps.desk.observer.took(&self.label, sent.elapsed());
        }
    }

    fn note(&mut self, outcome: Outcome) {
        if let Outcome::Funds(funds) = outcome {
            self.deps.desk.observer.funds(&self.scope, &funds);
            self.funds = Some(*funds);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        match self.state {
            State::Ended => {}
            State::Held => {
                let end = self.end.take();
                self.abandon(end);
            }
            State::Sent => {
                let end = self.end.take();
                let end = end.unwrap_or_else(|| self.unconfirmed(CallStatus::Cancelled, Some("cancelled".to_owned())));
                self.abandon(Some(end));
            }
        }
    }
}

impl Strays {
    fn push(&self, stray: Stray) {
        let mut strays = self.waiting.lock();
        if strays.len() >= STRAYS_MAX {
            tracing::warn!(id = %stray.id, "too many calls wait to be booked; this one is when its time is over");
            return;
        }
        strays.push_back(stray);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    fn pop(&self) -> Option<Stray> {
        self.waiting.lock().pop_front()
    }

    fn put_back(&self, stray: Stray) {
        self.waiting.lock().push_front(stray);
    }
}

/// Tells of what ran out and was booked by a batch of the scope's tenant.
pub(crate) fn tell_ran_out(deps: &Deps, scope: &Scope, applied: &Applied) {
    for call in &applied.ran_out {
        // It was a project's name when it was stored.
        if let Ok(scope) = Scope::new(scope.tenant(), &call.project) {
            deps.desk.observer.booked(&scope, &call.label(), &call.settlement(None), None);
        }
    }
}

/// Ends what was left to the background. What the store does not take now stays for the next time.
pub(crate) async fn settle_strays(deps: &Deps) -> Result<()> {
    let _turn = deps.desk.strays.turn.lock().await;
    while let Some(stray) = deps.desk.strays.pop() {
        let op = match &stray.settlement {
            Some(settlement) => settle(deps, stray.id, settlement),
            None => Op::Release { id: stray.id },
        };
        let applied = match deps.ctx(&stray.scope) {
            Ok(ctx) => deps.relational.apply(&ctx, deps.batch(vec![op])).await.and_then(first),
            Err(error) => Err(error),
        };
        match (applied, &stray.settlement) {
            (Ok(Outcome::Funds(funds)), Some(settlement)) => {
                deps.desk.observer.booked(&stray.scope, &stray.label, settlement, Some(&funds));
                deps.desk.observer.funds(&stray.scope, &funds);
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                deps.desk.strays.put_back(stray);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Books an attempt that needed no reservation: what the cache of responses answered.
pub(crate) async fn book(deps: &Deps, scope: &Scope, label: CallLabel, settlement: Settlement) -> Result<()> {
    if deps.desk.tracking {
        let id = deps.ids.next_uuid(deps.clock.now());
        let booking = Booking { id, label: label.clone(), settlement: settlement.clone() };
        let op = Op::Book { booking: Box::new(booking) };
        deps.relational.apply(&deps.ctx(scope)?, deps.batch(vec![op])).await?;
    }
    deps.desk.observer.booked(scope, &label, &settlement, None);
    Ok(())
}

fn settle(deps: &Deps, id: Uuid, settlement: &Settlement) -> Op {
    Op::Settle { id, settlement: Box::new(settlement.clone()), defaults: deps.desk.defaults }
}

fn first(applied: Applied) -> Result<Outcome> {
    applied.outcomes.into_iter().next().ok_or_else(|| Error::internal("a batch of one change has no outcome"))
}
