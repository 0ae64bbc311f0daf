//! Addresses of others whom Bursar believes, or tells secrets.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// An address that nobody on the way can answer for: `https`, or `http` on this
/// machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeUrl(Uri);

/// Text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL that begins with https://, or with http:// and an address of this machine")]
pub struct ParseSafeUrlError;

impl FromStr for SafeUrl {
    type Err = ParseSafeUrlError;

    fn from_str(text: &str) -> Result<Self, ParseSafeUrlError> {
        let uri: Uri = text.parse().map_err(|_| ParseSafeUrlError)?;
        let is_here = matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let is_safe = match uri.scheme_str() {
            Some("https") => uri.host().is_some(),
            Some("http") => is_here,
            _ => false,
        };
        if is_safe { Ok(Self(uri)) } else { Err(ParseSafeUrlError) }
    }
}

impl SafeUrl {
    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host, with its port if it names one.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default())
    }

    /// Whether it names a host, and nothing on it.
    #[must_use]
    pub fn is_origin(&self) -> bool {
        self.0.path_and_query().is_none_or(|path| path.as_str() == "/")
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_believed_comes_over_tls_or_from_this_machine() {
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
            assert_eq!(url.parse::<SafeUrl>().is_ok(), fits, "{url}");
        }
    }
}
