//! TLS: the port's certificates, read again when their files change.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::ServerError;
use crate::domain::clock::Timestamp;
use crate::domain::tls::TlsRules;
use crate::metrics::Metrics;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What gRPC speaks.
const HTTP_2: &[u8] = b"h2";

/// Secures connections.
pub(super) struct Tls {
    rules: TlsRules,
    current: ArcSwap<Loaded>,
    metrics: Arc<Metrics>,
}

/// What the files said when they were read.
struct Loaded {
    files: Files,
    acceptor: TlsAcceptor,
    /// When the certificate ends, in seconds since 1970.
    ends_at: i64,
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ServerError::Tls`] that names the file which is missing or wrong.
    pub(super) fn new(rules: TlsRules, metrics: Arc<Metrics>) -> Result<Self, ServerError> {
        let loaded = load(&rules, read(&rules).map_err(ServerError::Tls)?).map_err(ServerError::Tls)?;
        metrics.certificate_ends(loaded.ends_at);
        Ok(Self { rules, current: ArcSwap::from_pointee(loaded), metrics })
    }

    /// Secures a connection; tells the gateway that its certificate belongs to.
    ///
    /// # Errors
    /// If the client does not speak TLS, or shows no certificate that is accepted.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Option<Arc<str>>)> {
        let acceptor = self.current.load().acceptor.clone();
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let gateway = shown.zip(self.rules.clients.as_ref()).and_then(|(shown, clients)| {
            let names = names_of(shown);
            clients.gateways.find(&names)
        });
        Ok((stream, gateway))
    }

    /// Reads the files again whenever they change, for as long as it is not
    /// aborted. What can't be read or does not fit together is told and not used:
    /// a certificate and its key are seldom replaced at the same instant.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look()).await;
            match looked.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(()) => told.clear(),
                Err(error) if error == told => {}
                Err(error) => {
                    tracing::error!(%error, "the new certificates are not used, the former ones are");
                    told = error;
                }
            }
        }
    }

    fn look(&self) -> Result<(), String> {
        let files = read(&self.rules)?;
        if files == self.current.load().files {
            return Ok(());
        }
        let loaded = load(&self.rules, files)?;
        self.metrics.certificate_ends(loaded.ends_at);
        self.current.store(Arc::new(loaded));
        tracing::info!("new certificates are used from now on");
        Ok(())
    }
}

/// When the certificate ends that the rules name.
///
/// # Errors
/// In words, which file is missing or wrong.
pub fn certificate_end(rules: &TlsRules) -> Result<Timestamp, String> {
    let loaded = load(rules, read(rules)?)?;
    Ok(Timestamp::EPOCH.plus_seconds(loaded.ends_at))
}

fn read(rules: &TlsRules) -> Result<Files, String> {
    let bytes = |file: &Path| std::fs::read(file).map_err(|error| told(file, error));
    Ok(Files {
        certificate: bytes(&rules.certificate)?,
        key: bytes(&rules.key)?,
        authorities: rules.clients.as_ref().map(|clients| bytes(&clients.authorities)).transpose()?,
    })
}

fn load(rules: &TlsRules, files: Files) -> Result<Loaded, String> {
    let chain = certificates(&rules.certificate, &files.certificate)?;
    let ends_at = chain.first().and_then(|certificate| parse_x509_certificate(certificate).ok());
    let ends_at = ends_at.map_or(0, |(_, certificate)| certificate.validity().not_after.timestamp());
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| told(&rules.key, error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match rules.clients.as_ref().zip(files.authorities.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((clients, bytes)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(&clients.authorities, bytes)? {
                roots.add(authority).map_err(|error| told(&clients.authorities, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| told(&clients.authorities, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| told(&rules.certificate, error))?;
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    Ok(Loaded { files, acceptor: TlsAcceptor::from(Arc::new(config)), ends_at })
}

fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|error| told(file, error))?;
    if all.is_empty() { Err(told(file, "there is no certificate in it")) } else { Ok(all) }
}

fn told(file: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}

/// The DNS names and URIs that a certificate is good for.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(found)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    };
    found.value.general_names.iter().filter_map(text).collect()
}
