//! Daily activities: what users, teams or organizations used, by day.

use super::days::DayRange;
use super::parts::{self, PARTS_MAX, dimension_of};
use crate::domain::ids::KeyId;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::rollup::{Dimension, Source};
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, List, Sizes};
use crate::services::wire::{key_ref, text};
use crate::store::{Among, Cursor, CursorKey, EventScope, PageRequest, UsageFilter};

/// A page has at most a quarter of a year, so that it fits a message with all
/// its parts.
const PAGES: Sizes = Sizes { default: 31, largest: 92 };

/// What the requests of all daily activities have.
pub(crate) struct Asked<'a> {
    pub(crate) start_date: &'a str,
    pub(crate) end_date: &'a str,
    pub(crate) time_zone: &'a str,
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) key: &'a str,
    pub(crate) top_keys: Option<i32>,
    pub(crate) page: page::Asked<'a>,
}

/// The fields of a request, whichever of them it is.
macro_rules! asked {
    ($request:expr) => {
        crate::services::reports::activity::Asked {
            start_date: &$request.start_date,
            end_date: &$request.end_date,
            time_zone: &$request.time_zone,
            model: &$request.model,
            provider: &$request.provider,
            key: &$request.key,
            top_keys: $request.top_keys,
            page: crate::services::wire::page::Asked {
                page_size: $request.page_size,
                page_token: &$request.page_token,
                include_total: $request.include_total,
            },
        }
    };
}
pub(crate) use asked;

/// A valid request.
pub(crate) struct Question {
    range: DayRange,
    model: String,
    provider: String,
    key: Option<KeyHash>,
    top_keys: usize,
    page: PageRequest,
    list: List,
}

/// What the responses of all daily activities have.
pub(crate) struct Activity {
    pub(crate) days: Vec<pb::DailyActivity>,
    pub(crate) totals: pb::SpendMetrics,
    pub(crate) next_page_token: String,
    pub(crate) total_size: Option<i64>,
}

/// Takes a request. `None` if it has faults.
pub(crate) fn take(ctx: &Ctx, asked: &Asked<'_>, list: List, faults: &mut Faults) -> Option<Question> {
    let page = page::take_sized(asked.page, PAGES, &list, faults);
    let range = DayRange::required(asked.start_date, asked.end_date, asked.time_zone, ctx.now, faults);
    text::check("model", asked.model, MODEL_NAME_MAX_BYTES, faults);
    text::check("provider", asked.provider, text::LABEL_MAX_BYTES, faults);
    let key = key_ref::optional("key", asked.key, faults);
    let top_keys = parts::top("top_keys", asked.top_keys, faults);
    let (model, provider) = (asked.model.to_owned(), asked.provider.to_owned());
    Some(Question { range: range?, model, provider, key, top_keys, page, list })
}

/// Answers about these users, teams or organizations, as far as the scope goes.
///
/// # Errors
/// [`Error`] if the database fails.
pub(crate) async fn answer(
    ctx: &Ctx,
    question: Question,
    entity: pb::SpendDimension,
    among: Among,
    visible_to: EventScope,
) -> Result<Activity, Error> {
    let Question { range, model, provider, key, top_keys, page, list } = question;
    let key_id = match key {
        // A key that never existed used nothing.
        Some(hash) => {
            let key = ctx.app.store.view().find_key_ever(&hash).await?;
            Some(key.map_or(KeyId(uuid::Uuid::nil()), |key| key.key_id))
        }
        None => None,
    };
    let mut filter = UsageFilter::of(Source::Call, visible_to)
        .only(Dimension::Key, key_id.map(|key| key.0))
        .only(Dimension::Model, Some(model))
        .only(Dimension::Provider, Some(provider));
    filter.among.push(among);
    let snapshot = ctx.app.store.snapshot().await?;
    let view = snapshot.view();
    let metrics = parts::by_interval(&view, range.borders(), &filter).await?;

    // Pages go back in time.
    let is_last_shown = |cursor: &Cursor| range.days().iter().position(|day| day.to_string() == cursor.id);
    let until = page.after.as_ref().and_then(is_last_shown).unwrap_or(range.days().len());
    let from = until.saturating_sub(usize::try_from(page.size).unwrap_or(usize::MAX));
    let shown = range.part(from, until);
    let next = (from > 0).then(|| Cursor { key: CursorKey::Int(0), id: range.days()[from].to_string() });

    let mut days: Vec<pb::DailyActivity> = shown
        .days()
        .iter()
        .zip(&metrics[from..until])
        .map(|(day, metrics)| pb::DailyActivity {
            date: day.to_string(),
            metrics: Some(metrics.to_wire()),
            ..pb::DailyActivity::default()
        })
        .collect();
    for (name, most, place) in [
        (pb::SpendDimension::Model, PARTS_MAX, (|day| &mut day.models) as Place),
        (pb::SpendDimension::Provider, PARTS_MAX, |day| &mut day.providers),
        (pb::SpendDimension::Key, top_keys, |day| &mut day.keys),
        (entity, PARTS_MAX, |day| &mut day.entities),
    ] {
        let Some(dimension) = dimension_of(name) else { continue };
        let split = parts::split(&view, shown.borders(), &filter, (name, dimension), most).await?;
        for (day, breakdown) in days.iter_mut().zip(split.breakdowns) {
            *place(day) = Some(breakdown);
        }
    }
    days.reverse();
    Ok(Activity {
        days,
        totals: parts::total(&metrics).to_wire(),
        next_page_token: page::token(&list, next),
        total_size: page.count.then(|| i64::try_from(range.days().len()).unwrap_or(i64::MAX)),
    })
}

/// Where a breakdown stands in a day.
type Place = fn(&mut pb::DailyActivity) -> &mut Option<pb::SpendBreakdown>;
