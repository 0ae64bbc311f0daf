//! The settings of identity providers.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::parse::{optional, parsed};
use super::{ConfigError, Period, Settings};
use crate::domain::fault::Violation;
use crate::domain::ids::TeamId;
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::policy::Predicate;
use crate::domain::role::Role;
use crate::domain::safe_url::SafeUrl;
use crate::domain::token::{
    ALGORITHMS, CLAIMS, CUSTOM_AUTH, ClaimNames, ClaimPath, Issuer, KeySource, Memberships, OWN_ISSUER, Realm,
    RoleMapping,
};

const LEEWAY_SECONDS: i64 = 30;
const LEEWAY_MAX_SECONDS: i64 = 300;
const LIFETIME_SECONDS: i64 = 24 * 3_600;

/// Setting `jwt`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct JwtParams {
    pub issuers: Vec<IssuerParams>,
}

/// One of `jwt.issuers`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "a switch is a switch")]
pub struct IssuerParams {
    pub issuer: String,
    pub audiences: Vec<String>,
    #[serde(default, deserialize_with = "optional")]
    pub jwks_url: Option<SafeUrl>,
    #[serde(default)]
    pub algorithms: Vec<Signature>,
    #[serde(default, deserialize_with = "optional")]
    pub leeway: Option<Leeway>,
    #[serde(default, deserialize_with = "optional")]
    pub max_lifetime: Option<Period>,
    #[serde(default)]
    pub claims: ClaimNames,
    #[serde(default)]
    pub user_id_prefix: String,
    #[serde(default)]
    pub email_domains: Vec<String>,
    #[serde(default)]
    pub role_mappings: Vec<RoleParams>,
    #[serde(default)]
    pub require_role: bool,
    #[serde(default)]
    pub allow: Option<String>,
    #[serde(default)]
    pub admin_scope: Option<String>,
    #[serde(default)]
    pub scope_mappings: Vec<ScopeParams>,
    #[serde(default)]
    pub default_team_id: Option<String>,
    #[serde(default)]
    pub require_team: bool,
    #[serde(default)]
    pub create_users: bool,
    #[serde(default)]
    pub create_teams: bool,
    #[serde(default)]
    pub create_organizations: bool,
    #[serde(default, deserialize_with = "parsed")]
    pub memberships: Memberships,
    #[serde(default)]
    pub set_roles: bool,
}

/// One of `role_mappings`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleParams {
    pub role: String,
    #[serde(deserialize_with = "parsed")]
    pub user_role: Role,
}

/// One of `scope_mappings`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeParams {
    pub scope: String,
    pub models: Vec<String>,
}

/// An algorithm that signs tokens.
#[derive(Clone, Copy, Debug)]
pub struct Signature(Algorithm);

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = ALGORITHMS.into_iter().find(|algorithm| format!("{algorithm:?}") == name);
        let all = || ALGORITHMS.map(|algorithm| format!("{algorithm:?}")).join(", ");
        known.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{name:?} is none of {}", all())))
    }
}

/// By how much a clock may differ: a length of time, or `0`.
#[derive(Clone, Copy, Debug)]
pub struct Leeway(i64);

impl std::str::FromStr for Leeway {
    type Err = <Period as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" { Ok(Self(0)) } else { text.parse::<Period>().map(|period| Self(period.seconds())) }
    }
}

impl Settings {
    /// The issuers whose tokens are accepted.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn issuers(&self) -> Result<Vec<Issuer>, ConfigError> {
        let params = &self.jwt.issuers;
        let names: Vec<&str> = params.iter().map(|of| of.issuer.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(wrong(index, "issuer", format!("{name:?} is there twice")));
            }
        }
        params.iter().enumerate().map(|(index, params)| issuer(index, params)).collect()
    }
}

fn issuer(index: usize, params: &IssuerParams) -> Result<Issuer, ConfigError> {
    let wrong = |field, rule: &str| wrong(index, field, rule);
    if params.issuer.is_empty() || [OWN_ISSUER, CUSTOM_AUTH].contains(&params.issuer.as_str()) {
        return Err(wrong("issuer", "must be the iss of its tokens, and not \"bursar\" or \"custom_auth\""));
    }
    if params.audiences.is_empty() || params.audiences.iter().any(String::is_empty) {
        return Err(wrong(
            "audiences",
            "must name at least one audience: a token for somebody else is none for Bursar",
        ));
    }
    let leeway_seconds = params.leeway.map_or(LEEWAY_SECONDS, |leeway| leeway.0);
    if leeway_seconds > LEEWAY_MAX_SECONDS {
        return Err(wrong("leeway", "must be at most 5m"));
    }
    let keys = match &params.jwks_url {
        Some(url) => KeySource::KeySet(url.clone()),
        None => KeySource::discovery(&params.issuer)
            .map_err(|error| wrong("issuer", &format!("{error}, so that its keys can be found; or set jwks_url")))?,
    };
    let claims = params.claims.clone();
    let needs = |field, needed: &Option<ClaimPath>, claim: &str| match needed {
        Some(_) => Ok(()),
        None => Err(wrong(field, &format!("needs claims.{claim}, where the token has them"))),
    };
    if !params.role_mappings.is_empty() || params.require_role || params.set_roles {
        needs("role_mappings", &claims.roles, "roles")?;
    }
    if params.memberships != Memberships::Ignore && claims.team_id.is_none() {
        needs("memberships", &claims.team_ids, "team_ids")?;
    }
    if (params.require_role || params.set_roles) && params.role_mappings.is_empty() {
        return Err(wrong("role_mappings", "must not be empty with require_role or set_roles"));
    }
    if params.create_teams && claims.team_id.is_none() {
        needs("create_teams", &claims.team_ids, "team_ids")?;
    }
    if params.create_organizations {
        needs("create_organizations", &claims.organization_id, "organization_id")?;
    }
    let allow = params.allow.as_deref().map(|allow| Predicate::new(allow, &[CLAIMS]));
    let default_team = params.default_team_id.as_deref().map(TeamId::parse).transpose();
    let mut scope_models = Vec::with_capacity(params.scope_mappings.len());
    for mapping in &params.scope_mappings {
        let mut violations: Vec<Violation> = Vec::new();
        let models =
            ModelList::parse(&mapping.models, ListOwner::PersonalKey, "scope_mappings.models", &mut violations);
        if let Some(violation) = violations.first() {
            return Err(wrong("scope_mappings", &format!("models {}", violation.description)));
        }
        if models.is_empty() {
            return Err(wrong("scope_mappings", "models must not be empty; all-proxy-models are all"));
        }
        scope_models.push((mapping.scope.clone(), models));
    }
    Ok(Issuer {
        realm: Arc::new(Realm {
            name: params.issuer.as_str().into(),
            default_team: default_team.map_err(|error| wrong("default_team_id", &error.to_string()))?,
            team_required: params.require_team,
            creates_users: params.create_users,
            creates_teams: params.create_teams,
            creates_organizations: params.create_organizations,
            memberships: params.memberships,
            sets_roles: params.set_roles,
        }),
        keys,
        audiences: params.audiences.clone(),
        algorithms: if params.algorithms.is_empty() {
            ALGORITHMS.to_vec()
        } else {
            params.algorithms.iter().map(|signature| signature.0).collect()
        },
        leeway_seconds,
        lifetime_max_seconds: params.max_lifetime.map_or(LIFETIME_SECONDS, Period::seconds),
        claims,
        user_id_prefix: params.user_id_prefix.clone(),
        email_domains: params.email_domains.clone(),
        roles: params
            .role_mappings
            .iter()
            .map(|mapping| RoleMapping { pattern: mapping.role.clone(), role: mapping.user_role })
            .collect(),
        role_required: params.require_role,
        allow: allow.transpose().map_err(|told| wrong("allow", &told))?,
        admin_scope: params.admin_scope.clone(),
        scope_models,
    })
}

fn wrong(index: usize, field: &str, rule: impl fmt::Display) -> ConfigError {
    ConfigError(format!("wrong setting: jwt.issuers[{index}].{field} {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn issuers(text: &str) -> Result<Vec<Issuer>, String> {
        let flags = [("jwt".to_owned(), format!("{{ issuers = [{text}] }}"))];
        load_from(&flags, None, &[]).and_then(|settings| settings.issuers()).map_err(|error| error.0)
    }

    #[test]
    fn an_issuer_needs_a_name_and_an_audience() {
        let issuer = issuers(r#"{ issuer = "https://idp.example", audiences = ["bursar"] }"#).expect("valid").remove(0);
        assert_eq!((issuer.leeway_seconds, issuer.lifetime_max_seconds), (30, 86_400));
        assert_eq!(issuer.algorithms.len(), ALGORITHMS.len());
        assert_eq!(Ok(issuer.keys), KeySource::discovery("https://idp.example"));
        assert_eq!(issuer.claims.user_id, "sub".parse().ok());
    }

    #[test]
    fn impossible_issuers_are_refused_by_name() {
        let base = r#"issuer = "https://idp.example", audiences = ["bursar"]"#;
        for (more, told) in [
            ("audiences = []", "jwt.issuers[0].audiences must name at least one"),
            (r#"issuer = "bursar""#, "jwt.issuers[0].issuer must be the iss"),
            (r#"issuer = "idp""#, "or set jwks_url"),
            (r#"jwks_url = "http://idp.example/keys""#, "must be a URL that begins with https://"),
            (r#"algorithms = ["HS256"]"#, "\"HS256\" is none of RS256"),
            (r#"algorithms = ["none"]"#, "\"none\" is none of RS256"),
            (r#"leeway = "6m""#, "leeway must be at most 5m"),
            (r#"claims = { user_id = "a..b" }"#, "must be the name of a claim"),
            (r#"claims = { user = "sub" }"#, "unknown field: found `user`"),
            ("require_role = true", "role_mappings needs claims.roles"),
            (r#"set_roles = true, claims = { roles = "roles" }"#, "role_mappings must not be empty"),
            (r#"memberships = "sync""#, "memberships needs claims.team_ids"),
            (r#"memberships = "all""#, "\"all\" is not valid"),
            ("create_teams = true", "create_teams needs claims.team_ids"),
            ("create_organizations = true", "create_organizations needs claims.organization_id"),
            (r#"allow = "claims.a ==""#, "jwt.issuers[0].allow"),
            (r#"allow = "user.a == 1""#, "knows no variable \"user\"; there are claims"),
            (r#"default_team_id = " t""#, "default_team_id must be 1-256 bytes"),
            (r#"scope_mappings = [{ scope = "a", models = [] }]"#, "models must not be empty"),
            (r#"role_mappings = [{ role = "a", user_role = "king" }]"#, "\"king\" is not valid"),
            ("nonsense = 1", "unknown field: found `nonsense`"),
        ] {
            let key = more.split(' ').next().unwrap_or_default();
            let kept: Vec<&str> = base.split(", ").filter(|pair| !pair.starts_with(key)).collect();
            let error = issuers(&format!("{{ {}, {more} }}", kept.join(", "))).expect_err(more);
            assert!(error.contains(told), "{more}: {error}");
        }
        let twice = issuers(&format!("{{ {base} }}, {{ {base} }}")).expect_err("twice");
        assert!(twice.contains("jwt.issuers[1].issuer \"https://idp.example\" is there twice"), "{twice}");
    }
}
