//! Budgets, costs, metering and chat models in JSON. Money is a number of US dollars, exact to the micro-dollar; where it is given, text
//! such as `"20.00"` is taken as well.

use super::{
    input::{Fields, any, flag, integer, names, number, object, text, time},
    output::plain,
    usage::usage,
};
use crate::{
    cost::{PriceBook, UnknownModel, input_tokens_at_most},
    error::{Error, Result},
    limits::LLM_SECONDS_MAX,
    model::{
        Amount, BudgetChange, BudgetLevel, CallStatus, ChatChunk, ChatRequest, Funds, LimitKind, Share, Usage, Usd,
    },
    ops::{CostLogOptions, Costs, CostsOptions, LlmAnswer, LlmCost, LlmEstimate, LlmOptions, MeterEnd, MeteredCall},
    providers::default_tokens,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// What `meter` gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeterStart {
    /// What `end_metered` takes; the id of the row of the ledger.
    pub id: Uuid,
    /// The most that the call may cost.
    pub held_usd: Usd,
    /// The most tokens that it may take, read and written together.
    pub held_tokens: u64,
    /// Tokens of the request, as they were given or counted.
    #[serde(default)]
    pub input_tokens: u64,
    /// Whether a limit has reached its warning threshold, this call counted.
    pub warning: bool,
}

impl From<(Uuid, Amount, Option<Funds>)> for MeterStart {
    fn from((id, held, funds): (Uuid, Amount, Option<Funds>)) -> Self {
        let warning = funds.is_some_and(|funds| !funds.warnings().is_empty());
        Self { id, held_usd: held.usd, held_tokens: held.tokens, input_tokens: 0, warning }
    }
}

/// Which words the arguments of money may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Those of the verbs: text for money, messages that tokens are counted from, the usage of any provider's answer.
    Verbs,
    /// Those that the description of the API lists, and no other.
    Api,
}

/// What `set_budget` takes beside the level: the limits to change, null to lift one.
pub fn budget_change(fields: Map<String, Value>, words: Words) -> Result<BudgetChange> {
    let (mut f, mut change) = (Fields::new(fields), BudgetChange::default());
    for kind in LimitKind::ALL {
        change.limits[kind as usize] = f.clearable(kind.field(), |field, value| limit(kind, field, value, words))?;
    }
    change.warning_threshold =
        f.clearable("warning_threshold", |_, value| Share::new(value.as_f64().unwrap_or(f64::NAN)))?;
    f.finish()?;
    Ok(change)
}

/// Micro-dollars or tokens. Whether they may be negative is the verb's business.
fn limit(kind: LimitKind, field: &str, value: Value, words: Words) -> Result<i64> {
    let amount = match kind.is_usd() {
        true if words == Words::Api && value.is_string() => Err(Error::invalid(format!("{field} must be a number"))),
        true => dollars(field, value).map(Usd::micros),
        false => integer(field, value),
    };
    amount.map_err(|e| Error::invalid(e.message()).with_code("invalid_amount"))
}

fn dollars(field: &str, value: Value) -> Result<Usd> {
    let amount = match value {
        Value::String(text) => Usd::parse(&text),
        other => Usd::from_dollars(number(field, other)?),
    };
    amount.map_err(|e| Error::invalid(format!("{field}: {}", e.message())).with_code(e.code().to_owned()))
}

/// `project: true` for the project's budget instead of the tenant's.
pub(super) fn level(f: &mut Fields) -> Result<BudgetLevel> {
    let project = f.optional("project", flag)?.unwrap_or_default();
    Ok(if project { BudgetLevel::Project } else { BudgetLevel::Tenant })
}

/// The one argument `project`.
pub(super) fn only_level(mut f: Fields) -> Result<BudgetLevel> {
    let level = level(&mut f)?;
    f.finish()?;
    Ok(level)
}

/// What `costs` takes: `group_by`, `since`, `until`, `project`.
pub fn costs(fields: Map<String, Value>) -> Result<CostsOptions> {
    let mut f = Fields::new(fields);
    let options = CostsOptions {
        level: level(&mut f)?,
        group_by: f.optional("group_by", names)?.unwrap_or_default(),
        since: f.optional("since", time)?,
        until: f.optional("until", time)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `cost_log` takes: `limit`, `cursor`, `since`, `until`, `project`.
pub fn cost_log(fields: Map<String, Value>) -> Result<CostLogOptions> {
    let (mut f, default) = (Fields::new(fields), CostLogOptions::default());
    let options = CostLogOptions {
        level: level(&mut f)?,
        since: f.optional("since", time)?,
        until: f.optional("until", time)?,
        // A number below 0 is refused as 0 is.
        limit: f.optional("limit", integer)?.map_or(default.limit, |n| usize::try_from(n).unwrap_or_default()),
        cursor: f.optional("cursor", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// Sums of the ledger: each with the values of its groups beside its numbers.
pub fn sums(costs: &Costs) -> Result<Value> {
    let items = costs.items.iter().map(|row| {
        let keys = costs.group_by.iter().zip(&row.keys);
        let mut item: Map<String, Value> =
            keys.map(|(group, key)| (group.as_str().to_owned(), key.as_str().into())).collect();
        item.insert("calls".to_owned(), row.calls.into());
        item.insert("failed".to_owned(), row.failed.into());
        if let Value::Object(tokens) = plain(&row.usage)? {
            item.extend(tokens);
        }
        for (name, amount) in
            [("cost_usd", row.cost_usd), ("unconfirmed_usd", row.unconfirmed_usd), ("saved_usd", row.saved_usd)]
        {
            item.insert(name.to_owned(), plain(&amount)?);
        }
        Ok(Value::Object(item))
    });
    let items = items.collect::<Result<Vec<Value>>>()?;
    Ok(json!({ "group_by": costs.group_by, "items": items, "truncated": costs.truncated }))
}

/// What `meter` takes: `provider`, `model`, and `input_tokens` or the `messages` (and `tools`) that they are counted from; `output_tokens`,
/// `operation`, `user_id`, `request_id`, `timeout` in seconds.
pub fn metered_call(fields: Map<String, Value>, words: Words) -> Result<MeteredCall> {
    let mut f = Fields::new(fields);
    let call = call(&mut f, words)?;
    f.finish()?;
    Ok(call)
}

/// What `end_metered` takes beside the id: the fields of the call, and `usage` with the outcome `ok` (the default), `failed`, `cancelled` or
/// `dropped`; or, without usage, the outcome `free` or `unknown`. The usage is ours (`input_tokens`, `cached_input_tokens`,
/// `cache_write_tokens`, `output_tokens`, `reasoning_tokens`, `estimated`) or as OpenAI, Anthropic or Google give it.
pub fn metered_end(fields: Map<String, Value>, words: Words) -> Result<(MeteredCall, MeterEnd)> {
    let mut f = Fields::new(fields);
    let call = call(&mut f, words)?;
    let read = if words == Words::Api { own_usage } else { usage };
    let (usage, outcome) = (f.optional("usage", read)?, f.optional("outcome", text)?);
    f.finish()?;
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

/// The id of a reservation.
pub(super) fn reservation(field: &str, value: Value) -> Result<Uuid> {
    let wrong = || Error::invalid(format!("{field} must be the id that meter gave")).with_code("invalid_id");
    Uuid::try_parse(&text(field, value)?).map_err(|_| wrong())
}

fn call(f: &mut Fields, words: Words) -> Result<MeteredCall> {
    let (provider, model) = (f.required("provider", text)?, f.required("model", text)?);
    let input_tokens = match words {
        Words::Api => f.required("input_tokens", tokens)?,
        Words::Verbs => given_or_counted(f, &model)?,
    };
    let mut call = MeteredCall::new(provider, model, input_tokens);
    call.operation = f.optional("operation", text)?.unwrap_or(call.operation);
    call.user_id = f.optional("user_id", text)?;
    call.request_id = f.optional("request_id", text)?;
    call.output_tokens = f.optional("output_tokens", tokens)?;
    call.timeout = f.optional("timeout", seconds)?.unwrap_or(call.timeout);
    Ok(call)
}

fn given_or_counted(f: &mut Fields, model: &str) -> Result<u64> {
    let (messages, tools) = (f.optional("messages", any)?, f.optional("tools", any)?);
    match (f.optional("input_tokens", tokens)?, messages) {
        (Some(tokens), None) => Ok(tokens),
        (None, Some(messages)) => counted(model, messages, tools),
        _ => Err(Error::invalid("give input_tokens, or the messages that they are counted from, and not both")),
    }
}

fn counted(model: &str, messages: Value, tools: Option<Value>) -> Result<u64> {
    let (request, _) = ChatRequest::from_openai(json!({ "model": model, "messages": messages, "tools": tools }))?;
    input_tokens_at_most(&request, &*default_tokens())
}

fn tokens(field: &str, value: Value) -> Result<u64> {
    let wrong =
        || Error::invalid(format!("{field} must be a whole number of tokens, 0 or more")).with_code("invalid_tokens");
    integer(field, value).ok().and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)
}

fn seconds(field: &str, value: Value) -> Result<Duration> {
    let seconds = number(field, value)?;
    let time = if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None };
    let wrong = || Error::invalid(format!("{field} must be a number of seconds above 0, at most {LLM_SECONDS_MAX}"));
    time.filter(|time| time.as_secs_f64() <= LLM_SECONDS_MAX as f64).ok_or_else(wrong)
}

/// A usage in our own words, all of them known.
fn own_usage(field: &str, value: Value) -> Result<Usage> {
    let mut f = Fields::new(object(field, value)?);
    let usage = Usage {
        input_tokens: f.required("input_tokens", tokens)?,
        cached_input_tokens: f.optional("cached_input_tokens", tokens)?.unwrap_or_default(),
        cache_write_tokens: f.optional("cache_write_tokens", tokens)?.unwrap_or_default(),
        output_tokens: f.required("output_tokens", tokens)?,
        reasoning_tokens: f.optional("reasoning_tokens", tokens)?.unwrap_or_default(),
        estimated: f.optional("estimated", flag)?.unwrap_or_default(),
    };
    f.finish()?;
    Ok(usage)
}

/// What `llm` and `llm_estimate` take: a body of OpenAI's chat completions, with `operation`, `user_id`, `request_id` and `timeout` (seconds)
/// beside it.
pub fn chat(fields: Map<String, Value>) -> Result<(ChatRequest, LlmOptions)> {
    let mut f = Fields::new(fields);
    let options = options(&mut f)?;
    let (request, delivery) = ChatRequest::from_openai(Value::Object(f.rest()))?;
    if delivery.stream {
        return Err(Error::invalid("stream is no field of the request; ask for a stream by its own call"));
    }
    Ok((request, options))
}

/// What the object `rae` of a body of chat completions may hold: `operation`, `user_id`, `request_id` and `timeout` (seconds).
pub fn llm_options(fields: Map<String, Value>) -> Result<LlmOptions> {
    let mut f = Fields::new(fields);
    let options = options(&mut f)?;
    f.finish()?;
    Ok(options)
}

fn options(f: &mut Fields) -> Result<LlmOptions> {
    let default = LlmOptions::default();
    Ok(LlmOptions {
        operation: f.optional("operation", text)?.unwrap_or(default.operation),
        user_id: f.optional("user_id", text)?,
        request_id: f.optional("request_id", text)?,
        timeout: f.optional("timeout", seconds)?.unwrap_or(default.timeout),
    })
}

/// An answer: its `text`, the `message` in OpenAI's shape, and what it cost.
pub fn llm_answer(answer: &LlmAnswer) -> Value {
    let LlmAnswer { response, cost } = answer;
    let mut out = json!({
        "id": response.id,
        "model": response.model,
        "text": response.message.plain_text(),
        "message": response.message.to_openai(),
        "finish_reason": response.finish_reason.as_str(),
    });
    if let (Some(out), Value::Object(end)) = (out.as_object_mut(), llm_end(cost)) {
        out.extend(end);
    }
    out
}

/// What a call cost, and who answered.
pub fn llm_end(cost: &LlmCost) -> Value {
    let warnings = cost.warnings.iter().map(|(level, kind)| json!({ "scope": level.as_str(), "limit": kind.field() }));
    json!({
        "provider": cost.provider,
        "usage": cost.usage,
        "cost_usd": cost.cost_usd,
        "attempts": cost.attempts,
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

/// A piece of a streamed answer: its `text`, the `delta` in OpenAI's shape, and `finish_reason`. `None` for one that adds nothing.
pub fn llm_chunk(chunk: &ChatChunk) -> Option<Value> {
    let mut body = chunk.to_openai(0, false);
    let choice = body.pointer_mut("/choices/0")?;
    let (delta, finish_reason) = (choice["delta"].take(), choice["finish_reason"].take());
    let is_empty = delta.as_object().is_none_or(Map::is_empty) && finish_reason.is_null();
    let text = chunk.delta.content.as_deref().unwrap_or_default();
    (!is_empty).then(|| json!({ "text": text, "delta": delta, "finish_reason": finish_reason }))
}

/// What a call would cost, whether there is room for it, and the error that it would get now.
pub fn llm_estimate(estimate: &LlmEstimate) -> Value {
    let refusal = estimate.refusal.as_ref().map(|error| {
        json!({ "kind": error.kind().name(), "code": error.code(), "message": error.message(), "details": error.details() })
    });
    json!({
        "provider": estimate.provider,
        "model": estimate.model,
        "input_tokens": estimate.input_tokens,
        "output_tokens": estimate.output_tokens,
        "cost_usd": estimate.cost_usd,
        "allowed": refusal.is_none(),
        "refusal": refusal,
    })
}

/// The prices of a store that is opened: `overrides` is an object in the shape of the built-in file, or the path of such a file;
/// `unknown_model` is `reject`, or `{"input", "output"}` in dollars for a million tokens.
pub fn prices(overrides: Option<Value>, unknown_model: Option<Value>) -> Result<PriceBook> {
    let mut book = PriceBook::default();
    match overrides {
        None | Some(Value::Null) => {}
        Some(Value::String(path)) => {
            let unread = |e: std::io::Error| {
                Error::invalid(format!("the file of prices {path} cannot be read: {e}")).with_code("invalid_prices")
            };
            book = book.with_overrides(&std::fs::read_to_string(&path).map_err(unread)?)?;
        }
        Some(object) => book = book.with_overrides(&object.to_string())?,
    }
    match unknown_model {
        None | Some(Value::Null) => Ok(book),
        Some(Value::String(policy)) if policy == "reject" => book.with_unknown_model(UnknownModel::Reject),
        Some(Value::Object(ceiling)) => {
            let mut f = Fields::new(ceiling);
            let mut rate = |field| f.required(field, dollars).map(|usd| usd.micros().unsigned_abs());
            let (input, output) = (rate("input")?, rate("output")?);
            f.finish()?;
            book.with_unknown_model(UnknownModel::Ceiling { input, output })
        }
        Some(_) => Err(Error::invalid(
            "unknown_model must be \"reject\", or {\"input\", \"output\"} in dollars for a million tokens",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_budget_change_keeps_what_is_absent_lifts_what_is_null_and_takes_text_for_money() {
        let given = json!({ "daily_limit": "20.00", "monthly_limit": null, "daily_token_limit": 5 });
        let change = budget_change(map(given), Words::Verbs).unwrap();
        assert_eq!(change.limits, [Some(Some(20_000_000)), Some(None), Some(Some(5)), None]);
        let mut f = Fields::new(map(json!({ "project": true, "warning_threshold": 0.5 })));
        assert_eq!(level(&mut f).unwrap(), BudgetLevel::Project);
        let change = budget_change(f.rest(), Words::Verbs).unwrap();
        assert_eq!(change.warning_threshold, Some(Some(Share::new(0.5).unwrap())));
        let lifted = budget_change(map(json!({ "warning_threshold": null })), Words::Api).unwrap();
        assert_eq!((lifted.limits, lifted.warning_threshold), ([None; 4], Some(None)));
        for (wrong, code) in [
            (json!({ "daily_limit": "much" }), "invalid_amount"),
            (json!({ "daily_limit": 0.000_000_1 }), "invalid_amount"),
            (json!({ "daily_limit": true }), "invalid_amount"),
            (json!({ "monthly_token_limit": 1.5 }), "invalid_amount"),
            (json!({ "warning_threshold": 80 }), "invalid_threshold"),
            (json!({ "warning_threshold": "0.8" }), "invalid_threshold"),
            (json!({ "weekly_limit": 2 }), "unknown_field"),
        ] {
            for words in [Words::Verbs, Words::Api] {
                assert_eq!(budget_change(map(wrong.clone()), words).unwrap_err().code(), code, "{wrong}");
            }
        }
        let text = map(json!({ "daily_limit": "20" }));
        assert_eq!(budget_change(text, Words::Api).unwrap_err().code(), "invalid_amount");
    }

    #[test]
    fn an_end_has_usage_or_says_that_there_is_none() {
        let end = |more: Value, words| {
            let mut fields = map(json!({ "provider": "openai", "model": "gpt-4o", "input_tokens": 3 }));
            fields.extend(map(more));
            metered_end(fields, words).map(|(_, end)| end)
        };
        let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
        let tokens = Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() };
        let used = |status| MeterEnd::Used { usage: tokens, status };
        for words in [Words::Verbs, Words::Api] {
            let end = |more| end(more, words);
            assert_eq!(end(json!({ "usage": usage })).unwrap(), used(CallStatus::Ok));
            assert_eq!(end(json!({ "usage": usage, "outcome": "dropped" })).unwrap(), used(CallStatus::Dropped));
            assert_eq!(end(json!({ "outcome": "free" })).unwrap(), MeterEnd::Free);
            assert_eq!(end(json!({ "outcome": "unknown" })).unwrap(), MeterEnd::Unknown);
            for wrong in [json!({}), json!({ "outcome": "ok" }), json!({ "usage": usage, "outcome": "free" })] {
                assert_eq!(end(wrong.clone()).unwrap_err().code(), "invalid_outcome", "{wrong}");
            }
            assert!(end(json!({ "usage": usage, "timeout": 601 })).is_err());
        }
        // The routes take what their description lists.
        for (wrong, code) in [
            (json!({ "usage": { "input_tokens": 3 } }), "invalid_input"),
            (json!({ "usage": { "input_tokens": 3, "output_tokens": -1 } }), "invalid_tokens"),
            (json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 2 } }), "invalid_input"),
            (json!({ "usage": { "input_tokens": 3, "output_tokens": 2, "tokens": 5 } }), "unknown_field"),
            (json!({ "usage": usage, "messages": [] }), "unknown_field"),
        ] {
            assert_eq!(end(wrong.clone(), Words::Api).unwrap_err().code(), code, "{wrong}");
        }
    }

    #[test]
    fn the_tokens_of_a_metered_call_are_given_or_counted_and_not_both() {
        let call = |more: Value| {
            let mut fields = map(json!({ "provider": "openai", "model": "gpt-4o-mini" }));
            fields.extend(map(more));
            metered_call(fields, Words::Verbs)
        };
        assert_eq!(call(json!({ "input_tokens": 7 })).unwrap().input_tokens, 7);
        let messages = json!([{ "role": "user", "content": "Where does the ferry leave from?" }]);
        assert!(call(json!({ "messages": messages })).unwrap().input_tokens > 7);
        for wrong in [json!({}), json!({ "input_tokens": 7, "messages": messages }), json!({ "input_tokens": -1 })] {
            assert!(call(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(call(json!({ "input_tokens": 7, "timeout": 601 })).is_err());
    }
}
