//! Money at work: what is held for calls under way, what they cost, and what an erasure takes of it.
//!
//! Whoever touches the money of a tenant takes the tenant's row first and keeps it until the end of the transaction. Calls of
//! all projects and servers share the tenant's windows, so they wait for each other in any case; with one lock before all
//! others they cannot wait in a circle, in whatever order a batch holds, settles and ends what ran out. Rows of windows are
//! made and changed in one order, too: the tenant's before the project's, days before months.

use super::{
    apply::{Work, holds},
    budgets::{BUDGETS, SPENT, amount, funds, row_name},
    errors::Res,
    row::{bytes, int, text, time},
    session::{Params, Tx},
};
use futures::try_join;
use rae_core::{
    limits::{EXPIRE_PAGE, SPEND_DAYS_KEPT},
    model::{
        Amount, Booking, BudgetLevel, DropTarget, EndedCall, Funds, Limits, NewReservation, Op, Outcome, Settlement,
        Spent, Timestamp, Window,
    },
};
use std::{cmp::Reverse, collections::BTreeMap};
use uuid::Uuid;

const HOLD_MONEY: &str = "SELECT 1 FROM rae.tenants WHERE tid = $1 FOR NO KEY UPDATE";
/// What ran out in the tenant, the first page of it.
const DUE: &str = "SELECT id, project, reserved_at, usd, tokens, sent, provider, model, operation FROM rae.reservations \
    WHERE tid = $1 AND expires_at <= $2 ORDER BY expires_at, id LIMIT $3";
const FIND: &str = "SELECT id, project, reserved_at, usd, tokens, sent, provider, model, operation FROM rae.reservations \
    WHERE tid = $1 AND project = $2 AND id = $3";
const HOLD: &str = "INSERT INTO rae.reservations (tid, project, id, reserved_at, expires_at, usd, tokens, provider, model, \
    operation, user_id, request_id, attempt) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 \
    WHERE NOT rae.is_attempt($3) ON CONFLICT (id) DO NOTHING";
/// Rows of windows that nothing was booked to yet.
const MAKE_WINDOWS: &str = "INSERT INTO rae.spend (tid, project, period) \
    SELECT $1::bigint, u.* FROM unnest($2::text[], $3::bigint[]) u ON CONFLICT DO NOTHING";
/// Sums stay at the largest number, and what is held never falls below nothing: as the engine adds and takes away.
const MOVE_WINDOWS: &str = "UPDATE rae.spend s SET \
    used_usd = least(s.used_usd::numeric + u.used_usd, 9223372036854775807)::bigint, \
    used_tokens = least(s.used_tokens::numeric + u.used_tokens, 9223372036854775807)::bigint, \
    reserved_usd = greatest(least(s.reserved_usd::numeric + u.held_usd, 9223372036854775807) - u.freed_usd, 0)::bigint, \
    reserved_tokens = \
    greatest(least(s.reserved_tokens::numeric + u.held_tokens, 9223372036854775807) - u.freed_tokens, 0)::bigint \
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], \
    $9::bigint[]) u (project, period, used_usd, used_tokens, held_usd, held_tokens, freed_usd, freed_tokens) \
    WHERE s.tid = $1 AND s.project = u.project AND s.period = u.period";
const FREE: &str = "DELETE FROM rae.reservations WHERE tid = $1 AND id = ANY ($2)";

/// The columns of a row of the ledger but the label, which is the reservation's.
macro_rules! ledger_columns {
    () => {
        "tid, id, project, at, settled_at, provider, model, operation, user_id, request_id, attempt, status, input_tokens, \
         cached_input_tokens, output_tokens, reasoning_tokens, estimated, cost_usd, saved_usd, error"
    };
}

const SETTLE: &str = concat!(
    "WITH gone AS (DELETE FROM rae.reservations WHERE tid = $1 AND id = $2 RETURNING *) INSERT INTO rae.ledger (",
    ledger_columns!(),
    ") SELECT r.tid, r.id, r.project, r.reserved_at, $3::bigint, r.provider, r.model, r.operation, r.user_id, r.request_id, \
     r.attempt, $4::text, $5::bigint, $6::bigint, $7::bigint, $8::bigint, $9::boolean, $10::bigint, $11::bigint, \
     $12::bytea FROM gone r"
);

/// Whether an op is one of those of [`Work::money`].
pub(super) fn touches_money(op: &Op) -> bool {
    matches!(
        op,
        Op::SetBudget { .. }
            | Op::Reserve { .. }
            | Op::MarkSent { .. }
            | Op::Settle { .. }
            | Op::SettleCall { .. }
            | Op::Release { .. }
            | Op::Book { .. }
            | Op::ExpireReservations
    )
}

/// A reservation as it is held.
#[derive(Debug)]
struct Held {
    id: Uuid,
    project: String,
    reserved_at: Timestamp,
    amount: Amount,
    sent: bool,
    provider: String,
    model: String,
    operation: String,
}

impl Held {
    fn decode(row: &tokio_postgres::Row) -> Res<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            project: row.try_get(1)?,
            reserved_at: time(row, 2)?,
            amount: amount(row, 3)?,
            sent: row.try_get(5)?,
            provider: text(row, 6)?,
            model: text(row, 7)?,
            operation: text(row, 8)?,
        })
    }

    fn ended(&self) -> EndedCall {
        let (project, held) = (self.project.clone(), self.amount);
        let (provider, model, operation) = (self.provider.clone(), self.model.clone(), self.operation.clone());
        EndedCall { project, provider, model, operation, held }
    }
}

/// What moves in one window.
#[derive(Debug, Clone, Copy, Default)]
struct Move {
    used: Amount,
    held: Amount,
    freed: Amount,
}

/// What moves in all windows, in the order in which their rows are changed.
#[derive(Debug, Default)]
struct Moves(BTreeMap<(String, Reverse<i64>), Move>);

impl Moves {
    /// In both windows of both levels that `at` lies in.
    fn add(&mut self, project: &str, at: Timestamp, moved: Move) {
        for level in BudgetLevel::ALL {
            for window in Window::ALL {
                let key = (row_name(level, project).to_owned(), Reverse(window.period(at)));
                let sum = self.0.entry(key).or_default();
                sum.used = sum.used.plus(moved.used);
                sum.held = sum.held.plus(moved.held);
                sum.freed = sum.freed.plus(moved.freed);
            }
        }
    }

    fn column(&self, get: impl Fn(&Move) -> i64) -> Vec<i64> {
        self.0.values().map(get).collect()
    }
}

impl Work<'_> {
    /// One of the ops that touch money.
    pub async fn money(&mut self, op: &Op) -> Res<Outcome> {
        match op {
            Op::SetBudget { level, change } => self.set_budget(*level, change).await,
            Op::Reserve { reservation } => self.reserve(reservation).await,
            Op::MarkSent { id } => self.mark_sent(*id).await,
            Op::Settle { id, settlement, defaults } => self.settle(*id, settlement, defaults).await,
            Op::SettleCall { id, provider, model, settlement, defaults } => {
                self.settle_call(*id, (provider, model), settlement.as_deref(), defaults).await
            }
            Op::Release { id } => self.release(*id).await,
            Op::Book { booking } => self.book(booking).await,
            Op::ExpireReservations => self.expire().await,
            _ => Err(super::apply::unknown()),
        }
    }

    /// Takes the lock of the tenant's money.
    pub async fn hold_money(&self) -> Res<()> {
        self.tx.query(HOLD_MONEY, &[&self.row.tid]).await?;
        Ok(())
    }

    async fn reserve(&mut self, new: &NewReservation) -> Res<Outcome> {
        new.check()?;
        // Sent together, done in this order: each sees what was committed before the lock was given.
        self.tx.prepare(&[HOLD_MONEY, DUE, BUDGETS, SPENT]).await?;
        let (_, due, mut funds) = try_join!(self.hold_money(), self.due(), funds(self.tx, self.now, &new.defaults))?;
        if !due.is_empty() {
            self.end(&due).await?;
            funds = super::budgets::funds(self.tx, self.now, &new.defaults).await?;
        }
        let (project, expires_at) = (self.tx.scope.project(), self.now.saturating_add(new.hold).micros());
        let (usd, tokens, attempt) = (new.amount.usd.micros(), int(new.amount.tokens), i64::from(new.attempt));
        let label = &new.label;
        let params: Params<'_> = &[
            &self.row.tid,
            &project,
            &new.id,
            &self.now.micros(),
            &expires_at,
            &usd,
            &tokens,
            &label.provider.as_bytes(),
            &label.model.as_bytes(),
            &label.operation.as_bytes(),
            &bytes(label.user_id.as_ref()),
            &bytes(label.request_id.as_ref()),
            &attempt,
        ];
        let mut moves = Moves::default();
        moves.add(project, self.now, Move { held: new.amount, ..Move::default() });
        self.tx.prepare(&[HOLD, MAKE_WINDOWS, MOVE_WINDOWS]).await?;
        let (held, ()) = try_join!(self.tx.execute(HOLD, params), self.change(&moves))?;
        holds(held == 1, "exists", || format!("there is an attempt {} already", new.id))?;
        // What is refused is rolled back with the whole batch.
        funds.check(new.amount)?;
        for level in [&mut funds.tenant, &mut funds.project] {
            for spent in [&mut level.day, &mut level.month] {
                Spent::hold(spent, new.amount);
            }
        }
        Ok(Outcome::Funds(Box::new(funds)))
    }

    async fn mark_sent(&self, id: Uuid) -> Res<Outcome> {
        let sql = "UPDATE rae.reservations SET sent = true WHERE tid = $1 AND project = $2 AND id = $3";
        self.tx.prepare(&[HOLD_MONEY, sql]).await?;
        let params: Params<'_> = &[&self.row.tid, &self.tx.scope.project(), &id];
        let (_, marked) = try_join!(self.hold_money(), self.tx.execute(sql, params))?;
        Ok(if marked > 0 { Outcome::Done } else { Outcome::Skipped })
    }

    async fn settle(&self, id: Uuid, settlement: &Settlement, defaults: &Limits) -> Res<Outcome> {
        settlement.check()?;
        let Some(held) = self.find(id).await? else { return Ok(Outcome::Skipped) };
        Ok(Outcome::Funds(Box::new(self.book_end(&held, settlement, defaults).await?)))
    }

    async fn settle_call(
        &self,
        id: Uuid,
        (provider, model): (&str, &str),
        settlement: Option<&Settlement>,
        defaults: &Limits,
    ) -> Res<Outcome> {
        let Some(held) = self.find(id).await? else { return Ok(Outcome::Skipped) };
        let call = held.ended();
        call.check_is(id, provider, model)?;
        let settlement = call.settlement(settlement);
        settlement.check()?;
        Ok(Outcome::Settled { funds: Box::new(self.book_end(&held, &settlement, defaults).await?), call })
    }

    /// Turns what was held into what it cost; gives where the budgets stand then.
    async fn book_end(&self, held: &Held, settlement: &Settlement, defaults: &Limits) -> Res<Funds> {
        let mut moves = Moves::default();
        let moved = Move { used: settlement.amount(), freed: held.amount, ..Move::default() };
        moves.add(&held.project, held.reserved_at, moved);
        self.tx.prepare(&[SETTLE, MAKE_WINDOWS, MOVE_WINDOWS, BUDGETS, SPENT]).await?;
        let (_, _, funds) =
            try_join!(self.write_row(held.id, settlement), self.change(&moves), funds(self.tx, self.now, defaults))?;
        Ok(funds)
    }

    async fn release(&mut self, id: Uuid) -> Res<Outcome> {
        let Some(held) = self.find(id).await?.filter(|held| !held.sent) else { return Ok(Outcome::Skipped) };
        self.end(&[held]).await?;
        Ok(Outcome::Done)
    }

    async fn book(&self, booking: &Booking) -> Res<Outcome> {
        let (label, settlement) = (&booking.label, &booking.settlement);
        settlement.check()?;
        self.hold_money().await?;
        let sql = concat!(
            "INSERT INTO rae.ledger (",
            ledger_columns!(),
            ") SELECT $1, $2, $3, $4, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13, $14, $15, $16, $17, $18 \
             WHERE NOT rae.is_attempt($2) ON CONFLICT (id) DO NOTHING"
        );
        let usage = &settlement.usage;
        let params: Params<'_> = &[
            &self.row.tid,
            &booking.id,
            &self.tx.scope.project(),
            &self.now.micros(),
            &label.provider.as_bytes(),
            &label.model.as_bytes(),
            &label.operation.as_bytes(),
            &bytes(label.user_id.as_ref()),
            &bytes(label.request_id.as_ref()),
            &settlement.status.as_str(),
            &int(usage.input_tokens),
            &int(usage.cached_input_tokens),
            &int(usage.output_tokens),
            &int(usage.reasoning_tokens),
            &settlement.estimated,
            &settlement.cost.micros(),
            &settlement.saved.micros(),
            &bytes(settlement.error.as_ref()),
        ];
        let booked = self.tx.execute(sql, params).await?;
        holds(booked == 1, "exists", || format!("there is an attempt {} already", booking.id))?;
        if settlement.amount() != Amount::default() {
            let mut moves = Moves::default();
            let moved = Move { used: settlement.amount(), ..Move::default() };
            moves.add(self.tx.scope.project(), self.now, moved);
            self.change(&moves).await?;
        }
        Ok(Outcome::Done)
    }

    async fn expire(&mut self) -> Res<Outcome> {
        self.tx.prepare(&[HOLD_MONEY, DUE]).await?;
        let (_, due) = try_join!(self.hold_money(), self.due())?;
        let (released, booked) = self.end(&due).await?;
        Ok(Outcome::Expired { released, booked })
    }

    /// The reservation of the scope, under the lock of the tenant's money.
    async fn find(&self, id: Uuid) -> Res<Option<Held>> {
        self.tx.prepare(&[HOLD_MONEY, FIND]).await?;
        let params: Params<'_> = &[&self.row.tid, &self.tx.scope.project(), &id];
        let (_, row) = try_join!(self.hold_money(), self.tx.query_opt(FIND, params))?;
        row.as_ref().map(Held::decode).transpose()
    }

    async fn due(&self) -> Res<Vec<Held>> {
        let most = i64::try_from(EXPIRE_PAGE).unwrap_or(i64::MAX);
        let rows = self.tx.query(DUE, &[&self.row.tid, &self.now.micros(), &most]).await?;
        rows.iter().map(Held::decode).collect()
    }

    /// Ends reservations without a word from their callers: those that were not sent are given back, the others booked at what
    /// they held. Gives the number of both.
    async fn end(&mut self, all: &[Held]) -> Res<(u64, u64)> {
        let (mut moves, mut unsent, mut booked) = (Moves::default(), Vec::new(), 0);
        for held in all {
            let mut moved = Move { freed: held.amount, ..Move::default() };
            if held.sent {
                let call = held.ended();
                let settlement = call.settlement(None);
                moved.used = settlement.amount();
                self.write_row(held.id, &settlement).await?;
                self.ran_out.push(call);
                booked += 1;
            } else {
                unsent.push(held.id);
            }
            moves.add(&held.project, held.reserved_at, moved);
        }
        if !all.is_empty() {
            self.tx.execute(FREE, &[&self.row.tid, &unsent]).await?;
            self.change(&moves).await?;
        }
        Ok((u64::try_from(unsent.len()).unwrap_or(u64::MAX), booked))
    }

    /// Turns a reservation into a row of the ledger.
    async fn write_row(&self, id: Uuid, settlement: &Settlement) -> Res<()> {
        let usage = &settlement.usage;
        let params: Params<'_> = &[
            &self.row.tid,
            &id,
            &self.now.micros(),
            &settlement.status.as_str(),
            &int(usage.input_tokens),
            &int(usage.cached_input_tokens),
            &int(usage.output_tokens),
            &int(usage.reasoning_tokens),
            &settlement.estimated,
            &settlement.cost.micros(),
            &settlement.saved.micros(),
            &bytes(settlement.error.as_ref()),
        ];
        self.tx.execute(SETTLE, params).await?;
        Ok(())
    }

    async fn change(&self, moves: &Moves) -> Res<()> {
        let projects: Vec<_> = moves.0.keys().map(|(project, _)| project.as_str()).collect();
        let periods: Vec<_> = moves.0.keys().map(|(_, Reverse(period))| *period).collect();
        let usd = |get: fn(&Move) -> Amount| moves.column(|moved| get(moved).usd.micros());
        let tokens = |get: fn(&Move) -> Amount| moves.column(|moved| int(get(moved).tokens));
        let made: Params<'_> = &[&self.row.tid, &projects, &periods];
        let moved: Params<'_> = &[
            &self.row.tid,
            &projects,
            &periods,
            &usd(|m| m.used),
            &tokens(|m| m.used),
            &usd(|m| m.held),
            &tokens(|m| m.held),
            &usd(|m| m.freed),
            &tokens(|m| m.freed),
        ];
        self.tx.prepare(&[MAKE_WINDOWS, MOVE_WINDOWS]).await?;
        try_join!(self.tx.execute(MAKE_WINDOWS, made), self.tx.execute(MOVE_WINDOWS, moved))?;
        Ok(())
    }

    /// Takes out of the money what an erasure must not leave: all of a tenant's; of a project its budget and the names of users
    /// and requests; of a user the name and the requests. Amounts stay, as the tenant's day and month must still add up.
    pub async fn erase_money(&self, target: &DropTarget) -> Res<()> {
        let (tx, tid) = (self.tx, &self.row.tid);
        match target {
            DropTarget::Session(_) => {}
            // No project has this name: it stands for the tenant as a whole.
            DropTarget::Project(project) if project.is_empty() => {}
            DropTarget::User(user) => {
                self.hold_money().await?;
                let params: Params<'_> = &[tid, &tx.scope.project(), &user.as_bytes()];
                let rows = "UPDATE rae.ledger SET user_id = NULL, request_id = NULL \
                            WHERE tid = $1 AND project = $2 AND user_id = $3";
                tx.execute(rows, params).await?;
                let held = "UPDATE rae.reservations SET user_id = NULL, request_id = NULL \
                            WHERE tid = $1 AND project = $2 AND user_id = $3";
                tx.execute(held, params).await?;
            }
            DropTarget::Project(project) => {
                self.hold_money().await?;
                let params: Params<'_> = &[tid, project];
                tx.execute("DELETE FROM rae.budgets WHERE tid = $1 AND project = $2", params).await?;
                let rows = "UPDATE rae.ledger SET user_id = NULL, request_id = NULL WHERE tid = $1 AND project = $2 \
                            AND (user_id IS NOT NULL OR request_id IS NOT NULL)";
                tx.execute(rows, params).await?;
                let held =
                    "UPDATE rae.reservations SET user_id = NULL, request_id = NULL WHERE tid = $1 AND project = $2";
                tx.execute(held, params).await?;
            }
            DropTarget::Tenant => {
                self.hold_money().await?;
                tx.execute("DELETE FROM rae.budgets WHERE tid = $1", &[tid]).await?;
                tx.execute("DELETE FROM rae.spend WHERE tid = $1", &[tid]).await?;
                tx.execute("DELETE FROM rae.reservations WHERE tid = $1", &[tid]).await?;
                tx.execute("DELETE FROM rae.ledger WHERE tid = $1", &[tid]).await?;
            }
        }
        Ok(())
    }
}

/// Forgets sums of windows that are long over, of every tenant.
pub(super) async fn forget_spend(tx: &Tx, now: Timestamp) -> Res<()> {
    let kept = now.saturating_add_seconds(-SPEND_DAYS_KEPT * 86_400);
    let params: Params<'_> = &[&Window::Day.period(kept), &Window::Month.period(kept)];
    tx.query("SELECT rae.forget_spend($1, $2)", params).await?;
    Ok(())
}
