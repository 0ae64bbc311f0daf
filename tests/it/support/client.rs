//! Clients: generated stubs with a credential.

use bursar::pb;
use pb::audit_service_client::AuditServiceClient;
use pb::budget_service_client::BudgetServiceClient;
use pb::customer_service_client::CustomerServiceClient;
use pb::gateway_service_client::GatewayServiceClient;
use pb::key_service_client::KeyServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::organization_service_client::OrganizationServiceClient;
use pb::spend_service_client::SpendServiceClient;
use pb::team_service_client::TeamServiceClient;
use pb::user_service_client::UserServiceClient;
use pb::webhook_service_client::WebhookServiceClient;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Metadata that every request of a client carries.
#[derive(Clone, Default)]
pub struct Headers(MetadataMap);

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for entry in self.0.iter() {
            if let tonic::metadata::KeyAndValueRef::Ascii(name, value) = entry {
                request.metadata_mut().append(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// What the generated clients run over.
pub type Transport = InterceptedService<Channel, Headers>;

/// Somebody with a credential, or without one.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    headers: Headers,
}

impl Client {
    pub fn anonymous(channel: Channel) -> Self {
        Self { channel, headers: Headers::default() }
    }

    /// The same connection with another credential.
    pub fn with_key(&self, secret: &str) -> Self {
        Self::anonymous(self.channel.clone()).with_header("authorization", &format!("Bearer {secret}"))
    }

    /// The same client with one more header.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        let name: MetadataKey<Ascii> = name.parse().unwrap();
        headers.0.append(name, value.parse().unwrap());
        Self { channel: self.channel.clone(), headers }
    }

    pub fn transport(&self) -> Transport {
        InterceptedService::new(self.channel.clone(), self.headers.clone())
    }

    pub fn webhooks(&self) -> WebhookServiceClient<Transport> {
        WebhookServiceClient::new(self.transport())
    }

    pub fn users(&self) -> UserServiceClient<Transport> {
        UserServiceClient::new(self.transport())
    }

    pub fn teams(&self) -> TeamServiceClient<Transport> {
        TeamServiceClient::new(self.transport())
    }

    pub fn organizations(&self) -> OrganizationServiceClient<Transport> {
        OrganizationServiceClient::new(self.transport())
    }

    pub fn keys(&self) -> KeyServiceClient<Transport> {
        KeyServiceClient::new(self.transport())
    }

    pub fn gateway(&self) -> GatewayServiceClient<Transport> {
        GatewayServiceClient::new(self.transport())
    }

    pub fn customers(&self) -> CustomerServiceClient<Transport> {
        CustomerServiceClient::new(self.transport())
    }

    pub fn budgets(&self) -> BudgetServiceClient<Transport> {
        BudgetServiceClient::new(self.transport())
    }

    pub fn spend(&self) -> SpendServiceClient<Transport> {
        SpendServiceClient::new(self.transport())
    }

    pub fn models(&self) -> ModelServiceClient<Transport> {
        ModelServiceClient::new(self.transport())
    }

    pub fn audit(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::new(self.transport())
    }
}
