//! `BatchUpdateKeys`: many keys, each by the rules of `UpdateKey`.

use crate::domain::ids::TeamId;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::visible_team;
use crate::services::wire::faults::Faults;
use crate::services::wire::text::BATCH_MAX;
use crate::services::wire::{key_ref, status, text};

use super::named::shown;
use super::rules;
use super::update::update_key;

/// How many keys of a team are read at a time when all are changed.
const BATCH: u64 = 500;

/// How many failures are told then.
const FAILURES_TOLD: usize = 1_000;

/// A valid request.
enum Command {
    /// Changes of keys, each its own.
    Each(Vec<pb::UpdateKeyRequest>),
    /// One change of keys of a team.
    Named(TeamId, Vec<(String, KeyHash)>, pb::UpdateKeyRequest),
    /// One change of all active keys of a team.
    All(TeamId, pb::UpdateKeyRequest),
}

/// Changes keys.
pub(super) async fn batch_update_keys(
    ctx: Ctx,
    request: pb::BatchUpdateKeysRequest,
) -> Result<pb::BatchUpdateKeysResponse, Error> {
    let mut answer = pb::BatchUpdateKeysResponse::default();
    match parse(request)? {
        Command::Each(requests) => {
            for one in requests {
                let name = one.key.as_ref().map_or_else(String::new, |key| shown(&key.key_hash));
                let result = update_one(&ctx, name, one).await;
                tell(&mut answer, result);
            }
        }
        Command::Named(team, keys, update) => {
            visible_team(&ctx, ctx.app.store.view(), &team).await?;
            for (name, hash) in keys {
                let key = ctx.app.store.view().find_key(&hash).await?;
                let is_in_team = key.is_some_and(|key| key.team_id.as_ref() == Some(&team));
                let result = if is_in_team {
                    update_one(&ctx, name, of_key(&update, &hash)).await
                } else {
                    failed(&ctx, name, &rules::not_found(&hash).into())
                };
                tell(&mut answer, result);
            }
        }
        Command::All(team, update) => {
            visible_team(&ctx, ctx.app.store.view(), &team).await?;
            Box::pin(update_all(&ctx, &team, &update, &mut answer)).await?;
        }
    }
    Ok(answer)
}

fn parse(request: pb::BatchUpdateKeysRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let ways = [!request.requests.is_empty(), !request.keys.is_empty(), request.all_keys_in_team];
    if ways.iter().filter(|is_it| **is_it).count() != 1 {
        faults.add("requests", "or keys, or all_keys_in_team must be set, and only one of them");
    }
    for (field, count) in [("requests", request.requests.len()), ("keys", request.keys.len())] {
        if count > BATCH_MAX {
            faults.add(field, format!("must have at most {BATCH_MAX} entries"));
        }
    }
    let of_team = request.requests.is_empty();
    let team = text::team_id("team_id", &request.team_id, &mut faults);
    for (field, is_set) in [("team_id", team.is_some()), ("update", request.update.is_some())] {
        if is_set != of_team && faults.0.is_empty() {
            faults.add(field, "must be set with keys or all_keys_in_team, and only then");
        }
    }
    let update = request.update.unwrap_or_default();
    check_update_of_many(&update, &mut faults);
    let mut keys: Vec<(String, KeyHash)> = Vec::new();
    for (index, text) in request.keys.iter().enumerate() {
        if let Some(hash) = key_ref::required(&format!("keys[{index}]"), text, &mut faults)
            && !keys.iter().any(|(_, known)| *known == hash)
        {
            keys.push((shown(text), hash));
        }
    }
    faults.finish()?;
    Ok(match team {
        None => Command::Each(request.requests),
        Some(team) if request.all_keys_in_team => Command::All(team, update),
        Some(team) => Command::Named(team, keys, update),
    })
}

/// What can't be the same for every key.
fn check_update_of_many(update: &pb::UpdateKeyRequest, faults: &mut Faults) {
    let no_key = pb::Key::default();
    let key = update.key.as_ref().unwrap_or(&no_key);
    let masked = |path: &str| update.update_mask.iter().any(|mask| mask.paths.iter().any(|named| named == path));
    for (field, is_set) in [
        ("update.key.key_hash", !key.key_hash.is_empty()),
        ("update.key.key_alias", key.key_alias.is_some() || masked("key_alias")),
        ("update.key.etag", !key.etag.is_empty()),
        ("update.key.spend", key.spend.is_some() || masked("spend")),
    ] {
        if is_set {
            faults.add(field, "can't be set for many keys");
        }
    }
}

async fn update_all(
    ctx: &Ctx,
    team: &TeamId,
    update: &pb::UpdateKeyRequest,
    answer: &mut pb::BatchUpdateKeysResponse,
) -> Result<(), Error> {
    let mut last = None;
    loop {
        let keys = ctx.app.store.view().active_keys_of(team, last, BATCH, ctx.now).await?;
        let Some(end) = keys.last() else { return Ok(()) };
        last = Some(end.key_id);
        for key in keys {
            let result = update_one(ctx, key.key_hash.to_string(), of_key(update, &key.key_hash)).await;
            count(answer, &result);
            if result.error.is_some() && answer.results.len() < FAILURES_TOLD {
                answer.results.push(result);
            }
        }
    }
}

/// A change of many keys as one of this key.
fn of_key(update: &pb::UpdateKeyRequest, hash: &KeyHash) -> pb::UpdateKeyRequest {
    let key = pb::Key { key_hash: hash.to_string(), ..update.key.clone().unwrap_or_default() };
    pb::UpdateKeyRequest { key: Some(key), ..update.clone() }
}

/// Changes one key. Whatever fails is its own result: others before it are
/// changed already.
async fn update_one(ctx: &Ctx, name: String, request: pb::UpdateKeyRequest) -> pb::KeyResult {
    match update_key(ctx.clone(), request).await {
        Ok(updated) => pb::KeyResult { key: name, updated_key: updated.key, error: None },
        Err(error) => failed(ctx, name, &error),
    }
}

fn failed(ctx: &Ctx, name: String, error: &Error) -> pb::KeyResult {
    ctx.log(error);
    pb::KeyResult { key: name, updated_key: None, error: Some(status::of(error)) }
}

fn tell(answer: &mut pb::BatchUpdateKeysResponse, result: pb::KeyResult) {
    count(answer, &result);
    answer.results.push(result);
}

fn count(answer: &mut pb::BatchUpdateKeysResponse, result: &pb::KeyResult) {
    answer.total_count += 1;
    answer.success_count += i64::from(result.error.is_none());
    answer.failed_count += i64::from(result.error.is_some());
}
