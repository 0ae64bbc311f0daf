//! `ListModels`: models by name, registered ones and those of the price list.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::text;
use crate::store::{ModelFilter, ModelSource};

use super::{fields, scope};

/// Lists models.
pub(super) async fn list_models(ctx: Ctx, request: pb::ListModelsRequest) -> Result<pb::ListModelsResponse, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListModelsRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(&ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    text::check("provider", &request.provider, text::LABEL_MAX_BYTES, &mut faults);
    text::check("access_group", &request.access_group, text::LABEL_MAX_BYTES, &mut faults);
    let source = match pb::ModelSource::try_from(request.source) {
        Ok(pb::ModelSource::Unspecified) => None,
        Ok(pb::ModelSource::Registered) => Some(ModelSource::Registered),
        Ok(pb::ModelSource::Catalogue) => Some(ModelSource::Listed),
        Err(_) => {
            faults.add("source", format!("has no value {}", request.source));
            None
        }
    };
    let name_contains = text::part("model_name_contains", request.model_name_contains, &mut faults);
    faults.finish()?;
    let filter = ModelFilter {
        name_contains,
        provider: request.provider,
        access_group: request.access_group,
        source,
        name: None,
        visible_to: scope::scope(&ctx).await?,
    };
    let found = ctx.app.store.view().list_models(&filter, &page, ctx.now).await?;
    Ok(pb::ListModelsResponse {
        models: found.items.into_iter().map(|model| fields::to_wire(&ctx, model)).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}
