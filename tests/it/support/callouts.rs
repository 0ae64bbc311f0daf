//! The services of an installation that Bursar asks.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::pb::policy::custom_auth_server::{CustomAuth, CustomAuthServer};
use bursar::pb::policy::key_policy_server::{KeyPolicy, KeyPolicyServer};
use bursar::pb::policy::{AuthenticateRequest, AuthenticateResponse, CheckRequest, CheckResponse};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use tonic::{Request, Response, Status};

/// How they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    Failing,
    Silent,
}

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The services, what they were asked, and what they say.
#[derive(Clone)]
pub struct Callouts(Arc<Inner>);

struct Inner {
    address: String,
    mood: Mutex<Mood>,
    /// Why keys are refused; `None`: they are not.
    refusal: Mutex<Option<String>>,
    /// What is done before the next answer.
    deed: Mutex<Option<Deed>>,
    questions: Mutex<Vec<CheckRequest>>,
    traces: Mutex<Vec<String>>,
    people: Mutex<HashMap<String, AuthenticateResponse>>,
    shown: Mutex<Vec<String>>,
}

impl Callouts {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let started = Self(Arc::new(Inner {
            address: format!("http://{}", listener.local_addr().unwrap()),
            mood: Mutex::new(Mood::Well),
            refusal: Mutex::default(),
            deed: Mutex::default(),
            questions: Mutex::default(),
            traces: Mutex::default(),
            people: Mutex::default(),
            shown: Mutex::default(),
        }));
        let services = Server::builder()
            .add_service(KeyPolicyServer::new(started.clone()))
            .add_service(CustomAuthServer::new(started.clone()));
        tokio::spawn(services.serve_with_incoming(TcpIncoming::from(listener)));
        started
    }

    /// A setting that names them, with these other keys.
    pub fn setting(&self, more: &str) -> String {
        format!("{{ url = \"{}\" {more} }}", self.0.address)
    }

    pub fn be(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    /// Refuses keys from now on, or lets them through.
    pub fn refuse(&self, message: Option<&str>) {
        *self.0.refusal.lock().unwrap() = message.map(str::to_owned);
    }

    /// Does something before the next answer about a key.
    pub fn first(&self, deed: impl Future<Output = ()> + Send + 'static) {
        *self.0.deed.lock().unwrap() = Some(Box::pin(deed));
    }

    /// What was asked about keys since the last time.
    pub fn questions(&self) -> Vec<CheckRequest> {
        std::mem::take(&mut self.0.questions.lock().unwrap())
    }

    /// The trace contexts that came with questions about keys; empty: none.
    pub fn traces(&self) -> Vec<String> {
        self.0.traces.lock().unwrap().clone()
    }

    /// Knows a credential, or forgets it.
    pub fn know(&self, credential: &str, answer: Option<AuthenticateResponse>) {
        let mut people = self.0.people.lock().unwrap();
        match answer {
            Some(answer) => people.insert(credential.to_owned(), answer),
            None => people.remove(credential),
        };
    }

    /// The credentials that were asked about since the last time.
    pub fn shown(&self) -> Vec<String> {
        std::mem::take(&mut self.0.shown.lock().unwrap())
    }

    async fn mood(&self) -> Result<(), Status> {
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Well => Ok(()),
            Mood::Failing => Err(Status::internal("out of order")),
            Mood::Silent => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                Err(Status::internal("too late"))
            }
        }
    }
}

#[tonic::async_trait]
impl KeyPolicy for Callouts {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let trace = request.metadata().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        self.0.traces.lock().unwrap().push(trace.unwrap_or_default());
        self.0.questions.lock().unwrap().push(request.into_inner());
        self.mood().await?;
        let deed = self.0.deed.lock().unwrap().take();
        if let Some(deed) = deed {
            deed.await;
        }
        let refusal = self.0.refusal.lock().unwrap().clone();
        Ok(Response::new(CheckResponse { allowed: refusal.is_none(), message: refusal.unwrap_or_default() }))
    }
}

#[tonic::async_trait]
impl CustomAuth for Callouts {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let credential = request.into_inner().credential;
        self.0.shown.lock().unwrap().push(credential.clone());
        self.mood().await?;
        let known = self.0.people.lock().unwrap().get(&credential).cloned();
        known.map(Response::new).ok_or_else(|| Status::unauthenticated("who is that?"))
    }
}
