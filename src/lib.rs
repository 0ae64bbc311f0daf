//! Bursar: the control plane of LLM gateways. The modules are in reading order:
//! rules, tables, hot path, wire, assembly.
#![doc = include_str!("../ARCHITECTURE.md")]

pub mod domain;

pub mod store;

pub mod gate;
pub mod import;
pub mod shared_counts;

pub mod error;

pub mod pb;

pub mod auth;
pub mod callout;

pub mod mail;
pub mod webhooks;

pub mod metrics;
pub mod traces;

pub mod services;

pub mod jobs;

pub mod config;

pub mod telemetry;

pub mod server;

pub mod cli;
