//! The outermost layer, blind to meaning: request id, limits on time and on
//! concurrency, panic guard, one log line.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::auth::{REQUEST_ID, RequestId};
use crate::config::Settings;
use crate::domain::reason::Reason;
use crate::error::{Error, RETRY};
use crate::metrics::{Metrics, name_of_code};
use crate::services::HOT_PATH;
use crate::traces::{Traced, Traces, within};

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static(REQUEST_ID);
const GRPC_TIMEOUT: &str = "grpc-timeout";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_DETAILS: &str = "grpc-status-details-bin";

/// Health checks are never refused for want of room.
const HEALTH: &str = "/grpc.health.v1.";

/// How much earlier than the client's own deadline the answer is given up, so
/// that the client hears why.
const HEAD_START: Duration = Duration::from_millis(2);

/// Makes the layer. One for all requests, counted once by each.
#[derive(Clone)]
pub(super) struct RequestLayer(Arc<Limits>);

/// What all requests share.
struct Limits {
    room: Semaphore,
    timeout: Duration,
    metrics: Arc<Metrics>,
    traces: Option<Arc<Traces>>,
}

impl RequestLayer {
    /// A layer with the limits of the settings.
    pub(super) fn new(settings: &Settings, metrics: Arc<Metrics>, traces: Option<Arc<Traces>>) -> Self {
        let room = settings.max_concurrent_requests.min(Semaphore::MAX_PERMITS);
        let timeout = settings.request_timeout.duration();
        Self(Arc::new(Limits { room: Semaphore::new(room), timeout, metrics, traces }))
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService { layer: self.clone(), inner }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub(super) struct RequestService<S> {
    layer: RequestLayer,
    inner: S,
}

impl<S> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
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
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id.clone());
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let limits = Arc::clone(&self.layer.0);
        let timeout = timeout(request.headers(), limits.timeout);
        Box::pin(async move {
            let began = Instant::now();
            let traced = limits.traces.as_ref().map(|traces| traces.begin(rpc_of(&path), request.headers()));
            let is_health = path.path().starts_with(HEALTH);
            let permit = if is_health { None } else { limits.room.try_acquire().ok() };
            let result = if permit.is_none() && !is_health {
                let message = "the server has too many calls in flight; try again a little later";
                Ok(refuse(&Error::Exhausted { reason: Reason::TooManyRequests, message, retry: RETRY }, &id))
            } else if is_health {
                // A watcher watches for as long as it likes.
                inner.call(request).await
            } else {
                guarded(within(traced.as_ref(), inner.call(request)), timeout, &id).await
            };
            result.map(|response| {
                let mut response = explain(response, &id);
                let (took, code) = (began.elapsed(), code_of(&response));
                limits.metrics.request(rpc_of(&path), code, took);
                let trace_id = traced.as_ref().map(Traced::trace_id);
                log(path.path(), &id, &response, (took, trace_id.as_deref()));
                if let Some(traced) = traced {
                    traced.end(name_of_code(code), id.get());
                }
                attach(&id, path.path(), &mut response);
                response
            })
        })
    }
}

fn is_hot(path: &str) -> bool {
    path.trim_start_matches('/').starts_with(HOT_PATH)
}

fn rpc_of(path: &PathAndQuery) -> &str {
    path.path().trim_start_matches('/')
}

/// A status in the headers is an error; a success has it in the trailers.
fn code_of(response: &Response<Body>) -> usize {
    let code = response.headers().get(GRPC_STATUS).map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
    i32::from(code).try_into().unwrap_or_default()
}

/// Tells the client the id of its request; of a model call that went well only
/// if it sent one.
fn attach(id: &RequestId, path: &str, response: &mut Response<Body>) {
    let is_needed = !is_hot(path) || response.headers().contains_key(GRPC_STATUS);
    let told = if is_needed { Some(id.get()) } else { id.known() };
    if let Some(Ok(mut value)) = told.map(HeaderValue::from_str) {
        // No two are the same: the connection's table of headers must not be
        // filled with them.
        value.set_sensitive(true);
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
}

/// Runs a call within its time; a panic in it is an error of this call alone.
async fn guarded<E>(
    call: impl Future<Output = Result<Response<Body>, E>>,
    timeout: Duration,
    id: &RequestId,
) -> Result<Response<Body>, E> {
    match tokio::time::timeout(timeout, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let cause = panic.downcast_ref::<&str>().map(ToString::to_string);
            let cause = cause.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Ok(refuse(&Error::Internal { cause: format!("a panic: {cause}") }, id))
        }
        Err(_) => Ok(refuse(&Error::DeadlineExceeded, id)),
    }
}

/// What the transport refuses before a handler sees it, in the words and with
/// the details of Bursar's own errors.
fn explain(response: Response<Body>, id: &RequestId) -> Response<Body> {
    // A success has its status in the trailers.
    let headers = response.headers();
    if !headers.contains_key(GRPC_STATUS) || headers.contains_key(GRPC_DETAILS) {
        return response;
    }
    let code = Status::from_header_map(response.headers()).map(|status| status.code());
    match code.and_then(Error::of_transport) {
        Some(error) => refuse(&error, id),
        None => response,
    }
}

fn refuse(error: &Error, id: &RequestId) -> Response<Body> {
    error.log(id.get());
    error.to_status().into_http()
}

/// The shorter of the client's deadline and the server's.
fn timeout(headers: &HeaderMap, server: Duration) -> Duration {
    let client = headers.get(GRPC_TIMEOUT).and_then(|value| parse_timeout(value.to_str().ok()?));
    client.map_or(server, |client| client.saturating_sub(HEAD_START).min(server))
}

/// Parses `<at most 8 digits><unit>`, as gRPC has it.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// One line a request: of the hot path only when somebody looks closely.
fn log(path: &str, id: &RequestId, response: &Response<Body>, (took, trace_id): (Duration, Option<&str>)) {
    let code = response.headers().get(GRPC_STATUS).and_then(|value| value.to_str().ok()).unwrap_or("0");
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if is_hot(path) || !path.starts_with("/bursar.v1.") {
        tracing::debug!(request_id = id.get(), trace_id, path, code, took_us, "request");
    } else {
        tracing::info!(request_id = id.get(), trace_id, path, code, took_us, "request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        for (text, parsed) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("7u", Some(Duration::from_micros(7))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("1x", None),
            ("-1S", None),
            ("é", None),
        ] {
            assert_eq!(parse_timeout(text), parsed, "{text:?}");
        }
    }
    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own_call_and_tells_nothing() {
        let call = async { panic!("secret") };
        let response = guarded::<std::convert::Infallible>(call, Duration::from_secs(1), &RequestId::default()).await;
        let status = response.map(|response| Status::from_header_map(response.headers()));
        let status = status.expect("infallible").expect("a status");
        assert_eq!(status.code(), tonic::Code::Internal);
        assert!(!format!("{status:?}").contains("secret"));
    }
}
