//! The real binary over real sockets: every route, every limit, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "../../rae-core/tests/provider_support/mod.rs"]
mod provider_support;
#[path = "http/support.rs"]
mod support;

#[path = "http/auth.rs"]
mod auth;
#[path = "http/commands.rs"]
mod commands;
#[path = "http/description.rs"]
mod description;
#[path = "http/durable.rs"]
mod durable;
#[path = "http/errors.rs"]
mod errors;
#[path = "http/jwt.rs"]
mod jwt;
#[path = "http/keys.rs"]
mod keys;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/observe.rs"]
mod observe;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/sessions.rs"]
mod sessions;
#[path = "http/tenants.rs"]
mod tenants;
#[path = "http/traces.rs"]
mod traces;
