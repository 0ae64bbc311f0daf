//! `UpdateKey`: changes of a key, within what its changer may give.

use crate::domain::policy::Action;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::consent::with_consent;
use crate::services::wire::faults::Faults;
use crate::services::wire::key_ref;

use super::change::KeyChange;
use super::rules;

/// Changes a key.
pub(super) async fn update_key(ctx: Ctx, request: pb::UpdateKeyRequest) -> Result<pb::UpdateKeyResponse, Error> {
    let mut faults = Faults::default();
    let named = request.key.as_ref().map_or("", |key| &key.key_hash);
    let hash = key_ref::required("key.key_hash", named, &mut faults);
    let change = KeyChange::take(Action::UpdateKey, &request, "", &mut faults);
    faults.finish()?;
    let hash = hash.ok_or_else(|| Error::internal("a key reference vanished"))?;

    with_consent(&ctx, |ctx| update(ctx, change.clone(), hash)).await
}

async fn update(ctx: Ctx, change: KeyChange, hash: KeyHash) -> Result<pb::UpdateKeyResponse, Error> {
    let mut tx = ctx.begin().await?;
    let (before, standing) = change.hold(&ctx, &mut tx, &hash).await?;
    let mut changed = change.apply(&ctx, &mut tx, &standing, &before).await?;
    changed.save(&ctx, &mut tx, &before).await?;
    ctx.commit(tx).await?;
    let key = rules::stored_key(&ctx, &hash).await?;
    Ok(pb::UpdateKeyResponse { key: Some(key), adjusted_fields: rules::adjusted_to_wire(changed.adjusted) })
}
