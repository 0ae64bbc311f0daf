//! The client of commands that ask a running server.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, value_parser};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::profile::Profile;
use crate::config::client_variable;
use crate::domain::cause::causes;

/// Where a server is, and what to show it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    address: String,
    tls: Option<ClientTlsConfig>,
    bearer: MetadataValue<Ascii>,
}

/// Where a server is, if nobody says.
const USUAL_ADDRESS: &str = "http://127.0.0.1:50051";

/// The arguments that name a server and a credential.
pub(super) fn arguments(key: &'static str) -> [Arg; 6] {
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
        file("ca", "Who signs the server's certificate, as PEM (else of the profile; else the machine's authorities)"),
        file("certificate", "The certificate to show, as PEM, if the server wants one (else of the profile)"),
        file("certificate-key", "The private key of it, as PEM (else of the profile)"),
    ]
}

fn file(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
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
        let given = |name: &str, of_profile| arguments.get_one::<PathBuf>(name).cloned().or(of_profile);
        let files = TlsFiles {
            ca: given("ca", profile.ca),
            certificate: given("certificate", profile.certificate),
            key: given("certificate-key", profile.certificate_key),
        };
        let tls = match address.split_once("://") {
            Some(("https", _)) => Some(files.read()?),
            Some(("http", _)) if files == TlsFiles::default() => None,
            Some(("http", _)) => return Err("certificates are for an address that begins with https://".into()),
            _ => return Err(format!("the address must begin with http:// or https://: {address:?}").into()),
        };
        let bearer = format!("Bearer {key}").parse().map_err(|_| "the key has characters that no key has")?;
        Ok(Self { address, tls, bearer })
    }

    /// A connection to it.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(super) async fn connect(&self) -> Result<Channel, Box<dyn Error>> {
        let mut endpoint = Endpoint::new(self.address.clone())?.tcp_nodelay(true);
        if let Some(tls) = self.tls.clone() {
            endpoint = endpoint.tls_config(tls)?;
        }
        let channel = endpoint.connect().await;
        Ok(channel.map_err(|error| format!("can't connect to {}: {}", self.address, causes(&error)))?)
    }

    /// A request that shows the credential.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}

/// The files that a person names for TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct TlsFiles {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TlsFiles {
    fn read(self) -> Result<ClientTlsConfig, Box<dyn Error>> {
        let bytes =
            |file: &Path| std::fs::read(file).map_err(|error| format!("can't read {}: {error}", file.display()));
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca {
            Some(file) => tls.ca_certificate(Certificate::from_pem(bytes(file)?)),
            None => tls.with_native_roots(),
        };
        match (&self.certificate, &self.key) {
            (None, None) => Ok(tls),
            (Some(certificate), Some(key)) => Ok(tls.identity(Identity::from_pem(bytes(certificate)?, bytes(key)?))),
            _ => Err("certificate and certificate-key go together".into()),
        }
    }
}
