//! Limits on spending, and where they stand.

use crate::{
    deps::Deps,
    error::{Error, Result},
    model::{BudgetChange, BudgetLevel, Funds, LevelFunds, LimitKind, Limits, Op, Outcome, Scope, Timestamp, Usd},
};
use serde::{Deserialize, Serialize};

/// Money of one window. `null` where there is no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsdWindow {
    /// The limit.
    pub limit_usd: Option<Usd>,
    /// Booked.
    pub used_usd: Usd,
    /// Held for calls under way.
    pub reserved_usd: Usd,
    /// What a call may still cost.
    pub remaining_usd: Option<Usd>,
    /// When the window ends and all of the limit is there again.
    pub resets_at: Timestamp,
}

/// Tokens of one window. `null` where there is no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenWindow {
    /// The limit.
    pub limit: Option<u64>,
    /// Booked.
    pub used: u64,
    /// Held for calls under way.
    pub reserved: u64,
    /// What a call may still take.
    pub remaining: Option<u64>,
    /// When the window ends and all of the limit is there again.
    pub resets_at: Timestamp,
}

/// Tokens of both windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenWindows {
    /// This UTC day.
    pub daily: TokenWindow,
    /// This UTC month.
    pub monthly: TokenWindow,
}

/// Limits and spending of a tenant or a project now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Whose.
    pub scope: BudgetLevel,
    /// Money of this UTC day.
    pub daily: UsdWindow,
    /// Money of this UTC month.
    pub monthly: UsdWindow,
    /// Tokens.
    pub tokens: TokenWindows,
    /// The share of a limit from which on callers are warned, 0 to 1.
    pub warning_threshold: f64,
    /// Whether spending has reached that share of any limit.
    pub warning: bool,
    /// Whether limits are kept at all (`ENABLE_COST_TRACKING`).
    pub tracking: bool,
}

pub(crate) async fn set_budget(deps: &Deps, scope: &Scope, level: BudgetLevel, change: BudgetChange) -> Result<Limits> {
    if change.limits.iter().flatten().flatten().any(|amount| *amount < 0) {
        return Err(Error::invalid("a limit is 0 or more; null lifts it").with_code("invalid_amount"));
    }
    let ctx = deps.ctx(scope)?;
    let details = serde_json::json!({ "scope": level, "change": named_change(&change) });
    let audit = crate::model::Audit { action: "set_budget".to_owned(), details };
    let batch = deps.batch(vec![Op::SetBudget { level, change }, Op::Audit(audit)]);
    let applied = deps.relational.apply(&ctx, batch).await?;
    match applied.outcomes.first() {
        Some(Outcome::Budget(budget)) => {
            let funds = deps.relational.funds(&ctx, &deps.desk.defaults).await?;
            deps.desk.observer.funds(scope, &funds);
            Ok(budget.resolve(&defaults(deps, level)))
        }
        _ => Err(Error::internal("a budget was set, and the store did not say to what")),
    }
}

/// The limits that count.
pub(crate) async fn limits(deps: &Deps, scope: &Scope, level: BudgetLevel) -> Result<Limits> {
    Ok(deps.relational.budget(&deps.ctx(scope)?, level).await?.resolve(&defaults(deps, level)))
}

pub(crate) async fn funds(deps: &Deps, scope: &Scope) -> Result<Funds> {
    deps.relational.funds(&deps.ctx(scope)?, &deps.desk.defaults).await
}

pub(crate) async fn top_funds(deps: &Deps, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
    deps.ctx(&Scope::default())?;
    deps.relational.top_funds(&deps.desk.defaults, limit).await
}

pub(crate) async fn budget(deps: &Deps, scope: &Scope, level: BudgetLevel) -> Result<BudgetStatus> {
    let funds = funds(deps, scope).await?;
    let own = funds.level(level);
    let usd = |kind: LimitKind| {
        let spent = own.spent(kind);
        UsdWindow {
            limit_usd: own.limits.amounts[kind as usize].map(Usd::from_micros),
            used_usd: spent.used.usd,
            reserved_usd: spent.reserved.usd,
            remaining_usd: own.remaining(kind).map(Usd::from_micros),
            resets_at: kind.window().resets_at(funds.at),
        }
    };
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let tokens = |kind: LimitKind| {
        let spent = own.spent(kind);
        TokenWindow {
            limit: own.limits.amounts[kind as usize].map(count),
            used: spent.used.tokens,
            reserved: spent.reserved.tokens,
            remaining: own.remaining(kind).map(count),
            resets_at: kind.window().resets_at(funds.at),
        }
    };
    Ok(BudgetStatus {
        scope: level,
        daily: usd(LimitKind::DailyUsd),
        monthly: usd(LimitKind::MonthlyUsd),
        tokens: TokenWindows { daily: tokens(LimitKind::DailyTokens), monthly: tokens(LimitKind::MonthlyTokens) },
        warning_threshold: own.limits.warning_threshold.value(),
        warning: LimitKind::ALL.into_iter().any(|kind| own.is_warned(kind)),
        tracking: deps.desk.tracking,
    })
}

fn defaults(deps: &Deps, level: BudgetLevel) -> Limits {
    match level {
        BudgetLevel::Tenant => deps.desk.defaults,
        BudgetLevel::Project => Limits { warning_threshold: deps.desk.defaults.warning_threshold, ..Limits::NONE },
    }
}

/// A change by the names of its fields, for the audit and for a server.
pub(crate) fn named_change(change: &BudgetChange) -> serde_json::Value {
    let limits = LimitKind::ALL.into_iter().zip(change.limits);
    let mut fields: serde_json::Map<_, _> = limits
        .filter_map(|(kind, limit)| Some((kind.field().to_owned(), limit?.map(|n| kind.json(n)).into())))
        .collect();
    if let Some(threshold) = change.warning_threshold {
        fields.insert("warning_threshold".to_owned(), threshold.map(|share| share.value()).into());
    }
    fields.into()
}
