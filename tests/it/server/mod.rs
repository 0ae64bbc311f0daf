//! The process: how it starts, what it says, how it ends.

mod callers;
mod connections;
mod doctor;
mod drain;
mod http;
mod limits;
mod logs;
mod migrate;
mod reconcile;
mod secrets;
mod start;
mod tls;
mod traces;
