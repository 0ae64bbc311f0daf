//! `GatewayService`: what sidecars ask.

mod authorize;
mod days;
mod dynamic;
mod elsewhere;
mod explain;
mod extend;
mod fall_back;
mod identity;
mod rates;
mod release;
mod reserve;
mod session;
mod settle;
mod together;
mod warm;
pub mod watch;

use bursar::pb;

use crate::support::world::MODEL;
use crate::support::{Answer, Client};

/// A request for a call that may cost this much.
pub fn ask(request_id: &str, cost: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest {
        model: MODEL.into(),
        estimated_cost: Some(cost.into()),
        reserve: true,
        request_id: request_id.into(),
        ..Default::default()
    }
}

/// Asks, and expects an answer.
pub async fn authorize(client: &Client, request: pb::AuthorizeRequest) -> pb::AuthorizeResponse {
    client.gateway().authorize(request).await.answer()
}

/// Asks for a reservation, and expects to get it.
pub async fn reserve(client: &Client, request_id: &str, cost: &str) -> String {
    let answer = authorize(client, ask(request_id, cost)).await;
    assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
    answer.reservation_id
}

/// Settles with tokens; returns the answer.
pub async fn settle(client: &Client, reservation_id: &str, prompt_tokens: i64) -> pb::SettleResponse {
    let usage = pb::UsageEvent { prompt_tokens, ..Default::default() };
    client
        .gateway()
        .settle(pb::SettleRequest { reservation_id: reservation_id.into(), usage: Some(usage) })
        .await
        .answer()
}

/// What a denial says: its reason, and the scope that denied.
pub fn denial(answer: &pb::AuthorizeResponse) -> (pb::DenyReason, pb::BudgetScope) {
    assert_eq!(answer.decision(), pb::Decision::Deny, "{answer:?}");
    assert!(!answer.message.is_empty() && answer.reservation_id.is_empty());
    (answer.deny_reason(), answer.deny_scope())
}
