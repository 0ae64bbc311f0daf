//! `BatchGetKeys`: many keys at once.

use std::collections::BTreeSet;

use crate::domain::key::Key;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::key;
use crate::store::StoredKey;

use super::get;
use super::named::NamedKeys;

/// Reads keys.
pub(super) async fn batch_get_keys(
    ctx: Ctx,
    request: pb::BatchGetKeysRequest,
) -> Result<pb::BatchGetKeysResponse, Error> {
    let mut faults = Faults::default();
    let named = NamedKeys::take(&request.keys, &request.key_aliases, &mut faults);
    faults.finish()?;
    let view = ctx.app.store.view();
    let mut visible: Vec<StoredKey> = Vec::new();
    for stored in view.find_stored_keys(&named.hashes(), &named.aliases, ctx.now).await? {
        if standing_to_key(&ctx, view, &stored.key).await?.sees() {
            visible.push(stored);
        }
    }
    let owned = view.keys_with(&named.hashes()).await?;
    let found: Vec<&Key> = visible.iter().map(|stored| &stored.key).collect();
    let mut answer = pb::BatchGetKeysResponse::default();
    let mut told = BTreeSet::new();
    for (name, hash, found) in named.among(&found, &owned) {
        let live = found.and_then(|found| visible.iter().find(|stored| stored.key.key_id == found.key_id));
        let shown = match (live, hash) {
            (Some(stored), _) => Some(key::to_wire(stored, &ctx.app.rules.calendar, ctx.now)),
            (None, Some(hash)) => archived(&ctx, hash).await?,
            (None, None) => None,
        };
        match shown {
            None => answer.not_found.push(name.to_owned()),
            Some(shown) if told.insert(shown.key_id.clone()) => answer.keys.push(shown),
            Some(_) => {}
        }
    }
    Ok(answer)
}

/// The deleted key that had a hash, if the caller may see it.
async fn archived(ctx: &Ctx, hash: &KeyHash) -> Result<Option<pb::Key>, Error> {
    match get::deleted(ctx, hash).await {
        Ok(key) => Ok(Some(key)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
