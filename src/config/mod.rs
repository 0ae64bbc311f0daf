//! Settings: the only reader of the environment and of files.
//!
//! A setting comes from its default, `bursar.toml`, `BURSAR_<NAME>` or
//! `--<name>`, the later winning. An unknown or impossible one stops the start
//! with a message that names it. `bursar.example.toml` documents each.

mod callouts;
mod costs;
mod jwt;
mod mail;
mod parse;
mod policies;
mod rules;
mod shared_counts;
mod sources;
mod tls;
mod traces;
mod values;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::NaiveTime;
use chrono_tz::Tz;
use serde::Deserialize;

pub use self::callouts::{CustomAuthParams, KeyPolicyParams};
pub use self::costs::{MarginParams, Share};
pub use self::jwt::JwtParams;
use self::parse::{database_url, optional, parsed};
pub use self::policies::PolicyParams;
pub use self::rules::Rules;
pub use self::shared_counts::RedisParams;
pub use self::sources::{Documented, EXAMPLE, client_variable, documented, load, load_from};
pub use self::tls::{GatewayParams, TlsParams};
pub use self::traces::TraceParams;
pub use self::values::{MetadataName, PerMinute, Period};
pub use self::webhooks::WebhookParams;
use crate::domain::key_rules::BoundMode;
use crate::domain::limit::CountedTokens;
use crate::domain::money::Usd;
use crate::domain::role::{MemberPermission, Role, TeamRole};
use crate::domain::window::{Length, YearStart};
use crate::store::ConnectOptions;

/// A setting that is wrong, or can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// A value that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What an owner may change about the budgets of its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum SelfServeBudgets {
    /// Nothing.
    Disabled,
    /// It may lower them.
    LowerOnly,
    /// It may raise them up to what it stands on itself.
    Ceiling,
}

/// Every setting, with its type checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    clippy::struct_excessive_bools,
    reason = "bursar.example.toml documents each under the same name; a switch is a switch"
)]
pub struct Settings {
    #[serde(deserialize_with = "parsed")]
    pub listen: SocketAddr,
    #[serde(deserialize_with = "parsed")]
    pub http_listen: SocketAddr,
    #[serde(default)]
    pub tls: Option<TlsParams>,
    #[serde(deserialize_with = "parsed")]
    pub max_connection_age: Period,
    #[serde(deserialize_with = "parsed")]
    pub max_connection_age_grace: Period,
    #[serde(deserialize_with = "database_url")]
    pub database_url: Hidden,
    #[serde(deserialize_with = "parsed")]
    pub database_max_connections: u32,
    #[serde(deserialize_with = "parsed")]
    pub database_acquire_timeout: Period,
    #[serde(deserialize_with = "parsed")]
    pub statement_timeout: Period,
    #[serde(default)]
    pub master_key: Option<Hidden>,
    #[serde(default)]
    pub master_key_previous: Option<Hidden>,
    #[serde(deserialize_with = "parsed")]
    pub allow_weak_master_key: bool,
    pub log_level: String,
    #[serde(deserialize_with = "parsed")]
    pub log_format: LogFormat,
    #[serde(default)]
    pub redis: Option<RedisParams>,
    #[serde(default)]
    pub traces: Option<TraceParams>,
    #[serde(deserialize_with = "parsed")]
    pub reflection_public: bool,
    #[serde(default, deserialize_with = "optional")]
    pub key_metadata_name: Option<MetadataName>,
    #[serde(deserialize_with = "parsed")]
    pub auth_failure_rate: PerMinute,
    #[serde(default, deserialize_with = "optional")]
    pub management_rate: Option<PerMinute>,
    #[serde(deserialize_with = "parsed")]
    pub max_concurrent_requests: usize,
    #[serde(deserialize_with = "parsed")]
    pub request_timeout: Period,
    #[serde(default, deserialize_with = "optional")]
    pub stop_delay: Option<Period>,
    #[serde(deserialize_with = "parsed")]
    pub drain_timeout: Period,
    #[serde(deserialize_with = "parsed")]
    pub directory_capacity: usize,
    #[serde(deserialize_with = "parsed")]
    pub max_feed_age: Period,
    #[serde(deserialize_with = "parsed")]
    pub reservation_ttl: Period,
    #[serde(deserialize_with = "parsed")]
    pub lease_ttl: Period,
    #[serde(deserialize_with = "parsed")]
    pub time_zone: Tz,
    #[serde(deserialize_with = "parsed")]
    pub budget_reset_time: NaiveTime,
    #[serde(deserialize_with = "parsed")]
    pub fiscal_year_start: YearStart,
    #[serde(deserialize_with = "parsed")]
    pub default_output_tokens: i64,
    #[serde(deserialize_with = "parsed")]
    pub token_rate_limit_type: CountedTokens,
    #[serde(default, deserialize_with = "optional")]
    pub global_max_parallel_requests: Option<i64>,
    #[serde(deserialize_with = "parsed")]
    pub unpriced_reserve: Usd,
    #[serde(deserialize_with = "parsed")]
    pub deny_unknown_models: bool,
    #[serde(deserialize_with = "parsed")]
    pub deny_unpriced_models: bool,
    #[serde(deserialize_with = "parsed")]
    pub require_price: bool,
    #[serde(deserialize_with = "parsed")]
    pub max_event_cost: Usd,
    #[serde(default)]
    pub cost_discount_config: BTreeMap<String, Share>,
    #[serde(default)]
    pub cost_margin_config: BTreeMap<String, MarginParams>,
    #[serde(deserialize_with = "parsed")]
    pub max_event_age: Period,
    #[serde(default, deserialize_with = "optional")]
    pub usage_retention: Option<Period>,
    #[serde(deserialize_with = "parsed")]
    pub verify_interval: Period,
    #[serde(deserialize_with = "parsed")]
    pub user_budget_on_team_keys: bool,
    pub budget_alert_thresholds: Vec<u8>,
    #[serde(default)]
    pub webhooks: Vec<WebhookParams>,
    #[serde(deserialize_with = "parsed")]
    pub allow_custom_keys: bool,
    #[serde(default, deserialize_with = "optional")]
    pub rotation_grace_period: Option<Length>,
    #[serde(default)]
    pub rotation_directory: Option<PathBuf>,
    #[serde(default, deserialize_with = "optional")]
    pub expired_key_purge_after: Option<Period>,
    #[serde(default, deserialize_with = "optional")]
    pub deleted_keys_retention: Option<Period>,
    #[serde(deserialize_with = "parsed")]
    pub allow_user_created_teams: bool,
    #[serde(deserialize_with = "parsed")]
    pub team_admins_may_delete: bool,
    #[serde(deserialize_with = "parsed")]
    pub self_serve_budget_policy: SelfServeBudgets,
    #[serde(deserialize_with = "parsed")]
    pub session_ttl: Period,
    #[serde(default)]
    pub policies: Vec<PolicyParams>,
    #[serde(default)]
    pub key_policy: Option<KeyPolicyParams>,
    #[serde(default)]
    pub jwt: JwtParams,
    #[serde(default)]
    pub custom_auth: Option<CustomAuthParams>,
    #[serde(default)]
    pub smtp_url: Option<Hidden>,
    #[serde(default)]
    pub mail_from: Option<String>,
    #[serde(default)]
    pub invitation_url: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    pub max_internal_user_budget: Option<Usd>,
    #[serde(default, deserialize_with = "optional")]
    pub internal_user_budget_duration: Option<Length>,
    #[serde(default, deserialize_with = "optional")]
    pub max_end_user_budget: Option<Usd>,
    #[serde(default)]
    pub max_end_user_budget_id: Option<String>,
    #[serde(default)]
    pub default_internal_user_params: UserParams,
    #[serde(default)]
    pub default_team_params: TeamParams,
    #[serde(default)]
    pub default_key_generate_params: KeyParams,
    #[serde(default)]
    pub upperbound_key_generate_params: BoundParams,
    #[serde(deserialize_with = "parsed")]
    pub upperbound_mode: BoundMode,
    #[serde(default)]
    pub key_generation_settings: GenerationParams,
    #[serde(default)]
    pub enforced_params: Vec<String>,
    #[serde(default)]
    pub service_account_settings: ServiceAccountParams,
    pub envoy_key_headers: Vec<String>,
}

/// Setting `service_account_settings`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct ServiceAccountParams {
    pub enforced_params: Vec<String>,
}

/// Setting `default_internal_user_params`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct UserParams {
    #[serde(deserialize_with = "optional")]
    pub user_role: Option<Role>,
    #[serde(deserialize_with = "optional")]
    pub max_budget: Option<Usd>,
    #[serde(deserialize_with = "optional")]
    pub budget_duration: Option<Length>,
    pub models: Vec<String>,
    pub teams: Vec<String>,
    pub available_teams: Vec<String>,
}

/// Setting `default_team_params`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct TeamParams {
    #[serde(deserialize_with = "optional")]
    pub max_budget: Option<Usd>,
    #[serde(deserialize_with = "optional")]
    pub budget_duration: Option<Length>,
    #[serde(deserialize_with = "optional")]
    pub tpm_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub rpm_limit: Option<i64>,
    pub member_permissions: Option<Vec<MemberPermission>>,
    pub organization_id: Option<String>,
}

/// Setting `default_key_generate_params`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct KeyParams {
    #[serde(deserialize_with = "optional")]
    pub max_budget: Option<Usd>,
    #[serde(deserialize_with = "optional")]
    pub budget_duration: Option<Length>,
    #[serde(deserialize_with = "optional")]
    pub duration: Option<Length>,
    #[serde(deserialize_with = "optional")]
    pub tpm_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub rpm_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub tpd_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub max_parallel_requests: Option<i64>,
    pub models: Vec<String>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Setting `upperbound_key_generate_params`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct BoundParams {
    #[serde(deserialize_with = "optional")]
    pub max_budget: Option<Usd>,
    #[serde(deserialize_with = "optional")]
    pub budget_duration: Option<Length>,
    #[serde(deserialize_with = "optional")]
    pub duration: Option<Length>,
    #[serde(deserialize_with = "optional")]
    pub tpm_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub rpm_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub tpd_limit: Option<i64>,
    #[serde(deserialize_with = "optional")]
    pub max_parallel_requests: Option<i64>,
}

/// Setting `key_generation_settings`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct GenerationParams {
    pub team_key_generation: TeamGeneration,
    pub personal_key_generation: PersonalGeneration,
}

/// Who makes keys in teams.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct TeamGeneration {
    pub allowed_team_member_roles: Option<Vec<TeamRole>>,
    pub required_params: Vec<String>,
}

/// Who makes keys for itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct PersonalGeneration {
    pub allowed_user_roles: Option<Vec<Role>>,
    pub required_params: Vec<String>,
}

impl Settings {
    /// How to connect to the database.
    pub fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            url: self.database_url.0.clone(),
            max_connections: self.database_max_connections,
            acquire_timeout: self.database_acquire_timeout.duration(),
            statement_timeout: self.statement_timeout.duration(),
        }
    }
}
