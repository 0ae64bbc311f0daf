//! Where the keys of an issuer are.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// The address of an issuer's keys: `https`, or `http` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl(Uri);

/// Text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL that begins with https://, or with http:// and an address of this machine")]
pub struct ParseKeyUrlError;

impl FromStr for KeyUrl {
    type Err = ParseKeyUrlError;

    fn from_str(text: &str) -> Result<Self, ParseKeyUrlError> {
        let uri: Uri = text.parse().map_err(|_| ParseKeyUrlError)?;
        let is_here = matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let is_safe = match uri.scheme_str() {
            Some("https") => uri.host().is_some(),
            Some("http") => is_here,
            _ => false,
        };
        if is_safe { Ok(Self(uri)) } else { Err(ParseKeyUrlError) }
    }
}

impl KeyUrl {
    /// Where an issuer describes itself (`OpenID` Connect Discovery 1.0, 4).
    ///
    /// # Errors
    /// [`ParseKeyUrlError`] if the issuer's name is no address.
    pub fn discovery(issuer: &str) -> Result<Self, ParseKeyUrlError> {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).parse()
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the keys of an issuer are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// They are here.
    KeySet(KeyUrl),
    /// Here is written where they are.
    Discovery(KeyUrl),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for (url, fits) in [
            ("https://idp.example/keys", true),
            ("https://127.0.0.1/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://localhost/keys", true),
            ("http://[::1]:1/keys", true),
            ("http://idp.example/keys", false),
            ("http://127.0.0.1.idp.example/keys", false),
            ("file:///etc/passwd", false),
            ("idp.example", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(url.parse::<KeyUrl>().is_ok(), fits, "{url}");
        }
        let discovery = KeyUrl::discovery("https://idp.example/realm/").map(|url| url.to_string());
        assert_eq!(discovery.as_deref(), Ok("https://idp.example/realm/.well-known/openid-configuration"));
    }
}
