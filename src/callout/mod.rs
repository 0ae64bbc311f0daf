//! Callouts: services of an installation that Bursar asks over gRPC. Their
//! contract is `proto/bursar/policy/v1`.

mod custom_auth;
mod key_policy;

use std::future::Future;
use std::time::Duration;

use tonic::metadata::AsciiMetadataKey;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

pub use self::custom_auth::{CustomAuth, Vouched};
pub use self::key_policy::{KeyPolicy, Question};
use crate::domain::callout::Callout;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::traces;

/// When it may be worth asking again a service that did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// How often a connection that nobody uses is tried, and how long an answer to
/// that may take: one that broke silently is made anew.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is made when it is needed, and again when it breaks.
fn connect(callout: &Callout) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(callout.url.to_string()).map_err(Error::internal)?;
    let mut endpoint = endpoint
        .connect_timeout(callout.timeout)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if callout.url.is_tls() {
        let certificates = ClientTlsConfig::new().with_enabled_roots().timeout(callout.timeout);
        endpoint = endpoint.tls_config(certificates).map_err(Error::internal)?;
    }
    Ok(endpoint.connect_lazy())
}

/// A question, as a part of the trace of the call that it is about.
fn traced<Q>(question: Q) -> Request<Q> {
    let mut request = Request::new(question);
    for (name, value) in traces::headers() {
        if let (Ok(name), Ok(value)) = (name.parse::<AsciiMetadataKey>(), value.parse()) {
            request.metadata_mut().insert(name, value);
        }
    }
    request
}

/// The answer to a call, if it comes in time: connecting and reading included.
async fn in_time<A>(timeout: Duration, call: impl Future<Output = Result<Response<A>, Status>>) -> Result<A, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {timeout:?}"))),
    }
}

/// The failure of a service that gave no answer which counts.
fn silent(reason: Reason, status: &Status) -> Error {
    let cause = format!("{}: {:?}: {}", reason.as_str(), status.code(), status.message());
    Error::Unavailable { reason, cause, retry: RETRY }
}
