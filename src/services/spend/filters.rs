//! The filters that most reports have.

use super::access::{self, Named};
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{key_ref, text};
use crate::store::{EventScope, UsageFilter};

/// The fields of a request that filter.
pub(super) struct Asked<'a> {
    pub(super) key: &'a str,
    pub(super) user_id: &'a str,
    pub(super) team_id: &'a str,
    pub(super) organization_id: &'a str,
    pub(super) customer_id: &'a str,
    pub(super) tag: &'a str,
    pub(super) model: &'a str,
    pub(super) model_group: &'a str,
    pub(super) provider: &'a str,
}

/// These fields of a request, whichever it is.
macro_rules! filters {
    ($request:expr) => {
        $crate::services::spend::filters::Asked {
            key: &$request.key,
            user_id: &$request.user_id,
            team_id: &$request.team_id,
            organization_id: &$request.organization_id,
            customer_id: &$request.customer_id,
            tag: &$request.tag,
            model: &$request.model,
            model_group: &$request.model_group,
            provider: &$request.provider,
        }
    };
}
pub(super) use filters;

/// Valid filters.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    named: Named,
    labels: [(Dimension, String); 5],
}

/// Takes the filters of a request.
pub(super) fn take(asked: &Asked<'_>, faults: &mut Faults) -> Filters {
    text::check("customer_id", asked.customer_id, text::LABEL_MAX_BYTES, faults);
    text::check("tag", asked.tag, text::LABEL_MAX_BYTES, faults);
    text::check("model", asked.model, MODEL_NAME_MAX_BYTES, faults);
    text::check("model_group", asked.model_group, MODEL_NAME_MAX_BYTES, faults);
    text::check("provider", asked.provider, text::LABEL_MAX_BYTES, faults);
    Filters {
        named: Named {
            key: key_ref::optional("key", asked.key, faults),
            user_id: text::user_id("user_id", asked.user_id, faults),
            team_id: text::team_id("team_id", asked.team_id, faults),
            organization_id: text::organization_id("organization_id", asked.organization_id, faults),
        },
        labels: [
            (Dimension::Customer, asked.customer_id.to_owned()),
            (Dimension::Tag, asked.tag.to_owned()),
            (Dimension::Model, asked.model.to_owned()),
            (Dimension::ModelGroup, asked.model_group.to_owned()),
            (Dimension::Provider, asked.provider.to_owned()),
        ],
    }
}

impl Filters {
    /// The calls that the caller may see of what it asks for.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for filters on what it may not see.
    pub(super) async fn of(self, ctx: &Ctx, visible_to: EventScope) -> Result<UsageFilter, Error> {
        let Self { named, labels } = self;
        let key = access::check(ctx, &named, MemberPermission::TeamDailyActivity).await?;
        let filter = UsageFilter::of(Source::Call, visible_to)
            .only(Dimension::Key, key.map(|key| key.0))
            .only(Dimension::User, named.user_id)
            .only(Dimension::Team, named.team_id)
            .only(Dimension::Organization, named.organization_id);
        Ok(labels.into_iter().fold(filter, |filter, (dimension, label)| filter.only(dimension, Some(label))))
    }
}
