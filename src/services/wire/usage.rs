//! Usage events on the wire.

use rust_decimal::Decimal;
use strum::VariantArray;

use super::faults::Faults;
use super::{instant, key_ref, metadata, text};
use crate::domain::clock::Timestamp;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::money::Usd;
use crate::domain::pricing::terms::SIDE_MAX;
use crate::domain::pricing::units::UNITS_MAX;
use crate::domain::pricing::{Counts, Terms, Unit, Units};
use crate::domain::secret::KeyHash;
use crate::domain::ticket::TICKET_MAX_CHARS;
use crate::domain::usage::{CostSource, Usage, UsageStatus};
use crate::pb;
use crate::store::{Name, StoredEvent, UsageRow};

/// The most bytes of an error message; longer ones are cut.
const ERROR_MESSAGE_MAX_BYTES: usize = 2 * 1024;
/// The most bytes of an event's metadata, as JSON.
const METADATA_MAX_BYTES: usize = 16 * 1024;

/// An event as it was sent, its values checked.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) usage: Usage,
    pub(crate) key: Option<KeyHash>,
    pub(crate) reservation_id: String,
}

/// Takes an event. `prefix` is the path of its fields, such as `events[3].`.
pub(crate) fn take(event: &pb::UsageEvent, prefix: &str, faults: &mut Faults) -> Taken {
    let field = |name: &str| format!("{prefix}{name}");
    for (name, value, max) in [
        ("model", &event.model, MODEL_NAME_MAX_BYTES),
        ("model_group", &event.model_group, MODEL_NAME_MAX_BYTES),
        ("provider", &event.provider, text::LABEL_MAX_BYTES),
        ("deployment", &event.deployment, MODEL_NAME_MAX_BYTES),
        ("customer_id", &event.customer_id, text::LABEL_MAX_BYTES),
        ("service_tier", &event.service_tier, 64),
        ("error_code", &event.error_code, 64),
        ("call_type", &event.call_type, 64),
        ("session_id", &event.session_id, text::LABEL_MAX_BYTES),
        ("image_quality", &event.image_quality, 64),
        ("resolution", &event.resolution, 64),
        ("search_context_size", &event.search_context_size, 64),
        ("region", &event.region, 64),
        ("geo", &event.geo, 64),
        ("speed", &event.speed, 64),
    ] {
        text::check(&field(name), value, max, faults);
    }
    if event.reservation_id.len() > TICKET_MAX_CHARS {
        faults.add(field("reservation_id"), format!("must have at most {TICKET_MAX_CHARS} characters"));
    }
    let counts = counts(event);
    counts.check(prefix, &mut faults.0);
    let units = units(event, prefix, faults);
    units.check(prefix, &mut faults.0);
    for (name, number, max) in [
        ("image_width", event.image_width, SIDE_MAX),
        ("image_height", event.image_height, SIDE_MAX),
        ("max_results", event.max_results, UNITS_MAX),
    ] {
        if !(0..=max).contains(&number) {
            faults.add(field(name), format!("must be 0-{max}"));
        }
    }
    let started_at = instant::from_wire(&field("start_time"), event.start_time.as_ref(), faults);
    let ended_at = instant::from_wire(&field("end_time"), event.end_time.as_ref(), faults);
    for (name, instant) in [("start_time", started_at), ("end_time", ended_at)] {
        if instant.is_some_and(|instant| instant < Timestamp::EPOCH) {
            faults.add(field(name), "must not lie before 1970");
        }
    }
    if let (Some(start), Some(end)) = (started_at, ended_at)
        && end < start
    {
        faults.add(field("end_time"), "must not lie before start_time");
    }
    let status = match pb::UsageStatus::try_from(event.status) {
        Ok(pb::UsageStatus::Unspecified | pb::UsageStatus::Success) => UsageStatus::Success,
        Ok(pb::UsageStatus::Failure) => UsageStatus::Failure,
        Err(_) => {
            faults.add(field("status"), format!("has no value {}", event.status));
            UsageStatus::Success
        }
    };
    if event.key.is_empty() == event.key_hash.is_empty() && !event.key.is_empty() {
        faults.add(field("key_hash"), "must not be set together with key");
    }
    let key = key_ref::optional(&field("key"), &event.key, faults);
    let key_hash = key_ref::optional(&field("key_hash"), &event.key_hash, faults);
    let usage = Usage {
        request_id: event.request_id.clone(),
        model: event.model.clone(),
        model_group: event.model_group.clone(),
        provider: event.provider.clone(),
        deployment: event.deployment.clone(),
        customer_id: event.customer_id.clone(),
        tags: text::tags(&field("tags"), &event.tags, faults),
        started_at,
        ended_at,
        first_token_at: instant::from_wire(
            &field("completion_start_time"),
            event.completion_start_time.as_ref(),
            faults,
        ),
        counts: match pb::UsageStyle::try_from(event.usage_style) {
            Ok(pb::UsageStyle::Exclusive) => counts.with_cache_in_prompt(),
            Ok(_) => counts,
            Err(_) => {
                faults.add(field("usage_style"), format!("has no value {}", event.usage_style));
                counts
            }
        },
        units,
        terms: terms(event),
        cost: faults.money(field("cost"), event.cost.as_ref()),
        additional_cost: faults.money(field("additional_cost"), event.additional_cost.as_ref()),
        status,
        error_code: event.error_code.clone(),
        error_message: cut(&event.error_message),
        cache_hit: event.cache_hit,
        call_type: event.call_type.clone(),
        session_id: event.session_id.clone(),
        metadata: metadata::take(&field("metadata"), event.metadata.as_ref(), METADATA_MAX_BYTES, faults),
    };
    Taken { usage, key: key.or(key_hash), reservation_id: event.reservation_id.clone() }
}

/// Takes an event's id: one that clients choose, or a reservation's.
pub(crate) fn take_request_id(event: &pb::UsageEvent, prefix: &str, faults: &mut Faults) {
    let id = &event.request_id;
    let chosen = text::is_request_id(id, text::REQUEST_ID_MAX) && id != "None" && id != "null";
    let reserved = *id == event.reservation_id && text::is_request_id(id, TICKET_MAX_CHARS);
    if !chosen && !reserved {
        let rule = format!("{}, and not \"None\" or \"null\"", text::REQUEST_ID_RULE);
        faults.add(format!("{prefix}request_id"), rule);
    }
}

/// Text without what a database can't keep, at most as long as allowed.
fn cut(message: &str) -> String {
    let mut kept: String = message.chars().filter(|c| *c != '\0').collect();
    let end = kept.floor_char_boundary(ERROR_MESSAGE_MAX_BYTES);
    kept.truncate(end);
    kept
}

/// The counts of an event.
pub(crate) fn counts(event: &pb::UsageEvent) -> Counts {
    Counts {
        prompt: event.prompt_tokens,
        completion: event.completion_tokens,
        cache_read: event.cache_read_tokens,
        cache_write: event.cache_write_tokens,
        reasoning: event.reasoning_tokens,
        cache_write_1h: event.cache_write_1h_tokens,
        cache_write_12h: event.cache_write_12h_tokens,
        cache_read_audio: event.cache_read_audio_tokens,
        cache_read_image: event.cache_read_image_tokens,
        input_audio: event.input_audio_tokens,
        input_image: event.input_image_tokens,
        input_video: event.input_video_tokens,
        output_audio: event.output_audio_tokens,
        output_image: event.output_image_tokens,
        output_video: event.output_video_tokens,
        citation: event.citation_tokens,
        cache_write_audio: event.cache_write_audio_tokens,
    }
}

/// What an event says that chooses among prices.
fn terms(event: &pb::UsageEvent) -> Terms {
    Terms {
        service_tier: event.service_tier.clone(),
        batch: event.batch,
        region: event.region.clone(),
        geo: event.geo.clone(),
        speed: event.speed.clone(),
        resolution: event.resolution.clone(),
        image_quality: event.image_quality.clone(),
        image_width: event.image_width,
        image_height: event.image_height,
        search_context_size: event.search_context_size.clone(),
        max_results: event.max_results,
    }
}

/// What an event used beside tokens.
fn units(event: &pb::UsageEvent, prefix: &str, faults: &mut Faults) -> Units {
    let mut units = Units::default();
    for (unit, count) in [
        (Unit::Images, event.images),
        (Unit::InputImages, event.input_images),
        (Unit::InputCharacters, event.input_characters),
        (Unit::OutputCharacters, event.output_characters),
        (Unit::Queries, event.queries),
        (Unit::Pages, event.pages),
        (Unit::AnnotationPages, event.annotation_pages),
        (Unit::Credits, event.credits),
        (Unit::Messages, event.messages),
        (Unit::WebSearches, event.web_searches),
        (Unit::MapsQueries, event.maps_queries),
        (Unit::CodeSessions, event.code_sessions),
        (Unit::FileSearchCalls, event.file_search_calls),
        (Unit::ComputerUseInputTokens, event.computer_use_input_tokens),
        (Unit::ComputerUseOutputTokens, event.computer_use_output_tokens),
    ] {
        units.set(unit, Decimal::from(count));
    }
    for (unit, text) in [
        (Unit::InputSeconds, &event.input_seconds),
        (Unit::OutputSeconds, &event.output_seconds),
        (Unit::FileSearchGbDays, &event.file_search_gb_days),
        (Unit::VectorGbDays, &event.vector_gb_days),
    ] {
        if text.is_empty() {
            continue;
        }
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.len() <= 32;
        match Decimal::from_str_exact(text) {
            Ok(quantity) if plain => units.set(unit, quantity),
            _ => faults.add(format!("{prefix}{}", unit.as_str()), "must be a decimal such as \"1.5\""),
        }
    }
    units
}

/// An event on the wire.
pub(crate) fn to_wire(stored: StoredEvent, key: Name) -> pb::UsageEvent {
    let StoredEvent { event, unpriced_parts } = stored;
    let usage = event.usage;
    let counts = usage.counts;
    let (terms, units) = (usage.terms, usage.units);
    // Quantities are small whole numbers where they are not decimals.
    let whole = |unit| i64::try_from(units.of(unit)).unwrap_or_default();
    let part = |unit| Some(units.of(unit)).filter(|it| !it.is_zero()).map_or(String::new(), |it| it.to_string());
    let is_adjustment = event.costing.source == CostSource::Adjustment;
    pb::UsageEvent {
        request_id: usage.request_id,
        reservation_id: String::new(),
        key: String::new(),
        key_hash: key.key_hash,
        model: usage.model,
        model_group: usage.model_group,
        provider: event.costing.provider,
        deployment: usage.deployment,
        customer_id: usage.customer_id,
        tags: usage.tags,
        start_time: Some(instant::to_wire(event.started_at)),
        end_time: Some(instant::to_wire(event.ended_at)),
        completion_start_time: usage.first_token_at.map(instant::to_wire),
        prompt_tokens: counts.prompt,
        completion_tokens: counts.completion,
        cache_read_tokens: counts.cache_read,
        cache_write_tokens: counts.cache_write,
        reasoning_tokens: counts.reasoning,
        cache_write_1h_tokens: counts.cache_write_1h,
        cache_write_12h_tokens: counts.cache_write_12h,
        cache_read_audio_tokens: counts.cache_read_audio,
        cache_read_image_tokens: counts.cache_read_image,
        input_audio_tokens: counts.input_audio,
        input_image_tokens: counts.input_image,
        input_video_tokens: counts.input_video,
        output_audio_tokens: counts.output_audio,
        output_image_tokens: counts.output_image,
        output_video_tokens: counts.output_video,
        citation_tokens: counts.citation,
        cache_write_audio_tokens: counts.cache_write_audio,
        service_tier: terms.service_tier,
        batch: terms.batch,
        images: whole(Unit::Images),
        image_width: terms.image_width,
        image_height: terms.image_height,
        image_quality: terms.image_quality,
        input_images: whole(Unit::InputImages),
        input_seconds: part(Unit::InputSeconds),
        output_seconds: part(Unit::OutputSeconds),
        resolution: terms.resolution,
        input_characters: whole(Unit::InputCharacters),
        output_characters: whole(Unit::OutputCharacters),
        queries: whole(Unit::Queries),
        max_results: terms.max_results,
        pages: whole(Unit::Pages),
        annotation_pages: whole(Unit::AnnotationPages),
        credits: whole(Unit::Credits),
        messages: whole(Unit::Messages),
        web_searches: whole(Unit::WebSearches),
        search_context_size: terms.search_context_size,
        maps_queries: whole(Unit::MapsQueries),
        code_sessions: whole(Unit::CodeSessions),
        file_search_calls: whole(Unit::FileSearchCalls),
        file_search_gb_days: part(Unit::FileSearchGbDays),
        vector_gb_days: part(Unit::VectorGbDays),
        computer_use_input_tokens: whole(Unit::ComputerUseInputTokens),
        computer_use_output_tokens: whole(Unit::ComputerUseOutputTokens),
        region: terms.region,
        geo: terms.geo,
        speed: terms.speed,
        additional_cost: usage.additional_cost.map(|usd| usd.to_string()),
        list_cost: event.costing.list_cost.map(|usd| usd.to_string()),
        usage_style: pb::UsageStyle::Inclusive.into(),
        cost: Some(event.costing.cost.to_string()),
        status: if is_adjustment { 0 } else { status_to_wire(usage.status).into() },
        error_code: usage.error_code,
        error_message: usage.error_message,
        cache_hit: usage.cache_hit,
        call_type: usage.call_type,
        session_id: usage.session_id,
        metadata: metadata::to_wire_if_any(&usage.metadata),
        key_id: event.key_id.map(|id| id.to_string()).unwrap_or_default(),
        key_alias: key.alias,
        user_id: event.user_id.map(|id| id.to_string()).unwrap_or_default(),
        organization_id: event.organization_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        team_id: event.team_id.map(|id| id.to_string()).unwrap_or_default(),
        total_tokens: counts.total(),
        cost_source: source_to_wire(event.costing.source).into(),
        price_id: event.costing.price_id,
        unpriced_parts,
        usage_inconsistent: event.costing.inconsistent,
        recorded_at: Some(instant::to_wire(event.recorded_at)),
    }
}

const fn status_to_wire(status: UsageStatus) -> pb::UsageStatus {
    match status {
        UsageStatus::Success => pb::UsageStatus::Success,
        UsageStatus::Failure => pb::UsageStatus::Failure,
    }
}

/// The source that a filter names; unspecified is none.
pub(crate) fn source_filter(field: &str, value: i32, faults: &mut Faults) -> Option<CostSource> {
    if value == i32::from(pb::CostSource::Unspecified) {
        return None;
    }
    let found = CostSource::VARIANTS.iter().copied().find(|source| i32::from(source_to_wire(*source)) == value);
    if found.is_none() {
        faults.add(field, format!("has no value {value}"));
    }
    found
}

const fn source_to_wire(source: CostSource) -> pb::CostSource {
    match source {
        CostSource::Computed => pb::CostSource::Computed,
        CostSource::Reported => pb::CostSource::Reported,
        CostSource::CacheHit => pb::CostSource::CacheHit,
        CostSource::ZeroPriced => pb::CostSource::ZeroPriced,
        CostSource::Unpriced => pb::CostSource::Unpriced,
        CostSource::Adjustment => pb::CostSource::Adjustment,
    }
}

/// Sums of usage that are being added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metrics {
    pub(crate) spent: i128,
    pub(crate) prompt: i64,
    pub(crate) completion: i64,
    pub(crate) cache_read: i64,
    pub(crate) cache_write: i64,
    pub(crate) requests: i64,
    pub(crate) successful: i64,
    pub(crate) failed: i64,
}

impl From<&UsageRow> for Metrics {
    fn from(row: &UsageRow) -> Self {
        Self {
            spent: i128::from(row.spent_nanos),
            prompt: row.prompt_tokens,
            completion: row.completion_tokens,
            cache_read: row.cache_read_tokens,
            cache_write: row.cache_write_tokens,
            requests: row.api_requests,
            successful: row.successful_requests,
            failed: row.failed_requests,
        }
    }
}

impl Metrics {
    /// Adds other sums.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.spent += other.spent;
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.completion = self.completion.saturating_add(other.completion);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.requests += other.requests;
        self.successful += other.successful;
        self.failed += other.failed;
    }

    /// What is left without a part of it.
    #[must_use]
    pub(crate) fn without(&self, part: &Self) -> Self {
        Self {
            spent: self.spent - part.spent,
            prompt: self.prompt - part.prompt,
            completion: self.completion - part.completion,
            cache_read: self.cache_read - part.cache_read,
            cache_write: self.cache_write - part.cache_write,
            requests: self.requests - part.requests,
            successful: self.successful - part.successful,
            failed: self.failed - part.failed,
        }
    }

    /// The sums on the wire.
    pub(crate) fn to_wire(self) -> pb::SpendMetrics {
        let spent = Usd::from_nanos(i64::try_from(self.spent).unwrap_or(i64::MAX));
        pb::SpendMetrics {
            spend: spent.to_string(),
            prompt_tokens: self.prompt,
            completion_tokens: self.completion,
            total_tokens: self.prompt.saturating_add(self.completion),
            cache_read_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            api_requests: self.requests,
            successful_requests: self.successful,
            failed_requests: self.failed,
        }
    }
}
