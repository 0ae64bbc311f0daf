//! TLS: which files secure the port, and who the holders of client certificates are.

use std::path::PathBuf;
use std::sync::Arc;

/// How the port is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRules {
    /// The server's certificate and those that lead to its authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// Whose certificates clients may show, if they may.
    pub clients: Option<ClientRules>,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// The authorities that sign their certificates, as PEM.
    pub authorities: PathBuf,
    /// Whether nobody is let in without one.
    pub required: bool,
    /// Who among them is a gateway.
    pub gateways: KnownGateways,
}

/// The gateways that are known by their certificates: a subject alternative name
/// (a DNS name, or a URI such as an id of SPIFFE), and what the gateway is called
/// in logs and usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownGateways(Vec<(String, Arc<str>)>);

impl KnownGateways {
    /// Gateways by the names in their certificates.
    #[must_use]
    pub fn new(gateways: Vec<(String, Arc<str>)>) -> Self {
        Self(gateways)
    }

    /// The gateway that a certificate with these names belongs to: of several, the
    /// one that was named first. Case matters in URIs, not in names of hosts.
    #[must_use]
    pub fn find(&self, names: &[String]) -> Option<Arc<str>> {
        let has = |wanted: &str| {
            names.iter().any(|name| if is_uri(wanted) { name == wanted } else { name.eq_ignore_ascii_case(wanted) })
        };
        self.0.iter().find(|(wanted, _)| has(wanted)).map(|(_, gateway)| Arc::clone(gateway))
    }
}

fn is_uri(name: &str) -> bool {
    name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_who_has_its_name_in_the_certificate() {
        let known = KnownGateways::new(vec![
            ("spiffe://acme/gateway".to_owned(), "mesh".into()),
            ("edge.acme.example".to_owned(), "edge".into()),
        ]);
        for (names, found) in [
            (&[][..], None),
            (&["spiffe://acme/gateway"][..], Some("mesh")),
            (&["spiffe://acme/Gateway"][..], None),
            (&["spiffe://acme/gateway/2"][..], None),
            (&["Edge.Acme.Example"][..], Some("edge")),
            (&["other.acme.example"][..], None),
            (&["a.edge.acme.example"][..], None),
            (&["edge.acme.example", "spiffe://acme/gateway"][..], Some("mesh")),
        ] {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            assert_eq!(known.find(&names).as_deref(), found, "{names:?}");
        }
    }
}
