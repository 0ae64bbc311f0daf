//! Callouts: services of an installation that Bursar asks over gRPC. Their
//! contract is `proto/bursar/policy/v1`.

mod custom_auth;
mod key_policy;

use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

pub use self::custom_auth::{CustomAuth, Vouched};
pub use self::key_policy::{KeyPolicy, Question};
use crate::domain::callout::Callout;
use crate::domain::reason::Reason;
use crate::error::Error;

/// When it may be worth asking again a service that did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// A connection that is made when it is needed, and again when it breaks.
fn connect(callout: &Callout) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(callout.url.to_string()).map_err(Error::internal)?;
    let endpoint = endpoint.connect_timeout(callout.timeout).timeout(callout.timeout);
    // The certificates of the machine; without TLS they are not used.
    let endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots()).map_err(Error::internal)?;
    Ok(endpoint.connect_lazy())
}

/// The failure of a service that gave no answer which counts.
fn silent(reason: Reason, status: &Status) -> Error {
    let cause = format!("{}: {:?}: {}", reason.as_str(), status.code(), status.message());
    Error::Unavailable { reason, cause, retry: RETRY }
}
