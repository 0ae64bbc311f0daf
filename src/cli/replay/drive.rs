//! Driving: many callers, each Authorize and then Settle, over a few
//! connections.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use super::super::client::Server;
use super::report::Report;
use super::trace::TracedCall;
use crate::domain::ids::new_uuid;
use crate::domain::money::Usd;
use crate::pb;
use crate::pb::gateway_service_client::GatewayServiceClient;

/// Where the calls go, and how many at once.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The server, and the calling key's secret.
    pub(super) server: Server,
    /// The model that is called.
    pub(super) model: String,
    /// Calls in flight.
    pub(super) concurrency: usize,
    /// Connections that they share: a single one serialises what is written.
    pub(super) connections: usize,
}

/// Makes every call of the trace once.
pub(super) async fn drive(plan: &Plan, calls: Vec<TracedCall>) -> Result<Report, Box<dyn Error>> {
    let mut channels = Vec::new();
    for _ in 0..plan.connections {
        channels.push(plan.server.connect().await?);
    }
    let calls = Arc::new(calls);
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for channel in channels.into_iter().cycle().take(plan.concurrency) {
        let caller = Caller {
            client: GatewayServiceClient::new(channel),
            server: plan.server.clone(),
            model: plan.model.clone(),
        };
        workers.spawn(caller.work(Arc::clone(&calls), Arc::clone(&next)));
    }
    let mut report = Report::default();
    while let Some(part) = workers.join_next().await {
        report.add(part?);
    }
    report.finish(began.elapsed());
    Ok(report)
}

/// One of the callers.
struct Caller {
    client: GatewayServiceClient<Channel>,
    server: Server,
    model: String,
}

impl Caller {
    /// Makes calls until none is left.
    async fn work(mut self, calls: Arc<Vec<TracedCall>>, next: Arc<AtomicUsize>) -> Report {
        let mut report = Report::default();
        while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(status) = self.call(*call, &mut report).await {
                report.errored(&status);
            }
        }
        report
    }

    /// Asks, and reports what the call used.
    async fn call(&mut self, call: TracedCall, report: &mut Report) -> Result<(), Status> {
        let ask = pb::AuthorizeRequest {
            model: self.model.clone(),
            estimated_input_tokens: Some(call.prompt_tokens),
            max_output_tokens: Some(call.completion_tokens),
            reserve: true,
            request_id: new_uuid().to_string(),
            ..pb::AuthorizeRequest::default()
        };
        let began = Instant::now();
        let answer = self.client.authorize(self.server.request(ask)).await?.into_inner();
        report.authorize.push(began.elapsed());
        if answer.decision() != pb::Decision::Allow {
            report.denied(answer.deny_reason());
            return Ok(());
        }
        let settle = pb::SettleRequest {
            reservation_id: answer.reservation_id,
            usage: Some(pb::UsageEvent {
                prompt_tokens: call.prompt_tokens,
                completion_tokens: call.completion_tokens,
                ..pb::UsageEvent::default()
            }),
        };
        let began = Instant::now();
        let settled = self.client.settle(self.server.request(settle)).await?.into_inner();
        report.settle.push(began.elapsed());
        let cost: Usd =
            settled.cost.parse().map_err(|_| Status::internal("the server sent a cost that is no money"))?;
        report.spent(cost);
        Ok(())
    }
}
