//! One binary of integration tests: a real client over a real socket, on SQLite
//! and on PostgreSQL.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::needless_update,
    clippy::unnecessary_wraps,
    clippy::type_complexity,
    reason = "tests fail by panics, say what they skip, and send messages that may grow fields"
)]

mod architecture;
mod audit;
mod authz;
mod backup;
mod budgets;
mod callouts;
mod cli;
mod contract;
mod crash;
mod customers;
mod deploy;
mod envoy;
mod errors;
mod fleet;
mod gateway;
mod import;
mod keys;
mod models;
mod organizations;
mod outages;
mod overspending;
mod prices;
mod races;
mod replay;
mod server;
mod spend;
mod store;
mod support;
mod teams;
mod tokens;
mod users;
mod webhooks;
