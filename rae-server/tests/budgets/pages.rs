//! The examples of docs/concepts/cost-controller.md, against the server and against the code.

use crate::{
    call,
    http::{Folder, Server},
    put, reserve, server,
};
use rae_core::{
    PriceBook, Timestamp,
    cost::{Price, Tokens},
    model::{Amount, BudgetLevel, Funds, LevelFunds, LimitKind, Usd},
};
use serde_json::{Value, json};

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/concepts/cost-controller.md")).unwrap()
}

fn blocks(page: &str, kind: &str) -> Vec<String> {
    let begin = format!("```{kind}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The rows of the table with this head.
fn rows(page: &str, head: &str) -> Vec<Vec<String>> {
    let table = page.split(&format!("{head}\n")).nth(1).unwrap_or_else(|| panic!("no table {head}"));
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

fn usd(text: &str) -> Usd {
    Usd::parse(text.trim_start_matches('$')).unwrap()
}

fn price<'a>(book: &'a PriceBook, provider: &str, model: &str) -> &'a Price {
    book.find(provider, model, Timestamp::parse("2026-11-28").unwrap()).unwrap()
}

#[test]
fn every_request_of_the_page_works() {
    let server = Server::start();
    let shell: Vec<String> = blocks(&page(), "sh").into_iter().filter(|block| block.contains("$RAE")).collect();
    assert_eq!(shell.len(), 2);
    let script = format!(
        "set -euo pipefail\ncurl() {{ command curl -sS --fail-with-body \"$@\"; echo; }}\n{}",
        shell.join("\n")
    );
    let folder = Folder::new();
    let mut run = std::process::Command::new("bash");
    run.args(["-c", &script]).current_dir(&folder.0).env("RAE", format!("http://{}", server.address));
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("{\"cost_usd\":0.00027,\"more_than_held\":false}"), "{said}");
}

#[test]
fn the_refusal_of_the_page_is_that_of_the_server() {
    let server = server(&[]);
    put(&server, &[("X-Tenant-ID", "t")], json!({ "daily_limit": 0.001 }));
    let refused = reserve(&server, &call(2_608, 0)).json();
    let shown = blocks(&page(), "json").into_iter().find(|block| block.contains("budget_exceeded")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let (shown, refused) = (&shown["error"], &refused["error"]);
    assert_eq!((&shown["kind"], &shown["code"]), (&refused["kind"], &refused["code"]));
    let begin = shown["message"].as_str().unwrap().trim_end_matches("...");
    assert!(refused["message"].as_str().unwrap().starts_with(begin), "{refused}");
    let without_time = |details: &Value| {
        let mut details = details.as_object().unwrap().clone();
        details.remove("resets_at").unwrap();
        details
    };
    assert_eq!(without_time(&shown["details"]), without_time(&refused["details"]));
}

#[test]
fn the_prices_of_the_page_are_those_of_the_code() {
    let (page, book) = (page(), PriceBook::built_in().unwrap());
    let examples = rows(&page, "| provider | model | input | cached | output at most | output | held | cost |");
    assert_eq!(examples.len(), 3);
    for row in examples {
        let number = |i: usize| row[i].parse::<u64>().unwrap();
        let price = price(&book, &row[0], &row[1]);
        let (input, cached_input, most, output) = (number(2), number(3), number(4), number(5));
        assert_eq!(price.worst_cost(input, most).unwrap(), usd(&row[6]).micros(), "{row:?}");
        let tokens = Tokens { input, cached_input, output, ..Tokens::default() };
        assert_eq!(price.cost(&tokens).unwrap(), usd(&row[7]).micros(), "{row:?}");
    }
    let names: Vec<_> = rows(&page, "| name | priced as |");
    let plain = names.iter().filter(|row| !row[0].contains([',', ' ']) && !row[1].contains(' '));
    let mut checked = 0;
    for row in plain {
        let provider = ["openai", "anthropic", "google"]
            .into_iter()
            .find(|provider| book.find(provider, &row[0], Timestamp::parse("2026-11-28").unwrap()).is_some());
        assert_eq!(price(&book, provider.unwrap(), &row[0]).model, row[1], "{row:?}");
        checked += 1;
    }
    assert!(checked >= 4, "{names:?}");
    let own = blocks(&page, "json").into_iter().find(|block| block.contains("\"models\"")).unwrap();
    let book = book.with_overrides(&own).unwrap();
    assert_eq!(
        price(&book, "vllm", "my-model").cost(&Tokens { input: 1_000_000, ..Tokens::default() }).unwrap(),
        50_000
    );
}

#[test]
fn the_rule_of_the_page_is_that_of_the_code() {
    let rows = rows(&page(), "| limit | used | reserved | requested | available | refused |");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let mut tenant = LevelFunds::default();
        tenant.limits.amounts[LimitKind::DailyUsd as usize] = Some(usd(&row[0]).micros());
        tenant.day.used.usd = usd(&row[1]);
        tenant.day.reserved.usd = usd(&row[2]);
        let funds = Funds { at: Timestamp::parse("2026-11-28").unwrap(), tenant, project: LevelFunds::default() };
        let asked = Amount { usd: usd(&row[3]), tokens: 0 };
        assert_eq!(
            funds.level(BudgetLevel::Tenant).remaining(LimitKind::DailyUsd),
            Some(usd(&row[4]).micros()),
            "{row:?}"
        );
        assert_eq!(funds.check(asked).is_err(), row[5] == "yes", "{row:?}");
    }
}
