//! The client of rae-core against servers: the scenarios, and what goes wrong on a network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod support;

#[path = "../../rae-core/tests/provider_support/mod.rs"]
mod provider_support;

#[path = "remote/chats.rs"]
mod chats;
#[path = "remote/scenarios.rs"]
mod scenarios;
#[path = "remote/tls.rs"]
mod tls;
