//! Tokens of identity providers: which are good, and who their holder is.
//!
//! Pure: a token's signature is checked elsewhere; here are its claims and the
//! rules of its issuer. Source of the rules: `OpenID` Connect, and RFC 8725 for
//! what must be there.

mod check;
mod claims;
mod key_source;
mod realm;
mod stated;
mod sync;

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

pub use self::check::check;
pub use self::claims::{ClaimPath, Claims, NoInstant, ParseClaimPathError};
pub use self::key_source::KeySource;
pub use self::realm::{Memberships, Realm};
pub use self::stated::{Aliases, Stated, TeamClaim};
pub use self::sync::Changes;
use super::fault::Refusal;
use super::models::ModelList;
use super::policy::Predicate;
use super::reason::Reason;
use super::role::Role;

/// Who issues Bursar's own sessions; nobody else may.
pub const OWN_ISSUER: &str = "bursar";

/// Signatures that are accepted unless an issuer narrows them: all that need no
/// shared secret.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Who vouches for those whom the setting `custom_auth` knows; no issuer is
/// called so.
pub const CUSTOM_AUTH: &str = "custom_auth";

/// What an expression about a token calls its claims.
pub const CLAIMS: &str = "claims";

/// Somebody whose tokens are accepted, and what becomes of them: one of the
/// setting `jwt.issuers`.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its users.
    pub realm: Arc<Realm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// One of these must be in the claim `aud`.
    pub audiences: Vec<String>,
    /// The signatures that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// By how much its clock may differ.
    pub leeway_seconds: i64,
    /// The longest life of a token.
    pub lifetime_max_seconds: i64,
    /// Where in a token things are.
    pub claims: ClaimNames,
    /// Stands before the user ids of its tokens, so that two issuers can't name
    /// the same user.
    pub user_id_prefix: String,
    /// The domains of its users' addresses; none: any.
    pub email_domains: Vec<String>,
    /// Which of its roles is which of Bursar's; the first that fits counts.
    pub roles: Vec<RoleMapping>,
    /// Whether a token without such a role is refused.
    pub role_required: bool,
    /// What must be true of the claims of a token, by the name [`CLAIMS`].
    pub allow: Option<Predicate>,
    /// The scope that makes a proxy admin.
    pub admin_scope: Option<String>,
    /// Which models its scopes open; none: scopes say nothing about models.
    pub scope_models: Vec<(String, ModelList)>,
}

/// Where in a token things are; `None`: it does not say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct ClaimNames {
    pub user_id: Option<ClaimPath>,
    pub user_email: Option<ClaimPath>,
    pub team_id: Option<ClaimPath>,
    pub team_alias: Option<ClaimPath>,
    pub team_ids: Option<ClaimPath>,
    pub organization_id: Option<ClaimPath>,
    pub organization_alias: Option<ClaimPath>,
    pub customer_id: Option<ClaimPath>,
    pub roles: Option<ClaimPath>,
    pub scopes: Option<ClaimPath>,
}

impl Default for ClaimNames {
    /// The names of `OpenID` Connect and of OAuth 2.0.
    fn default() -> Self {
        Self {
            user_id: "sub".parse().ok(),
            user_email: "email".parse().ok(),
            team_id: None,
            team_alias: None,
            team_ids: None,
            organization_id: None,
            organization_alias: None,
            customer_id: None,
            roles: None,
            scopes: "scope".parse().ok(),
        }
    }
}

/// A role of an issuer that is one of Bursar's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMapping {
    /// Its name; `*` stands for any text.
    pub pattern: String,
    /// Bursar's.
    pub role: Role,
}

/// Why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// It, or the way it is signed, is not what its issuer gives.
    Invalid(&'static str),
    /// Its time is over.
    Expired,
    /// It was made for somebody else.
    Audience,
    /// It is good, and its holder may not come in.
    Refused(Refusal),
}

impl TokenFault {
    fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Self::Refused(Refusal::denied(reason, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An issuer that says who somebody is, and no more.
    pub(super) fn issuer() -> Issuer {
        Issuer {
            realm: Arc::new(Realm::of_known("https://idp.example")),
            keys: KeySource::KeySet("https://idp.example/keys".parse().expect("a URL")),
            audiences: vec!["bursar".to_owned()],
            algorithms: ALGORITHMS.to_vec(),
            leeway_seconds: 0,
            lifetime_max_seconds: 86_400,
            claims: ClaimNames::default(),
            user_id_prefix: String::new(),
            email_domains: Vec::new(),
            roles: Vec::new(),
            role_required: false,
            allow: None,
            admin_scope: None,
            scope_models: Vec::new(),
        }
    }
}
