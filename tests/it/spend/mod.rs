//! `SpendService`: what was used, and what it cost.

mod activity;
mod calculate;
mod corrections;
mod daily;
mod export;
mod ingest;
mod list;
mod pricing;
mod ranking;
mod rankings;
mod rebuild;
mod record;
mod reports;
mod retention;
mod stream;
mod views;

use bursar::pb;

use crate::support::world::MODEL;
use crate::support::{Answer, Client};

/// An event of a key: 400 prompt tokens are 0.001 USD.
pub fn event(request_id: &str, key: &str, prompt_tokens: i64) -> pb::UsageEvent {
    pb::UsageEvent {
        request_id: request_id.into(),
        key: key.into(),
        model: MODEL.into(),
        prompt_tokens,
        ..Default::default()
    }
}

/// Records events, and expects an answer.
pub async fn record(client: &Client, events: Vec<pb::UsageEvent>) -> pb::RecordUsageResponse {
    client.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await.answer()
}

/// An instant on the wire.
pub fn at(text: &str) -> Option<prost_types::Timestamp> {
    let micros = crate::support::world::parse_instant(text).micros();
    Some(prost_types::Timestamp { seconds: micros / 1_000_000, nanos: 0 })
}
