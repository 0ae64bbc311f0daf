//! `WebhookService`: a table of contents.

mod deliveries;
mod list;
mod retry;
mod test;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::wire::faults::Faults;
use super::{App, read, write};
use crate::domain::webhook::WebhookName;
use crate::pb;

/// The service.
pub(super) struct Webhooks(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::webhook_service_server::WebhookService for Webhooks {
    async fn list_webhooks(
        &self,
        request: Request<pb::ListWebhooksRequest>,
    ) -> Result<Response<pb::ListWebhooksResponse>, Status> {
        read(&self.0, request, list::list_webhooks).await
    }

    async fn list_webhook_deliveries(
        &self,
        request: Request<pb::ListWebhookDeliveriesRequest>,
    ) -> Result<Response<pb::ListWebhookDeliveriesResponse>, Status> {
        read(&self.0, request, deliveries::list_webhook_deliveries).await
    }

    async fn retry_webhook_deliveries(
        &self,
        request: Request<pb::RetryWebhookDeliveriesRequest>,
    ) -> Result<Response<pb::RetryWebhookDeliveriesResponse>, Status> {
        write(&self.0, request, retry::retry_webhook_deliveries).await
    }

    async fn test_webhook(
        &self,
        request: Request<pb::TestWebhookRequest>,
    ) -> Result<Response<pb::TestWebhookResponse>, Status> {
        read(&self.0, request, test::test_webhook).await
    }
}

/// Takes the name of a receiver.
fn take_name(text: &str, faults: &mut Faults) {
    faults.take("webhook", text.parse::<WebhookName>());
}
