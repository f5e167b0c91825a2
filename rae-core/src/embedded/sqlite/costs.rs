//! Reading the ledger and its sums.

use super::{
    errors::Res,
    row::{Id, Micros, int, page, uint},
};
use crate::model::{
    BudgetLevel, CallLabel, CostGroup, CostQuery, CostRow, LedgerRow, LedgerScan, Scope, Timestamp, TokenUsage, Usd,
};
use rusqlite::{Connection, Row, params};

/// Rows of the tenant or the project, in the time asked for. A plus before `at` keeps its index out of the plan.
fn inside(level: BudgetLevel, at: &str) -> String {
    let place = match level {
        BudgetLevel::Tenant => "?2 IS NULL",
        BudgetLevel::Project => "project = ?2",
    };
    format!("tenant = ?1 AND {place} AND {at} >= ?3 AND {at} < ?4")
}

fn project(scope: &Scope, level: BudgetLevel) -> Option<&str> {
    (level == BudgetLevel::Project).then(|| scope.project())
}

/// A span of time as numbers; without a bound it is open there.
fn span(since: Option<Timestamp>, until: Option<Timestamp>) -> (i64, i64) {
    (since.map_or(i64::MIN, Timestamp::micros), until.map_or(i64::MAX, Timestamp::micros))
}

const fn column(group: CostGroup) -> &'static str {
    match group {
        CostGroup::Day => "date(at / 1000000, 'unixepoch')",
        CostGroup::Model => "model",
        CostGroup::Provider => "provider",
        CostGroup::Project => "project",
        CostGroup::Operation => "operation",
        CostGroup::User => "ifnull(user_id, '')",
    }
}

fn usage(row: &Row<'_>, at: usize) -> rusqlite::Result<TokenUsage> {
    Ok(TokenUsage {
        input_tokens: uint(row, at)?,
        cached_input_tokens: uint(row, at + 1)?,
        output_tokens: uint(row, at + 2)?,
        reasoning_tokens: uint(row, at + 3)?,
    })
}

fn usd(row: &Row<'_>, at: usize) -> rusqlite::Result<Usd> {
    row.get(at).map(Usd::from_micros)
}

pub(super) fn costs(conn: &Connection, scope: &Scope, query: &CostQuery) -> Res<Vec<CostRow>> {
    let keys = query.group_by.len();
    let mut groups = String::new();
    let mut order = String::new();
    if keys > 0 {
        query.group_by.iter().for_each(|group| groups.push_str(&format!(", {}", column(*group))));
        // Keys stand behind the nine sums.
        let places: Vec<_> = (10..10 + keys).map(|place| place.to_string()).collect();
        order = format!("GROUP BY {0} ORDER BY {0}", places.join(", "));
    }
    let sql = format!(
        "SELECT count(*), ifnull(sum(status NOT IN ('ok', 'cached')), 0), ifnull(sum(input_tokens), 0), \
         ifnull(sum(cached_input_tokens), 0), ifnull(sum(output_tokens), 0), ifnull(sum(reasoning_tokens), 0), \
         ifnull(sum(cost), 0), ifnull(sum(iif(status = 'unconfirmed', cost, 0)), 0), ifnull(sum(saved), 0){groups} \
         FROM ledger WHERE {} {order} LIMIT ?5",
        inside(query.level, "at")
    );
    let limit = i64::try_from(query.rows()?).unwrap_or(i64::MAX);
    let (since, until) = span(query.since, query.until);
    let mut select = conn.prepare_cached(&sql)?;
    let params = params![scope.tenant(), project(scope, query.level), since, until, limit];
    let read = |row: &Row<'_>| {
        Ok(CostRow {
            keys: (9..9 + keys).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?,
            calls: uint(row, 0)?,
            failed: uint(row, 1)?,
            usage: usage(row, 2)?,
            cost_usd: usd(row, 6)?,
            unconfirmed_usd: usd(row, 7)?,
            saved_usd: usd(row, 8)?,
        })
    };
    let rows = select.query_map(params, read)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

pub(super) fn ledger(conn: &Connection, scope: &Scope, scan: &LedgerScan) -> Res<Vec<LedgerRow>> {
    let sql = format!(
        "SELECT no, id, at, settled_at, project, attempt, status, input_tokens, cached_input_tokens, output_tokens, \
         reasoning_tokens, estimated, cost, saved, error, provider, model, operation, user_id, request_id \
         FROM ledger WHERE {} AND no < ?5 ORDER BY no DESC LIMIT ?6",
        // Without bounds the rows are there in the order of their numbers.
        inside(scan.level, if scan.since.or(scan.until).is_some() { "at" } else { "+at" })
    );
    let before = scan.before.map_or(i64::MAX, int);
    let (since, until) = span(scan.since, scan.until);
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows =
        select.query(params![scope.tenant(), project(scope, scan.level), since, until, before, page(scan.limit)?])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(LedgerRow {
            no: uint(row, 0)?,
            id: row.get::<_, Id>(1)?.0,
            at: row.get::<_, Micros>(2)?.0,
            settled_at: row.get::<_, Micros>(3)?.0,
            project: row.get(4)?,
            attempt: row.get(5)?,
            status: row.get_ref(6)?.as_str()?.parse()?,
            usage: usage(row, 7)?,
            estimated: row.get(11)?,
            cost_usd: usd(row, 12)?,
            saved_usd: usd(row, 13)?,
            error: row.get(14)?,
            label: CallLabel {
                provider: row.get(15)?,
                model: row.get(16)?,
                operation: row.get(17)?,
                user_id: row.get(18)?,
                request_id: row.get(19)?,
            },
        });
    }
    Ok(found)
}
