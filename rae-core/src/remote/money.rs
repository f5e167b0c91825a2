//! The verbs of money: budgets, costs, and metering of calls that the caller makes itself.

use super::{Remote, answer, transport::Request, verbs::named};
use crate::{
    error::Result,
    model::{BudgetChange, BudgetLevel, CostGroup, CostRow, LimitKind, Limits, Share, TokenUsage, Usd},
    ops::{BudgetStatus, CostLog, CostLogOptions, Costs, CostsOptions, MeterEnd, MeterSettled, MeteredCall},
    wire::MeterStart,
};
use reqwest::Method;
use serde::{Deserialize, de::Error as _};
use serde_json::{Map, Value, json};
use uuid::Uuid;

#[derive(Deserialize)]
struct Sums {
    group_by: Vec<CostGroup>,
    items: Vec<Map<String, Value>>,
    truncated: bool,
}

impl Remote {
    /// As [`crate::Rae::set_budget`].
    pub async fn set_budget(&self, level: BudgetLevel, change: BudgetChange) -> Result<Limits> {
        named("set_budget", async {
            let query = scope(level);
            let body = Request::post("v1/budgets", &crate::ops::named_change(&change))?;
            read(limits(&self.json(Request { method: Method::PUT, query, ..body }).await?))
        })
        .await
    }

    /// As [`crate::Rae::limits`].
    pub async fn limits(&self, level: BudgetLevel) -> Result<Limits> {
        named("limits", async {
            read(limits(&self.json(Request { query: scope(level), ..Request::get("v1/budgets") }).await?))
        })
        .await
    }

    /// As [`crate::Rae::budget`].
    pub async fn budget(&self, level: BudgetLevel) -> Result<BudgetStatus> {
        named("budget", self.json(Request { query: scope(level), ..Request::get("v1/budgets/current") })).await
    }

    /// As [`crate::Rae::costs`].
    pub async fn costs(&self, options: CostsOptions) -> Result<Costs> {
        named("costs", async {
            let mut query = scope(options.level);
            if !options.group_by.is_empty() {
                let groups: Vec<&str> = options.group_by.iter().map(|group| group.as_str()).collect();
                query.push(("group_by", groups.join(",")));
            }
            query.extend(options.since.map(|time| ("since", time.to_string())));
            query.extend(options.until.map(|time| ("until", time.to_string())));
            let Sums { group_by, items, truncated } = self.json(Request { query, ..Request::get("v1/costs") }).await?;
            let items = items.into_iter().map(|item| sum(&group_by, item)).collect::<Result<_, _>>();
            Ok(Costs { items: read(items)?, group_by, truncated })
        })
        .await
    }

    /// As [`crate::Rae::cost_log`].
    pub async fn cost_log(&self, options: CostLogOptions) -> Result<CostLog> {
        named("cost_log", async {
            let mut query = scope(options.level);
            query.push(("limit", options.limit.to_string()));
            query.extend(options.cursor.map(|cursor| ("cursor", cursor)));
            query.extend(options.since.map(|time| ("since", time.to_string())));
            query.extend(options.until.map(|time| ("until", time.to_string())));
            self.json(Request { query, ..Request::get("v1/costs/logs") }).await
        })
        .await
    }

    /// As [`crate::Rae::meter_by_id`].
    pub async fn meter_by_id(&self, call: MeteredCall) -> Result<MeterStart> {
        named("meter", async { self.json(Request::post("v1/costs/reservations", &fields(&call))?).await }).await
    }

    /// As [`crate::Rae::end_metered`].
    pub async fn end_metered(&self, id: Uuid, call: MeteredCall, end: MeterEnd) -> Result<MeterSettled> {
        named("meter", async {
            let mut body = fields(&call);
            match end {
                MeterEnd::Used { usage, status } => {
                    body.insert("usage".to_owned(), json!(usage));
                    body.insert("outcome".to_owned(), status.as_str().into());
                }
                MeterEnd::Free => drop(body.insert("outcome".to_owned(), "free".into())),
                MeterEnd::Unknown => drop(body.insert("outcome".to_owned(), "unknown".into())),
            }
            let path = format!("v1/costs/reservations/{id}/settle");
            self.json(Request::post(path, &body)?).await
        })
        .await
    }
}

fn scope(level: BudgetLevel) -> Vec<(&'static str, String)> {
    vec![("scope", level.as_str().to_owned())]
}

fn read<T>(read: Result<T, serde_json::Error>) -> Result<T> {
    read.map_err(answer::not_ours)
}

/// Limits by their names.
fn limits(value: &Value) -> Result<Limits, serde_json::Error> {
    let mut amounts = [None; 4];
    for kind in LimitKind::ALL {
        let given = &value[kind.field()];
        amounts[kind as usize] = match kind.is_usd() {
            true => Option::<Usd>::deserialize(given)?.map(Usd::micros),
            false => Option::<i64>::deserialize(given)?,
        };
    }
    Ok(Limits { amounts, warning_threshold: Share::deserialize(&value["warning_threshold"])? })
}

/// A sum of the ledger.
fn sum(groups: &[CostGroup], item: Map<String, Value>) -> Result<CostRow, serde_json::Error> {
    let key = |group: &CostGroup| {
        let key = item.get(group.as_str()).and_then(Value::as_str).map(str::to_owned);
        key.ok_or_else(|| serde_json::Error::custom("a sum has no value of its group"))
    };
    let keys = groups.iter().map(key).collect::<Result<_, _>>()?;
    let usage = TokenUsage::deserialize(&Value::Object(item.clone()))?;
    let number = |name: &str| item.get(name).unwrap_or(&Value::Null);
    Ok(CostRow {
        keys,
        calls: u64::deserialize(number("calls"))?,
        failed: u64::deserialize(number("failed"))?,
        usage,
        cost_usd: Usd::deserialize(number("cost_usd"))?,
        unconfirmed_usd: Usd::deserialize(number("unconfirmed_usd"))?,
        saved_usd: Usd::deserialize(number("saved_usd"))?,
    })
}

fn fields(call: &MeteredCall) -> Map<String, Value> {
    let all = json!({
        "provider": call.provider,
        "model": call.model,
        "operation": call.operation,
        "user_id": call.user_id,
        "request_id": call.request_id,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "timeout": call.timeout.as_secs_f64(),
    });
    match all {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
