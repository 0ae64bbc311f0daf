//! The client of commands that ask a running server.

use std::error::Error;

use clap::{Arg, ArgMatches};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// Where a server is, and what to show it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: String,
    bearer: MetadataValue<Ascii>,
}

/// The arguments that name a server and a credential.
pub(super) fn arguments(key: &'static str) -> [Arg; 2] {
    [
        Arg::new("address")
            .long("address")
            .value_name("URL")
            .default_value("http://127.0.0.1:50051")
            .help("The server"),
        Arg::new("key").long("key").value_name("SECRET").required(true).help(key),
    ]
}

impl Server {
    /// The server that the arguments name.
    ///
    /// # Errors
    /// In words, which argument is wrong.
    pub(super) fn new(arguments: &ArgMatches) -> Result<Self, Box<dyn Error>> {
        let text = |name: &str| arguments.get_one::<String>(name).cloned().unwrap_or_default();
        let address = text("address");
        if !address.starts_with("http://") {
            return Err(format!("--address must begin with http://, for this speaks no TLS: {address:?}").into());
        }
        let bearer = format!("Bearer {}", text("key")).parse().map_err(|_| "--key has characters that no key has")?;
        Ok(Self { address, bearer })
    }

    /// A connection to it.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(super) async fn connect(&self) -> Result<Channel, Box<dyn Error>> {
        let channel = Endpoint::new(self.address.clone())?.tcp_nodelay(true).connect().await;
        Ok(channel.map_err(|error| format!("can't connect to {}: {error}", self.address))?)
    }

    /// A request that shows the credential.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}
