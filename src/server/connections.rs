//! Connections: taken, secured, served, and asked to leave when they are old, so
//! that a load balancer can spread them over new instances.
//!
//! tonic's own loop gives all connections one age and reads certificates once.

use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use super::tls::Tls;
use crate::auth::Peer;
use crate::config::Settings;
use crate::metrics::Metrics;

/// How many streams a client may reset before they were accepted: sidecars
/// cancel calls in bursts, and must not lose their connection for it.
const RESET_STREAMS_MAX: usize = 4_096;

/// How large the headers of a request may be. More than a credential may have,
/// so that a credential that is too long is refused in Bursar's own words.
const HEADERS_MAX_BYTES: u32 = 64 * 1024;

/// How often a silent client is asked whether it is there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);

/// How long a client may take to agree on keys.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be taken, such as without files left.
const PAUSE: Duration = Duration::from_millis(50);

/// How old connections become.
#[derive(Clone, Copy, Debug)]
struct Ages {
    /// From when on a client is asked to go; some a little earlier or later.
    max: Duration,
    /// What its calls have then to end.
    grace: Duration,
}

/// Serves a service on all connections to a port.
pub(super) struct Connections<S> {
    listener: TcpListener,
    each: Each<S>,
}

/// What every connection needs.
#[derive(Clone)]
struct Each<S> {
    service: S,
    tls: Option<Arc<Tls>>,
    ages: Ages,
    jitter: RandomState,
    metrics: Arc<Metrics>,
    http: http2::Builder<TokioExecutor>,
}

impl<S> Connections<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    /// Serves on this port.
    pub(super) fn new(
        listener: TcpListener,
        service: S,
        (tls, metrics): (Option<Arc<Tls>>, Arc<Metrics>),
        settings: &Settings,
    ) -> Self {
        let ages =
            Ages { max: settings.max_connection_age.duration(), grace: settings.max_connection_age_grace.duration() };
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX_BYTES);
        Self { listener, each: Each { service, tls, ages, jitter: RandomState::new(), metrics, http } }
    }

    /// Serves until `stop` ends; then takes no new connections, and waits until
    /// the calls on the others are finished.
    pub(super) async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { listener, each } = self;
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        tokio::spawn(each.clone().serve(stream, address, stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
        // Whoever connects now is refused at once, and goes elsewhere.
        drop(listener);
        let _ = stopping.send(());
        drop(stopped);
        stopping.closed().await;
    }
}

impl<S> Each<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    async fn serve(self, stream: TcpStream, address: SocketAddr, stopped: watch::Receiver<()>) {
        let _counted = self.metrics.connected();
        // Answers are small, and waited for.
        let _ = stream.set_nodelay(true);
        let peer = |gateway| Peer { address: address.ip(), gateway };
        let age = age(self.ages.max, self.jitter.hash_one(address));
        let Some(tls) = self.tls.clone() else { return self.speak(stream, peer(None), age, stopped).await };
        match tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await {
            Ok(Ok((stream, gateway))) => self.speak(stream, peer(gateway), age, stopped).await,
            Ok(Err(error)) => self.refuse(address, &error.to_string()),
            Err(_) => self.refuse(address, "it took too long"),
        }
    }

    fn refuse(&self, address: SocketAddr, error: &str) {
        self.metrics.handshake_failed();
        tracing::debug!(%address, error, "a client could not agree on TLS");
    }

    async fn speak<I>(self, io: I, peer: Peer, age: Duration, mut stopped: watch::Receiver<()>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let served = Served { service: self.service, peer };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(io), served));
        let is_old = tokio::select! {
            ended = connection.as_mut() => return tell(ended),
            () = tokio::time::sleep(age) => true,
            _ = stopped.changed() => false,
        };
        connection.as_mut().graceful_shutdown();
        if is_old {
            let _ = tokio::time::timeout(self.ages.grace, connection).await;
        } else {
            // How long is waited at a stop is for the whole server to decide.
            tell(connection.await);
        }
    }
}

fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Within a tenth of the age that is set, so that clients which came together do
/// not leave together.
fn age(max: Duration, random: u64) -> Duration {
    let twentieths = u32::try_from(random % 21).unwrap_or_default();
    max * (90 + twentieths) / 100
}

/// A service, told who is at the other end.
struct Served<S> {
    service: S,
    peer: Peer,
}

impl<S> hyper::service::Service<Request<Incoming>> for Served<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = tower::util::Oneshot<S, Request<Body>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer.clone());
        self.service.clone().oneshot(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_came_together_leave_one_by_one() {
        let max = Duration::from_secs(1_000);
        let ages: Vec<u64> = (0..21).map(|random| age(max, random).as_secs()).collect();
        assert_eq!(ages, (900..=1_100).step_by(10).collect::<Vec<_>>());
        assert_eq!(age(max, u64::MAX), age(max, u64::MAX % 21));
    }
}
