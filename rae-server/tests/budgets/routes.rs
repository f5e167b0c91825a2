//! What each route does, and who may call it.

use crate::{
    MASTER, T, call,
    http::{Answer, Server},
    put, reserve, server, spend, with,
};
use serde_json::{Value, json};

#[test]
fn the_curl_of_the_charts_page_sets_the_budget_word_for_word() {
    let server = Server::with(&[("RAE_ALLOWED_HOSTS", "rae-api.example.com")]);
    let words = r#"curl -X PUT http://rae-api.example.com/v1/budgets \
  -H "X-Tenant-ID: acme-corp" \
  -d '{"monthly_limit": 500.00, "daily_limit": 20.00}'"#;
    let script = format!(
        "curl() {{ command curl -sS --fail-with-body --connect-to rae-api.example.com:80:{} \"$@\"; }}\n{words}",
        server.address
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = json!({
        "daily_limit": 20.0,
        "monthly_limit": 500.0,
        "daily_token_limit": null,
        "monthly_token_limit": null,
        "warning_threshold": 0.8,
    });
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
    assert_eq!(server.call_as("acme-corp", "GET", "/v1/budgets", "").json(), expected);
    // Whoever set nothing has the defaults of the chart.
    let other = server.get("/v1/budgets").json();
    assert_eq!((&other["daily_limit"], &other["monthly_limit"]), (&json!(10.0), &json!(100.0)));
}

#[test]
fn a_partial_change_keeps_the_rest_and_null_lifts() {
    let server = server(&[("DEFAULT_DAILY_LIMIT", "3.5")]);
    assert_eq!(put(&server, &[T], json!({}))["daily_limit"], 3.5);
    put(&server, &[T], json!({ "monthly_limit": 7, "monthly_token_limit": 9 }));
    let now = put(&server, &[T], json!({ "daily_limit": null, "warning_threshold": 0.5 }));
    assert_eq!(
        now,
        json!({ "daily_limit": null, "monthly_limit": 7.0, "daily_token_limit": null, "monthly_token_limit": 9,
            "warning_threshold": 0.5 })
    );
    assert_eq!(put(&server, &[T], json!({ "warning_threshold": null }))["warning_threshold"], 0.8);
    // A project has no defaults, and what is set for it is its own.
    let project = [T, ("X-Project-ID", "app")];
    assert_eq!(put(&server, &project, json!({ "daily_limit": 0.000_001 }))["daily_limit"], 0.000_001);
    assert_eq!(server.send("GET", "/v1/budgets", &project, b"").json()["monthly_limit"], Value::Null);
    assert_eq!(server.send("GET", "/v1/budgets?scope=tenant", &project, b"").json(), server.get("/v1/budgets").json());
    assert_eq!(server.get("/v1/budgets").json()["daily_limit"], Value::Null);
    for (body, code) in [
        (r#"{"daily_limit": -1}"#, "invalid_amount"),
        (r#"{"daily_limit": "20"}"#, "invalid_amount"),
        (r#"{"warning_threshold": 2}"#, "invalid_threshold"),
        (r#"{"weekly_limit": 2}"#, "unknown_field"),
    ] {
        server.call("PUT", "/v1/budgets", body).is_error(422, "invalid_input", code);
    }
    server.call("PUT", "/v1/budgets", "{").is_error(400, "invalid_input", "malformed_json");
    server.get("/v1/budgets/current?scope=all").is_error(400, "invalid_input", "invalid_scope");
}

#[test]
fn a_limit_that_would_be_passed_is_402_with_all_its_numbers() {
    let server = server(&[]);
    put(&server, &[T], json!({ "daily_limit": 0.0001 }));
    let (one, two) = (reserve(&server, &call(20, 10)), reserve(&server, &call(20, 10)));
    assert_eq!((one.status, two.status), (201, 201), "{} {}", one.text(), two.text());
    let held = one.json();
    assert_eq!(
        (&held["held_usd"], &held["held_tokens"], &held["warning"]),
        (&json!(0.000_04), &json!(30), &json!(false))
    );
    assert_eq!(one.header("x-budget-warning"), None);
    // 80 of 100 micro-dollars are held: that is the threshold.
    assert_eq!(
        (two.json()["warning"].as_bool(), two.header("x-budget-warning")),
        (Some(true), Some("tenant daily_limit"))
    );
    let refused = reserve(&server, &call(20, 10));
    refused.is_error(402, "budget_exceeded", "daily_usd_budget_exceeded");
    let current = server.get("/v1/budgets/current").json();
    assert_eq!(
        refused.json()["error"]["details"],
        json!({ "scope": "tenant", "limit": 0.0001, "used": 0.0, "reserved": 0.000_08, "requested": 0.000_04,
            "available": 0.000_02, "resets_at": current["daily"]["resets_at"] })
    );
    assert_eq!(
        (&current["daily"]["reserved_usd"], &current["daily"]["remaining_usd"]),
        (&json!(0.000_08), &json!(0.000_02))
    );
    assert_eq!(
        (&current["warning"], &current["tracking"], &current["scope"]),
        (&json!(true), &json!(true), &json!("tenant"))
    );
    // What was held comes back, what it cost is booked, and there is room again.
    let path = format!("/v1/costs/reservations/{}/settle", held["id"].as_str().unwrap());
    let end = with(call(20, 10), json!({ "usage": { "input_tokens": 10, "output_tokens": 1 } }));
    assert_eq!(server.post(&path, end.clone()).json(), json!({ "cost_usd": 0.000_012, "more_than_held": false }));
    server.post(&path, end).is_error(404, "not_found", "reservation_not_found");
    assert_eq!(reserve(&server, &call(20, 10)).status, 201);
    let daily = &server.get("/v1/budgets/current").json()["daily"];
    assert_eq!((&daily["used_usd"], &daily["reserved_usd"]), (&json!(0.000_012), &json!(0.000_08)));
}

#[test]
fn tokens_and_projects_have_limits_of_their_own() {
    let server = server(&[]);
    let project = [T, ("X-Project-ID", "app")];
    put(&server, &project, json!({ "monthly_token_limit": 50 }));
    let ask = |headers: &[(&str, &str)]| {
        server.send("POST", "/v1/costs/reservations", headers, call(20, 20).to_string().as_bytes())
    };
    assert_eq!(ask(&project).status, 201);
    let refused = ask(&project);
    refused.is_error(402, "budget_exceeded", "monthly_token_budget_exceeded");
    let details = &refused.json()["error"]["details"];
    assert_eq!(
        (&details["scope"], &details["limit"], &details["available"]),
        (&json!("project"), &json!(50), &json!(10))
    );
    // Another project of the tenant is not held to that, but both are to the tenant's.
    assert_eq!(ask(&[T]).status, 201);
    put(&server, &[T], json!({ "daily_token_limit": 100 }));
    ask(&[T]).is_error(402, "budget_exceeded", "daily_token_budget_exceeded");
    assert_eq!(server.get("/v1/budgets/current").json()["tokens"]["daily"]["reserved"], 80);
    let own = server.send("GET", "/v1/budgets/current", &project, b"").json();
    assert_eq!((&own["scope"], &own["tokens"]["monthly"]["reserved"]), (&json!("project"), &json!(40)));
}

#[test]
fn an_end_is_booked_as_it_is_said() {
    let server = server(&[]);
    for (end, cost) in [
        (json!({ "usage": { "input_tokens": 5, "output_tokens": 1 }, "outcome": "failed" }), 0.000_007),
        (json!({ "outcome": "free" }), 0.0),
        (json!({ "outcome": "unknown" }), 0.000_04),
    ] {
        let id = reserve(&server, &call(20, 10)).json()["id"].as_str().unwrap().to_owned();
        let settled = server.post(&format!("/v1/costs/reservations/{id}/settle"), with(call(20, 10), end));
        assert_eq!(settled.json(), json!({ "cost_usd": cost, "more_than_held": false }), "{}", settled.text());
    }
    let log = server.get("/v1/costs/logs").json();
    let statuses: Vec<&str> = log["items"].as_array().unwrap().iter().map(|r| r["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["unconfirmed", "failed", "failed"], "the newest first");
    let sums = server.get("/v1/costs").json();
    let sum = &sums["items"][0];
    assert_eq!((&sum["calls"], &sum["failed"]), (&json!(3), &json!(3)));
    assert_eq!((&sum["cost_usd"], &sum["unconfirmed_usd"]), (&json!(0.000_047), &json!(0.000_04)));
    let id = reserve(&server, &call(20, 10)).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/costs/reservations/{id}/settle");
    server.post(&path, call(20, 10)).is_error(422, "invalid_input", "invalid_outcome");
    server.post("/v1/costs/reservations/x/settle", call(20, 10)).is_error(400, "invalid_input", "invalid_id");
    let unknown = json!({ "provider": "acme", "model": "unheard-of", "input_tokens": 1 });
    reserve(&server, &unknown).is_error(422, "invalid_input", "unknown_model_price");
}

#[test]
fn an_end_is_of_the_call_that_was_reserved_and_unknown_costs_what_is_held() {
    let server = server(&[("RAE_UNKNOWN_MODEL", "0.001,0.001")]);
    let id = reserve(&server, &call(20, 10)).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/costs/reservations/{id}/settle");
    let usage = json!({ "usage": { "input_tokens": 20, "output_tokens": 10 } });
    for (field, other) in [("model", "cheap"), ("model", "M"), ("provider", "nobody")] {
        for end in [usage.clone(), json!({ "outcome": "unknown" }), json!({ "outcome": "free" })] {
            let named = with(with(call(20, 10), json!({ field: other })), end);
            server.post(&path, named).is_error(409, "conflict", "other_call");
        }
    }
    for kind in ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"] {
        let usage = with(usage["usage"].clone(), json!({ kind: 100_000_001 }));
        server.post(&path, with(call(20, 10), json!({ "usage": usage }))).is_error(
            422,
            "invalid_input",
            "invalid_tokens",
        );
    }
    assert_eq!(server.get("/v1/costs/logs").json()["items"], json!([]), "nothing was booked");
    assert_eq!(server.get("/v1/budgets/current").json()["daily"]["reserved_usd"], 0.000_04);
    // Fewer tokens in the second request make it no cheaper.
    let settled = server.post(&path, with(call(1, 0), json!({ "outcome": "unknown", "operation": "another" })));
    assert_eq!(settled.json(), json!({ "cost_usd": 0.000_04, "more_than_held": false }), "{}", settled.text());
    let row = &server.get("/v1/costs/logs").json()["items"][0];
    assert_eq!(
        (&row["status"], &row["cost_usd"], &row["operation"]),
        (&json!("unconfirmed"), &json!(0.000_04), &json!("chat"))
    );
    // More than was held is booked in full, and the answer says so: in dollars, or in tokens alone.
    for (input, output, cost) in [(20, 11, 0.000_042), (31, 0, 0.000_031)] {
        let id = reserve(&server, &call(20, 10)).json()["id"].as_str().unwrap().to_owned();
        let end = json!({ "usage": { "input_tokens": input, "output_tokens": output } });
        let settled = server.post(&format!("/v1/costs/reservations/{id}/settle"), with(call(20, 10), end));
        assert_eq!(settled.json(), json!({ "cost_usd": cost, "more_than_held": true }), "{}", settled.text());
    }
}

#[test]
fn the_ledger_reconciles_to_the_micro_dollar_in_json_and_csv() {
    let server = server(&[]);
    let users = ["=HYPERLINK(\"http://x\",\"y\")", "+1", "-1", "@SUM(A1)", "Ann, \"the\" user", "plain"];
    let mut expected = 0;
    for i in 0..30u64 {
        let more =
            json!({ "user_id": users[i as usize % users.len()], "operation": "x,y", "request_id": format!("r{i}") });
        spend(&server, &[T], with(call(1_000_000, 500_000), more), 7_777 * i, 333 + i);
        expected += 7_777 * i + 2 * (333 + i);
    }
    // Page by page, by both formats.
    let (mut micros, mut rows, mut cursor) = (0, 0, String::new());
    loop {
        let path = format!("/v1/costs/logs?limit=7&format=csv{cursor}");
        let page = server.get(&path);
        assert_eq!(page.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        for row in parsed(&page.text()) {
            let user = row["user_id"].trim_start_matches('\'');
            assert!(users.contains(&user) && !row["user_id"].starts_with(['=', '+', '-', '@']), "{row:?}");
            assert_eq!(row["operation"], "x,y");
            let (whole, decimals) = row["cost_usd"].split_once('.').unwrap();
            assert_eq!(decimals.len(), 6);
            micros += whole.parse::<u64>().unwrap() * 1_000_000 + decimals.parse::<u64>().unwrap();
            rows += 1;
        }
        let Some(next) = page.header("x-next-cursor") else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((rows, micros), (30, expected));
    let accepted = server.send("GET", "/v1/costs/logs?limit=1000", &[T, ("Accept", "text/csv")], b"");
    assert_eq!(parsed(&accepted.text()).len(), 30);
    let dollars = |value: &Value| (value.as_f64().unwrap() * 1e6).round() as u64;
    let items = server.get("/v1/costs?group_by=user,day").json();
    assert_eq!(items["group_by"], json!(["day", "user"]));
    let sums = items["items"].as_array().unwrap();
    assert_eq!(sums.iter().map(|sum| dollars(&sum["cost_usd"])).sum::<u64>(), expected);
    assert_eq!(dollars(&server.get("/v1/budgets/current").json()["monthly"]["used_usd"]), expected);
    assert_eq!(server.get("/v1/costs?group_by=day&since=2100-01-01").json()["items"].as_array().unwrap().len(), 0);
    server.get("/v1/costs?since=2026-02-01&until=2026-01-01").is_error(400, "invalid_input", "invalid_time");
    server.get("/v1/costs?group_by=colour").is_error(400, "invalid_input", "invalid_group");
    server.get("/v1/costs?limit=1").is_error(400, "invalid_input", "unknown_parameter");
    server.get("/v1/costs/logs?format=xml").is_error(400, "invalid_input", "invalid_format");
}

/// Rows of a CSV text by the names of its first line, as RFC 4180 has it.
fn parsed(text: &str) -> Vec<std::collections::HashMap<String, String>> {
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !quoted => assert_eq!(chars.peek(), Some(&'\n')),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            c => cell.push(c),
        }
    }
    assert!(cell.is_empty() && line.is_empty() && !quoted, "the last line has its end");
    let names = lines.remove(0);
    let row = |line: Vec<String>| {
        assert_eq!(line.len(), names.len());
        names.iter().cloned().zip(line).collect()
    };
    lines.into_iter().map(row).collect()
}

#[test]
fn a_tenant_sees_and_spends_its_own_money_alone() {
    let server = server(&[]);
    put(&server, &[T], json!({ "daily_limit": 0.0001 }));
    spend(&server, &[T], call(100, 0), 100, 0);
    let u = [("X-Tenant-ID", "u")];
    spend(&server, &u, call(200, 0), 200, 0);
    reserve(&server, &call(1, 0)).is_error(402, "budget_exceeded", "daily_usd_budget_exceeded");
    assert_eq!(server.send("GET", "/v1/budgets", &u, b"").json()["daily_limit"], Value::Null);
    assert_eq!(server.get("/v1/costs").json()["items"][0]["cost_usd"], 0.0001);
    assert_eq!(server.send("GET", "/v1/costs/logs", &u, b"").json()["items"].as_array().unwrap().len(), 1);
    // A reservation is ended where it was made.
    let held = server.send("POST", "/v1/costs/reservations", &u, call(5, 0).to_string().as_bytes()).json();
    let path = format!("/v1/costs/reservations/{}/settle", held["id"].as_str().unwrap());
    let end = with(call(5, 0), json!({ "outcome": "free" })).to_string();
    for elsewhere in [vec![T], vec![u[0], ("X-Project-ID", "another")]] {
        server.send("POST", &path, &elsewhere, end.as_bytes()).is_error(404, "not_found", "reservation_not_found");
    }
    assert_eq!(server.send("POST", &path, &u, end.as_bytes()).status, 200);
}

#[test]
fn a_key_of_one_project_learns_that_the_tenants_limit_refuses_and_no_number_of_it() {
    let env = [("RAE_API_MASTER_KEY", MASTER), ("OPENAI_API_KEY", "sk"), ("RAE_OPENAI_BASE_URL", "http://127.0.0.1:9")];
    let server = server(&env);
    let key = |project: Value| {
        let body = json!({ "tenant": "t", "role": "admin", "project": project }).to_string();
        let made = server.send("POST", "/v1/api-keys", &[("X-API-Key", MASTER)], body.as_bytes());
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let (bound, free) = (key(json!("app")), key(Value::Null));
    let ask = |key: &str, path: &str, more: &[(&str, &str)], body: &Value| {
        server.send("POST", path, &[&[("X-API-Key", key)], more].concat(), body.to_string().as_bytes())
    };
    let chat = json!({ "model": "gpt-4o-mini", "max_tokens": 1000, "messages": [{ "role": "user", "content": "Hi" }] });
    let streamed = with(chat.clone(), json!({ "stream": true }));
    put(&server, &[("X-API-Key", &free)], json!({ "monthly_limit": 0.000_123 }));
    spend(&server, &[("X-API-Key", &free)], call(77, 0), 77, 0);
    let refusals = |key: &str| -> Vec<Value> {
        let dry = ask(key, "/v1/chat/completions", &[("X-Dry-Run", "true")], &chat);
        assert_eq!((dry.status, &dry.json()["allowed"]), (200, &json!(false)), "{}", dry.text());
        let refused = [
            ask(key, "/v1/costs/reservations", &[], &call(500, 0)),
            ask(key, "/v1/chat/completions", &[], &chat),
            ask(key, "/v1/chat/completions", &[], &streamed),
        ];
        refused.iter().for_each(|r| r.is_error(402, "budget_exceeded", "monthly_usd_budget_exceeded"));
        refused.iter().map(|r| r.json()["error"].clone()).chain([dry.json()["refusal"].clone()]).collect()
    };
    for error in refusals(&free) {
        let details = &error["details"];
        assert_eq!((&details["limit"], &details["used"]), (&json!(0.000_123), &json!(0.000_077)), "{error}");
    }
    for error in refusals(&bound) {
        let details = error["details"].as_object().unwrap();
        assert_eq!(details.keys().collect::<Vec<_>>(), ["resets_at", "scope"], "{error}");
        assert_eq!((&details["scope"], &error["code"]), (&json!("tenant"), &json!("monthly_usd_budget_exceeded")));
        assert!(details["resets_at"].as_str().unwrap().ends_with("-01T00:00:00Z"), "{error}");
        assert!(!error["message"].as_str().unwrap().contains(|c: char| c.is_ascii_digit()), "{error}");
    }
    // The numbers of its own project are its own.
    put(&server, &[("X-API-Key", &free)], json!({ "monthly_limit": null }));
    put(&server, &[("X-API-Key", &bound)], json!({ "daily_limit": 0.000_05 }));
    let refused = ask(&bound, "/v1/costs/reservations", &[], &call(60, 0));
    refused.is_error(402, "budget_exceeded", "daily_usd_budget_exceeded");
    let error = &refused.json()["error"];
    assert_eq!((&error["details"]["scope"], &error["details"]["limit"]), (&json!("project"), &json!(0.000_05)));
}

#[test]
fn each_role_may_do_its_part_and_a_key_of_a_project_sees_that_project_alone() {
    let server = server(&[("RAE_API_MASTER_KEY", MASTER)]);
    let key = |role: &str, project: Value| {
        let body = json!({ "tenant": "t", "role": role, "project": project }).to_string();
        let made = server.send("POST", "/v1/api-keys", &[("X-API-Key", MASTER)], body.as_bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["key"].as_str().unwrap().to_owned()
    };
    let ask = |key: &str, method: &str, path: &str, body: &Value| -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.send(method, path, &[("X-API-Key", key)], body.as_bytes())
    };
    let limit = json!({ "daily_limit": 1 });
    let settle = format!("/v1/costs/reservations/{}/settle", uuid::Uuid::nil());
    let end = with(call(1, 1), json!({ "outcome": "free" }));
    for (role, reads, reserves, sets) in [
        ("viewer", 403, 403, 403),
        ("analyst", 200, 403, 403),
        ("developer", 200, 201, 403),
        ("admin", 200, 201, 200),
        ("owner", 200, 201, 200),
    ] {
        let key = key(role, Value::Null);
        for path in ["/v1/budgets", "/v1/budgets/current", "/v1/costs", "/v1/costs/logs"] {
            assert_eq!(ask(&key, "GET", path, &Value::Null).status, reads, "{role} {path}");
        }
        assert_eq!(ask(&key, "POST", "/v1/costs/reservations", &call(1, 1)).status, reserves, "{role}");
        let settled = ask(&key, "POST", &settle, &end).status;
        assert_eq!(settled, if reserves == 201 { 404 } else { 403 }, "{role}");
        assert_eq!(ask(&key, "PUT", "/v1/budgets", &limit).status, sets, "{role}");
    }
    // A key of one project.
    let (bound, free) = (key("admin", json!("app")), key("admin", Value::Null));
    assert_eq!(ask(&bound, "PUT", "/v1/budgets", &json!({ "daily_limit": 0.5 })).json()["daily_limit"], 0.5);
    assert_eq!(ask(&free, "GET", "/v1/budgets", &Value::Null).json()["daily_limit"], 1.0, "the tenant's is untouched");
    let by_tenant = ask(&free, "GET", "/v1/budgets/current", &Value::Null).json();
    assert_eq!((&by_tenant["scope"], &by_tenant["daily"]["reserved_usd"]), (&json!("tenant"), &json!(0.000_009)));
    let own = ask(&bound, "GET", "/v1/budgets/current", &Value::Null).json();
    assert_eq!((&own["scope"], &own["daily"]["reserved_usd"]), (&json!("project"), &json!(0.0)));
    spend(&server, &[("X-API-Key", &free)], call(9, 0), 9, 0);
    spend(&server, &[("X-API-Key", &bound)], call(4, 0), 4, 0);
    assert_eq!(ask(&bound, "GET", "/v1/costs", &Value::Null).json()["items"][0]["cost_usd"], 0.000_004);
    assert_eq!(ask(&bound, "GET", "/v1/costs/logs", &Value::Null).json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&free, "GET", "/v1/costs", &Value::Null).json()["items"][0]["cost_usd"], 0.000_013);
    for path in ["/v1/budgets", "/v1/budgets/current", "/v1/costs", "/v1/costs/logs"] {
        let path = format!("{path}?scope=tenant");
        ask(&bound, "GET", &path, &Value::Null).is_error(403, "permission_denied", "other_project");
    }
    ask(&bound, "PUT", "/v1/budgets?scope=tenant", &limit).is_error(403, "permission_denied", "other_project");
}
