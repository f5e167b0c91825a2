//! Reservations from their beginning to their row in the ledger.

use super::{
    apply::{Work, holds},
    budgets,
    errors::Res,
    row::{Id, Micros, int, uint},
};
use crate::{
    limits::EXPIRE_PAGE,
    model::{
        Amount, Booking, CallLabel, DropTarget, EndedCall, Limits, NewReservation, Outcome, Settlement, Timestamp, Usd,
    },
};
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

/// An attempt: a reservation under way, or a booking that needed none.
struct Attempt {
    id: Uuid,
    project: String,
    at: Timestamp,
    attempt: u32,
    label: CallLabel,
}

/// A reservation under way.
struct Held {
    attempt: Attempt,
    sent: bool,
    amount: Amount,
}

impl Held {
    fn ended(&self) -> EndedCall {
        EndedCall::new(&self.attempt.project, &self.attempt.label, self.amount)
    }
}

const HELD: &str = "SELECT id, project, reserved_at, sent, usd, tokens, attempt, provider, model, operation, user_id, \
    request_id FROM reservations";

fn decode(row: &Row<'_>) -> rusqlite::Result<Held> {
    let label = CallLabel {
        provider: row.get(7)?,
        model: row.get(8)?,
        operation: row.get(9)?,
        user_id: row.get(10)?,
        request_id: row.get(11)?,
    };
    let (id, at) = (row.get::<_, Id>(0)?.0, row.get::<_, Micros>(2)?.0);
    Ok(Held {
        attempt: Attempt { id, project: row.get(1)?, at, attempt: row.get(6)?, label },
        sent: row.get(3)?,
        amount: Amount { usd: Usd::from_micros(row.get(4)?), tokens: uint(row, 5)? },
    })
}

impl Work<'_> {
    /// Holds an amount under every limit of the tenant and the project.
    pub fn reserve(&mut self, new: &NewReservation) -> Res<Outcome> {
        new.check()?;
        self.expire_reservations()?;
        self.unused(new.id)?;
        budgets::funds(self.conn, self.scope, &new.defaults, self.now)?.check(new.amount)?;
        self.spend(self.scope.project(), self.now, |spent| spent.hold(new.amount))?;
        let CallLabel { provider, model, operation, user_id, request_id } = &new.label;
        self.conn
            .prepare_cached(
                "INSERT INTO reservations (id, tenant, project, reserved_at, expires_at, usd, tokens, attempt, provider, \
                 model, operation, user_id, request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                Id(new.id),
                self.scope.tenant(),
                self.scope.project(),
                Micros(self.now),
                Micros(self.now.saturating_add(new.hold)),
                new.amount.usd.micros(),
                int(new.amount.tokens),
                new.attempt,
                provider,
                model,
                operation,
                user_id,
                request_id
            ])?;
        self.funds(&new.defaults)
    }

    fn funds(&self, defaults: &Limits) -> Res<Outcome> {
        Ok(Outcome::Funds(Box::new(budgets::funds(self.conn, self.scope, defaults, self.now)?)))
    }

    /// A Conflict where an attempt of the store has this id.
    fn unused(&self, id: Uuid) -> Res<()> {
        let sql = "SELECT 1 FROM reservations WHERE id = ?1 UNION ALL SELECT 1 FROM ledger WHERE id = ?1";
        let taken = self.conn.prepare_cached(sql)?.exists([Id(id)])?;
        holds(!taken, "exists", || format!("there is an attempt {id} already"))?;
        Ok(())
    }

    /// A reservation of the call's project.
    fn held(&self, id: Uuid) -> Res<Option<Held>> {
        let sql = format!("{HELD} WHERE id = ?1 AND tenant = ?2 AND project = ?3");
        let mut select = self.conn.prepare_cached(&sql)?;
        Ok(select.query_row(params![Id(id), self.scope.tenant(), self.scope.project()], decode).optional()?)
    }

    /// Notes that a call is about to leave; whether there is such a reservation.
    pub fn mark_sent(&self, id: Uuid) -> Res<bool> {
        let sql = "UPDATE reservations SET sent = 1 WHERE id = ?1 AND tenant = ?2 AND project = ?3";
        let params = params![Id(id), self.scope.tenant(), self.scope.project()];
        Ok(self.conn.prepare_cached(sql)?.execute(params)? > 0)
    }

    /// Ends a reservation with what it cost.
    pub fn settle(&self, id: Uuid, settlement: &Settlement, defaults: &Limits) -> Res<Outcome> {
        settlement.check()?;
        let Some(held) = self.held(id)? else { return Ok(Outcome::Skipped) };
        self.end(&held, Some(settlement))?;
        self.funds(defaults)
    }

    /// Ends a reservation of this provider and model.
    pub fn settle_call(
        &self,
        id: Uuid,
        provider: &str,
        model: &str,
        settlement: Option<&Settlement>,
        defaults: &Limits,
    ) -> Res<Outcome> {
        let Some(held) = self.held(id)? else { return Ok(Outcome::Skipped) };
        let call = held.ended();
        call.check_is(id, provider, model)?;
        let settlement = call.settlement(settlement);
        settlement.check()?;
        self.end(&held, Some(&settlement))?;
        Ok(Outcome::Settled { funds: Box::new(budgets::funds(self.conn, self.scope, defaults, self.now)?), call })
    }

    /// Gives back what a call held that was not sent; whether there is such a reservation.
    pub fn release(&self, id: Uuid) -> Res<bool> {
        let held = self.held(id)?.filter(|held| !held.sent);
        held.as_ref().map(|held| self.end(held, None)).transpose()?;
        Ok(held.is_some())
    }

    /// Ends the reservations of the tenant that ran out, the first of them first.
    pub fn expire_reservations(&mut self) -> Res<Outcome> {
        let sql = format!("{HELD} WHERE tenant = ?1 AND expires_at <= ?2 ORDER BY expires_at, id LIMIT ?3");
        let mut select = self.conn.prepare_cached(&sql)?;
        let page = i64::try_from(EXPIRE_PAGE).unwrap_or(i64::MAX);
        let due = select.query_map(params![self.scope.tenant(), Micros(self.now), page], decode)?;
        let due = due.collect::<rusqlite::Result<Vec<_>>>()?;
        let (mut released, mut booked) = (0, 0);
        for held in due {
            let sent = held.sent.then(|| held.ended());
            self.end(&held, sent.as_ref().map(|call| call.settlement(None)).as_ref())?;
            let ended = if sent.is_some() { &mut booked } else { &mut released };
            *ended += 1;
            self.ran_out.extend(sent);
        }
        Ok(Outcome::Expired { released, booked })
    }

    /// Takes a reservation away and books what it cost, if anything, to the day and month of its reserve.
    fn end(&self, held: &Held, settlement: Option<&Settlement>) -> Res<()> {
        let Held { attempt, amount, .. } = held;
        self.conn.prepare_cached("DELETE FROM reservations WHERE id = ?1")?.execute([Id(attempt.id)])?;
        self.spend(&attempt.project, attempt.at, |spent| {
            spent.give_back(*amount);
            spent.book(settlement.map(Settlement::amount).unwrap_or_default());
        })?;
        settlement.map_or(Ok(()), |settlement| self.write_row(attempt, settlement))
    }

    /// Books an attempt that needed no reservation.
    pub fn book(&self, booking: &Booking) -> Res<Outcome> {
        let Booking { id, label, settlement } = booking;
        settlement.check()?;
        self.unused(*id)?;
        let project = self.scope.project().to_owned();
        let attempt = Attempt { id: *id, project, at: self.now, attempt: 1, label: label.clone() };
        self.spend(&attempt.project, self.now, |spent| spent.book(settlement.amount()))?;
        self.write_row(&attempt, settlement)?;
        Ok(Outcome::Done)
    }

    fn write_row(&self, attempt: &Attempt, settlement: &Settlement) -> Res<()> {
        let CallLabel { provider, model, operation, user_id, request_id } = &attempt.label;
        let Settlement { status, usage, estimated, cost, saved, error } = settlement;
        self.conn
            .prepare_cached(
                "INSERT INTO ledger (id, tenant, project, at, settled_at, attempt, input_tokens, cached_input_tokens, \
                 output_tokens, reasoning_tokens, estimated, cost, saved, status, provider, model, operation, user_id, \
                 request_id, error) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
            )?
            .execute(params![
                Id(attempt.id),
                self.scope.tenant(),
                attempt.project,
                Micros(attempt.at),
                Micros(self.now),
                attempt.attempt,
                int(usage.input_tokens),
                int(usage.cached_input_tokens),
                int(usage.output_tokens),
                int(usage.reasoning_tokens),
                estimated,
                cost.micros(),
                saved.micros(),
                status.as_str(),
                provider,
                model,
                operation,
                user_id,
                request_id,
                error
            ])?;
        Ok(())
    }

    /// What an erasure takes of money: all of a tenant's, of a project the budget and the names, of a user the name.
    pub fn erase_money(&self, target: &DropTarget) -> Res<()> {
        let (conn, tenant) = (self.conn, self.scope.tenant());
        let forget_names = |project: &str, user: Option<&str>| -> Res<()> {
            for table in ["ledger", "reservations"] {
                conn.execute(
                    &format!(
                        "UPDATE {table} SET user_id = NULL, request_id = NULL WHERE tenant = ?1 AND project = ?2 \
                         AND (?3 IS NULL OR user_id = ?3) AND (user_id IS NOT NULL OR request_id IS NOT NULL)"
                    ),
                    params![tenant, project, user],
                )?;
            }
            Ok(())
        };
        match target {
            DropTarget::Session(_) => Ok(()),
            // No project has this name: it stands for the tenant as a whole.
            DropTarget::Project(project) if project.is_empty() => Ok(()),
            DropTarget::User(user) => forget_names(self.scope.project(), Some(user)),
            DropTarget::Project(project) => {
                conn.execute("DELETE FROM budgets WHERE tenant = ?1 AND project = ?2", [tenant, project])?;
                forget_names(project, None)
            }
            DropTarget::Tenant => {
                for table in ["budgets", "spend", "reservations", "ledger"] {
                    conn.execute(&format!("DELETE FROM {table} WHERE tenant = ?1"), [tenant])?;
                }
                Ok(())
            }
        }
    }
}
