//! What was spent, in sums and row by row.

use crate::{
    deps::Deps,
    error::{Error, Result},
    limits::{COST_ROWS_MAX, PAGE_MAX},
    model::{BudgetLevel, CostGroup, CostQuery, CostRow, LedgerRow, LedgerScan, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};

/// Which sums.
#[derive(Debug, Clone)]
pub struct CostsOptions {
    /// The tenant's, which is the default, or those of the project.
    pub level: BudgetLevel,
    /// What they are grouped by, in any order; none gives one sum.
    pub group_by: Vec<CostGroup>,
    /// Attempts from this instant on.
    pub since: Option<Timestamp>,
    /// Attempts before this instant.
    pub until: Option<Timestamp>,
}

impl Default for CostsOptions {
    fn default() -> Self {
        Self { level: BudgetLevel::Tenant, group_by: Vec::new(), since: None, until: None }
    }
}

/// Sums of the ledger in the order of their groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    /// The groups asked for, each once, in the order day, model, provider, project, operation, user: that of `CostRow::keys`.
    pub group_by: Vec<CostGroup>,
    /// The sums.
    pub items: Vec<CostRow>,
    /// Whether there are more than `limits::COST_ROWS_MAX` of them; ask for a shorter time or fewer groups then.
    pub truncated: bool,
}

/// Which rows of the ledger.
#[derive(Debug, Clone)]
pub struct CostLogOptions {
    /// The tenant's, which is the default, or those of the project.
    pub level: BudgetLevel,
    /// Attempts from this instant on.
    pub since: Option<Timestamp>,
    /// Attempts before this instant.
    pub until: Option<Timestamp>,
    /// At most so many, 1 to 1,000. 50.
    pub limit: usize,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for CostLogOptions {
    fn default() -> Self {
        Self { level: BudgetLevel::Tenant, since: None, until: None, limit: 50, cursor: None }
    }
}

/// A page of the ledger: the attempt that was booked last comes first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostLog {
    /// The attempts.
    pub items: Vec<LedgerRow>,
    /// For the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

pub(crate) async fn costs(deps: &Deps, scope: &Scope, options: CostsOptions) -> Result<Costs> {
    in_order(options.since, options.until)?;
    let mut group_by = options.group_by;
    group_by.sort_unstable();
    group_by.dedup();
    let query = CostQuery {
        level: options.level,
        group_by: group_by.clone(),
        since: options.since,
        until: options.until,
        limit: COST_ROWS_MAX + 1,
    };
    let mut items = deps.relational.costs(&deps.ctx(scope)?, &query).await?;
    let truncated = items.len() > COST_ROWS_MAX;
    items.truncate(COST_ROWS_MAX);
    Ok(Costs { group_by, items, truncated })
}

pub(crate) async fn cost_log(deps: &Deps, scope: &Scope, options: CostLogOptions) -> Result<CostLog> {
    in_order(options.since, options.until)?;
    if !(1..=PAGE_MAX).contains(&options.limit) {
        return Err(
            Error::invalid(format!("limit must be a whole number from 1 to {PAGE_MAX}")).with_code("invalid_limit")
        );
    }
    let wrong = || Error::invalid("the cursor is not one that a page of costs gave").with_code("invalid_cursor");
    let before =
        options.cursor.map(|cursor| cursor.parse().ok().filter(|n| *n < 1 << 63).ok_or_else(wrong)).transpose()?;
    let scan =
        LedgerScan { level: options.level, since: options.since, until: options.until, before, limit: options.limit };
    let items = deps.relational.ledger(&deps.ctx(scope)?, &scan).await?;
    let next_cursor = items.last().filter(|_| items.len() == options.limit).map(|last| last.no.to_string());
    Ok(CostLog { items, next_cursor })
}

fn in_order(since: Option<Timestamp>, until: Option<Timestamp>) -> Result<()> {
    match (since, until) {
        (Some(since), Some(until)) if until < since => {
            Err(Error::invalid("until must not lie before since").with_code("invalid_time"))
        }
        _ => Ok(()),
    }
}
