//! Bodies and query strings of these routes.

use crate::http::{
    body::count,
    error::{ApiError, ApiResult, shown},
};
use rae_core::{
    Error, MeterEnd, MeteredCall, Result, Timestamp,
    limits::LLM_SECONDS_MAX,
    model::{BudgetChange, BudgetLevel, CallStatus, CostGroup, LimitKind, Share, Usage, Usd},
};
use serde_json::{Map, Value};
use std::{collections::HashSet, time::Duration};

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

/// The fields of a body, taken one by one; what is left at the end is unknown.
struct Body(Map<String, Value>);

impl Body {
    fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field).filter(|value| !value.is_null())
    }

    fn text(&mut self, field: &str) -> Result<Option<String>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::invalid(format!("{field} must be text"))),
        }
    }

    fn whole(&mut self, field: &str) -> Result<Option<u64>> {
        let wrong = || Error::invalid(format!("{field} must be a whole number, 0 or more")).with_code("invalid_tokens");
        self.take(field).map(|value| value.as_u64().ok_or_else(wrong)).transpose()
    }

    fn flag(&mut self, field: &str) -> Result<Option<bool>> {
        let wrong = || Error::invalid(format!("{field} must be true or false"));
        self.take(field).map(|value| value.as_bool().ok_or_else(wrong)).transpose()
    }

    fn finish(self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::invalid(format!("unknown field {}", shown(key))).with_code("unknown_field")),
        }
    }
}

fn missing(field: &str) -> Error {
    Error::invalid(format!("{field} is missing"))
}

/// What `PUT /v1/budgets` takes.
pub fn change(fields: Map<String, Value>) -> Result<BudgetChange> {
    let (mut body, mut change) = (Body::new(fields), BudgetChange::default());
    for kind in LimitKind::ALL {
        let field = kind.field();
        change.limits[kind as usize] = match body.0.remove(field) {
            None => None,
            Some(Value::Null) => Some(None),
            Some(value) if kind.is_usd() => {
                let wrong = || Error::invalid(format!("{field} must be a number of US dollars, or null"));
                let dollars = value.as_f64().ok_or_else(|| wrong().with_code("invalid_amount"))?;
                Some(Some(Usd::from_dollars(dollars).map_err(|e| named(field, e))?.micros()))
            }
            Some(value) => {
                let wrong = || Error::invalid(format!("{field} must be a whole number of tokens, or null"));
                Some(Some(value.as_i64().filter(|n| *n >= 0).ok_or_else(|| wrong().with_code("invalid_amount"))?))
            }
        };
    }
    change.warning_threshold = match body.0.remove("warning_threshold") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(value) => Some(Some(Share::new(value.as_f64().unwrap_or(f64::NAN))?)),
    };
    body.finish()?;
    Ok(change)
}

fn named(field: &str, error: Error) -> Error {
    Error::invalid(format!("{field}: {}", error.message())).with_code("invalid_amount")
}

/// What `POST /v1/costs/reservations` takes.
pub fn metered_call(fields: Map<String, Value>) -> Result<MeteredCall> {
    let mut body = Body::new(fields);
    let call = call(&mut body)?;
    body.finish()?;
    Ok(call)
}

/// What settles it: the fields of the call, and its end.
pub fn metered_end(fields: Map<String, Value>) -> Result<(MeteredCall, MeterEnd)> {
    let mut body = Body::new(fields);
    let call = call(&mut body)?;
    let usage = match body.take("usage") {
        None => None,
        Some(Value::Object(usage)) => Some(read_usage(usage)?),
        Some(_) => return Err(Error::invalid("usage must be an object")),
    };
    let outcome = body.text("outcome")?;
    body.finish()?;
    let used = [CallStatus::Ok, CallStatus::Failed, CallStatus::Cancelled, CallStatus::Dropped];
    let end = match (usage, outcome.as_deref()) {
        (Some(usage), outcome) => {
            let status = used.into_iter().find(|status| status.as_str() == outcome.unwrap_or("ok"));
            status.map(|status| MeterEnd::Used { usage, status })
        }
        (None, Some("free")) => Some(MeterEnd::Free),
        (None, Some("unknown")) => Some(MeterEnd::Unknown),
        (None, _) => None,
    };
    let wanted =
        "give usage, with the outcome ok, failed, cancelled or dropped; or without usage the outcome free or unknown";
    Ok((call, end.ok_or_else(|| Error::invalid(wanted).with_code("invalid_outcome"))?))
}

fn call(body: &mut Body) -> Result<MeteredCall> {
    let provider = body.text("provider")?.ok_or_else(|| missing("provider"))?;
    let model = body.text("model")?.ok_or_else(|| missing("model"))?;
    let mut call =
        MeteredCall::new(provider, model, body.whole("input_tokens")?.ok_or_else(|| missing("input_tokens"))?);
    call.operation = body.text("operation")?.unwrap_or(call.operation);
    call.user_id = body.text("user_id")?;
    call.request_id = body.text("request_id")?;
    call.output_tokens = body.whole("output_tokens")?;
    if let Some(value) = body.take("timeout") {
        let seconds = value.as_f64().filter(|n| (0.0..=LLM_SECONDS_MAX as f64).contains(n));
        let wrong = || Error::invalid(format!("timeout must be a number of seconds from 0 to {LLM_SECONDS_MAX}"));
        call.timeout = Duration::from_secs_f64(seconds.ok_or_else(wrong)?);
    }
    Ok(call)
}

fn read_usage(usage: Map<String, Value>) -> Result<Usage> {
    let mut body = Body::new(usage);
    let usage = Usage {
        input_tokens: body.whole("input_tokens")?.ok_or_else(|| missing("usage.input_tokens"))?,
        cached_input_tokens: body.whole("cached_input_tokens")?.unwrap_or_default(),
        cache_write_tokens: body.whole("cache_write_tokens")?.unwrap_or_default(),
        output_tokens: body.whole("output_tokens")?.ok_or_else(|| missing("usage.output_tokens"))?,
        reasoning_tokens: body.whole("reasoning_tokens")?.unwrap_or_default(),
        estimated: body.flag("estimated")?.unwrap_or_default(),
    };
    body.finish()?;
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_lifts_what_is_null() {
        let read =
            change(object(json!({ "monthly_limit": 500.00, "daily_limit": null, "daily_token_limit": 7 }))).unwrap();
        assert_eq!(read.limits, [Some(None), Some(Some(500_000_000)), Some(Some(7)), None]);
        assert_eq!(read.warning_threshold, None);
        assert_eq!(change(object(json!({ "warning_threshold": null }))).unwrap().warning_threshold, Some(None));
        for (wrong, code) in [
            (json!({ "daily_limit": -1 }), "invalid_amount"),
            (json!({ "daily_limit": "20" }), "invalid_amount"),
            (json!({ "daily_limit": 0.000_000_1 }), "invalid_amount"),
            (json!({ "daily_limit": true }), "invalid_amount"),
            (json!({ "monthly_token_limit": 1.5 }), "invalid_amount"),
            (json!({ "monthly_token_limit": -1 }), "invalid_amount"),
            (json!({ "warning_threshold": 80 }), "invalid_threshold"),
            (json!({ "warning_threshold": "0.8" }), "invalid_threshold"),
            (json!({ "weekly_limit": 1 }), "unknown_field"),
        ] {
            assert_eq!(change(object(wrong.clone())).unwrap_err().code(), code, "{wrong}");
        }
    }

    #[test]
    fn an_end_has_usage_or_says_that_there_is_none() {
        let end = |more: Value| {
            let mut fields = object(json!({ "provider": "openai", "model": "gpt-4o", "input_tokens": 3 }));
            fields.extend(object(more));
            metered_end(fields).map(|(_, end)| end)
        };
        let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
        let tokens = Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() };
        let used = |status| MeterEnd::Used { usage: tokens, status };
        assert_eq!(end(json!({ "usage": usage })).unwrap(), used(CallStatus::Ok));
        assert_eq!(end(json!({ "usage": usage, "outcome": "dropped" })).unwrap(), used(CallStatus::Dropped));
        assert_eq!(end(json!({ "outcome": "free" })).unwrap(), MeterEnd::Free);
        assert_eq!(end(json!({ "outcome": "unknown" })).unwrap(), MeterEnd::Unknown);
        for wrong in [json!({}), json!({ "outcome": "ok" }), json!({ "usage": usage, "outcome": "free" })] {
            assert_eq!(end(wrong.clone()).unwrap_err().code(), "invalid_outcome", "{wrong}");
        }
        assert!(end(json!({ "usage": { "input_tokens": 3 } })).is_err());
        assert!(end(json!({ "usage": usage, "timeout": 601 })).is_err());
    }
}
