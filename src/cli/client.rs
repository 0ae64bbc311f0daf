//! The client of commands that ask a running server.

use std::error::Error;

use clap::{Arg, ArgMatches};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::profile::Profile;
use crate::config::client_variable;

/// Where a server is, and what to show it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: String,
    bearer: MetadataValue<Ascii>,
}

/// Where a server is, if nobody says.
const USUAL_ADDRESS: &str = "http://127.0.0.1:50051";

/// The arguments that name a server and a credential.
pub(super) fn arguments(key: &'static str) -> [Arg; 3] {
    [
        Arg::new("address")
            .long("address")
            .value_name("URL")
            .help("The server (BURSAR_ADDRESS; else of the profile; else http://127.0.0.1:50051)"),
        Arg::new("key")
            .long("key")
            .value_name("SECRET")
            .help(format!("{key} (BURSAR_KEY, which others don't see in the list of processes; else of the profile)")),
        Arg::new("profile")
            .long("profile")
            .value_name("FILE")
            .help("A file with address and key, of mode 600 (BURSAR_PROFILE; else ~/.config/bursar/profile.toml)"),
    ]
}

impl Server {
    /// The server that the arguments, the environment or the profile name.
    ///
    /// # Errors
    /// In words, what is wrong or missing.
    pub(super) fn new(arguments: &ArgMatches) -> Result<Self, Box<dyn Error>> {
        let given =
            |name: &str, variable| arguments.get_one::<String>(name).cloned().or_else(|| client_variable(variable));
        let profile = Profile::read(arguments.get_one::<String>("profile"))?;
        let address =
            given("address", "BURSAR_ADDRESS").or(profile.address).unwrap_or_else(|| USUAL_ADDRESS.to_owned());
        let key = given("key", "BURSAR_KEY").or(profile.key);
        let key = key.ok_or("no key: give --key, the variable BURSAR_KEY or a profile; see --help")?;
        if !address.starts_with("http://") {
            return Err(format!("the address must begin with http://, for this speaks no TLS: {address:?}").into());
        }
        let bearer = format!("Bearer {key}").parse().map_err(|_| "the key has characters that no key has")?;
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
