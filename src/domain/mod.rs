//! The rules: values and decisions as plain functions.
//!
//! Nothing here waits, reads a clock, opens a socket or knows a database; time
//! and randomness come in as arguments. So every rule is tested by a table of
//! cases in its own file.

pub mod account;
pub mod alert;
pub mod audit;
pub mod budget_mode;
pub mod callout;
pub mod cause;
pub mod clock;
pub mod correction;
pub mod customer;
pub mod decision;
pub mod fault;
pub mod identity;
pub mod ids;
pub mod invitation;
pub mod key;
pub mod key_limits;
pub mod key_rules;
pub mod limit;
pub mod model;
pub mod model_limit;
pub mod models;
pub mod money;
pub mod organization;
pub mod password;
pub mod patch;
pub mod policy;
pub mod pricing;
pub mod reason;
pub mod retry;
pub mod role;
pub mod rollup;
pub mod rotation;
pub mod routes;
pub mod safe_url;
pub mod scope_budget;
pub mod secret;
pub mod shared_counts;
pub mod team;
pub mod throughput;
pub mod ticket;
pub mod tier;
pub mod tls;
pub mod token;
pub mod traces;
pub mod usage;
pub mod user;
pub mod webhook;
pub mod window;
