//! `DeleteKeys`: keys into the archive, all or none.

use crate::domain::fault::Refusal;
use crate::domain::key::{Key, check_alias};
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::secret::{KeyHash, SECRET_PREFIX};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::text::DELETE_MAX;
use crate::services::wire::{key, key_ref};
use crate::store::{DeletedKey, StoredKey, Tx};

/// A valid request: what to delete, and how the request names it.
struct Command {
    hashes: Vec<(KeyHash, String)>,
    aliases: Vec<String>,
}

/// Deletes keys.
pub(super) async fn delete_keys(ctx: Ctx, request: pb::DeleteKeysRequest) -> Result<pb::DeleteKeysResponse, Error> {
    let command = parse(&request)?;
    let hashes: Vec<KeyHash> = command.hashes.iter().map(|(hash, _)| *hash).collect();
    let mut tx = ctx.begin().await?;
    let keys = tx.lock_keys(&hashes, &command.aliases).await?;
    check(&ctx, &tx, &command, &keys).await?;
    let mut deleted_keys = Vec::with_capacity(keys.len());
    for key in keys {
        let stored = tx.view().find_stored_key(&key.key_hash, ctx.now).await?;
        let spend = stored.map(|StoredKey { spend, .. }| spend).unwrap_or_default();
        tx.delete_key(&key).await?;
        let deleted = DeletedKey { key, deleted_at: ctx.now };
        deleted_keys.push(key::deleted_to_wire(deleted, spend, &ctx.app.rules.calendar, ctx.now));
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteKeysResponse { deleted_keys })
}

fn parse(request: &pb::DeleteKeysRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let count = request.keys.len() + request.key_aliases.len();
    if count == 0 || count > DELETE_MAX {
        faults.add("keys", format!("and key_aliases must have 1-{DELETE_MAX} entries together"));
    }
    let mut command = Command { hashes: Vec::new(), aliases: Vec::new() };
    for (index, text) in request.keys.iter().enumerate() {
        if let Some(hash) = key_ref::required(&format!("keys[{index}]"), text, &mut faults)
            && !command.hashes.iter().any(|(known, _)| *known == hash)
        {
            command.hashes.push((hash, shown(text)));
        }
    }
    for (index, alias) in request.key_aliases.iter().enumerate() {
        let checked = faults.take(format!("key_aliases[{index}]"), check_alias(alias));
        if checked.is_some() && !command.aliases.contains(alias) {
            command.aliases.push(alias.clone());
        }
    }
    faults.finish()?;
    Ok(command)
}

/// How an entry is named in an answer: a secret by its tail only.
fn shown(text: &str) -> String {
    if text.starts_with(SECRET_PREFIX) {
        let tail: String = text.chars().rev().take(4).collect();
        format!("{SECRET_PREFIX}...{}", tail.chars().rev().collect::<String>())
    } else {
        text.to_owned()
    }
}

/// All of them must exist and be the caller's to delete.
async fn check(ctx: &Ctx, tx: &Tx, command: &Command, keys: &[Key]) -> Result<(), Error> {
    let mut seen: Vec<&Key> = Vec::with_capacity(keys.len());
    let mut refused = None;
    for key in keys {
        let standing = standing_to_key(ctx, tx.view(), key).await?;
        if standing.sees() {
            seen.push(key);
        }
        if standing.sees() && !standing.may(MemberPermission::KeyDelete) {
            refused = Some(key);
        }
    }
    let is_unseen_hash = |hash: &KeyHash| !seen.iter().any(|key| key.key_hash == *hash);
    let is_unseen_alias = |alias: &String| !seen.iter().any(|key| key.key_alias.as_ref() == Some(alias));
    let hashes = command.hashes.iter().filter(|(hash, _)| is_unseen_hash(hash)).map(|(_, shown)| shown);
    let unseen: Vec<&String> = hashes.chain(command.aliases.iter().filter(|alias| is_unseen_alias(alias))).collect();
    if !unseen.is_empty() {
        return Err(Refusal::not_found(Reason::KeyNotFound, "key", unseen).into());
    }
    match refused {
        None => Ok(()),
        Some(key) => {
            let message = format!("key {} is not yours to delete; nothing was deleted", key.key_name);
            Err(Refusal::denied(Reason::NotYourKey, message).about("key", key.key_hash).into())
        }
    }
}
