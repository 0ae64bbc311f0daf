//! Rounds of Authorize and Release, against Bursar and against an echo.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::pb;
use futures_util::stream::Empty;
use pb::gateway_service_client::GatewayServiceClient;
use pb::gateway_service_server::{GatewayService, GatewayServiceServer};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::{Bench, MODEL, Round, connect, drive, with_key};

pub const IN_FLIGHT: usize = 64;
pub const CONNECTIONS: usize = 4;

/// Answers what the real service answered once.
struct Echo {
    authorize: pb::AuthorizeResponse,
    release: pb::ReleaseResponse,
}

#[tonic::async_trait]
impl GatewayService for Echo {
    async fn authorize(&self, _: Request<pb::AuthorizeRequest>) -> Result<Response<pb::AuthorizeResponse>, Status> {
        Ok(Response::new(self.authorize.clone()))
    }

    async fn settle(&self, _: Request<pb::SettleRequest>) -> Result<Response<pb::SettleResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn extend(&self, _: Request<pb::ExtendRequest>) -> Result<Response<pb::ExtendResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn explain_decision(
        &self,
        _: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::ExplainDecisionResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type SessionStream = Empty<Result<pb::SessionResponse, Status>>;

    async fn session(
        &self,
        _: Request<tonic::Streaming<pb::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type WatchChangesStream = Empty<Result<pb::WatchChangesResponse, Status>>;

    async fn watch_changes(
        &self,
        _: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn release(&self, _: Request<pb::ReleaseRequest>) -> Result<Response<pb::ReleaseResponse>, Status> {
        Ok(Response::new(self.release))
    }
}

async fn start_echo(echo: Echo) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(GatewayServiceServer::new(echo));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// A call that is reserved, on behalf of a customer or of nobody.
pub fn ask(secret: &str, customer_id: &str, request_id: String) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest {
        key: secret.to_owned(),
        model: MODEL.into(),
        customer_id: customer_id.to_owned(),
        estimated_input_tokens: Some(1_000),
        max_output_tokens: Some(200),
        reserve: true,
        request_id,
        ..Default::default()
    }
}

/// Clients of a server, each with a connection.
pub async fn clients(address: &str) -> Arc<Vec<GatewayServiceClient<Channel>>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(GatewayServiceClient::new(connect(address).await));
    }
    Arc::new(clients)
}

/// Who calls: each task with the next of the keys.
pub struct Callers {
    secrets: Arc<Vec<String>>,
    sidecar: Arc<String>,
    customer_id: Arc<String>,
}

impl Callers {
    pub fn new(secrets: Vec<String>, sidecar: &str, customer_id: &str) -> Self {
        let (sidecar, customer_id) = (Arc::new(sidecar.to_owned()), Arc::new(customer_id.to_owned()));
        Self { secrets: Arc::new(secrets), sidecar, customer_id }
    }

    /// Authorize and Release, again and again.
    pub async fn round(
        &self,
        clients: &Arc<Vec<GatewayServiceClient<Channel>>>,
        name: usize,
        length: Duration,
    ) -> Round {
        let (clients, secrets) = (Arc::clone(clients), Arc::clone(&self.secrets));
        let (sidecar, customer_id) = (Arc::clone(&self.sidecar), Arc::clone(&self.customer_id));
        drive(IN_FLIGHT, length, move |task, number| {
            let mut client = clients[task % CONNECTIONS].clone();
            let (secrets, sidecar, customer_id) =
                (Arc::clone(&secrets), Arc::clone(&sidecar), Arc::clone(&customer_id));
            async move {
                let began = Instant::now();
                let asked = ask(&secrets[task % secrets.len()], &customer_id, format!("{name}-{task}-{number}"));
                let answer = client.authorize(with_key(asked, &sidecar)).await.expect("an answer").into_inner();
                assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
                let authorized = Instant::now();
                let request = with_key(pb::ReleaseRequest { reservation_id: answer.reservation_id }, &sidecar);
                client.release(request).await.expect("an answer");
                vec![authorized - began, authorized.elapsed()]
            }
        })
        .await
    }
}

/// Starts an echo that answers what Bursar answers to these callers; returns its
/// address.
pub async fn echo_of(bench: &Bench, callers: &Callers) -> String {
    let mut client = bench.gateway().await;
    let asked = ask(&callers.secrets[0], &callers.customer_id, "size".into());
    let authorize = client.authorize(with_key(asked, &callers.sidecar)).await.expect("an answer").into_inner();
    let release = pb::ReleaseRequest { reservation_id: authorize.reservation_id.clone() };
    let release = client.release(with_key(release, &callers.sidecar)).await.expect("an answer").into_inner();
    start_echo(Echo { authorize, release }).await
}
