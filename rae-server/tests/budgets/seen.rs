//! What an operator sees: settings, the log, metrics.

use crate::{
    T, call,
    http::{Folder, Server, command, until},
    put, reserve, server, spend,
};
use serde_json::json;
use std::process::Stdio;

#[test]
fn metrics_move_when_a_call_is_booked_and_gauges_when_money_is_held() {
    let server = server(&[]);
    put(&server, &[T], json!({ "daily_limit": 0.001, "monthly_token_limit": 1000 }));
    let gauge = |name: &str, window: &str, unit: &str| {
        server.metric(&format!("{name}{{tenant=\"t\",unit=\"{unit}\",window=\"{window}\"}} "))
    };
    assert_eq!(gauge("rae_budget_limit", "day", "usd"), 0.001);
    assert_eq!(gauge("rae_budget_remaining", "day", "usd"), 0.001);
    assert_eq!(reserve(&server, &call(100, 50)).status, 201);
    assert_eq!(gauge("rae_budget_remaining", "day", "usd"), 0.0008);
    assert_eq!(gauge("rae_budget_remaining", "month", "tokens"), 850.0);
    let cost = "rae_llm_cost_total{model=\"other\",operation=\"chat\",provider=\"other\"}";
    let named = cost.replace("model=\"other\"", "model=\"m\"").replace("provider=\"other\"", "provider=\"acme\"");
    assert_eq!(server.metric(&named), 0.0, "held is not spent");
    spend(&server, &[T], call(100, 50), 90, 30);
    assert_eq!(server.metric(&named), 0.00015);
    assert_eq!(server.metric("rae_llm_calls_total{provider=\"acme\",status=\"ok\"}"), 1.0);
    assert_eq!(server.metric("rae_llm_tokens_total{kind=\"output\",model=\"m\",provider=\"acme\"}"), 30.0);
    assert_eq!(server.metric("rae_llm_saved_usd_total "), 0.0);
    assert_eq!(gauge("rae_budget_remaining", "day", "usd"), 0.00065);
    // A warning is counted and logged once.
    let warnings = "rae_budget_warnings_total{scope=\"tenant\",unit=\"usd\",window=\"day\"}";
    assert_eq!(server.metric(warnings), 0.0);
    assert_eq!(reserve(&server, &call(500, 0)).header("x-budget-warning"), Some("tenant daily_limit"));
    assert_eq!(reserve(&server, &call(10, 0)).header("x-budget-warning"), Some("tenant daily_limit"));
    assert_eq!(server.metric(warnings), 1.0);
    let log = server.log_with("a budget has reached its warning threshold");
    assert_eq!(log.matches("a budget has reached its warning threshold").count(), 1, "{log}");
}

#[test]
fn a_budget_that_another_process_spends_is_in_the_metrics_within_seconds() {
    let one = server(&[]);
    put(&one, &[T], json!({ "daily_limit": 0.001 }));
    let series = "rae_budget_remaining{tenant=\"t\",unit=\"usd\",window=\"day\"}";
    assert_eq!(one.metric(series), 0.001);
    let two = Server::in_folder(std::sync::Arc::clone(&one.folder), &[("RAE_UNKNOWN_MODEL", "1,2")]);
    spend(&two, &[T], call(100, 0), 100, 0);
    until(|| Some(()).filter(|()| one.metric(series) == 0.0009));
}

#[test]
fn without_tracking_nothing_is_held_or_booked_and_the_log_says_so_in_capitals() {
    let server = server(&[("ENABLE_COST_TRACKING", "false")]);
    server.log_with("NO LIMIT ON SPENDING IS KEPT");
    put(&server, &[T], json!({ "daily_limit": 0 }));
    assert_eq!(spend(&server, &[T], call(100, 0), 100, 0), json!({ "cost_usd": 0.0001, "more_than_held": false }));
    assert_eq!(server.get("/v1/costs/logs").json()["items"], json!([]));
    assert_eq!(server.get("/v1/budgets/current").json()["tracking"], false);
}

#[test]
fn a_limit_of_zero_lets_nothing_be_spent_and_a_ceiling_prices_what_has_no_price() {
    let server =
        server(&[("DEFAULT_MONTHLY_LIMIT", "0"), ("RAE_UNKNOWN_MODEL", "3.00,15"), ("RAE_LLM_OUTPUT_TOKENS", "7")]);
    reserve(&server, &call(1, 0)).is_error(402, "budget_exceeded", "monthly_usd_budget_exceeded");
    put(&server, &[T], json!({ "monthly_limit": null }));
    let held = reserve(&server, &json!({ "provider": "nobody", "model": "unheard-of", "input_tokens": 10 })).json();
    assert_eq!((&held["held_usd"], &held["held_tokens"]), (&json!(0.000_135), &json!(17)));
}

#[test]
fn wrong_settings_of_money_end_the_start_with_a_reason_and_show_no_key() {
    for (name, value, wanted) in [
        ("DEFAULT_DAILY_LIMIT", "ten", "US dollars such as 10.00, or none"),
        ("DEFAULT_DAILY_LIMIT", "-1", "US dollars"),
        ("DEFAULT_MONTHLY_LIMIT", "1e3", "US dollars"),
        ("BUDGET_WARNING_THRESHOLD", "80", "from 0 to 1"),
        ("ENABLE_COST_TRACKING", "maybe", "true or false"),
        ("RAE_UNKNOWN_MODEL", "0,0", "reject"),
        ("RAE_UNKNOWN_MODEL", "free", "reject"),
        ("RAE_LLM_OUTPUT_TOKENS", "0", "whole number"),
        ("RAE_PRICES_FILE", "/nowhere/prices.json", "cannot be read"),
        ("RAE_OPENAI_BASE_URL", "https://ada:hush@proxy", "RAE_OPENAI_BASE_URL must be"),
        ("OPENAI_API_KEY", "", "set but empty"),
    ] {
        let folder = Folder::new();
        let ended = command(&folder.0).args(["--port", "0"]).env(name, value).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(wanted) && !said.contains("hush"), "{name}={value}: {said}");
    }
    let keys = [
        ("OPENAI_API_KEY", "sk-hush-1"),
        ("ANTHROPIC_API_KEY", "hush-2"),
        ("RAE_API_MASTER_KEY", "the-key-of-the-operator"),
    ];
    let server = Server::with(&keys);
    server.log_with("openai, anthropic");
    let shown = server.send("GET", "/v1/admin/diagnostics", &[("X-API-Key", "the-key-of-the-operator")], b"").text();
    assert!(shown.contains("openai_api_key") && !shown.contains("hush") && !server.log().contains("hush"));
}
