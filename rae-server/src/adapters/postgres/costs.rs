//! Reading the ledger: sums and pages, and whether the sums of windows are right.

use super::{
    budgets::row_name,
    errors::Res,
    row::{int, named, page, text, text_opt, time, uint, version},
    session::{Params, Tx},
};
use rae_core::model::{
    BudgetLevel, CallLabel, CostGroup, CostQuery, CostRow, LedgerRow, LedgerScan, Timestamp, TokenUsage, Usd, Window,
};
use tokio_postgres::Row;

/// The project whose rows are asked for; none for the whole tenant.
fn project(tx: &Tx, level: BudgetLevel) -> Option<&str> {
    Some(row_name(level, tx.scope.project())).filter(|name| !name.is_empty())
}

/// A span of time as numbers: from the first on, before the second.
fn span(since: Option<Timestamp>, until: Option<Timestamp>) -> (i64, i64) {
    (since.map_or(i64::MIN, Timestamp::micros), until.map_or(i64::MAX, Timestamp::micros))
}

fn usage(row: &Row, column: usize) -> Res<TokenUsage> {
    Ok(TokenUsage {
        input_tokens: uint(row, column)?,
        cached_input_tokens: uint(row, column + 1)?,
        output_tokens: uint(row, column + 2)?,
        reasoning_tokens: uint(row, column + 3)?,
    })
}

fn usd(row: &Row, column: usize) -> Res<Usd> {
    Ok(Usd::from_micros(row.try_get(column)?))
}

/// One statement for all groups: those not asked for are the same for every row.
const COSTS: &str = "SELECT \
    CASE WHEN $6 THEN to_char((date '1970-01-01' + floor(l.at / 86400000000.0)::integer)::timestamp, \
    'YYYY-MM-DD') COLLATE \"C\" END, \
    CASE WHEN $7 THEN l.model END, CASE WHEN $8 THEN l.provider END, CASE WHEN $9 THEN l.project END, \
    CASE WHEN $10 THEN l.operation END, CASE WHEN $11 THEN coalesce(l.user_id, ''::bytea) END, \
    count(*), count(*) FILTER (WHERE l.status NOT IN ('ok', 'cached')), \
    least(sum(l.input_tokens), 9223372036854775807)::bigint, \
    least(sum(l.cached_input_tokens), 9223372036854775807)::bigint, \
    least(sum(l.output_tokens), 9223372036854775807)::bigint, \
    least(sum(l.reasoning_tokens), 9223372036854775807)::bigint, \
    least(sum(l.cost_usd), 9223372036854775807)::bigint, \
    least(coalesce(sum(l.cost_usd) FILTER (WHERE l.status = 'unconfirmed'), 0), 9223372036854775807)::bigint, \
    least(sum(l.saved_usd), 9223372036854775807)::bigint \
    FROM rae.ledger l JOIN rae.tenants t ON t.tid = l.tid \
    WHERE t.name = $1 AND ($2::text IS NULL OR l.project = $2) AND l.at >= $3 AND l.at < $4 \
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6 LIMIT $5";

fn key(row: &Row, group: CostGroup) -> Res<String> {
    let column = group as usize;
    match group {
        CostGroup::Day | CostGroup::Project => Ok(row.try_get(column)?),
        CostGroup::Model | CostGroup::Provider | CostGroup::Operation | CostGroup::User => text(row, column),
    }
}

pub(super) async fn costs(tx: &Tx, query: &CostQuery) -> Res<Vec<CostRow>> {
    let most = i64::try_from(query.rows()?).unwrap_or(i64::MAX);
    let (since, until) = span(query.since, query.until);
    let [day, model, provider, project_too, operation, user] =
        CostGroup::ALL.map(|group| query.group_by.contains(&group));
    let (tenant, of) = (tx.scope.tenant(), project(tx, query.level));
    let params: Params<'_> =
        &[&tenant, &of, &since, &until, &most, &day, &model, &provider, &project_too, &operation, &user];
    let decode = |row: &Row| {
        Ok(CostRow {
            keys: query.group_by.iter().map(|group| key(row, *group)).collect::<Res<_>>()?,
            calls: uint(row, 6)?,
            failed: uint(row, 7)?,
            usage: usage(row, 8)?,
            cost_usd: usd(row, 12)?,
            unconfirmed_usd: usd(row, 13)?,
            saved_usd: usd(row, 14)?,
        })
    };
    let mut rows = tx.query(COSTS, params).await?.iter().map(decode).collect::<Res<Vec<_>>>()?;
    if rows.is_empty() && query.group_by.is_empty() {
        rows.push(CostRow::default());
    }
    Ok(rows)
}

fn decode(row: &Row) -> Res<LedgerRow> {
    Ok(LedgerRow {
        no: uint(row, 0)?,
        id: row.try_get(1)?,
        project: row.try_get(2)?,
        at: time(row, 3)?,
        settled_at: time(row, 4)?,
        label: CallLabel {
            provider: text(row, 5)?,
            model: text(row, 6)?,
            operation: text(row, 7)?,
            user_id: text_opt(row, 8)?,
            request_id: text_opt(row, 9)?,
        },
        attempt: version(row, 10)?,
        status: named(row, 11)?,
        usage: usage(row, 12)?,
        estimated: row.try_get(16)?,
        cost_usd: usd(row, 17)?,
        saved_usd: usd(row, 18)?,
        error: text_opt(row, 19)?,
    })
}

pub(super) async fn ledger(tx: &Tx, scan: &LedgerScan) -> Res<Vec<LedgerRow>> {
    let sql = "SELECT l.no, l.id, l.project, l.at, l.settled_at, l.provider, l.model, l.operation, l.user_id, \
               l.request_id, l.attempt, l.status, l.input_tokens, l.cached_input_tokens, l.output_tokens, \
               l.reasoning_tokens, l.estimated, l.cost_usd, l.saved_usd, l.error \
               FROM rae.ledger l JOIN rae.tenants t ON t.tid = l.tid \
               WHERE t.name = $1 AND ($2::text IS NULL OR l.project = $2) AND l.at >= $3 AND l.at < $4 AND l.no < $5 \
               ORDER BY l.no DESC LIMIT $6";
    let (since, until) = span(scan.since, scan.until);
    let (tenant, of, before) = (tx.scope.tenant(), project(tx, scan.level), int(scan.before.unwrap_or(u64::MAX)));
    let params: Params<'_> = &[&tenant, &of, &since, &until, &before, &page(scan.limit)?];
    tx.query(sql, params).await?.iter().map(decode).collect()
}

/// Windows of the tenant whose sums are not those of the ledger and of what is held. Sums of windows before the current ones may
/// be forgotten, but not wrong.
const WRONG_SUMS: &str = "WITH \
    moved (project, day, usd, tokens, held_usd, held_tokens) AS ( \
    SELECT project, floor(at / 86400000000.0)::integer, cost_usd::numeric, input_tokens::numeric + output_tokens, 0, 0 \
    FROM rae.ledger \
    UNION ALL SELECT project, floor(reserved_at / 86400000000.0)::integer, 0, 0, usd, tokens FROM rae.reservations), \
    days AS (SELECT project, date '1970-01-01' + day AS day, sum(usd) usd, sum(tokens) tokens, sum(held_usd) held_usd, \
    sum(held_tokens) held_tokens FROM moved GROUP BY 1, 2), \
    sums AS (SELECT p.project, w.period, sum(usd) usd, sum(tokens) tokens, sum(held_usd) held_usd, \
    sum(held_tokens) held_tokens FROM days d, LATERAL (VALUES ('' COLLATE \"C\"), (d.project)) p (project), \
    LATERAL (VALUES (to_char(d.day::timestamp, 'YYYYMMDD')::bigint), (to_char(d.day::timestamp, 'YYYYMM')::bigint)) \
    w (period) GROUP BY 1, 2) \
    SELECT coalesce(s.period, u.period) FROM rae.spend s FULL JOIN sums u ON u.project = s.project AND u.period = s.period \
    WHERE (coalesce(s.used_usd, 0), coalesce(s.used_tokens, 0), coalesce(s.reserved_usd, 0), coalesce(s.reserved_tokens, 0)) \
    <> (coalesce(u.usd, 0), coalesce(u.tokens, 0), coalesce(u.held_usd, 0), coalesce(u.held_tokens, 0)) \
    AND (s.period IS NOT NULL OR u.period IN ($1, $2) OR u.held_usd + u.held_tokens > 0) \
    ORDER BY 1 LIMIT $3";

/// What is wrong with the sums of windows, at most `most` findings.
pub(super) async fn verify(tx: &Tx, most: usize) -> Res<Vec<String>> {
    let now = tx.now()?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let params: Params<'_> = &[&Window::Day.period(now), &Window::Month.period(now), &most];
    let say = |row: &Row| {
        let period: i64 = row.try_get(0)?;
        Ok(format!("what was spent or is held in a window is not the sum of its rows (window {period})"))
    };
    tx.query(WRONG_SUMS, params).await?.iter().map(say).collect()
}
