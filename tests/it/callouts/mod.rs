//! Callouts: services of an installation that Bursar asks.

mod custom_auth;
mod key_policy;
