//! Who a token says its holder is.

use serde_json::Value;

use super::{CLAIMS, Claims, Issuer, TokenFault};
use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, TeamId, UserId, check_id};
use crate::domain::models::{ModelList, NO_DEFAULT_MODELS};
use crate::domain::policy::Predicate;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::domain::user::Email;

/// What a token says of its holder, in Bursar's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Stated {
    /// The user; `None`: the holder is a team.
    pub user_id: Option<UserId>,
    /// The user's address.
    pub email: Option<Email>,
    /// Its teams.
    pub teams: TeamClaim,
    /// The organization that its calls without a team count for.
    pub organization_id: Option<OrganizationId>,
    /// What is named by its alias alone, and still to be found.
    pub aliases: Aliases,
    /// The customer on whose behalf it calls.
    pub customer_id: Option<String>,
    /// The role that its roles stand for.
    pub role: Option<Role>,
    /// Whether it may do everything.
    pub is_admin: bool,
    /// What its scopes let it call.
    pub models: ModelList,
}

/// The teams of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamClaim {
    /// The one it was made for.
    pub one: Option<TeamId>,
    /// Those that its holder is in, in its order.
    pub any: Vec<TeamId>,
}

/// Labels that stand for what has them: ids go before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// The team it was made for.
    pub team: Option<String>,
    /// The organization.
    pub organization: Option<String>,
}

impl TeamClaim {
    /// All of them, each once; the one it was made for first.
    pub fn all(&self) -> impl Iterator<Item = &TeamId> {
        self.one.iter().chain(self.any.iter().filter(|team| self.one.as_ref() != Some(team)))
    }
}

impl Stated {
    /// Reads the claims of a token whose signature and times are good.
    ///
    /// # Errors
    /// [`TokenFault`] if they say nobody, or somebody whom the issuer's rules
    /// keep out.
    pub fn read(claims: &Claims, issuer: &Issuer) -> Result<Self, TokenFault> {
        check_claims(claims, issuer)?;
        let names = &issuer.claims;
        let email = claims.text(names.user_email.as_ref()).and_then(|text| Email::parse(&text).ok());
        check_domain(email.as_ref(), issuer)?;
        let role = role_of(&claims.texts(names.roles.as_ref()), issuer);
        if issuer.role_required && role.is_none() {
            let message = "none of the token's roles is one that may come in";
            return Err(TokenFault::refused(Reason::RoleNotMapped, message));
        }
        let scopes = claims.scopes(names.scopes.as_ref());
        let has_scope = |wanted: &String| scopes.contains(wanted);
        let user_id = claims.text(names.user_id.as_ref()).map(|id| user_id(&id, issuer)).transpose()?;
        let one = claims.text(names.team_id.as_ref()).map(|id| TeamId::parse(&id));
        let one = one.transpose().map_err(|_| TokenFault::Invalid("the token's team id is no id"))?;
        // Groups that can't be teams are none.
        let any = claims.texts(names.team_ids.as_ref()).iter().filter_map(|id| TeamId::parse(id).ok()).collect();
        let organization = claims.text(names.organization_id.as_ref()).map(|id| OrganizationId::parse(&id));
        let organization_id =
            organization.transpose().map_err(|_| TokenFault::Invalid("the token's organization id is no id"))?;
        let aliases = Aliases {
            team: claims.text(names.team_alias.as_ref()).filter(|_| one.is_none()),
            organization: claims.text(names.organization_alias.as_ref()).filter(|_| organization_id.is_none()),
        };
        let customer_id = claims.text(names.customer_id.as_ref());
        customer_id
            .as_deref()
            .map(check_id)
            .transpose()
            .map_err(|_| TokenFault::Invalid("the token's customer id is no id"))?;
        let stated = Self {
            user_id,
            email,
            teams: TeamClaim { one, any },
            organization_id,
            aliases,
            customer_id,
            role,
            is_admin: role == Some(Role::ProxyAdmin) || issuer.admin_scope.as_ref().is_some_and(has_scope),
            models: models_of(&scopes, issuer),
        };
        let names_team = stated.teams.one.is_some() || stated.aliases.team.is_some();
        if stated.user_id.is_none() && !names_team && !stated.is_admin {
            return Err(TokenFault::Invalid("the token names neither a user nor one team"));
        }
        Ok(stated)
    }
}

fn user_id(claimed: &str, issuer: &Issuer) -> Result<UserId, TokenFault> {
    let id = format!("{}{claimed}", issuer.user_id_prefix);
    UserId::parse(&id).map_err(|_| TokenFault::Invalid("the token's user id is no id"))
}

fn check_claims(claims: &Claims, issuer: &Issuer) -> Result<(), TokenFault> {
    let holds = |allow: &Predicate| allow.holds(&[(CLAIMS, &Value::Object(claims.0.clone()))]);
    if issuer.allow.as_ref().is_none_or(holds) {
        return Ok(());
    }
    let message = "the token is good, and its claims are not such that it may come in";
    Err(TokenFault::Refused(Refusal::denied(Reason::PolicyRefused, message).with("policy", "jwt.issuers.allow")))
}

fn check_domain(email: Option<&Email>, issuer: &Issuer) -> Result<(), TokenFault> {
    if issuer.email_domains.is_empty() {
        return Ok(());
    }
    let folded = email.map(Email::folded).unwrap_or_default();
    let domain = folded.rsplit_once('@').map_or("", |(_, domain)| domain);
    if issuer.email_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
        return Ok(());
    }
    let message = "the token's e-mail address is not of a domain that may come in";
    Err(TokenFault::refused(Reason::EmailDomainNotAllowed, message))
}

/// The first mapping that fits any of the roles: the order is the settings'.
fn role_of(roles: &[String], issuer: &Issuer) -> Option<Role> {
    let found = issuer.roles.iter().find(|mapping| roles.iter().any(|role| is_like(role, &mapping.pattern)));
    found.map(|mapping| mapping.role)
}

/// What the scopes open together; without any that opens something, nothing.
fn models_of(scopes: &[String], issuer: &Issuer) -> ModelList {
    if issuer.scope_models.is_empty() {
        return ModelList::default();
    }
    let open = issuer.scope_models.iter().filter(|(scope, _)| scopes.contains(scope)).map(|(_, models)| models);
    let nothing = ModelList::stored(vec![NO_DEFAULT_MODELS.to_owned()]);
    open.fold(nothing, |all, models| all.with(models))
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::token::tests::issuer;
    use crate::domain::token::{ClaimNames, RoleMapping};

    fn named() -> Issuer {
        let path = |name: &str| name.parse().ok();
        Issuer {
            claims: ClaimNames {
                user_id: path("sub"),
                user_email: path("email"),
                team_id: path("team"),
                team_alias: path("team_name"),
                team_ids: path("groups"),
                organization_id: path("org"),
                organization_alias: path("org_name"),
                customer_id: path("customer"),
                roles: path("realm_access.roles"),
                scopes: path("scope"),
            },
            ..issuer()
        }
    }

    fn read(claims: &Value, issuer: &Issuer) -> Result<Stated, TokenFault> {
        Stated::read(&Claims(claims.as_object().expect("an object").clone()), issuer)
    }

    fn reason(claims: &Value, issuer: &Issuer) -> Option<Reason> {
        match read(claims, issuer) {
            Err(TokenFault::Refused(refusal)) => Some(refusal.reason),
            _ => None,
        }
    }

    #[test]
    fn claims_become_a_holder() {
        let claims = json!({
            "sub": "alice", "email": "Alice@b.c", "team": "t", "groups": ["g", "t", " bad", "h"],
            "org": ["o", "p"], "customer": "c",
        });
        let stated = read(&claims, &Issuer { user_id_prefix: "idp:".to_owned(), ..named() }).expect("a holder");
        assert_eq!(stated.user_id.as_ref().map(UserId::as_str), Some("idp:alice"));
        assert_eq!(stated.email.as_ref().map(Email::as_str), Some("Alice@b.c"));
        assert_eq!(stated.teams.all().map(TeamId::as_str).collect::<Vec<_>>(), ["t", "g", "h"]);
        assert_eq!(stated.organization_id.as_ref().map(OrganizationId::as_str), Some("o"));
        assert_eq!((stated.customer_id.as_deref(), stated.role, stated.is_admin), (Some("c"), None, false));
        assert!(stated.models.is_empty());
    }

    #[test]
    fn a_token_must_say_who_holds_it() {
        assert!(read(&json!({ "team": "t" }), &named()).is_ok_and(|stated| stated.user_id.is_none()));
        for nobody in [json!({}), json!({ "groups": ["g"] }), json!({ "sub": "" }), json!({ "sub": " a" })] {
            assert!(matches!(read(&nobody, &named()), Err(TokenFault::Invalid(_))), "{nobody}");
        }
        let issuer = Issuer { admin_scope: Some("admin".to_owned()), ..named() };
        assert!(read(&json!({ "scope": "x admin" }), &issuer).is_ok_and(|stated| stated.is_admin));
    }

    #[test]
    fn ids_go_before_aliases() {
        let aliases = |claims: &Value| read(claims, &named()).expect("a holder").aliases;
        let both = json!({ "sub": "a", "team": "t", "team_name": "Team", "org": "o", "org_name": "Org" });
        assert_eq!(aliases(&both), Aliases::default());
        let alone = aliases(&json!({ "team_name": "Team", "org_name": "Org" }));
        assert_eq!((alone.team.as_deref(), alone.organization.as_deref()), (Some("Team"), Some("Org")));
    }

    #[test]
    fn only_some_addresses_come_in() {
        let issuer = Issuer { email_domains: vec!["b.c".to_owned()], ..named() };
        for (email, comes_in) in [("a@B.C", true), ("a@x.b.c", false), ("a@b.c.d", false), ("", false), ("b.c", false)]
        {
            let expected = (!comes_in).then_some(Reason::EmailDomainNotAllowed);
            assert_eq!(reason(&json!({ "sub": "a", "email": email }), &issuer), expected, "{email}");
        }
    }

    #[test]
    fn the_first_mapping_that_fits_is_the_role() {
        let map = |pattern: &str, role| RoleMapping { pattern: pattern.to_owned(), role };
        let roles =
            vec![map("boss", Role::ProxyAdmin), map("eng-*", Role::InternalUser), map("*", Role::InternalUserViewer)];
        let issuer = Issuer { roles, role_required: true, ..named() };
        for (roles, role) in [
            (json!(["eng-a", "boss"]), Role::ProxyAdmin),
            (json!(["x", "eng-"]), Role::InternalUser),
            (json!("eng"), Role::InternalUserViewer),
        ] {
            let stated = read(&json!({ "sub": "a", "realm_access": { "roles": roles } }), &issuer).expect("a holder");
            assert_eq!((stated.role, stated.is_admin), (Some(role), role == Role::ProxyAdmin), "{roles}");
        }
        assert_eq!(reason(&json!({ "sub": "a" }), &issuer), Some(Reason::RoleNotMapped));
    }

    #[test]
    fn scopes_open_models() {
        let open = |names: &[&str]| ModelList::stored(names.iter().map(ToString::to_string).collect());
        let scope_models = vec![("small".to_owned(), open(&["mini"])), ("large".to_owned(), open(&["gpt-*"]))];
        let issuer = Issuer { scope_models, ..named() };
        for (scope, model, allowed) in [
            ("small", "mini", true),
            ("small", "gpt-4o", false),
            ("small large", "gpt-4o", true),
            ("other", "mini", false),
            ("", "mini", false),
        ] {
            let stated = read(&json!({ "sub": "a", "scope": scope }), &issuer).expect("a holder");
            assert_eq!(stated.models.allows(model), allowed, "{scope:?} {model}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text_anywhere() {
        for (pattern, text, fits) in [
            ("eng", "eng", true),
            ("eng", "engine", false),
            ("eng-*", "eng-", true),
            ("*-lead", "eng-lead", true),
            ("*-lead", "eng-leads", false),
            ("eng-*-lead", "eng-a-b-lead", true),
            ("eng-*-lead", "eng-lead", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(is_like(text, pattern), fits, "{pattern} {text}");
        }
    }
}
