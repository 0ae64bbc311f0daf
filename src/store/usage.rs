//! Usage events: rows and reads. They are written by the ledger.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use sea_orm::sea_query::{Alias, Expr, ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use serde::{Deserialize, Serialize};

use super::dialect::Column as Cells;
use super::entity::{keys, usage_event_tags, usage_events, usage_ids};
use super::error::StoreError;
use super::json::{from_text, to_text, word};
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::reach;
use super::rollup_rows::column_of;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId};
use crate::domain::money::Usd;
use crate::domain::pricing::{Counts, Terms, Units};
use crate::domain::role::{MemberPermission, TeamRole};
use crate::domain::rollup::Dimension;
use crate::domain::usage::{CostSource, Costing, Event, Posting, Usage, UsageStatus};

/// An event as it is read: its unpriced parts are words of its time.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The event.
    pub event: Event,
    /// Counts without a price.
    pub unpriced_parts: Vec<String>,
}

/// The time of an event that a range is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventTime {
    /// When the call began.
    #[default]
    Start,
    /// When it ended.
    End,
    /// When it was recorded.
    Recorded,
}

/// Which events a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListUsageRequest")]
pub struct EventFilter {
    pub time: EventTime,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub key_id: Option<KeyId>,
    pub user_id: Option<UserId>,
    pub team_id: Option<TeamId>,
    pub organization_id: Option<OrganizationId>,
    pub customer_id: String,
    pub model: String,
    pub tag: String,
    pub request_id: String,
    pub session_id: String,
    pub provider: String,
    pub model_group: String,
    pub call_type: String,
    pub cache_hit: Option<bool>,
    pub cost_source: Option<CostSource>,
    pub status: Option<UsageStatus>,
    pub min_spend: Option<Usd>,
    pub max_spend: Option<Usd>,
    /// What the caller may see.
    pub visible_to: EventScope,
}

/// The usage that a caller may see.
#[derive(Clone, Debug, Default)]
pub enum EventScope {
    /// All of it.
    #[default]
    All,
    /// That of a user and of its keys, of the organizations and teams that it
    /// administers, and of the teams that permit their members to see it.
    OfUser(UserId, MemberPermission),
    /// That of a user and of its keys, and of the organizations that it
    /// administers.
    OfUserAndOrganizations(UserId),
    /// That of the teams that a user administers or that permit their members
    /// to see it, and its own within its other teams.
    InTeamsOf(UserId, MemberPermission),
    /// That of the teams that a user administers or that permit their members
    /// to see it, and of the organizations that it administers.
    InTeamsOpenTo(UserId, MemberPermission),
    /// That of the teams and organizations that a user administers.
    Administered(UserId),
    /// That of the organizations that a user administers.
    InOrganizationsOf(UserId),
    /// That of one key.
    OfKey(KeyId),
}

impl EventScope {
    /// The scope as a condition on events or added up usage, which name their
    /// columns alike.
    pub(super) fn condition(&self) -> Option<Condition> {
        let [key, user, team, organization] =
            [Dimension::Key, Dimension::User, Dimension::Team, Dimension::Organization]
                .map(|dimension| Expr::col(Alias::new(column_of(dimension))));
        let own = |id: &UserId| {
            let keys = keys::Entity::find()
                .select_only()
                .column(keys::Column::KeyId)
                .filter(keys::Column::UserId.eq(id.as_str()));
            Condition::any().add(user.clone().eq(id.as_str())).add(key.clone().in_subquery(keys.into_query()))
        };
        let administered = |id: &UserId| organization.clone().in_subquery(reach::organizations_administered(id));
        let open = |id: &UserId, permission| team.clone().in_subquery(reach::teams_open_to(id, permission));
        let in_own_teams = |id: &UserId| team.clone().in_subquery(reach::teams_of(id, None));
        match self {
            Self::All => None,
            Self::OfUser(id, permission) => Some(own(id).add(open(id, *permission)).add(administered(id))),
            Self::OfUserAndOrganizations(id) => Some(own(id).add(administered(id))),
            Self::InTeamsOf(id, permission) => Some(
                Condition::any()
                    .add(open(id, *permission))
                    .add(administered(id))
                    .add(Condition::all().add(in_own_teams(id)).add(own(id))),
            ),
            Self::InTeamsOpenTo(id, permission) => {
                Some(Condition::any().add(open(id, *permission)).add(administered(id)))
            }
            Self::Administered(id) => {
                let teams = team.clone().in_subquery(reach::teams_of(id, Some(TeamRole::Admin)));
                Some(Condition::any().add(teams).add(administered(id)))
            }
            Self::InOrganizationsOf(id) => Some(Condition::all().add(administered(id))),
            Self::OfKey(id) => Some(Condition::all().add(key.eq(id.to_string()))),
        }
    }

    /// The dimensions that it looks at.
    pub(super) const fn dimensions(&self) -> &'static [Dimension] {
        use Dimension::{Key, Organization, Team, User};
        match self {
            Self::All => &[],
            Self::OfUser(..) | Self::InTeamsOf(..) => &[Key, User, Team, Organization],
            Self::OfUserAndOrganizations(_) => &[Key, User, Organization],
            Self::InTeamsOpenTo(..) | Self::Administered(_) => &[Team, Organization],
            Self::InOrganizationsOf(_) => &[Organization],
            Self::OfKey(_) => &[Key],
        }
    }
}

/// Events are listed by when they began, the latest first.
const LATEST_FIRST: Order = Order { key: SortKey::number("started_at"), descending: true };

/// And streamed the earliest first.
const EARLIEST_FIRST: Order = Order { descending: false, ..LATEST_FIRST };

impl View<'_> {
    /// The event with an id, if the scope holds it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_event(&self, request_id: &str, scope: &EventScope) -> Result<Option<StoredEvent>, StoreError> {
        let filter =
            EventFilter { request_id: request_id.to_owned(), visible_to: scope.clone(), ..EventFilter::default() };
        let query = usage_events::Entity::find().filter(condition(&filter));
        query.one(&self.executor()).await?.map(to_event).transpose()
    }

    /// One page of events.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<StoredEvent>, StoreError> {
        self.events(filter, LATEST_FIRST, page).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        order: Order,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let query = usage_events::Entity::find().filter(condition(filter));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let at = Expr::col((usage_events::Entity, usage_events::Column::StartedAt));
        let id = Expr::col((usage_events::Entity, usage_events::Column::RequestId));
        let rows = paginate(query, &at, &id, order, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.started_at),
            id: row.request_id.clone(),
        });
        page.try_map(to_event)
    }

    /// Events in the order in which they began, behind a place in it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn events_in_order(
        &self,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        self.events(filter, EARLIEST_FIRST, page).await
    }
}

/// A filter as a condition on events.
pub(super) fn condition(filter: &EventFilter) -> Condition {
    use usage_events::Column;
    let filled = |column: Column, text: &str| -> Option<SimpleExpr> { (!text.is_empty()).then(|| column.eq(text)) };
    let status = filter.status.map(<&'static str>::from);
    let cost_source = filter.cost_source.map(<&'static str>::from);
    // Events are kept by time: their ids know it.
    let at_its_time = (!filter.request_id.is_empty()).then(|| {
        let times = usage_ids::Entity::find()
            .select_only()
            .column(usage_ids::Column::StartedAt)
            .filter(usage_ids::Column::RequestId.eq(filter.request_id.as_str()));
        Expr::col((usage_events::Entity, Column::StartedAt))
            .eq(SimpleExpr::SubQuery(None, Box::new(times.into_query().into())))
    });
    let tagged = (!filter.tag.is_empty()).then(|| {
        let ids = usage_event_tags::Entity::find()
            .select_only()
            .column(usage_event_tags::Column::RequestId)
            .filter(usage_event_tags::Column::Tag.eq(filter.tag.as_str()));
        Column::RequestId.in_subquery(ids.into_query())
    });
    let model = (!filter.model.is_empty()).then(|| {
        Condition::any().add(Column::Model.eq(filter.model.as_str())).add(Column::ModelGroup.eq(filter.model.as_str()))
    });
    let time = match filter.time {
        EventTime::Start => Column::StartedAt,
        EventTime::End => Column::EndedAt,
        EventTime::Recorded => Column::RecordedAt,
    };
    // No call ends before it begins: what began later is not looked at.
    let ends_before = filter.until.filter(|_| filter.time == EventTime::End);
    Condition::all()
        .add_option(ends_before.map(|until| Column::StartedAt.lt(until.micros())))
        .add_option(filter.from.map(|from| time.gte(from.micros())))
        .add_option(filter.until.map(|until| time.lt(until.micros())))
        .add_option(filter.key_id.map(|key| Column::KeyId.eq(key.to_string())))
        .add_option(filter.user_id.as_ref().map(|user| Column::UserId.eq(user.as_str())))
        .add_option(filter.team_id.as_ref().map(|team| Column::TeamId.eq(team.as_str())))
        .add_option(filter.organization_id.as_ref().map(|id| Column::OrganizationId.eq(id.as_str())))
        .add_option(filled(Column::CustomerId, &filter.customer_id))
        .add_option(model)
        .add_option(tagged)
        .add_option(filled(Column::RequestId, &filter.request_id))
        .add_option(at_its_time)
        .add_option(filled(Column::SessionId, &filter.session_id))
        .add_option(filled(Column::Provider, &filter.provider))
        .add_option(filled(Column::ModelGroup, &filter.model_group))
        .add_option(filled(Column::CallType, &filter.call_type))
        .add_option(filter.cache_hit.map(|hit| Column::CacheHit.eq(hit)))
        .add_option(cost_source.map(|source| Column::CostSource.eq(source)))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(filter.min_spend.map(|least| Column::CostNanos.gte(least.nanos())))
        .add_option(filter.max_spend.map(|most| Column::CostNanos.lte(most.nanos())))
        .add_option(filter.visible_to.condition())
}

/// What is rarely there, in one column.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(flatten)]
    terms: Terms,
    #[serde(skip_serializing_if = "Units::is_empty")]
    units: Units,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_nanos: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_nanos: Option<i64>,
    #[serde(flatten)]
    counts: std::collections::BTreeMap<String, i64>,
}

/// The counts that have no column of their own.
fn rare_counts(counts: &mut Counts) -> [(&'static str, &mut i64); 12] {
    [
        ("cache_write_1h", &mut counts.cache_write_1h),
        ("cache_write_12h", &mut counts.cache_write_12h),
        ("cache_read_audio", &mut counts.cache_read_audio),
        ("cache_read_image", &mut counts.cache_read_image),
        ("input_audio", &mut counts.input_audio),
        ("input_image", &mut counts.input_image),
        ("input_video", &mut counts.input_video),
        ("output_audio", &mut counts.output_audio),
        ("output_image", &mut counts.output_image),
        ("output_video", &mut counts.output_video),
        ("citation", &mut counts.citation),
        ("cache_write_audio", &mut counts.cache_write_audio),
    ]
}

/// A posting as it is stored: scope, name, start of the window.
type StoredPosting = (String, String, i64);

pub(super) fn to_event(row: usage_events::Model) -> Result<StoredEvent, StoreError> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let instant = |micros: i64| (micros != 0).then(|| Timestamp::from_micros(micros));
    let detail: Detail = from_text(&row.detail)?;
    let mut counts = Counts {
        prompt: row.prompt_tokens,
        completion: row.completion_tokens,
        cache_read: row.cache_read_tokens,
        cache_write: row.cache_write_tokens,
        reasoning: row.reasoning_tokens,
        ..Counts::default()
    };
    for (name, count) in rare_counts(&mut counts) {
        *count = detail.counts.get(name).copied().unwrap_or_default();
    }
    let postings: Vec<StoredPosting> = from_text(&row.postings)?;
    let postings = postings.into_iter().map(|(scope, name, start)| {
        let scope: Scope = word(&scope)?;
        Ok(Posting { account: AccountId::stored(scope, name), window_start: Timestamp::from_micros(start) })
    });
    let started_at = Timestamp::from_micros(row.started_at);
    let ended_at = Timestamp::from_micros(row.ended_at);
    let event = Event {
        fingerprint: row.fingerprint,
        key_id: some(row.key_id).map(|id| super::key_rows::parse_key_id(&id)).transpose()?,
        user_id: some(row.user_id).map(UserId::stored),
        team_id: some(row.team_id).map(TeamId::stored),
        organization_id: some(row.organization_id).map(OrganizationId::stored),
        costing: Costing {
            cost: Usd::from_nanos(row.cost_nanos),
            list_cost: detail.list_nanos.map(Usd::from_nanos),
            source: word(&row.cost_source)?,
            price_id: row.price_id,
            provider: row.provider.clone(),
            unpriced_parts: Vec::new(),
            inconsistent: row.inconsistent,
        },
        started_at,
        ended_at,
        recorded_at: Timestamp::from_micros(row.recorded_at),
        reporter: row.reporter,
        postings: postings.collect::<Result<_, StoreError>>()?,
        usage: Usage {
            request_id: row.request_id,
            model: row.model,
            model_group: row.model_group,
            provider: row.provider,
            deployment: row.deployment,
            customer_id: row.customer_id,
            tags: from_text(&row.tags)?,
            started_at: Some(started_at),
            ended_at: Some(ended_at),
            first_token_at: instant(row.first_token_at),
            counts,
            units: detail.units,
            terms: detail.terms,
            additional_cost: detail.additional_nanos.map(Usd::from_nanos),
            cost: Some(Usd::from_nanos(row.cost_nanos)),
            status: word(&row.status)?,
            error_code: row.error_code,
            error_message: row.error_message,
            cache_hit: row.cache_hit,
            call_type: row.call_type,
            session_id: row.session_id,
            metadata: from_text(&row.metadata)?,
        },
    };
    Ok(StoredEvent { event, unpriced_parts: from_text(&row.unpriced_parts)? })
}

/// The columns of a batch of events, in the order of the table's.
pub(super) fn to_columns(events: &[&Event]) -> Result<Vec<(&'static str, Cells)>, StoreError> {
    let text = |of: &dyn Fn(&Event) -> String| Cells::Text(events.iter().map(|event| of(event)).collect());
    let json = |of: &dyn Fn(&Event) -> Result<String, StoreError>| -> Result<Cells, StoreError> {
        Ok(Cells::Text(events.iter().map(|event| of(event)).collect::<Result<_, _>>()?))
    };
    let number = |of: &dyn Fn(&Event) -> i64| Cells::Number(events.iter().map(|event| of(event)).collect());
    let flag = |of: &dyn Fn(&Event) -> bool| Cells::Flag(events.iter().map(|event| of(event)).collect());
    Ok(vec![
        ("request_id", text(&|event| event.usage.request_id.clone())),
        ("fingerprint", text(&|event| event.fingerprint.clone())),
        ("key_id", text(&|event| event.key_id.map(|id| id.to_string()).unwrap_or_default())),
        ("user_id", text(&|event| event.user_id.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("team_id", text(&|event| event.team_id.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("organization_id", text(&|event| event.organization_id.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("model", text(&|event| event.usage.model.clone())),
        ("model_group", text(&|event| event.usage.model_group.clone())),
        ("provider", text(&|event| event.costing.provider.clone())),
        ("deployment", text(&|event| event.usage.deployment.clone())),
        ("customer_id", text(&|event| event.usage.customer_id.clone())),
        ("tags", json(&|event| to_text(&event.usage.tags))?),
        ("started_at", number(&|event| event.started_at.micros())),
        ("ended_at", number(&|event| event.ended_at.micros())),
        ("first_token_at", number(&|event| event.usage.first_token_at.map_or(0, Timestamp::micros))),
        ("prompt_tokens", number(&|event| event.usage.counts.prompt)),
        ("completion_tokens", number(&|event| event.usage.counts.completion)),
        ("cache_read_tokens", number(&|event| event.usage.counts.cache_read)),
        ("cache_write_tokens", number(&|event| event.usage.counts.cache_write)),
        ("reasoning_tokens", number(&|event| event.usage.counts.reasoning)),
        ("detail", json(&detail)?),
        ("cost_nanos", number(&|event| event.costing.cost.nanos())),
        ("cost_source", text(&|event| <&'static str>::from(event.costing.source).to_owned())),
        ("price_id", text(&|event| event.costing.price_id.clone())),
        ("unpriced_parts", json(&|event| to_text(&event.costing.unpriced_parts))?),
        ("inconsistent", flag(&|event| event.costing.inconsistent)),
        ("status", text(&|event| <&'static str>::from(event.usage.status).to_owned())),
        ("error_code", text(&|event| event.usage.error_code.clone())),
        ("error_message", text(&|event| event.usage.error_message.clone())),
        ("cache_hit", flag(&|event| event.usage.cache_hit)),
        ("call_type", text(&|event| event.usage.call_type.clone())),
        ("session_id", text(&|event| event.usage.session_id.clone())),
        ("metadata", json(&|event| to_text(&event.usage.metadata))?),
        ("reporter", text(&|event| event.reporter.clone())),
        ("recorded_at", number(&|event| event.recorded_at.micros())),
        ("postings", json(&postings)?),
    ])
}

fn detail(event: &Event) -> Result<String, StoreError> {
    let mut counts = event.usage.counts;
    let rare = rare_counts(&mut counts).into_iter().filter(|(_, count)| **count != 0);
    to_text(&Detail {
        terms: event.usage.terms.clone(),
        units: event.usage.units.clone(),
        additional_nanos: event.usage.additional_cost.map(Usd::nanos),
        list_nanos: event.costing.list_cost.map(Usd::nanos),
        counts: rare.map(|(name, count)| (name.to_owned(), *count)).collect(),
    })
}

fn postings(event: &Event) -> Result<String, StoreError> {
    let stored: Vec<_> = event
        .postings
        .iter()
        .map(|posting| (posting.account.scope().as_str(), posting.account.name(), posting.window_start.micros()))
        .collect();
    to_text(&stored)
}
