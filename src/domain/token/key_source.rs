//! Where the keys of an issuer are.

use crate::domain::safe_url::{ParseSafeUrlError, SafeUrl};

/// How the keys of an issuer are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// They are here.
    KeySet(SafeUrl),
    /// Here is written where they are.
    Discovery(SafeUrl),
}

impl KeySource {
    /// Where an issuer describes itself (`OpenID` Connect Discovery 1.0, 4).
    ///
    /// # Errors
    /// [`ParseSafeUrlError`] if the issuer's name is no address.
    pub fn discovery(issuer: &str) -> Result<Self, ParseSafeUrlError> {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).parse().map(Self::Discovery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_describes_itself_beneath_its_name() {
        let url = "https://idp.example/realm/.well-known/openid-configuration".parse().expect("a URL");
        assert_eq!(KeySource::discovery("https://idp.example/realm/"), Ok(KeySource::Discovery(url)));
        assert_eq!(KeySource::discovery("idp"), Err(ParseSafeUrlError));
    }
}
