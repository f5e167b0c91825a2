//! Budgets, and where spending stands.

use super::{
    apply::Work,
    errors::Res,
    row::{int, page, uint},
    session::{Params, Tx},
};
use futures::try_join;
use rae_core::{
    Error,
    model::{
        Amount, Budget, BudgetChange, BudgetLevel, Funds, LevelFunds, LimitKind, Limits, Outcome, Setting, Share,
        Spent, Timestamp, Usd, Window,
    },
};
use tokio_postgres::Row;

/// What both levels of a scope have set.
pub(super) const BUDGETS: &str = "SELECT b.project, b.daily_usd, b.monthly_usd, b.daily_tokens, b.monthly_tokens, b.warning \
    FROM rae.budgets b JOIN rae.tenants t ON t.tid = b.tid WHERE t.name = $1 AND b.project = ANY ($2)";
/// What both levels of a scope have spent in a day and a month.
pub(super) const SPENT: &str = "SELECT s.project, s.period, s.used_usd, s.used_tokens, s.reserved_usd, s.reserved_tokens \
    FROM rae.spend s JOIN rae.tenants t ON t.tid = s.tid WHERE t.name = $1 AND s.project = ANY ($2) AND s.period = ANY ($3)";

/// The name that rows of a level have.
pub(super) fn row_name(level: BudgetLevel, project: &str) -> &str {
    match level {
        BudgetLevel::Tenant => "",
        BudgetLevel::Project => project,
    }
}

/// An amount from the columns for dollars and for tokens.
pub(super) fn amount(row: &Row, column: usize) -> Res<Amount> {
    Ok(Amount { usd: Usd::from_micros(row.try_get(column)?), tokens: uint(row, column + 1)? })
}

/// The columns of a budget from `column` on.
fn decode(row: &Row, column: usize) -> Res<Budget> {
    let mut budget = Budget::default();
    for (at, limit) in (column..).zip(&mut budget.limits) {
        *limit = Setting::from_stored(row.try_get(at)?);
    }
    let warning: Option<i64> = row.try_get(column + LimitKind::ALL.len())?;
    let share = |n| u32::try_from(n).map(Share::from_millionths);
    let unreadable = |_| Error::corrupt("a budget does not read back; set it again");
    budget.warning_threshold = warning.map(share).transpose().map_err(unreadable)?;
    Ok(budget)
}

/// Used and reserved, from `column` on.
fn spent(row: &Row, column: usize) -> Res<Spent> {
    Ok(Spent { used: amount(row, column)?, reserved: amount(row, column + 2)? })
}

/// What was set for one level of the scope.
pub(super) async fn budget(tx: &Tx, level: BudgetLevel) -> Res<Budget> {
    let names = [row_name(level, tx.scope.project())];
    let params: Params<'_> = &[&tx.scope.tenant(), &names.as_slice()];
    tx.query_opt(BUDGETS, params).await?.map_or_else(|| Ok(Budget::default()), |row| decode(&row, 1))
}

/// What a call of the scope is held to at `now`.
pub(super) async fn funds(tx: &Tx, now: Timestamp, defaults: &Limits) -> Res<Funds> {
    let (tenant, names) = (tx.scope.tenant(), ["", tx.scope.project()]);
    let periods = Window::ALL.map(|window| window.period(now));
    let of_budgets: Params<'_> = &[&tenant, &names.as_slice()];
    let of_spent: Params<'_> = &[&tenant, &names.as_slice(), &periods.as_slice()];
    let (budgets, rows) = try_join!(tx.query(BUDGETS, of_budgets), tx.query(SPENT, of_spent))?;
    let mut found = [LevelFunds::default(); BudgetLevel::ALL.len()];
    for (level, funds) in BudgetLevel::ALL.into_iter().zip(&mut found) {
        let name = row_name(level, tx.scope.project());
        let mut budget = Budget::default();
        for row in &budgets {
            if row.try_get::<_, &str>(0)? == name {
                budget = decode(row, 1)?;
            }
        }
        funds.limits = budget.resolve(&level.defaults(defaults));
        for row in &rows {
            let period: i64 = row.try_get(1)?;
            if row.try_get::<_, &str>(0)? == name {
                let window = if period == Window::Day.period(now) { &mut funds.day } else { &mut funds.month };
                *window = spent(row, 2)?;
            }
        }
    }
    let [tenant, project] = found;
    Ok(Funds { at: now, tenant, project })
}

/// Through the door `top_funds`.
pub(super) async fn top_funds(tx: &Tx, defaults: &Limits, limit: usize) -> Res<Vec<(String, LevelFunds)>> {
    let now = tx.now()?;
    let sql = "SELECT of_tenant, daily_usd, monthly_usd, daily_tokens, monthly_tokens, warning, day_used_usd, \
               day_used_tokens, day_reserved_usd, day_reserved_tokens, month_used_usd, month_used_tokens, \
               month_reserved_usd, month_reserved_tokens FROM rae.top_funds($1, $2, $3) \
               ORDER BY month_used_usd DESC, of_tenant COLLATE \"C\"";
    let params: Params<'_> = &[&Window::Day.period(now), &Window::Month.period(now), &page(limit)?];
    let decode = |row: &Row| {
        let limits = decode(row, 1)?.resolve(defaults);
        Ok((row.try_get(0)?, LevelFunds { limits, day: spent(row, 6)?, month: spent(row, 10)? }))
    };
    tx.query(sql, params).await?.iter().map(decode).collect()
}

impl Work<'_> {
    pub async fn set_budget(&self, level: BudgetLevel, change: &BudgetChange) -> Res<Outcome> {
        change.check()?;
        self.hold_money().await?;
        let mut budget = budget(self.tx, level).await?;
        budget.change(change);
        let name = row_name(level, self.tx.scope.project());
        let [daily_usd, monthly_usd, daily_tokens, monthly_tokens] = budget.limits.map(Setting::stored);
        let warning = budget.warning_threshold.map(|share| int(share.millionths().into()));
        let sql = "INSERT INTO rae.budgets (tid, project, daily_usd, monthly_usd, daily_tokens, monthly_tokens, warning) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tid, project) DO UPDATE SET \
                   daily_usd = excluded.daily_usd, monthly_usd = excluded.monthly_usd, \
                   daily_tokens = excluded.daily_tokens, monthly_tokens = excluded.monthly_tokens, \
                   warning = excluded.warning";
        let params: Params<'_> =
            &[&self.row.tid, &name, &daily_usd, &monthly_usd, &daily_tokens, &monthly_tokens, &warning];
        self.tx.execute(sql, params).await?;
        Ok(Outcome::Budget(budget))
    }
}
