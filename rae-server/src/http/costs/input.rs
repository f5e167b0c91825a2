//! Query strings of these routes. Their bodies are read by `rae_core::wire`.

use crate::http::{
    body::count,
    error::{ApiError, ApiResult, shown},
};
use rae_core::{
    Result, Timestamp,
    model::{BudgetLevel, CostGroup},
};
use std::collections::HashSet;

/// What a query string of these routes may hold.
#[derive(Debug, Default)]
pub struct Query {
    /// Whose money.
    pub scope: Option<BudgetLevel>,
    /// What sums are grouped by.
    pub group_by: Vec<CostGroup>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Whether CSV is meant, where the caller says so.
    pub csv: Option<bool>,
    limit: Option<String>,
}

impl Query {
    /// The parameters in `known`, each at most once.
    pub fn read(query: Option<&str>, known: &[&str]) -> ApiResult<Self> {
        let (mut read, mut seen) = (Self::default(), HashSet::new());
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                return Err(ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name))));
            }
            if !seen.insert(name.clone().into_owned()) {
                let message = format!("the parameter {name} is given more than once");
                return Err(ApiError::bad("repeated_parameter", message));
            }
            match &*name {
                "scope" => read.scope = Some(scope(&value)?),
                "group_by" => {
                    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                    read.group_by = names.map(str::parse).collect::<Result<_>>()?;
                }
                "since" => read.since = Some(time("since", &value)?),
                "until" => read.until = Some(time("until", &value)?),
                "cursor" => read.cursor = Some(value.into_owned()),
                "limit" => read.limit = Some(value.into_owned()),
                "format" => {
                    read.csv = Some(match &*value {
                        "csv" => true,
                        "json" => false,
                        _ => return Err(ApiError::bad("invalid_format", "format must be json or csv")),
                    });
                }
                _ => {}
            }
        }
        Ok(read)
    }

    /// The size of a page: 50, or what was asked for.
    pub fn limit(&self, most: usize) -> ApiResult<usize> {
        self.limit.as_deref().map_or_else(|| Ok(most.min(50)), |limit| count(limit, most))
    }
}

fn scope(text: &str) -> ApiResult<BudgetLevel> {
    let found = BudgetLevel::ALL.into_iter().find(|level| level.as_str() == text);
    found.ok_or_else(|| ApiError::bad("invalid_scope", "scope must be tenant or project"))
}

fn time(name: &str, text: &str) -> ApiResult<Timestamp> {
    let read = Timestamp::parse(text).and_then(Timestamp::in_calendar);
    read.map_err(|e| ApiError::bad("invalid_time", format!("{name}: {}", e.message())))
}
