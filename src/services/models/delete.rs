//! `DeleteModels`: registered models with their deployments, all or none.

use crate::domain::model;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text::BATCH_MAX;

use super::get;

/// Deletes models.
pub(super) async fn delete_models(
    ctx: Ctx,
    request: pb::DeleteModelsRequest,
) -> Result<pb::DeleteModelsResponse, Error> {
    let mut names = request.model_names;
    let mut faults = Faults::default();
    if names.is_empty() || names.len() > BATCH_MAX {
        faults.add("model_names", format!("must have 1-{BATCH_MAX} entries"));
    }
    for (index, name) in names.iter().enumerate().take(BATCH_MAX) {
        model::check_name(&format!("model_names[{index}]"), name, &mut faults.0);
    }
    faults.finish()?;
    // In one order for all transactions; repeats count once.
    names.sort_unstable();
    names.dedup();
    let mut tx = ctx.begin().await?;
    let (mut deleted, mut missing) = (0, Vec::new());
    for name in names {
        match tx.delete_model(&name).await? {
            0 => missing.push(name),
            count => deleted += count,
        }
    }
    if !missing.is_empty() {
        return Err(get::not_found(missing).into());
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteModelsResponse { deleted_deployments: i64::try_from(deleted).unwrap_or(i64::MAX) })
}
