//! The settings of traces.

use http::Uri;
use serde::Deserialize;

use super::parse::optional;
use super::{ConfigError, Settings};
use crate::domain::traces::{Share, TraceRules};

/// Setting `traces`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct TraceParams {
    pub endpoint: String,
    #[serde(default, deserialize_with = "optional")]
    pub share: Option<Share>,
}

impl Settings {
    /// Where spans are sent, if they are.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn trace_rules(&self) -> Result<Option<TraceRules>, ConfigError> {
        let Some(TraceParams { endpoint, share }) = &self.traces else { return Ok(None) };
        let uri = endpoint.parse::<Uri>().ok();
        let is_address =
            uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !is_address {
            let rule = "must be the address of a collector's gRPC port, such as http://127.0.0.1:4317";
            return Err(ConfigError(format!("wrong setting: traces.endpoint {rule}")));
        }
        Ok(Some(TraceRules { endpoint: endpoint.clone(), share: share.unwrap_or(Share::ALL) }))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_from;

    #[test]
    fn traces_go_to_a_collector() {
        let rules = |value: &str| {
            load_from(&[("traces".to_owned(), value.to_owned())], None, &[]).and_then(|settings| settings.trace_rules())
        };
        let there = rules(r#"{ endpoint = "http://collector:4317", share = "0.5" }"#).expect("valid").expect("there");
        assert_eq!((there.endpoint.as_str(), there.share), ("http://collector:4317", "0.5".parse().expect("a share")));
        for (value, told) in [
            ("{ }", "endpoint"),
            (r#"{ endpoint = "collector:4317" }"#, "traces.endpoint must be"),
            (r#"{ endpoint = "http://collector:4317", share = "2" }"#, "from 0 to 1"),
        ] {
            let error = rules(value).expect_err(value).0;
            assert!(error.contains(told), "{error}");
        }
    }
}
