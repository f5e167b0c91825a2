//! Many callers at once against one budget.

use crate::{
    T, call,
    http::{Folder, Server, command},
    put, server,
    support::postgres::Cluster,
    with_prices,
};
use serde_json::json;
use std::{process::Stdio, sync::Arc};

/// 200 reservations at once, shared out over the servers, against room for 50.
fn storm(servers: &[&Server]) {
    let body = call(100, 0).to_string();
    put(servers[0], &[T], json!({ "daily_limit": null, "monthly_limit": 0.005 }));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = |i: usize| {
            let (server, body) = (servers[i % servers.len()], body.as_bytes());
            scope.spawn(move || {
                let answer = server.send("POST", "/v1/costs/reservations", &[T], body);
                if answer.status != 201 {
                    answer.is_error(402, "budget_exceeded", "monthly_usd_budget_exceeded");
                }
                answer.status
            })
        };
        let threads: Vec<_> = (0..200).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let held = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!((held, statuses.len()), (50, 200));
    for server in servers {
        let monthly = &server.get("/v1/budgets/current").json()["monthly"];
        assert_eq!((&monthly["reserved_usd"], &monthly["remaining_usd"]), (&json!(0.005), &json!(0.0)));
    }
}

#[test]
fn two_hundred_callers_cannot_pass_a_limit_of_one_server_together() {
    storm(&[&server(&[])]);
}

#[test]
fn two_hundred_callers_cannot_pass_a_limit_of_three_servers_together() {
    let database = Cluster::shared().empty();
    let url = database.url();
    let folder = Folder::new();
    let migrated = command(&folder.0).arg("migrate").env("DATABASE_URL", &url).stderr(Stdio::piped()).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let start = || {
        let folder = Arc::new(Folder::new());
        let env = with_prices(&folder, &[("DATABASE_URL", &url)]);
        Server::role(&["api", "--port", "0"], folder, &env.each())
    };
    let servers = [start(), start(), start()];
    storm(&[&servers[0], &servers[1], &servers[2]]);
    // A budget that is raised on one is raised on all, at their next call.
    put(&servers[1], &[T], json!({ "monthly_limit": 0.0051 }));
    assert_eq!(servers[2].post("/v1/costs/reservations", call(100, 0)).status, 201);
    let refused = servers[0].post("/v1/costs/reservations", call(100, 0));
    refused.is_error(402, "budget_exceeded", "monthly_usd_budget_exceeded");
}
