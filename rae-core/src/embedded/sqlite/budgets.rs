//! Budgets, and what is spent and held in each day and month.

use super::{
    apply::Work,
    errors::Res,
    row::{int, page, uint},
};
use crate::{
    limits::{FINDINGS_MAX, SPEND_DAYS_KEPT},
    model::{
        Amount, Budget, BudgetChange, BudgetLevel, Funds, LevelFunds, Limits, Scope, Setting, Share, Spent, Timestamp,
        Usd, Window,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The project of the rows of a whole tenant.
const WHOLE: &str = "";

fn name(scope: &Scope, level: BudgetLevel) -> &str {
    match level {
        BudgetLevel::Tenant => WHOLE,
        BudgetLevel::Project => scope.project(),
    }
}

/// What was set for a tenant (the empty project) or a project.
fn find(conn: &Connection, tenant: &str, project: &str) -> Res<Budget> {
    let mut select = conn.prepare_cached(
        "SELECT daily_usd, monthly_usd, daily_tokens, monthly_tokens, warning FROM budgets \
         WHERE tenant = ?1 AND project = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let mut budget = Budget::default();
        for (column, limit) in budget.limits.iter_mut().enumerate() {
            *limit = Setting::from_stored(row.get(column)?);
        }
        budget.warning_threshold = row.get::<_, Option<u32>>(4)?.map(Share::from_millionths);
        Ok(budget)
    };
    Ok(select.query_row([tenant, project], read).optional()?.unwrap_or_default())
}

pub(super) fn budget(conn: &Connection, scope: &Scope, level: BudgetLevel) -> Res<Budget> {
    find(conn, scope.tenant(), name(scope, level))
}

/// What a window holds.
fn spent(conn: &Connection, tenant: &str, project: &str, period: i64) -> Res<Spent> {
    let mut select = conn.prepare_cached(
        "SELECT used_usd, used_tokens, reserved_usd, reserved_tokens FROM spend \
         WHERE tenant = ?1 AND project = ?2 AND period = ?3",
    )?;
    let amount = |row: &Row<'_>, at| -> rusqlite::Result<_> {
        Ok(Amount { usd: Usd::from_micros(row.get(at)?), tokens: uint(row, at + 1)? })
    };
    let read = |row: &Row<'_>| Ok(Spent { used: amount(row, 0)?, reserved: amount(row, 2)? });
    Ok(select.query_row(params![tenant, project, period], read).optional()?.unwrap_or_default())
}

fn level_funds(conn: &Connection, tenant: &str, project: &str, defaults: &Limits, now: Timestamp) -> Res<LevelFunds> {
    let window = |window: Window| spent(conn, tenant, project, window.period(now));
    let limits = find(conn, tenant, project)?.resolve(defaults);
    Ok(LevelFunds { limits, day: window(Window::Day)?, month: window(Window::Month)? })
}

/// Limits and spending that a call of `scope` is held to at `now`.
pub(super) fn funds(conn: &Connection, scope: &Scope, defaults: &Limits, now: Timestamp) -> Res<Funds> {
    let level =
        |level: BudgetLevel| level_funds(conn, scope.tenant(), name(scope, level), &level.defaults(defaults), now);
    Ok(Funds { at: now, tenant: level(BudgetLevel::Tenant)?, project: level(BudgetLevel::Project)? })
}

pub(super) fn top_funds(
    conn: &Connection,
    defaults: &Limits,
    limit: usize,
    now: Timestamp,
) -> Res<Vec<(String, LevelFunds)>> {
    let mut select = conn.prepare_cached(
        "SELECT tenant FROM spend WHERE project = '' AND period = ?1 \
         AND (used_usd > 0 OR used_tokens > 0 OR reserved_usd > 0 OR reserved_tokens > 0) \
         ORDER BY used_usd DESC, tenant LIMIT ?2",
    )?;
    let tenants = select.query_map([Window::Month.period(now), page(limit)?], |row| row.get::<_, String>(0))?;
    let mut top = Vec::new();
    for tenant in tenants {
        let tenant = tenant?;
        let funds = level_funds(conn, &tenant, WHOLE, defaults, now)?;
        top.push((tenant, funds));
    }
    Ok(top)
}

impl Work<'_> {
    /// Changes a budget; gives it as it is now.
    pub fn set_budget(&self, level: BudgetLevel, change: &BudgetChange) -> Res<Budget> {
        change.check()?;
        let (tenant, project) = (self.scope.tenant(), name(self.scope, level));
        let mut budget = find(self.conn, tenant, project)?;
        budget.change(change);
        let [daily_usd, monthly_usd, daily_tokens, monthly_tokens] = budget.limits.map(Setting::stored);
        let warning = budget.warning_threshold.map(Share::millionths);
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO budgets (tenant, project, daily_usd, monthly_usd, daily_tokens, \
                 monthly_tokens, warning) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![tenant, project, daily_usd, monthly_usd, daily_tokens, monthly_tokens, warning])?;
        Ok(budget)
    }

    /// Changes what the tenant and `project` spent and hold in the day and the month of `at`.
    pub fn spend(&self, project: &str, at: Timestamp, change: impl Fn(&mut Spent)) -> Res<()> {
        let tenant = self.scope.tenant();
        for project in [WHOLE, project] {
            for window in Window::ALL {
                let period = window.period(at);
                let mut held = spent(self.conn, tenant, project, period)?;
                change(&mut held);
                let Spent { used, reserved } = held;
                self.conn
                    .prepare_cached(
                        "INSERT OR REPLACE INTO spend (tenant, project, period, used_usd, reserved_usd, used_tokens, \
                         reserved_tokens) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        tenant,
                        project,
                        period,
                        used.usd.micros(),
                        reserved.usd.micros(),
                        int(used.tokens),
                        int(reserved.tokens)
                    ])?;
            }
        }
        Ok(())
    }
}

/// Drops the sums of days and months that no limit is compared with any more; what is still held there is counted when it ends.
pub(super) fn forget_spend(conn: &Connection, now: Timestamp) -> Res<()> {
    let kept = now.saturating_add_seconds(-SPEND_DAYS_KEPT * 86_400);
    let [day, month] = Window::ALL.map(|window| window.period(kept));
    // A month has six digits and a day eight.
    conn.execute(
        "DELETE FROM spend WHERE reserved_usd = 0 AND reserved_tokens = 0 \
         AND (period < ?2 OR (period < ?1 AND period > 999999))",
        [day, month],
    )?;
    Ok(())
}

/// What the ledger and the reservations add up to, by tenant and project and by day and month.
macro_rules! sums {
    () => {
        "WITH parts AS ( \
           SELECT tenant, project, at, cost, input_tokens + output_tokens AS tokens, 0 AS held_usd, 0 AS held_tokens \
           FROM ledger \
           UNION ALL SELECT tenant, project, reserved_at, 0, 0, usd, tokens FROM reservations), \
         days AS ( \
           SELECT tenant, project, CAST(strftime('%Y%m%d', at / 1000000, 'unixepoch') AS INTEGER) AS day, cost, tokens, \
           held_usd, held_tokens FROM parts), \
         levels AS ( \
           SELECT tenant, project, day, cost, tokens, held_usd, held_tokens FROM days \
           UNION ALL SELECT tenant, '', day, cost, tokens, held_usd, held_tokens FROM days), \
         windows AS ( \
           SELECT tenant, project, day AS period, cost, tokens, held_usd, held_tokens FROM levels \
           UNION ALL SELECT tenant, project, day / 100, cost, tokens, held_usd, held_tokens FROM levels), \
         sums AS ( \
           SELECT tenant, project, period, sum(cost) AS cost, sum(tokens) AS tokens, sum(held_usd) AS held_usd, \
           sum(held_tokens) AS held_tokens FROM windows GROUP BY tenant, project, period) "
    };
}

/// Days and months whose sums are wrong.
const WRONG: &str = concat!(
    sums!(),
    "SELECT s.period FROM spend s LEFT JOIN sums e USING (tenant, project, period) \
     WHERE s.used_usd <> ifnull(e.cost, 0) OR s.used_tokens <> ifnull(e.tokens, 0) \
     OR s.reserved_usd <> ifnull(e.held_usd, 0) OR s.reserved_tokens <> ifnull(e.held_tokens, 0) LIMIT ?1"
);

/// Days and months that lack their sums: something is held in them, or they are today's.
const MISSING: &str = concat!(
    sums!(),
    "SELECT e.period FROM sums e LEFT JOIN spend s USING (tenant, project, period) WHERE s.used_usd IS NULL \
     AND (e.held_usd > 0 OR e.held_tokens > 0 OR (e.period IN (?2, ?3) AND (e.cost > 0 OR e.tokens > 0))) LIMIT ?1"
);

/// Compares the sums with what they are sums of.
pub(super) fn verify(conn: &Connection, now: Timestamp, findings: &mut Vec<String>) -> Res<()> {
    let room = |findings: &[String]| i64::try_from(FINDINGS_MAX.saturating_sub(findings.len())).unwrap_or(i64::MAX);
    let wrong = periods(conn, WRONG, params![room(findings)])?;
    let say =
        |period: i64| format!("what was spent or is held in {period} is not the sum of its ledger and reservations");
    findings.extend(wrong.into_iter().map(say));
    let [day, month] = Window::ALL.map(|window| window.period(now));
    let missing = periods(conn, MISSING, params![room(findings), day, month])?;
    findings.extend(missing.into_iter().map(|period| format!("what was spent or is held in {period} has no sum")));
    Ok(())
}

fn periods(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Res<Vec<i64>> {
    let mut select = conn.prepare(sql)?;
    let found = select.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}
