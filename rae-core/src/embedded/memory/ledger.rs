//! Money of the reference store: budgets, reservations, the ledger, and what follows from them.

use super::{ReferenceStore, State, page};
use crate::{
    ctx::Ctx,
    error::{Error, Result},
    limits::{EXPIRE_PAGE, SPEND_DAYS_KEPT},
    model::{
        Amount, Booking, Budget, BudgetChange, BudgetLevel, CallLabel, CallStatus, CostGroup, CostQuery, CostRow,
        DropTarget, EndedCall, Funds, LedgerRow, LedgerScan, LevelFunds, Limits, NewReservation, Outcome, Scope,
        Settlement, Spent, Timestamp, TokenUsage, Usd, Window,
    },
    ports::LedgerRead,
};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// A tenant, and a project of it; empty for the tenant as a whole.
type Place = (String, String);

/// A reservation under way.
#[derive(Debug, Clone)]
struct Held {
    scope: Scope,
    at: Timestamp,
    expires_at: Timestamp,
    sent: bool,
    amount: Amount,
    label: CallLabel,
    attempt: u32,
}

/// What concerns money, of all tenants.
#[derive(Debug, Clone, Default)]
pub(super) struct Money {
    budgets: BTreeMap<Place, Budget>,
    /// By place and window.
    spend: BTreeMap<(Place, i64), Spent>,
    held: BTreeMap<Uuid, Held>,
    /// In the order of booking, each with its tenant.
    ledger: Vec<(String, LedgerRow)>,
    /// Rows booked so far.
    booked: u64,
    /// What the batch at work booked as unconfirmed.
    ran_out: Vec<EndedCall>,
}

impl Held {
    fn ended(&self) -> EndedCall {
        EndedCall::new(self.scope.project(), &self.label, self.amount)
    }
}

fn place(scope: &Scope, level: BudgetLevel) -> Place {
    let project = if level == BudgetLevel::Project { scope.project() } else { "" };
    (scope.tenant().to_owned(), project.to_owned())
}

fn plus(a: Usd, b: Usd) -> Usd {
    Usd::from_micros(a.micros().saturating_add(b.micros()))
}

/// The tenant and the project of `scope`, each in the day and in the month of `at`.
fn windows(scope: &Scope, at: Timestamp) -> impl Iterator<Item = (Place, i64)> + use<> {
    let places = BudgetLevel::ALL.map(|level| place(scope, level));
    places.into_iter().flat_map(move |place| Window::ALL.map(|window| (place.clone(), window.period(at))))
}

impl Money {
    fn level(&self, place: Place, defaults: &Limits, now: Timestamp) -> LevelFunds {
        let limits = self.budgets.get(&place).copied().unwrap_or_default().resolve(defaults);
        let [day, month] =
            Window::ALL.map(|window| self.spend.get(&(place.clone(), window.period(now))).copied().unwrap_or_default());
        LevelFunds { limits, day, month }
    }

    fn funds(&self, scope: &Scope, defaults: &Limits, now: Timestamp) -> Funds {
        let level = |level: BudgetLevel| self.level(place(scope, level), &level.defaults(defaults), now);
        Funds { at: now, tenant: level(BudgetLevel::Tenant), project: level(BudgetLevel::Project) }
    }

    fn spend(&mut self, scope: &Scope, at: Timestamp, change: impl Fn(&mut Spent)) {
        windows(scope, at).for_each(|window| change(self.spend.entry(window).or_default()));
    }

    fn unused(&self, id: Uuid) -> Result<()> {
        if self.held.contains_key(&id) || self.ledger.iter().any(|(_, row)| row.id == id) {
            return Err(Error::conflict(format!("there is an attempt {id} already")).with_code("exists"));
        }
        Ok(())
    }

    /// Takes a reservation away and books what it cost, if anything, to the day and month of its reserve.
    fn end(&mut self, id: Uuid, settlement: Option<&Settlement>, now: Timestamp) {
        let Some(held) = self.held.remove(&id) else { return };
        self.spend(&held.scope, held.at, |spent| {
            spent.give_back(held.amount);
            spent.book(settlement.map(Settlement::amount).unwrap_or_default());
        });
        if let Some(settlement) = settlement {
            self.write_row(id, &held, settlement, now);
        }
    }

    fn write_row(&mut self, id: Uuid, held: &Held, settlement: &Settlement, now: Timestamp) {
        self.booked += 1;
        let settlement = settlement.clone();
        let row = LedgerRow {
            no: self.booked,
            id,
            at: held.at,
            settled_at: now,
            project: held.scope.project().to_owned(),
            label: held.label.clone(),
            attempt: held.attempt,
            status: settlement.status,
            usage: settlement.usage,
            estimated: settlement.estimated,
            cost_usd: settlement.cost,
            saved_usd: settlement.saved,
            error: settlement.error,
        };
        self.ledger.push((held.scope.tenant().to_owned(), row));
    }

    fn expire(&mut self, tenant: &str, now: Timestamp) -> Outcome {
        let due = self.held.iter().filter(|(_, held)| held.scope.tenant() == tenant && held.expires_at <= now);
        let mut due: Vec<_> = due.map(|(id, held)| (held.expires_at, *id, held.sent.then(|| held.ended()))).collect();
        due.sort_unstable_by_key(|(expires_at, id, _)| (*expires_at, *id));
        due.truncate(EXPIRE_PAGE);
        let (mut released, mut booked) = (0, 0);
        for (_, id, sent) in due {
            let unconfirmed = sent.as_ref().map(|call| call.settlement(None));
            self.end(id, unconfirmed.as_ref(), now);
            let ended = if sent.is_some() { &mut booked } else { &mut released };
            *ended += 1;
            self.ran_out.extend(sent);
        }
        Outcome::Expired { released, booked }
    }

    /// Rows of the tenant or the project in the time asked for, oldest first.
    fn rows(
        &self,
        scope: &Scope,
        level: BudgetLevel,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> impl DoubleEndedIterator<Item = &LedgerRow> {
        let own = self.ledger.iter().filter(move |(tenant, row)| {
            tenant == scope.tenant() && (level == BudgetLevel::Tenant || row.project == scope.project())
        });
        let timely = move |row: &&LedgerRow| {
            since.is_none_or(|since| row.at >= since) && until.is_none_or(|until| row.at < until)
        };
        own.map(|(_, row)| row).filter(timely)
    }

    /// Drops the sums of days and months that no limit is compared with any more.
    pub fn forget_spend(&mut self, now: Timestamp) {
        let kept = now.saturating_add_seconds(-SPEND_DAYS_KEPT * 86_400);
        let [day, month] = Window::ALL.map(|window| window.period(kept));
        let is_old = |period: i64| period < if period > 999_999 { day } else { month };
        self.spend.retain(|(_, period), spent| spent.reserved != Amount::default() || !is_old(*period));
    }

    /// Sums that are not those of the ledger and the reservations.
    pub fn findings(&self) -> Vec<String> {
        let mut sums = BTreeMap::<(Place, i64), Spent>::new();
        for (tenant, row) in &self.ledger {
            let Ok(scope) = Scope::new(tenant, &row.project) else { continue };
            let amount = Amount { usd: row.cost_usd, tokens: row.usage.total() };
            windows(&scope, row.at).for_each(|window| sums.entry(window).or_default().book(amount));
        }
        for held in self.held.values() {
            windows(&held.scope, held.at).for_each(|window| sums.entry(window).or_default().hold(held.amount));
        }
        let wrong =
            self.spend.iter().filter(|(window, spent)| sums.get(*window).copied().unwrap_or_default() != **spent);
        let missing =
            sums.iter().filter(|(window, sum)| sum.reserved != Amount::default() && !self.spend.contains_key(*window));
        let all = wrong.chain(missing);
        all.map(|((_, period), _)| format!("what was spent or is held in {period} is not the sum of its parts"))
            .collect()
    }

    fn forget_names(&mut self, scope: &Scope, user: Option<&str>) {
        let rows =
            self.ledger.iter_mut().filter(|(tenant, row)| tenant == scope.tenant() && row.project == scope.project());
        let held = self.held.values_mut().filter(|held| held.scope == *scope);
        for label in rows.map(|(_, row)| &mut row.label).chain(held.map(|held| &mut held.label)) {
            if user.is_none_or(|user| label.user_id.as_deref() == Some(user)) {
                (label.user_id, label.request_id) = (None, None);
            }
        }
    }
}

impl State {
    fn money_mut(&mut self) -> &mut Money {
        Arc::make_mut(&mut self.money)
    }

    /// Changes a budget; gives it as it is now.
    pub fn set_budget(&mut self, scope: &Scope, level: BudgetLevel, change: &BudgetChange) -> Result<Outcome> {
        change.check()?;
        let budget = self.money_mut().budgets.entry(place(scope, level)).or_default();
        budget.change(change);
        Ok(Outcome::Budget(*budget))
    }

    /// Holds an amount under every limit of the tenant and the project.
    pub fn reserve(&mut self, scope: &Scope, new: &NewReservation, now: Timestamp) -> Result<Outcome> {
        new.check()?;
        let money = self.money_mut();
        money.expire(scope.tenant(), now);
        money.unused(new.id)?;
        money.funds(scope, &new.defaults, now).check(new.amount)?;
        money.spend(scope, now, |spent| spent.hold(new.amount));
        let held = Held {
            scope: scope.clone(),
            at: now,
            expires_at: now.saturating_add(new.hold),
            sent: false,
            amount: new.amount,
            label: new.label.clone(),
            attempt: new.attempt,
        };
        money.held.insert(new.id, held);
        Ok(Outcome::Funds(Box::new(money.funds(scope, &new.defaults, now))))
    }

    fn own(&mut self, scope: &Scope, id: Uuid) -> Option<&mut Held> {
        self.money_mut().held.get_mut(&id).filter(|held| held.scope == *scope)
    }

    /// Notes that a call is about to leave; whether there is such a reservation.
    pub fn mark_sent(&mut self, scope: &Scope, id: Uuid) -> bool {
        self.own(scope, id).map(|held| held.sent = true).is_some()
    }

    /// Ends a reservation with what it cost.
    pub fn settle(
        &mut self,
        scope: &Scope,
        id: Uuid,
        settlement: &Settlement,
        defaults: &Limits,
        now: Timestamp,
    ) -> Result<Outcome> {
        settlement.check()?;
        if self.own(scope, id).is_none() {
            return Ok(Outcome::Skipped);
        }
        self.money_mut().end(id, Some(settlement), now);
        Ok(Outcome::Funds(Box::new(self.money.funds(scope, defaults, now))))
    }

    /// Ends a reservation of this provider and model.
    pub fn settle_call(
        &mut self,
        scope: &Scope,
        id: Uuid,
        (provider, model): (&str, &str),
        settlement: Option<&Settlement>,
        defaults: &Limits,
        now: Timestamp,
    ) -> Result<Outcome> {
        let Some(call) = self.own(scope, id).map(|held| held.ended()) else { return Ok(Outcome::Skipped) };
        call.check_is(id, provider, model)?;
        let settlement = call.settlement(settlement);
        settlement.check()?;
        self.money_mut().end(id, Some(&settlement), now);
        Ok(Outcome::Settled { funds: Box::new(self.money.funds(scope, defaults, now)), call })
    }

    /// What ran out and was booked since this was asked last.
    pub fn take_ran_out(&mut self) -> Vec<EndedCall> {
        match self.money.ran_out.is_empty() {
            true => Vec::new(),
            false => std::mem::take(&mut self.money_mut().ran_out),
        }
    }

    /// Gives back what a call held that was not sent; whether there is such a reservation.
    pub fn release(&mut self, scope: &Scope, id: Uuid, now: Timestamp) -> bool {
        let unsent = self.own(scope, id).is_some_and(|held| !held.sent);
        if unsent {
            self.money_mut().end(id, None, now);
        }
        unsent
    }

    /// Ends the reservations of the tenant that ran out, the first of them first.
    pub fn expire_reservations(&mut self, scope: &Scope, now: Timestamp) -> Outcome {
        self.money_mut().expire(scope.tenant(), now)
    }

    /// Books an attempt that needed no reservation.
    pub fn book(&mut self, scope: &Scope, booking: &Booking, now: Timestamp) -> Result<Outcome> {
        let Booking { id, label, settlement } = booking;
        settlement.check()?;
        let money = self.money_mut();
        money.unused(*id)?;
        money.spend(scope, now, |spent| spent.book(settlement.amount()));
        let (scope, label) = (scope.clone(), label.clone());
        let attempt =
            Held { scope, at: now, expires_at: now, sent: true, amount: Amount::default(), label, attempt: 1 };
        money.write_row(*id, &attempt, settlement, now);
        Ok(Outcome::Done)
    }

    /// What an erasure takes of money: all of a tenant's, of a project the budget and the names, of a user the name.
    pub fn erase_money(&mut self, scope: &Scope, target: &DropTarget) {
        let money = self.money_mut();
        match target {
            DropTarget::Session(_) => {}
            DropTarget::User(user) => money.forget_names(scope, Some(user)),
            DropTarget::Project(project) => {
                // No project has a name that is none.
                let Ok(erased) = Scope::new(scope.tenant(), project) else { return };
                money.budgets.remove(&place(&erased, BudgetLevel::Project));
                money.forget_names(&erased, None);
            }
            DropTarget::Tenant => {
                let tenant = scope.tenant();
                money.budgets.retain(|(of, _), _| of != tenant);
                money.spend.retain(|((of, _), _), _| of != tenant);
                money.held.retain(|_, held| held.scope.tenant() != tenant);
                money.ledger.retain(|(of, _)| of != tenant);
            }
        }
    }
}

fn key(row: &LedgerRow, group: CostGroup) -> String {
    match group {
        CostGroup::Day => {
            let (year, month, day) = row.at.ymd();
            format!("{year:04}-{month:02}-{day:02}")
        }
        CostGroup::Model => row.label.model.clone(),
        CostGroup::Provider => row.label.provider.clone(),
        CostGroup::Project => row.project.clone(),
        CostGroup::Operation => row.label.operation.clone(),
        CostGroup::User => row.label.user_id.clone().unwrap_or_default(),
    }
}

fn add(sum: &mut CostRow, row: &LedgerRow) {
    sum.calls += 1;
    sum.failed += u64::from(!matches!(row.status, CallStatus::Ok | CallStatus::Cached));
    let (all, one) = (&mut sum.usage, row.usage);
    *all = TokenUsage {
        input_tokens: all.input_tokens.saturating_add(one.input_tokens),
        cached_input_tokens: all.cached_input_tokens.saturating_add(one.cached_input_tokens),
        output_tokens: all.output_tokens.saturating_add(one.output_tokens),
        reasoning_tokens: all.reasoning_tokens.saturating_add(one.reasoning_tokens),
    };
    sum.cost_usd = plus(sum.cost_usd, row.cost_usd);
    sum.saved_usd = plus(sum.saved_usd, row.saved_usd);
    if row.status == CallStatus::Unconfirmed {
        sum.unconfirmed_usd = plus(sum.unconfirmed_usd, row.cost_usd);
    }
}

#[async_trait]
impl LedgerRead for ReferenceStore {
    async fn budget(&self, ctx: &Ctx, level: BudgetLevel) -> Result<Budget> {
        ctx.check()?;
        Ok(self.open()?.money.budgets.get(&place(ctx.scope(), level)).copied().unwrap_or_default())
    }

    async fn funds(&self, ctx: &Ctx, defaults: &Limits) -> Result<Funds> {
        ctx.check()?;
        Ok(self.open()?.money.funds(ctx.scope(), defaults, self.clock.now()))
    }

    async fn top_funds(&self, defaults: &Limits, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
        let (state, limit, now) = (self.open()?, page(limit)?, self.clock.now());
        let month = Window::Month.period(now);
        let tenants = state.money.spend.iter().filter(|(((_, project), period), spent)| {
            project.is_empty() && *period == month && **spent != Spent::default()
        });
        let level = |place: &Place| (place.0.clone(), state.money.level(place.clone(), defaults, now));
        let mut top: Vec<_> = tenants.map(|((place, _), _)| level(place)).collect();
        // They are in the order of their names, which those that spent the same keep.
        top.sort_by_key(|(_, level)| std::cmp::Reverse(level.month.used.usd));
        top.truncate(limit);
        Ok(top)
    }

    async fn costs(&self, ctx: &Ctx, query: &CostQuery) -> Result<Vec<CostRow>> {
        ctx.check()?;
        let (state, limit) = (self.open()?, query.rows()?);
        let mut sums = BTreeMap::<Vec<String>, CostRow>::new();
        if query.group_by.is_empty() {
            sums.insert(Vec::new(), CostRow::default());
        }
        for row in state.money.rows(ctx.scope(), query.level, query.since, query.until) {
            let keys: Vec<_> = query.group_by.iter().map(|group| key(row, *group)).collect();
            let sum = sums.entry(keys.clone()).or_insert_with(|| CostRow { keys, ..CostRow::default() });
            add(sum, row);
        }
        Ok(sums.into_values().take(limit).collect())
    }

    async fn ledger(&self, ctx: &Ctx, scan: &LedgerScan) -> Result<Vec<LedgerRow>> {
        ctx.check()?;
        let (state, limit) = (self.open()?, page(scan.limit)?);
        let rows = state.money.rows(ctx.scope(), scan.level, scan.since, scan.until).rev();
        let rows = rows.filter(|row| scan.before.is_none_or(|before| row.no < before));
        Ok(rows.take(limit).cloned().collect())
    }
}
