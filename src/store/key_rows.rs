//! Rows of keys: what is stored, and what that means.

use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::entity::keys;
use super::error::StoreError;
use super::json::{from_text, to_text, to_text_if_any, word};
use super::limits::{budget, throughput, throughput_type};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::key_limits::KeyLimits;
use crate::domain::limit::{ModelRates, Rates};
use crate::domain::money::Usd;
use crate::domain::rotation::Rotation;

pub(super) fn parse_key_id(text: &str) -> Result<KeyId, StoreError> {
    Uuid::parse_str(text).map(KeyId).map_err(|_| StoreError::Broken(format!("stored key id {text:?}")))
}

pub(super) fn to_key(row: keys::Model) -> Result<Key, StoreError> {
    Ok(Key {
        key_id: parse_key_id(&row.key_id)?,
        key_hash: word(&row.key_hash)?,
        key_name: row.key_name,
        key_type: word(&row.key_type)?,
        key_alias: row.key_alias,
        user_id: row.user_id.map(UserId::stored),
        team_id: row.team_id.map(TeamId::stored),
        service_account_id: row.service_account_id,
        models: from_text(&row.models)?,
        model_aliases: from_text(&row.model_aliases)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates {
            tpm: row.tpm_limit,
            rpm: row.rpm_limit,
            parallel: row.max_parallel_requests,
            tpd: row.tpd_limit,
        },
        budget_id: row.budget_id.map(BudgetId::stored),
        limits: KeyLimits {
            windows: from_text(&row.budget_limits)?,
            models: from_text(&row.model_max_budget)?,
            model_rates: ModelRates { tpm: from_text(&row.model_tpm_limit)?, rpm: from_text(&row.model_rpm_limit)? },
            throughput: throughput(row.tpm_limit_type.as_deref(), row.rpm_limit_type.as_deref())?,
            fallbacks: row.budget_fallbacks.as_deref().map(from_text).transpose()?.unwrap_or_default(),
            increase: row.temp_budget_increase_nanos.map(Usd::from_nanos),
            increase_until: row.temp_budget_expires_at.map(Timestamp::from_micros),
        },
        allowed_routes: from_text(&row.allowed_routes)?,
        tags: from_text(&row.tags)?,
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        block_reason: row.block_reason,
        expires_at: row.expires_at.map(Timestamp::from_micros),
        former_secrets: from_text(&row.former_secrets)?,
        rotation: Rotation {
            interval: row.rotation_interval.as_deref().map(word).transpose()?,
            count: row.rotation_count,
            last_at: row.last_rotated_at.map(Timestamp::from_micros),
            next_at: row.next_rotation_at.map(Timestamp::from_micros),
        },
        created_at: Timestamp::from_micros(row.created_at),
        created_by: row.created_by,
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

pub(super) fn to_row(key: &Key) -> Result<keys::ActiveModel, StoreError> {
    let key_type: &'static str = key.key_type.into();
    Ok(keys::ActiveModel {
        key_id: Set(key.key_id.to_string()),
        key_hash: Set(key.key_hash.to_string()),
        key_name: Set(key.key_name.clone()),
        key_type: Set(key_type.to_owned()),
        key_alias: Set(key.key_alias.clone()),
        user_id: Set(key.user_id.as_ref().map(ToString::to_string)),
        team_id: Set(key.team_id.as_ref().map(ToString::to_string)),
        service_account_id: Set(key.service_account_id.clone()),
        models: Set(to_text(&key.models)?),
        model_aliases: Set(to_text(&key.model_aliases)?),
        allowed_routes: Set(to_text(&key.allowed_routes)?),
        tags: Set(to_text(&key.tags)?),
        metadata: Set(to_text(&key.metadata)?),
        blocked: Set(key.blocked),
        block_reason: Set(key.block_reason.clone()),
        former_secrets: Set(to_text(&key.former_secrets)?),
        rotation_interval: Set(key.rotation.interval.map(|length| length.to_string())),
        rotation_count: Set(key.rotation.count),
        last_rotated_at: Set(key.rotation.last_at.map(Timestamp::micros)),
        next_rotation_at: Set(key.rotation.next_at.map(Timestamp::micros)),
        expires_at: Set(key.expires_at.map(Timestamp::micros)),
        created_by: Set(key.created_by.clone()),
        max_budget_nanos: Set(key.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(key.budget.soft.map(Usd::nanos)),
        budget_duration: Set(key.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(key.budget.anchor.micros()),
        budget_id: Set(key.budget_id.as_ref().map(ToString::to_string)),
        budget_limits: Set(to_text(&key.limits.windows)?),
        model_max_budget: Set(to_text(&key.limits.models)?),
        model_tpm_limit: Set(to_text(&key.limits.model_rates.tpm)?),
        model_rpm_limit: Set(to_text(&key.limits.model_rates.rpm)?),
        budget_fallbacks: Set(to_text_if_any(&key.limits.fallbacks)?),
        temp_budget_increase_nanos: Set(key.limits.increase.map(Usd::nanos)),
        temp_budget_expires_at: Set(key.limits.increase_until.map(Timestamp::micros)),
        tpm_limit: Set(key.rates.tpm),
        rpm_limit: Set(key.rates.rpm),
        max_parallel_requests: Set(key.rates.parallel),
        tpd_limit: Set(key.rates.tpd),
        tpm_limit_type: Set(throughput_type(key.limits.throughput.tpm_limit_type)),
        rpm_limit_type: Set(throughput_type(key.limits.throughput.rpm_limit_type)),
        created_at: Set(key.created_at.micros()),
        updated_at: Set(key.updated_at.micros()),
        version: Set(key.version),
    })
}
