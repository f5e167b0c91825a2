//! What is left of a call when the server dies in its middle.

use super::{CHAT, T, ask};
use crate::{
    http::{Folder, Server},
    provider_support::{Behaviour, FakeProvider, Fault},
    support::postgres::Cluster,
};
use serde_json::{Value, json};
use std::{io::Read, net::TcpStream, sync::Arc};

const U: (&str, &str) = ("X-Tenant-ID", "u");

/// Reads a stream until a word of the answer is there.
fn read_to(stream: &mut TcpStream, word: &str) {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(word) {
        let mut piece = [0; 1_024];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&piece[..n]);
    }
}

fn get(server: &Server, tenant: (&str, &str), path: &str) -> Value {
    let answer = server.send("GET", path, &[tenant], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What the tenant has spent and holds today, in dollars.
fn money(server: &Server, tenant: (&str, &str)) -> (f64, f64) {
    let daily = get(server, tenant, "/v1/budgets/current")["daily"].clone();
    (daily["used_usd"].as_f64().unwrap(), daily["reserved_usd"].as_f64().unwrap())
}

fn rows(server: &Server, tenant: (&str, &str)) -> Vec<Value> {
    get(server, tenant, "/v1/costs/logs")["items"].as_array().unwrap().clone()
}

/// The row of a call that nobody ended: all that was held for it.
fn assert_unconfirmed(row: &Value, held: f64) {
    assert_eq!((&row["status"], &row["error"]), (&json!("unconfirmed"), &json!("unconfirmed")), "{row}");
    assert_eq!((row["cost_usd"].as_f64(), &row["estimated"]), (Some(held), &json!(true)), "{row}");
    assert_eq!(
        (&row["provider"], &row["model"], &row["operation"]),
        (&json!("openai"), &json!("gpt-4o-mini"), &json!("chat"))
    );
    assert!(
        row["input_tokens"].as_u64().unwrap() > 50 && row["output_tokens"] == 0,
        "nobody knows which are which: {row}"
    );
}

#[test]
fn a_stream_that_a_killed_server_left_is_booked_at_what_it_held_by_another_server() {
    let fake = FakeProvider::start();
    fake.usually(Behaviour::fails(Fault::StallInStream));
    let database = Cluster::shared().fresh();
    let (store, provider) = (database.url(), fake.url());
    let start = || {
        let env =
            [("DATABASE_URL", &*store), ("OPENAI_API_KEY", "sk-geheim"), ("RAE_OPENAI_BASE_URL", provider.as_str())];
        Server::role(&["api", "--port", "0"], Arc::new(Folder::new()), &env)
    };
    let mut killed = start();
    let mut body = ask("Count.");
    body["stream"] = true.into();
    let mut clients = [T, U].map(|tenant| {
        let mut connection = killed.connect();
        connection.write("POST", CHAT, &[tenant], body.to_string().as_bytes());
        read_to(&mut connection.stream, "two");
        connection
    });
    assert_eq!(fake.seen().len(), 2, "both calls have left");
    let (used, held) = money(&killed, T);
    assert!(used == 0.0 && held > 0.0);
    assert_eq!(money(&killed, U), (0.0, held));
    killed.signal("-KILL");
    assert!(!killed.wait().success());
    for client in &mut clients {
        let mut rest = Vec::new();
        // The system may reset the connection; what was read until then counts.
        let _ = client.stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"), "the client sees that the answer has no end");
    }
    // Before its time is over nobody touches it.
    let lives = start();
    let maintain = || {
        let done = lives.send("POST", "/v1/maintain", &[T], b"{}");
        assert_eq!(done.status, 200, "{}", done.text());
    };
    maintain();
    assert_eq!((money(&lives, T), money(&lives, U)), ((0.0, held), (0.0, held)));
    assert_eq!(rows(&lives, T), Vec::<Value>::new());
    // The eleven minutes that such a call may take are over.
    database.execute("UPDATE rae.reservations SET expires_at = reserved_at + 1");
    let booked =
        |status: &str| lives.metric(&format!("rae_llm_calls_total{{provider=\"openai\",status=\"{status}\"}}"));
    let cost = || lives.metric("rae_llm_cost_total{model=\"gpt-4o-mini\",operation=\"chat\",provider=\"openai\"}");
    assert_eq!((booked("unconfirmed"), cost()), (0.0, 0.0));
    // Housekeeping ends it.
    maintain();
    assert_eq!(money(&lives, T), (held, 0.0));
    let [row] = &rows(&lives, T)[..] else { panic!("one attempt, one row") };
    assert_unconfirmed(row, held);
    assert_eq!((booked("unconfirmed"), cost()), (1.0, held));
    maintain();
    assert_eq!((rows(&lives, T).len(), money(&lives, T)), (1, (held, 0.0)), "once");
    // So does the next call of the tenant.
    assert_eq!(money(&lives, U), (0.0, held), "housekeeping of one tenant is not that of another");
    fake.usually(Behaviour::says("one two three four"));
    let answer = lives.send("POST", CHAT, &[U], ask("Count.").to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [newest, left] = &rows(&lives, U)[..] else { panic!("two attempts, two rows") };
    assert_unconfirmed(left, held);
    let paid = newest["cost_usd"].as_f64().unwrap();
    assert_eq!((&newest["status"], booked("ok"), booked("unconfirmed")), (&json!("ok"), 1.0, 2.0));
    let micros = |usd: f64| (usd * 1e6).round() as i64;
    assert_eq!((micros(money(&lives, U).0), micros(cost())), (micros(held + paid), micros(2.0 * held + paid)));
    assert_eq!(lives.metric("rae_llm_request_duration_seconds_count{operation=\"chat\",provider=\"openai\"}"), 1.0);
}
