//! The process: how it starts, what it says, how it ends.

mod drain;
mod http;
mod limits;
mod logs;
mod migrate;
mod secrets;
mod start;
