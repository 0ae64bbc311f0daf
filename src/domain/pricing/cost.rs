//! The cost formula: disjoint parts times the rate that applies to each.

use rust_decimal::Decimal;

use super::super::clock::Timestamp;
use super::super::money::Usd;
use super::counts::{Counts, Parts};
use super::markup::Markup;
use super::method::{Method, Way};
use super::price::{Multipliers, Price};
use super::rates::Base;
use super::tariff::Tariff;
use super::terms::{Billable, Terms};
use super::units::{Unit, Units};

/// An exact cost, in dollars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Input outside the cache.
    pub input: Decimal,
    /// Output.
    pub output: Decimal,
    /// Input read from the cache.
    pub cache_read: Decimal,
    /// Input written to the cache.
    pub cache_write: Decimal,
    /// What is not billed by tokens: requests, images, seconds and the like.
    pub units: Decimal,
    /// Tools, such as searches of the web.
    pub tools: Decimal,
    /// What the gateway added.
    pub additional: Decimal,
    /// What the provider takes off the sum of the above.
    pub discount: Decimal,
    /// What is added to that.
    pub margin: Decimal,
    /// What was used and has no price.
    pub unpriced_parts: Vec<&'static str>,
    /// Parts were larger than their whole and were cut.
    pub inconsistent: bool,
    /// Whether anything that was used has a price.
    pub priced: bool,
}

impl Cost {
    /// What the provider's list says; `None` beyond what a decimal holds.
    #[must_use]
    pub fn original(&self) -> Option<Decimal> {
        let parts =
            [self.input, self.output, self.cache_read, self.cache_write, self.units, self.tools, self.additional];
        parts.into_iter().try_fold(Decimal::ZERO, Decimal::checked_add)
    }

    /// The sum, unrounded; `None` beyond what a decimal holds.
    #[must_use]
    pub fn exact(&self) -> Option<Decimal> {
        self.original()?.checked_sub(self.discount)?.checked_add(self.margin)
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
    /// Nobody knows how the type of call is billed.
    #[error("it is not known how calls of type {0:?} are billed; send their cost")]
    CallType(String),
    /// The cost is beyond all reason.
    #[error("the cost is out of range")]
    OutOfRange,
}

/// What a call costs by a price.
///
/// # Errors
/// [`PriceError`] if the call is of an unknown type, or dearer than can be
/// counted.
pub fn price(price: &Price, call: &Billable<'_>, markup: &Markup) -> Result<Cost, PriceError> {
    let method = Method::of(call.call_type, price).ok_or_else(|| PriceError::CallType(call.call_type.to_owned()))?;
    Bill::new(price, call, method).add_up(markup).ok_or(PriceError::OutOfRange)
}

/// Where a part's cost is shown.
#[derive(Clone, Copy)]
enum Shown {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Units,
    Tools,
}

/// Each part of the tokens: its name, its count, its rate with fallbacks.
fn token_lines(parts: &Parts) -> [(&'static str, i64, &'static [Base], Shown); 17] {
    use Base::{
        CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, CacheWrite1h, CacheWrite12h, CacheWriteAudio, Citation,
        Input, InputAudio, InputImage, InputVideo, Output, OutputAudio, OutputImage, OutputVideo, Reasoning,
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
        ("cache_write_audio_tokens", parts.cache_write_audio, &[CacheWriteAudio, CacheWrite, Input], Shown::CacheWrite),
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

/// Each tool: what is counted, its rate, and of how many the rate is the price.
const TOOLS: [(Unit, Base, i64); 7] = [
    (Unit::MapsQueries, Base::MapsQuery, 1),
    (Unit::CodeSessions, Base::CodeSession, 1),
    (Unit::FileSearchCalls, Base::FileSearchCall, 1_000),
    (Unit::FileSearchGbDays, Base::FileSearchGbDay, 1),
    (Unit::VectorGbDays, Base::VectorGbDay, 1),
    (Unit::ComputerUseInputTokens, Base::ComputerUseInput, 1_000),
    (Unit::ComputerUseOutputTokens, Base::ComputerUseOutput, 1_000),
];

/// The size of a search of the web that is meant if none is told.
const SEARCH_SIZE: &str = "medium";

/// A call's bill while it is written.
struct Bill<'a> {
    price: &'a Price,
    call: &'a Billable<'a>,
    method: &'static Method,
    tariff: Tariff<'a>,
    parts: Parts,
    cost: Cost,
}

impl<'a> Bill<'a> {
    fn new(price: &'a Price, call: &'a Billable<'a>, method: &'static Method) -> Self {
        let parts = call.counts.parts();
        let cost = Cost { inconsistent: parts.inconsistent, ..Cost::default() };
        Self { price, call, method, tariff: Tariff::new(price, call), parts, cost }
    }

    fn add_up(mut self, markup: &Markup) -> Option<Cost> {
        let applies = |way: &&Way| self.applies(**way);
        match self.method.ways.iter().find(applies) {
            Some(way) => self.add_way(*way)?,
            None => self.add_what_has_no_price()?,
        }
        for way in self.method.also.iter().copied() {
            if self.applies(way) {
                self.add_way(way)?;
            }
        }
        self.add_media()?;
        if let Some(usd) = self.tariff.rate(Base::Request) {
            self.add(Shown::Units, Decimal::ONE, usd)?;
        }
        if let Some(usd) = self.tariff.rate(Base::Message) {
            self.add_unit(Unit::Messages, Some(usd))?;
        }
        self.multiply()?;
        self.add_tools()?;
        self.cost.additional = self.call.additional;
        markup.apply(&mut self.cost)?;
        Some(self.cost)
    }

    /// Whether there is a price by this way, and something to bill.
    fn applies(&self, way: Way) -> bool {
        let of = |unit| !self.call.units.of(unit).is_zero();
        match way {
            Way::Tokens => self.price.bills_tokens() && !self.call.counts.are_none(),
            Way::ImageTokens => self.parts.output_image > 0 && self.tariff.rate(Base::OutputImage).is_some(),
            Way::WallSeconds => {
                !self.price.bills_tokens() && self.call.lasted_micros > 0 && self.wall_second().is_some()
            }
            Way::InputSeconds => of(Unit::InputSeconds) && self.input_second().is_some(),
            Way::SpeechSeconds => of(Unit::OutputSeconds) && self.tariff.rate(Base::OutputSecond).is_some(),
            Way::VideoSeconds => of(Unit::OutputSeconds) && self.video_second().is_some(),
            Way::InputCharacters => of(Unit::InputCharacters) && self.tariff.rate(Base::InputCharacter).is_some(),
            Way::Characters => {
                let some = of(Unit::InputCharacters) || of(Unit::OutputCharacters);
                let rates = [Base::InputCharacter, Base::OutputCharacter].map(|base| self.tariff.rate(base));
                !self.price.bills_tokens() && some && rates.into_iter().flatten().any(|usd| !usd.is_zero())
            }
            Way::Images => of(Unit::Images) && self.image().is_some(),
            Way::Pixels => of(Unit::Images) && self.pixels() > Decimal::ZERO && self.pixel().is_some(),
            Way::Queries => self.query().is_some(),
            Way::Pages => [Unit::Pages, Unit::AnnotationPages, Unit::Credits].into_iter().any(of),
        }
    }

    fn add_way(&mut self, way: Way) -> Option<()> {
        match way {
            Way::Tokens | Way::ImageTokens => self.add_tokens(),
            Way::WallSeconds => {
                let seconds = Decimal::new(self.call.lasted_micros, 6);
                self.add(Shown::Units, seconds, self.wall_second()?)
            }
            Way::InputSeconds => self.add_unit(Unit::InputSeconds, self.input_second()),
            Way::SpeechSeconds => self.add_unit(Unit::OutputSeconds, self.tariff.rate(Base::OutputSecond)),
            Way::VideoSeconds => self.add_unit(Unit::OutputSeconds, self.video_second()),
            Way::InputCharacters => self.add_unit(Unit::InputCharacters, self.tariff.rate(Base::InputCharacter)),
            Way::Characters => {
                self.add_unit(Unit::InputCharacters, self.tariff.rate(Base::InputCharacter))?;
                self.add_unit(Unit::OutputCharacters, self.tariff.rate(Base::OutputCharacter))
            }
            Way::Images => self.add_unit(Unit::Images, self.image()),
            Way::Pixels => self.add(Shown::Units, self.pixels(), self.pixel()?),
            Way::Queries => self.add(Shown::Units, self.queries(), self.query()?),
            Way::Pages => {
                self.add_unit(Unit::Pages, self.tariff.rate(Base::Page))?;
                self.add_unit(Unit::AnnotationPages, self.tariff.rate(Base::AnnotationPage))?;
                self.add_unit(Unit::Credits, self.tariff.rate(Base::Credit))
            }
        }
    }

    /// Nothing applies: what was used has a price of 0, or none.
    fn add_what_has_no_price(&mut self) -> Option<()> {
        self.add_tokens()?;
        let of_ways = self.method.ways.iter().filter_map(|way| match way {
            Way::InputSeconds => Some(Unit::InputSeconds),
            Way::SpeechSeconds | Way::VideoSeconds => Some(Unit::OutputSeconds),
            Way::InputCharacters => Some(Unit::InputCharacters),
            Way::Images => Some(Unit::Images),
            Way::Queries => Some(Unit::Queries),
            Way::Tokens | Way::ImageTokens | Way::Characters | Way::WallSeconds | Way::Pixels | Way::Pages => None,
        });
        for unit in of_ways {
            self.add_unit(unit, None)?;
        }
        Some(())
    }

    fn add_tokens(&mut self) -> Option<()> {
        for (name, count, bases, shown) in token_lines(&self.parts) {
            if count == 0 {
                continue;
            }
            match self.tariff.first_of(bases) {
                Some(usd) => self.add(shown, Decimal::from(count), usd)?,
                None if self.method.without_output && matches!(shown, Shown::Output) => {}
                None => self.cost.unpriced_parts.push(name),
            }
        }
        Some(())
    }

    /// Images and seconds that are embedded beside text. Seconds are of video
    /// if a resolution is told, or if audio has no price.
    fn add_media(&mut self) -> Option<()> {
        if !self.method.embeds_media {
            return Some(());
        }
        self.add_unit(Unit::InputImages, self.tariff.rate(Base::InputImageUnit))?;
        let (audio, video) = (self.tariff.rate(Base::InputAudioSecond), self.tariff.rate(Base::InputVideoSecond));
        let is_video = !self.call.terms.resolution.is_empty();
        self.add_unit(Unit::InputSeconds, if is_video { video.or(audio) } else { audio.or(video) })
    }

    fn add_tools(&mut self) -> Option<()> {
        let size = &self.call.terms.search_context_size;
        let search = self.tariff.choice(Base::WebSearch, if size.is_empty() { SEARCH_SIZE } else { size });
        let search = search.or_else(|| self.tariff.rate(Base::WebSearch));
        self.add_quantity(Shown::Tools, Unit::WebSearches, search, 1)?;
        for (unit, base, of) in TOOLS {
            self.add_quantity(Shown::Tools, unit, self.tariff.rate(base), of)?;
        }
        Some(())
    }

    fn add_unit(&mut self, unit: Unit, usd: Option<Decimal>) -> Option<()> {
        self.add_quantity(Shown::Units, unit, usd, 1)
    }

    /// Adds what was used of a unit; the rate is the price of `of` units.
    fn add_quantity(&mut self, shown: Shown, unit: Unit, usd: Option<Decimal>, of: i64) -> Option<()> {
        let quantity = self.call.units.of(unit);
        if quantity.is_zero() {
            return Some(());
        }
        if let Some(usd) = usd {
            return self.add(shown, quantity.checked_div(Decimal::from(of))?, usd);
        }
        self.cost.unpriced_parts.push(unit.as_str());
        Some(())
    }

    fn add(&mut self, shown: Shown, quantity: Decimal, usd: Decimal) -> Option<()> {
        self.cost.priced = true;
        let place = match shown {
            Shown::Input => &mut self.cost.input,
            Shown::Output => &mut self.cost.output,
            Shown::CacheRead => &mut self.cost.cache_read,
            Shown::CacheWrite => &mut self.cost.cache_write,
            Shown::Units => &mut self.cost.units,
            Shown::Tools => &mut self.cost.tools,
        };
        *place = place.checked_add(usd.checked_mul(quantity)?)?;
        Some(())
    }

    fn multiply(&mut self) -> Option<()> {
        let factor = factor(&self.price.multipliers, self.call.terms)?;
        if factor == Decimal::ONE {
            return Some(());
        }
        let cost = &mut self.cost;
        for part in [&mut cost.input, &mut cost.output, &mut cost.units] {
            *part = part.checked_mul(factor)?;
        }
        if !self.price.multipliers.exclude_cache {
            for part in [&mut cost.cache_read, &mut cost.cache_write] {
                *part = part.checked_mul(factor)?;
            }
        }
        Some(())
    }

    /// A second of the call's own time.
    fn wall_second(&self) -> Option<Decimal> {
        let rates = [Base::InputSecond, Base::OutputSecond, Base::Second].map(|base| self.tariff.rate(base));
        let known = rates.into_iter().flatten();
        known.reduce(|sum, usd| sum + usd).filter(|usd| !usd.is_zero())
    }

    /// A second of audio to transcribe. Some lists have it as output, some in
    /// both places, and mean one price.
    fn input_second(&self) -> Option<Decimal> {
        let input = self.tariff.rate(Base::InputSecond).filter(|usd| !usd.is_zero());
        input.or_else(|| self.tariff.rate(Base::OutputSecond))
    }

    fn video_second(&self) -> Option<Decimal> {
        let resolution = self.call.terms.resolution.to_lowercase();
        let of_resolution = self.tariff.choice(Base::OutputSecond, &resolution);
        of_resolution.or_else(|| self.tariff.first_of(&[Base::OutputVideoSecond, Base::OutputSecond]))
    }

    /// An image: by the words for its size, else any.
    fn image(&self) -> Option<Decimal> {
        let Terms { resolution, image_width, image_height, .. } = self.call.terms;
        let longest = *image_width.max(image_height);
        let sizes = [resolution.clone(), longest.to_string(), thousands(longest)];
        let of_size = sizes.iter().find_map(|size| self.tariff.choice(Base::OutputImageUnit, size));
        let any = [Base::OutputImageUnit, Base::InputImageUnit].map(|base| self.tariff.rate(base));
        of_size
            .or_else(|| any.into_iter().flatten().find(|usd| !usd.is_zero()))
            .or_else(|| any.into_iter().flatten().next())
    }

    fn pixels(&self) -> Decimal {
        let Terms { image_width, image_height, .. } = self.call.terms;
        // Both are checked to be small.
        self.call.units.of(Unit::Images) * Decimal::from(image_width.saturating_mul(*image_height))
    }

    fn pixel(&self) -> Option<Decimal> {
        let rates = [Base::OutputPixel, Base::InputPixel].map(|base| self.tariff.rate(base));
        rates.into_iter().flatten().find(|usd| !usd.is_zero())
    }

    /// A call that tells none asks one.
    fn queries(&self) -> Decimal {
        let told = self.call.units.of(Unit::Queries);
        if told.is_zero() { Decimal::ONE } else { told }
    }

    fn query(&self) -> Option<Decimal> {
        let results = self.call.terms.max_results;
        let bands = &self.price.query_bands;
        let inside = bands.iter().find(|band| band.from <= results && results <= band.up_to);
        let beyond = || if results == 0 { bands.first() } else { bands.last() };
        let of_band = inside.or_else(beyond).and_then(|band| self.tariff.of(&band.rates, Base::Query));
        of_band.or_else(|| self.tariff.rate(Base::Query))
    }
}

/// A size in the words of some lists: `0.5K`, `1K`, `2K`.
fn thousands(pixels: i64) -> String {
    format!("{}K", (Decimal::from(pixels) / Decimal::from(1_024)).normalize())
}

/// What the base price of a call is multiplied by.
fn factor(multipliers: &Multipliers, terms: &Terms) -> Option<Decimal> {
    let region = terms.region.as_str();
    let by_region = multipliers.by_region.get(region).copied();
    let endpoint = multipliers.regional_endpoint.filter(|_| !region.is_empty() && region != "global");
    let words = [&terms.geo, &terms.speed].map(|word| multipliers.by_word.get(word.as_str()).copied());
    let factors = [by_region, endpoint].into_iter().chain(words).flatten();
    factors.into_iter().try_fold(Decimal::ONE, Decimal::checked_mul)
}

/// What a call is estimated to cost before it is made: the same formula on the
/// most that it may use, one image, or one query. `None` if the price is of
/// something that nobody can tell in advance.
///
/// # Errors
/// [`PriceError`] as for [`price`].
pub fn estimate(
    record: &Price,
    input_tokens: i64,
    max_output_tokens: Option<i64>,
    default_output_tokens: i64,
    at: Timestamp,
    markup: &Markup,
) -> Result<Option<Usd>, PriceError> {
    let method = Method::of_mode(record);
    let without_output = method.is_some_and(|method| method.without_output);
    let model_max = record.max_output_tokens.unwrap_or(i64::MAX);
    let output = if without_output { 0 } else { max_output_tokens.unwrap_or(default_output_tokens).min(model_max) };
    let one_image = method.is_some_and(|method| method.ways.contains(&Way::Images));
    let units = if one_image { Units::default().with(Unit::Images, 1) } else { Units::default() };
    let call = Billable {
        counts: &Counts::text(input_tokens, output),
        units: &units,
        terms: &Terms::default(),
        call_type: "",
        at,
        lasted_micros: 0,
        additional: Decimal::ZERO,
    };
    let cost = price(record, &call, markup)?;
    if !cost.priced {
        return Ok(None);
    }
    cost.reserved().map(Some).ok_or(PriceError::OutOfRange)
}

#[cfg(test)]
mod tests;
