//! `BatchGetKeys`: many keys at once.

use std::collections::BTreeSet;

use crate::domain::key::Key;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::key;
use crate::store::StoredKey;

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
    for (name, found) in named.among(&found, &owned) {
        let stored = found.and_then(|found| visible.iter().find(|stored| stored.key.key_id == found.key_id));
        match stored {
            None => answer.not_found.push(name.to_owned()),
            Some(stored) if told.insert(stored.key.key_id) => {
                answer.keys.push(key::to_wire(stored, &ctx.app.rules.calendar, ctx.now));
            }
            Some(_) => {}
        }
    }
    Ok(answer)
}
