//! Rows of LiteLLM's keys, in Bursar's terms. The hash of a secret is the same
//! there and here, so that secrets go on working.

use super::super::row::{Fault, Row};
use super::objects::{fallbacks, model_aliases, model_limits, model_rates, throughput};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, TeamId, UserId};
use crate::domain::key::{Key, KeyType, check_alias};
use crate::domain::key_limits::KeyLimits;
use crate::domain::limit::Budget;
use crate::domain::models::ListOwner;
use crate::domain::rotation::Rotation;
use crate::domain::routes::Group;
use crate::domain::secret::KeyHash;

/// The team of the keys that LiteLLM's dashboard makes at each sign-in.
const DASHBOARD: &str = "litellm-dashboard";

/// What has no meaning to Bursar: the columns, and members of the metadata.
const NOT_TAKEN: [&str; 6] =
    ["permissions", "config", "object_permission_id", "allowed_cache_controls", "router_settings", "auto_rotate"];

/// A key, and what of its row was not taken over.
pub(super) fn key(row: &Row, now: Timestamp) -> Result<(Key, Vec<String>), Fault> {
    let hash = row.name("token")?;
    let key_hash: KeyHash = hash.parse().map_err(|_| "token is no SHA-256 hash".to_owned())?;
    if row.text("team_id").as_deref() == Some(DASHBOARD) {
        return Err("it is a session of the dashboard, and no key".to_owned());
    }
    let mut notes: Vec<String> =
        NOT_TAKEN.iter().filter(|column| row.has(column)).map(|column| format!("{column} is not taken over")).collect();
    let id = |column: &str| row.text(column);
    let team_id = id("team_id").map(|id| TeamId::parse(&id)).transpose().map_err(|error| format!("team_id {error}"))?;
    let user_id = id("user_id").map(|id| UserId::parse(&id)).transpose().map_err(|error| format!("user_id {error}"))?;
    let budget_id = id("budget_id").map(|id| BudgetId::parse(&id)).transpose();
    let mut metadata = row.fields("metadata");
    let stated = Row(metadata.clone());
    let key_alias = row.text("key_alias").filter(|alias| {
        let fits = check_alias(alias).is_ok();
        if !fits {
            notes.push("key_alias has characters that aliases can't have here: left out".to_owned());
        }
        fits
    });
    let limits = KeyLimits {
        windows: windows(row, now)?,
        models: model_limits(row, now)?,
        model_rates: model_rates(&mut metadata)?,
        throughput: throughput(&mut metadata),
        fallbacks: fallbacks(row)?,
        increase: None,
        increase_until: None,
    };
    if stated.has("temp_budget_increase") {
        notes.push("temp_budget_increase is not taken over".to_owned());
    }
    let service_account_id = stated.text("service_account_id").filter(|_| user_id.is_none());
    metadata.remove("service_account_id");
    let tags = stated.texts("tags");
    metadata.remove("tags");
    let owner = if team_id.is_some() { ListOwner::TeamKey } else { ListOwner::PersonalKey };
    let key = Key {
        key_id: KeyId::generate(),
        key_hash,
        key_name: row.text("key_name").unwrap_or_else(|| "sk-...".to_owned()),
        key_type: KeyType::Default,
        key_alias,
        user_id,
        team_id,
        service_account_id,
        models: row.models(owner)?,
        model_aliases: model_aliases(&row.fields("aliases"))?,
        budget: row.budget(now)?,
        rates: row.rates()?,
        budget_id: budget_id.map_err(|error| format!("budget_id {error}"))?,
        limits,
        allowed_routes: routes(row)?,
        tags,
        metadata,
        blocked: row.flag("blocked"),
        block_reason: None,
        expires_at: row.instant("expires")?,
        former_secrets: Vec::new(),
        rotation: Rotation::default(),
        created_at: row.instant("created_at")?.unwrap_or(now),
        created_by: row.text("created_by").unwrap_or_else(|| "litellm".to_owned()),
        updated_at: now,
        version: 1,
    };
    Ok((key, notes))
}

/// The groups of routes that a key may use. Paths of the proxy have no
/// counterpart: without them the key might do more than it may.
fn routes(row: &Row) -> Result<Vec<String>, Fault> {
    let named = row.texts("allowed_routes");
    let group = |name: &String| match name.as_str() {
        // As early versions called it.
        "openai_routes" => Some(<&str>::from(Group::LlmApiRoutes).to_owned()),
        name => name.parse::<Group>().is_ok().then(|| name.to_owned()),
    };
    let groups: Option<Vec<String>> = named.iter().map(group).collect();
    groups.ok_or_else(|| format!("allowed_routes are {}: paths of the proxy, which are none here", named.join(", ")))
}

/// Budgets in windows of their own.
fn windows(row: &Row, now: Timestamp) -> Result<Vec<Budget>, Fault> {
    let window = |row: Row| row.budget(now);
    row.rows("budget_limits").into_iter().map(window).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::secret::KeyHash;

    fn taken(more: serde_json::Value) -> Result<(Key, Vec<String>), Fault> {
        let mut row = json!({
            "token": KeyHash::of("sk-1234").to_string(), "key_name": "sk-...1234", "models": [], "spend": 1.5,
            "user_id": "alice", "blocked": null, "expires": "2030-01-01T00:00:00", "created_at": "2024-01-01T00:00:00",
        });
        for (name, value) in more.as_object().expect("an object") {
            row[name] = value.clone();
        }
        key(&Row(row.as_object().expect("an object").clone()), Timestamp::EPOCH)
    }

    #[test]
    fn a_key_keeps_its_hash_and_limits() {
        let (key, notes) = taken(json!({
            "key_alias": "a", "max_budget": 10.5, "budget_duration": "30d", "tpm_limit": 100,
            "aliases": { "small": "gpt-4o-mini" },
            "model_max_budget": { "gpt-4o": { "budget_limit": 1.25, "time_period": "1d" }, "o1": 2 },
            "metadata": { "tags": ["x"], "model_rpm_limit": { "gpt-4o": 5 }, "cost_center": 7 },
        }))
        .expect("a key");
        assert_eq!(key.key_hash, KeyHash::of("sk-1234"));
        assert_eq!(key.budget.max.map(|max| max.to_string()).as_deref(), Some("10.5"));
        assert_eq!(key.limits.model_rates.rpm.get("gpt-4o"), Some(&5));
        let of =
            |model: &str| key.limits.models.get(model).and_then(|limit| limit.budget.max).map(|max| max.to_string());
        assert_eq!((of("gpt-4o").as_deref(), of("o1").as_deref()), (Some("1.25"), Some("2")));
        assert_eq!((key.tags, key.metadata.len()), (vec!["x".to_owned()], 1));
        assert_eq!(key.expires_at.map(|at| at.to_string()).as_deref(), Some("2030-01-01T00:00:00Z"));
        assert_eq!(key.model_aliases.resolve("small"), Some("gpt-4o-mini"));
        assert!(notes.is_empty() && !key.blocked);
    }

    #[test]
    fn what_would_mean_something_else_is_not_taken_over() {
        for (more, told) in [
            (json!({ "token": "sk-1234" }), "token is no SHA-256 hash"),
            (json!({ "team_id": "litellm-dashboard" }), "session of the dashboard"),
            (json!({ "allowed_routes": ["/chat/completions"] }), "paths of the proxy"),
            (json!({ "models": ["all-team-models"] }), "models[0]"),
            (json!({ "max_budget": -1.0 }), "no amount of money"),
            (json!({ "budget_duration": "monthly" }), "no length of time"),
            (json!({ "model_max_budget": { "m": { "max_budget": "x" } } }), "no amount of money"),
        ] {
            let error = taken(more.clone()).expect_err(told);
            assert!(error.contains(told), "{more}: {error}");
        }
        let routes = json!(["openai_routes", "info_routes"]);
        let key = taken(json!({ "allowed_routes": routes })).map(|(key, _)| key.allowed_routes);
        assert_eq!(key, Ok(vec!["llm_api_routes".to_owned(), "info_routes".to_owned()]));
    }

    #[test]
    fn what_is_left_out_is_told() {
        let (key, notes) = taken(json!({
            "key_alias": "what / ever\\", "permissions": { "get_spend_routes": true }, "config": {},
            "metadata": { "temp_budget_increase": 5 },
        }))
        .expect("a key");
        assert_eq!((key.key_alias, notes.len()), (None, 3));
    }
}
