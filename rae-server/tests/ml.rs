//! The roles `ml` and `reranker` as real processes, the api that uses them, and models from a hub.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;

#[path = "../../rae-core/tests/bert_support/mod.rs"]
#[allow(dead_code)]
mod bert;

#[path = "../../rae-core/tests/provider_support/mod.rs"]
mod provider;

#[path = "ml/api.rs"]
mod api;
#[path = "ml/fetch.rs"]
mod fetch;
#[path = "ml/routes.rs"]
mod routes;
#[path = "ml/stand_in.rs"]
mod stand_in;

use http::{Folder, Server};
use std::sync::Arc;

/// A role in a folder of its own on a free port.
fn start(role: &str, env: &[(&str, &str)]) -> Server {
    Server::role(&[role, "--port", "0", "--data", "rae-data"], Arc::new(Folder::new()), env)
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}
