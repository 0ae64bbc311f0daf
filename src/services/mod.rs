//! The wire: each operation parses its message, asks a rule, changes the store
//! and renders the answer. Handlers do not think, and services do not know
//! each other: what two of them need is in [`wire`], in `reports`, in the domain
//! or in the store.

mod audit;
mod budgets;
mod customers;
mod envoy;
mod gateway;
mod keys;
mod models;
mod organizations;
mod reports;
mod spend;
mod teams;
mod users;
mod webhooks;
pub mod wire;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

pub use self::wire::passwords::Passwords;
pub use self::wire::policies::rehearse as rehearse_policies;
pub use self::wire::welcome::Host;
use crate::auth::{Caller, Passport, RequestId, Scope, Sessions, Throttle, Tokens};
use crate::callout::{KeyPolicy, Question};
use crate::config::Rules;
use crate::domain::audit::Author;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::webhook::Webhook;
use crate::error::Error;
use crate::gate::{Gate, Reporter};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::pb;
use crate::store::{SealKey, Store, Tx};
use crate::traces::{carried, span};
use crate::webhooks::Courier;

/// What all operations work with.
pub struct App {
    /// The tables.
    pub store: Store,
    /// The hot path.
    pub gate: Arc<Gate>,
    /// The settings that services follow.
    pub rules: Rules,
    /// The time.
    pub clock: Clock,
    /// Seals secrets that are kept, and page tokens.
    pub seals: SealKey,
    /// Sends mail, if there is a mail server.
    pub mailer: Option<Arc<Mailer>>,
    /// Who is told of budgets by HTTP.
    pub webhooks: Receivers,
    /// How people sign in.
    pub sign_in: SignIn,
    /// A service that has a say in what is done to keys, if there is one.
    pub key_policy: Option<KeyPolicy>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Who is told of budgets by HTTP.
pub struct Receivers {
    /// All of them.
    pub all: Vec<Arc<Webhook>>,
    /// Who carries messages there.
    pub courier: Courier,
}

/// How people sign in.
pub struct SignIn {
    /// Hashes and compares passwords.
    pub passwords: Passwords,
    /// Signs and verifies sessions.
    pub sessions: Arc<Sessions>,
    /// Knows the tokens of identity providers.
    pub tokens: Arc<Tokens>,
    /// Counts failures.
    pub throttle: Throttle,
}

/// One request: who sent it, how far it reaches, and when.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) scope: Scope,
    pub(crate) rpc: &'static str,
    pub(crate) now: Timestamp,
    pub(crate) remote: Option<IpAddr>,
    /// What the key policy said yes to.
    pub(crate) consent: Option<Arc<Question>>,
    request_id: RequestId,
}

impl Ctx {
    /// The work that nobody in particular asked for, under the name of an RPC or
    /// of a command.
    fn of_nobody(app: &Arc<App>, rpc: &'static str, now: Timestamp) -> Self {
        let caller = Arc::new(Caller::nobody());
        let (app, request_id) = (Arc::clone(app), RequestId::default());
        Self { app, caller, scope: Scope::default(), rpc, now, remote: None, consent: None, request_id }
    }

    /// Begins a change, in the caller's name.
    async fn begin(&self) -> Result<Tx, Error> {
        self.begin_as(self.caller.name()).await
    }

    /// Begins a change in the name of somebody who shows by other means who it
    /// is.
    async fn begin_as(&self, actor: String) -> Result<Tx, Error> {
        Ok(self.app.store.begin(self.author(actor), self.now).await?)
    }

    /// Who makes a change, for the audit log.
    fn author(&self, actor: String) -> Author {
        Author {
            actor,
            actor_key_id: self.caller.key_id().map(|id| id.to_string()),
            on_behalf_of: self.caller.on_behalf_of.clone(),
            request_id: self.request_id.get().to_owned(),
            rpc: self.rpc,
        }
    }

    /// Makes a change durable, and evicts what it made stale.
    async fn commit(&self, tx: Tx) -> Result<(), Error> {
        let committed = span("store.commit", tx.commit()).await?;
        Ok(self.app.gate.absorb(&committed).await?)
    }

    /// Tells the log of a failure that is part of an answer.
    fn log(&self, error: &Error) {
        error.log(self.request_id.get());
    }

    /// The caller as one who reports usage.
    fn reporter(&self) -> Reporter {
        let is_admin = self.caller.is_proxy_admin();
        Reporter {
            tag: self.caller.ticket_tag(),
            name: self.caller.name(),
            settles_all: is_admin,
            believes_cost: is_admin || self.caller.is_gateway(),
            imports: is_admin,
        }
    }
}

/// What is answered from memory where that is possible.
pub const HOT_PATH: &str = "bursar.v1.GatewayService/";

/// Takes a request apart.
fn open<Q>(app: &Arc<App>, mut request: Request<Q>) -> Result<(Ctx, Q), Error> {
    let extensions = request.extensions_mut();
    let passport: Passport =
        extensions.remove().ok_or_else(|| Error::internal("a request came past the authentication layer"))?;
    let request_id: RequestId = extensions.remove().unwrap_or_default();
    let Passport { caller, scope, rpc, remote } = passport;
    if !rpc.starts_with(HOT_PATH) {
        // Nobody waits for a database that is known to be away. What sidecars ask may
        // need none.
        app.store.present()?;
    }
    let ctx = Ctx { app: Arc::clone(app), caller, scope, rpc, now: app.clock.now(), remote, consent: None, request_id };
    Ok((ctx, request.into_inner()))
}

fn close<A>(result: Result<A, Error>, request_id: &RequestId) -> Result<Response<A>, Status> {
    result.map(Response::new).map_err(|error| {
        error.log(request_id.get());
        error.to_status()
    })
}

/// Runs an operation that only reads. It stops when the client goes away.
async fn read<Q, A, W, F>(app: &Arc<App>, request: Request<Q>, work: W) -> Result<Response<A>, Status>
where
    W: FnOnce(Ctx, Q) -> F,
    F: Future<Output = Result<A, Error>>,
{
    match open(app, request) {
        Ok((ctx, message)) => {
            let request_id = ctx.request_id.clone();
            if ctx.rpc.starts_with(HOT_PATH) {
                return close(work(ctx, message).await, &request_id);
            }
            // Boxed: reports are large, and what sidecars ask is not delayed by it.
            close(app.store.while_present(Box::pin(work(ctx, message))).await, &request_id)
        }
        Err(error) => close(Err(error), &RequestId::default()),
    }
}

/// Runs an operation that changes something, to its end, whether the client
/// waits for it or not: a commit is always followed by its evictions.
async fn write<Q, A, W, F>(app: &Arc<App>, request: Request<Q>, work: W) -> Result<Response<A>, Status>
where
    A: Send + 'static,
    W: FnOnce(Ctx, Q) -> F,
    F: Future<Output = Result<A, Error>> + Send + 'static,
{
    match open(app, request) {
        Ok((ctx, message)) => {
            let request_id = ctx.request_id.clone();
            let task = tokio::spawn(carried(work(ctx, message)));
            close(task.await.unwrap_or_else(|error| Err(Error::internal(error))), &request_id)
        }
        Err(error) => close(Err(error), &RequestId::default()),
    }
}

/// The most bytes of a management message.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// The most bytes of a batch of usage, or of a price list.
const USAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Every service, ready to be served.
pub fn routes(app: &Arc<App>) -> RoutesBuilder {
    use pb::{
        audit_service_server::AuditServiceServer, budget_service_server::BudgetServiceServer,
        customer_service_server::CustomerServiceServer, gateway_service_server::GatewayServiceServer,
        key_service_server::KeyServiceServer, model_service_server::ModelServiceServer,
        organization_service_server::OrganizationServiceServer, spend_service_server::SpendServiceServer,
        team_service_server::TeamServiceServer, user_service_server::UserServiceServer,
        webhook_service_server::WebhookServiceServer,
    };
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(UserServiceServer::new(users::Users(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES))
        .add_service(TeamServiceServer::new(teams::Teams(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES))
        .add_service(
            OrganizationServiceServer::new(organizations::Organizations(Arc::clone(app)))
                .max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(KeyServiceServer::new(keys::Keys(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES))
        .add_service(
            GatewayServiceServer::new(gateway::Gateway(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(
            BudgetServiceServer::new(budgets::Budgets(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(
            CustomerServiceServer::new(customers::Customers(Arc::clone(app)))
                .max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(
            ModelServiceServer::new(models::Models(Arc::clone(app))).max_decoding_message_size(USAGE_MAX_BYTES),
        )
        .add_service(SpendServiceServer::new(spend::Spend(Arc::clone(app))).max_decoding_message_size(USAGE_MAX_BYTES))
        .add_service(
            WebhookServiceServer::new(webhooks::Webhooks(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(
            AuditServiceServer::new(audit::Audit(Arc::clone(app))).max_decoding_message_size(MESSAGE_MAX_BYTES),
        );
    envoy::add(&mut routes, app);
    routes
}
