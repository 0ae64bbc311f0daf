//! The cost formula: disjoint parts times the rate that applies to each.

use rust_decimal::Decimal;

use super::super::clock::Timestamp;
use super::super::money::Usd;
use super::book::{Band, Price};
use super::counts::{Counts, Parts};
use super::rates::{Base, Rates, Selector, tier_of};

/// What beside the counts decides a call's cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Such as `chat`; empty is `chat`.
    pub call_type: &'a str,
    /// The provider's service tier; empty is the standard one.
    pub service_tier: &'a str,
    /// A job of the batch interface.
    pub batch: bool,
    /// When the call began.
    pub at: Timestamp,
}

/// Types of calls that are billed by tokens.
const TOKEN_CALLS: [&str; 14] = [
    "",
    "chat",
    "chat_completion",
    "completion",
    "acompletion",
    "text_completion",
    "responses",
    "messages",
    "anthropic_messages",
    "embedding",
    "aembedding",
    "moderation",
    "realtime",
    "batch",
];

/// Types of calls and modes of models that produce no output tokens.
const WITHOUT_OUTPUT: [&str; 5] = ["embedding", "aembedding", "moderation", "rerank", "search"];

/// An exact cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Input outside the cache, and the price of the request itself.
    pub input: Decimal,
    /// Output.
    pub output: Decimal,
    /// Input read from the cache.
    pub cache_read: Decimal,
    /// Input written to the cache.
    pub cache_write: Decimal,
    /// Counts that no price is known for.
    pub unpriced_parts: Vec<&'static str>,
    /// Parts were larger than their whole and were cut.
    pub inconsistent: bool,
}

impl Cost {
    /// The sum, unrounded; `None` beyond what a decimal holds.
    #[must_use]
    pub fn exact(&self) -> Option<Decimal> {
        self.input
            .checked_add(self.output)
            .and_then(|sum| sum.checked_add(self.cache_read))
            .and_then(|sum| sum.checked_add(self.cache_write))
    }

    /// The sum as it is booked: rounded once, half to even.
    #[must_use]
    pub fn booked(&self) -> Option<Usd> {
        self.exact().and_then(Usd::round_half_even)
    }

    /// The sum as it is reserved: rounded up.
    #[must_use]
    pub fn reserved(&self) -> Option<Usd> {
        self.exact().and_then(Usd::round_up)
    }
}

/// Why a call can't be priced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The type of call is not billed by tokens.
    #[error("calls of type {0:?} are not billed by tokens and can't be priced yet; send their cost")]
    CallType(String),
    /// The model is billed in other units.
    #[error("the model is billed by {0}, which can't be priced yet; send the cost")]
    OtherUnit(String),
    /// The cost is beyond all reason.
    #[error("the cost is out of range")]
    OutOfRange,
}

/// What a call costs by a price record.
///
/// # Errors
/// [`PriceError`] if the record prices such a call in other units than tokens.
pub fn price(price: &Price, counts: &Counts, terms: &Terms<'_>) -> Result<Cost, PriceError> {
    let call_type = terms.call_type.to_lowercase();
    if !TOKEN_CALLS.contains(&call_type.as_str()) {
        return Err(PriceError::CallType(terms.call_type.to_owned()));
    }
    if !price.prices_tokens()
        && let Some(unit) = price.other_units.first()
    {
        return Err(PriceError::OtherUnit(unit.clone()));
    }
    let tier = tier_of(terms.service_tier);
    // One provider's higher price begins with the threshold itself.
    let inclusive = price.provider.as_deref() == Some("xai");
    let selector = Selector {
        above_k: price.rates.passed_threshold(counts.prompt, inclusive),
        tier: tier.as_deref(),
        batch: terms.batch || call_type == "batch",
    };
    let off_peak = price.off_peak.as_ref().filter(|(schedule, _)| schedule.holds(terms.at)).map(|(_, rates)| rates);
    let tariff = Tariff { off_peak, band: band_of(&price.bands, counts.prompt), plain: &price.rates, selector };
    let without_output = WITHOUT_OUTPUT.contains(&call_type.as_str())
        || price.mode.as_deref().is_some_and(|mode| WITHOUT_OUTPUT.contains(&mode));
    add_up(&counts.parts(), &tariff, without_output).ok_or(PriceError::OutOfRange)
}

/// The band of a prompt's length: above the last one the last.
fn band_of(bands: &[Band], prompt: i64) -> Option<&Rates> {
    let inside = |band: &&Band| band.above < prompt && prompt <= band.up_to;
    let beyond = || if prompt <= 0 { bands.first() } else { bands.last() };
    bands.iter().find(inside).or_else(beyond).map(|band| &band.rates)
}

/// The rates of a record as they apply to one call.
struct Tariff<'a> {
    off_peak: Option<&'a Rates>,
    band: Option<&'a Rates>,
    plain: &'a Rates,
    selector: Selector<'a>,
}

impl Tariff<'_> {
    /// The rate of a base, from the hours, the band or the record.
    fn rate(&self, base: Base) -> Option<Decimal> {
        let flat = Selector { above_k: None, ..self.selector };
        if let Some(usd) = self.off_peak.and_then(|rates| rates.select(base, &flat)) {
            return Some(usd);
        }
        match self.band {
            Some(band) => band.select(base, &flat).or_else(|| self.missing_in_band(base)),
            None => self.plain.select(base, &self.selector),
        }
    }

    /// What a band does not price: output as the record does; anything else
    /// falls back inside the band.
    fn missing_in_band(&self, base: Base) -> Option<Decimal> {
        matches!(base, Base::Output | Base::Request).then(|| self.plain.select(base, &self.selector)).flatten()
    }

    fn first_of(&self, bases: &[Base]) -> Option<Decimal> {
        bases.iter().find_map(|base| self.rate(*base))
    }
}

/// Where a part's cost is shown.
#[derive(Clone, Copy)]
enum Shown {
    Input,
    Output,
    CacheRead,
    CacheWrite,
}

/// Each part of the usage: its name, its count, its rate with fallbacks.
fn bill(parts: &Parts) -> [(&'static str, i64, &'static [Base], Shown); 16] {
    use Base::{
        CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, CacheWrite1h, CacheWrite12h, Citation, Input,
        InputAudio, InputImage, InputVideo, Output, OutputAudio, OutputImage, OutputVideo, Reasoning,
    };
    [
        ("prompt_tokens", parts.input_text, &[Input], Shown::Input),
        ("input_audio_tokens", parts.input_audio, &[InputAudio, Input], Shown::Input),
        ("input_image_tokens", parts.input_image, &[InputImage, Input], Shown::Input),
        ("input_video_tokens", parts.input_video, &[InputVideo, Input], Shown::Input),
        ("cache_read_tokens", parts.cache_read, &[CacheRead, Input], Shown::CacheRead),
        ("cache_read_audio_tokens", parts.cache_read_audio, &[CacheReadAudio, CacheRead, Input], Shown::CacheRead),
        ("cache_read_image_tokens", parts.cache_read_image, &[CacheReadImage, CacheRead, Input], Shown::CacheRead),
        ("cache_write_tokens", parts.cache_write_5m, &[CacheWrite, Input], Shown::CacheWrite),
        ("cache_write_1h_tokens", parts.cache_write_1h, &[CacheWrite1h, CacheWrite, Input], Shown::CacheWrite),
        (
            "cache_write_12h_tokens",
            parts.cache_write_12h,
            &[CacheWrite12h, CacheWrite1h, CacheWrite, Input],
            Shown::CacheWrite,
        ),
        ("completion_tokens", parts.output_text, &[Output], Shown::Output),
        ("reasoning_tokens", parts.reasoning, &[Reasoning, Output], Shown::Output),
        ("output_audio_tokens", parts.output_audio, &[OutputAudio, Output], Shown::Output),
        ("output_image_tokens", parts.output_image, &[OutputImage, Output], Shown::Output),
        ("output_video_tokens", parts.output_video, &[OutputVideo, Output], Shown::Output),
        ("citation_tokens", parts.citation, &[Citation], Shown::Output),
    ]
}

fn add_up(parts: &Parts, tariff: &Tariff<'_>, without_output: bool) -> Option<Cost> {
    let mut cost = Cost { inconsistent: parts.inconsistent, ..Cost::default() };
    cost.input = tariff.rate(Base::Request).unwrap_or_default();
    for (name, count, bases, shown) in bill(parts) {
        if count == 0 {
            continue;
        }
        match tariff.first_of(bases) {
            Some(rate) => {
                let place = match shown {
                    Shown::Input => &mut cost.input,
                    Shown::Output => &mut cost.output,
                    Shown::CacheRead => &mut cost.cache_read,
                    Shown::CacheWrite => &mut cost.cache_write,
                };
                *place = place.checked_add(rate.checked_mul(Decimal::from(count))?)?;
            }
            None if without_output && matches!(shown, Shown::Output) => {}
            None => cost.unpriced_parts.push(name),
        }
    }
    Some(cost)
}

/// What a call is estimated to cost before it is made: the same formula on the
/// most that it may use.
///
/// # Errors
/// [`PriceError`] as for [`price`].
pub fn estimate(
    record: &Price,
    input_tokens: i64,
    max_output_tokens: Option<i64>,
    default_output_tokens: i64,
    at: Timestamp,
) -> Result<Usd, PriceError> {
    let without_output = record.mode.as_deref().is_some_and(|mode| WITHOUT_OUTPUT.contains(&mode));
    let model_max = record.max_output_tokens.unwrap_or(i64::MAX);
    let output = if without_output { 0 } else { max_output_tokens.unwrap_or(default_output_tokens).min(model_max) };
    let cost = price(record, &Counts::text(input_tokens, output), &Terms { at, ..Terms::default() })?;
    cost.reserved().ok_or(PriceError::OutOfRange)
}

#[cfg(test)]
mod tests;
