//! The settings of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::{ConfigError, Settings};
use crate::domain::ids::check_id;
use crate::domain::tls::{ClientRules, KnownGateways, TlsRules};

/// Setting `tls`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct TlsParams {
    pub certificate: PathBuf,
    pub key: PathBuf,
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    #[serde(default)]
    pub require_client_certificate: bool,
    #[serde(default)]
    pub gateways: Vec<GatewayParams>,
}

/// One of `tls.gateways`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct GatewayParams {
    pub san: String,
    pub name: String,
}

impl Settings {
    /// How the port is secured, if it is.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn tls_rules(&self) -> Result<Option<TlsRules>, ConfigError> {
        let Some(params) = &self.tls else { return Ok(None) };
        let TlsParams { certificate, key, client_ca, require_client_certificate, gateways } = params.clone();
        if client_ca.is_none() && (require_client_certificate || !gateways.is_empty()) {
            return Err(wrong("client_ca", "is required for certificates of clients: it says who signs them"));
        }
        let mut known: Vec<(String, Arc<str>)> = Vec::with_capacity(gateways.len());
        for GatewayParams { san, name } in gateways {
            if san.is_empty() || known.iter().any(|(other, _)| *other == san) {
                return Err(wrong("gateways", &format!("san must be there, and once only: {san:?}")));
            }
            check_id(&name).map_err(|error| wrong("gateways", &format!("name {error}")))?;
            known.push((san, name.into()));
        }
        let clients = client_ca.map(|authorities| ClientRules {
            authorities,
            required: require_client_certificate,
            gateways: KnownGateways::new(known),
        });
        Ok(Some(TlsRules { certificate, key, clients }))
    }
}

fn wrong(field: &str, rule: &str) -> ConfigError {
    ConfigError(format!("wrong setting: tls.{field} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn rules(value: &str) -> Result<Option<TlsRules>, ConfigError> {
        load_from(&[("tls".to_owned(), value.to_owned())], None, &[])?.tls_rules()
    }

    #[test]
    fn tls_is_set_up_wholly_or_not_at_all() {
        let plain = rules(r#"{ certificate = "a.crt", key = "a.key" }"#).expect("valid").expect("there");
        assert_eq!((plain.certificate, plain.clients), (PathBuf::from("a.crt"), None));
        let mutual = rules(
            r#"{ certificate = "a.crt", key = "a.key", client_ca = "c", gateways = [{ san = "spiffe://acme/gw", name = "mesh" }] }"#,
        );
        let clients = mutual.expect("valid").expect("there").clients.expect("clients");
        assert!(!clients.required);
        assert_eq!(clients.gateways.find(&["spiffe://acme/gw".to_owned()]).as_deref(), Some("mesh"));
        for (value, told) in [
            (r#"{ certificate = "a.crt" }"#, "key"),
            (r#"{ certificate = "a.crt", key = "a.key", require_client_certificate = true }"#, "tls.client_ca"),
            (r#"{ certificate = "a.crt", key = "a.key", gateways = [{ san = "a", name = "b" }] }"#, "tls.client_ca"),
            (r#"{ certificate = "a", key = "k", client_ca = "c", gateways = [{ san = "", name = "b" }] }"#, "san"),
            (r#"{ certificate = "a", key = "k", client_ca = "c", gateways = [{ san = "a", name = "" }] }"#, "name"),
            (
                r#"{ certificate = "a", key = "k", client_ca = "c", gateways = [{ san = "a", name = "b" }, { san = "a", name = "c" }] }"#,
                "once only",
            ),
        ] {
            let error = rules(value).expect_err(value).0;
            assert!(error.contains(told), "{error}");
        }
    }
}
