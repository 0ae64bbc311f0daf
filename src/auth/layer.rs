//! The layer that admits requests: authenticate, then ask the policy. A handler
//! runs only for a caller that may call it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::authn::Authenticator;
use super::caller::Caller;
use super::peer::Peer;
use super::policy::{Scope, rule_of};
use super::request_id::RequestId;
use super::throttle::{Allowance, Subject, Throttle};
use crate::domain::clock::Clock;
use crate::error::Error;

/// Services that need no credential.
const PUBLIC: &str = "/grpc.health.v1.";

/// Server reflection: public by setting.
const REFLECTION: &str = "/grpc.reflection.";

/// What the layer found out about a request, for its handler.
#[derive(Clone, Debug)]
pub struct Passport {
    /// Who sent it.
    pub caller: Arc<Caller>,
    /// How far that reaches.
    pub scope: Scope,
    /// The RPC.
    pub rpc: &'static str,
    /// Where it came from, if that is known.
    pub remote: Option<IpAddr>,
}

/// Makes the layer. One for all requests, counted once by each.
#[derive(Clone)]
pub struct AuthLayer(Arc<Admission>);

/// What the settings say about callers.
#[derive(Clone, Copy, Debug)]
pub struct CallerRules {
    /// Whether reflection needs no credential.
    pub reflection_is_public: bool,
    /// How many wrong credentials a minute are told so.
    pub failures_a_minute: usize,
    /// How many requests a minute a caller may send; `None` is no limit.
    pub requests_a_minute: Option<usize>,
}

/// What admitting needs.
struct Admission {
    authenticator: Authenticator,
    guesses: Throttle,
    requests: Option<Throttle>,
    clock: Clock,
    reflection_is_public: bool,
}

impl AuthLayer {
    /// A layer that asks this authenticator.
    pub fn new(authenticator: Authenticator, clock: Clock, rules: CallerRules) -> Self {
        let CallerRules { reflection_is_public, failures_a_minute, requests_a_minute } = rules;
        let guesses = Throttle::new(Allowance::credentials(failures_a_minute));
        let requests = requests_a_minute.map(|most| Throttle::new(Allowance::requests(most)));
        Self(Arc::new(Admission { authenticator, guesses, requests, clock, reflection_is_public }))
    }
}

impl Admission {
    fn is_public(&self, path: &str) -> bool {
        path.starts_with(PUBLIC) || (self.reflection_is_public && path.starts_with(REFLECTION))
    }

    async fn admit(&self, request: &mut Request<Body>) -> Result<(), Error> {
        let rule = rule_of(request.uri().path().trim_start_matches('/'));
        let peer = request.extensions().get::<Peer>();
        let remote = peer.map(|peer| peer.address);
        if let Some(rule) = rule.filter(|rule| rule.is_public()) {
            let caller = Arc::new(Caller::nobody());
            let passport = Passport { caller, scope: Scope::default(), rpc: rule.rpc, remote };
            request.extensions_mut().insert(passport);
            return Ok(());
        }
        let now = self.clock.now();
        let caller = match self.authenticator.caller(request.headers(), peer, now).await {
            Err(error @ Error::Unauthenticated { .. }) => return Err(self.guesses.blame(remote, error, now)),
            known => known?,
        };
        let path = request.uri().path();
        if path.starts_with(REFLECTION) {
            return Ok(());
        }
        // An RPC that is not declared is left to the router, which does not
        // know it either.
        let Some(rule) = rule else { return Ok(()) };
        let scope = rule.admit(&caller)?;
        if let Some(requests) = self.requests.as_ref().filter(|_| rule.is_management() && caller.is_limited()) {
            let _counted = requests.begin([Subject::Caller(caller.name())], now)?;
        }
        request.extensions_mut().insert(Passport { caller: Arc::new(caller), scope, rpc: rule.rpc, remote });
        Ok(())
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { layer: self.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub struct AuthService<S> {
    layer: AuthLayer,
    inner: S,
}

impl<S> Service<Request<Body>> for AuthService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that was polled ready must be the one that is called.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        if self.layer.0.is_public(request.uri().path()) {
            return Box::pin(inner.call(request));
        }
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.0.admit(&mut request).await {
                Ok(()) => inner.call(request).await,
                Err(error) => {
                    error.log(request.extensions().get::<RequestId>().map_or("", RequestId::get));
                    Ok(error.to_status().into_http())
                }
            }
        })
    }
}
