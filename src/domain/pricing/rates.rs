//! Rates: the prices of one record, and which of them applies to a call.
//!
//! A price list names them `<base>[_above_<N>k_tokens][_<tier>]`. Names are
//! parsed, not listed: a new threshold or tier needs no code.

use rust_decimal::Decimal;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What a price is for, without threshold and tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[expect(missing_docs, reason = "the serialized names are those of the price list")]
pub enum Base {
    #[strum(serialize = "input_cost_per_token")]
    Input,
    #[strum(serialize = "output_cost_per_token")]
    Output,
    #[strum(serialize = "output_cost_per_reasoning_token")]
    Reasoning,
    #[strum(serialize = "citation_cost_per_token")]
    Citation,
    #[strum(serialize = "cache_read_input_token_cost")]
    CacheRead,
    #[strum(serialize = "cache_read_input_audio_token_cost")]
    CacheReadAudio,
    #[strum(serialize = "cache_read_input_image_token_cost")]
    CacheReadImage,
    #[strum(serialize = "cache_creation_input_token_cost")]
    CacheWrite,
    #[strum(serialize = "cache_creation_input_token_cost_above_1hr")]
    CacheWrite1h,
    #[strum(serialize = "cache_creation_input_token_cost_above_12hr")]
    CacheWrite12h,
    #[strum(serialize = "cache_creation_input_audio_token_cost")]
    CacheWriteAudio,
    #[strum(serialize = "input_cost_per_audio_token")]
    InputAudio,
    #[strum(serialize = "input_cost_per_image_token")]
    InputImage,
    #[strum(serialize = "input_cost_per_video_token")]
    InputVideo,
    #[strum(serialize = "output_cost_per_audio_token")]
    OutputAudio,
    #[strum(serialize = "output_cost_per_image_token")]
    OutputImage,
    #[strum(serialize = "output_cost_per_video_token")]
    OutputVideo,
    #[strum(serialize = "input_cost_per_request")]
    Request,
    #[strum(serialize = "input_cost_per_text_message")]
    Message,
    #[strum(serialize = "input_cost_per_query")]
    Query,
    #[strum(serialize = "input_cost_per_image")]
    InputImageUnit,
    #[strum(serialize = "output_cost_per_image")]
    OutputImageUnit,
    #[strum(serialize = "input_cost_per_pixel")]
    InputPixel,
    #[strum(serialize = "output_cost_per_pixel")]
    OutputPixel,
    #[strum(serialize = "input_cost_per_character")]
    InputCharacter,
    #[strum(serialize = "output_cost_per_character")]
    OutputCharacter,
    #[strum(serialize = "ocr_cost_per_page")]
    Page,
    #[strum(serialize = "annotation_cost_per_page")]
    AnnotationPage,
    #[strum(serialize = "ocr_cost_per_credit")]
    Credit,
    #[strum(serialize = "cost_per_second")]
    Second,
    #[strum(serialize = "input_cost_per_second")]
    InputSecond,
    #[strum(serialize = "output_cost_per_second")]
    OutputSecond,
    #[strum(serialize = "input_cost_per_audio_per_second")]
    InputAudioSecond,
    #[strum(serialize = "input_cost_per_video_per_second")]
    InputVideoSecond,
    #[strum(serialize = "output_cost_per_video_per_second")]
    OutputVideoSecond,
    #[strum(serialize = "search_context_cost_per_query")]
    WebSearch,
    #[strum(serialize = "google_maps_grounding_cost_per_query")]
    MapsQuery,
    #[strum(serialize = "code_interpreter_cost_per_session")]
    CodeSession,
    #[strum(serialize = "computer_use_input_cost_per_1k_tokens")]
    ComputerUseInput,
    #[strum(serialize = "computer_use_output_cost_per_1k_tokens")]
    ComputerUseOutput,
    #[strum(serialize = "file_search_cost_per_1k_calls")]
    FileSearchCall,
    #[strum(serialize = "file_search_cost_per_gb_per_day")]
    FileSearchGbDay,
    #[strum(serialize = "vector_store_cost_per_gb_per_day")]
    VectorGbDay,
}

impl Base {
    /// Names that mean the same as another.
    const ALIASES: [(&'static str, Base); 1] = [("input_cost_per_token_cache_hit", Base::CacheRead)];

    /// Whether it is the price of a token.
    #[must_use]
    pub const fn is_per_token(self) -> bool {
        use Base::{
            CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, CacheWrite1h, CacheWrite12h, CacheWriteAudio,
            Citation, Input, InputAudio, InputImage, InputVideo, Output, OutputAudio, OutputImage, OutputVideo,
            Reasoning,
        };
        matches!(
            self,
            Input
                | Output
                | Reasoning
                | Citation
                | CacheRead
                | CacheReadAudio
                | CacheReadImage
                | CacheWrite
                | CacheWrite1h
                | CacheWrite12h
                | CacheWriteAudio
                | InputAudio
                | InputImage
                | InputVideo
                | OutputAudio
                | OutputImage
                | OutputVideo
        )
    }

    /// The billed price that a field of a list is, if it is one.
    #[must_use]
    pub fn of_field(name: &str) -> Option<Self> {
        parse_name(name).map(|(base, ..)| base)
    }
}

/// The provider's service tier that a price is for.
pub type Tier = Box<str>;

/// The tier of the provider's batch interface.
pub const BATCHES: &str = "batches";

/// One price of a record.
#[derive(Clone, Debug, PartialEq)]
struct Rate {
    base: Base,
    /// For prompts of more than this many thousand tokens.
    above_k: Option<i64>,
    tier: Option<Tier>,
    usd: Decimal,
    /// Whether a job of the batch interface pays half of it.
    halves: bool,
}

/// The billed prices of one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(Vec<Rate>);

/// Splits a field's name. `None`: the field is not a billed price.
fn parse_name(name: &str) -> Option<(Base, Option<i64>, Option<Tier>)> {
    let base_of = |text: &str| {
        let alias = Base::ALIASES.iter().find(|(alias, _)| *alias == text).map(|(_, base)| *base);
        alias.or_else(|| text.parse().ok())
    };
    if let Some(base) = base_of(name) {
        return Some((base, None, None));
    }
    if let Some((head, tail)) = name.rsplit_once("_above_")
        && let Some((thousands, rest)) = tail.split_once("k_tokens")
    {
        let tier = if rest.is_empty() { None } else { Some(rest.strip_prefix('_')?.into()) };
        return Some((base_of(head)?, Some(thousands.parse().ok()?), tier));
    }
    let (head, tier) = name.rsplit_once('_')?;
    Some((base_of(head)?, None, Some(tier.into())))
}

impl Rates {
    /// Takes one field of a price record; `halves` if jobs of the batch
    /// interface pay half of it. Says whether it is a billed price.
    pub fn insert(&mut self, name: &str, usd: Decimal, halves: bool) -> bool {
        let Some((base, above_k, tier)) = parse_name(name) else { return false };
        self.push(Rate { base, above_k, tier, usd, halves: halves && base.is_per_token() });
        true
    }

    /// Takes a price for one of several choices, such as the size of a search.
    pub fn insert_choice(&mut self, base: Base, choice: &str, usd: Decimal) {
        self.push(Rate { base, above_k: None, tier: Some(choice.into()), usd, halves: false });
    }

    fn push(&mut self, rate: Rate) {
        let same = |other: &Rate| (other.base, other.above_k, &other.tier) == (rate.base, rate.above_k, &rate.tier);
        // An alias does not replace the price that it stands for.
        if !self.0.iter().any(same) {
            self.0.push(rate);
        }
    }

    /// Whether tokens have a price that is not 0.
    #[must_use]
    pub fn bills_tokens(&self) -> bool {
        self.0.iter().any(|rate| rate.base.is_per_token() && !rate.usd.is_zero())
    }

    /// Puts the prices of some bases, as another set has them, in the place of
    /// its own.
    pub fn replace(&mut self, bases: &[Base], by: &Self) {
        self.0.retain(|rate| !bases.contains(&rate.base));
        self.0.extend(by.0.iter().filter(|rate| bases.contains(&rate.base)).cloned());
    }

    /// Whether there is a price that is not 0.
    #[must_use]
    pub fn has_positive(&self) -> bool {
        self.0.iter().any(|rate| !rate.usd.is_zero())
    }

    /// Whether there is no price at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest threshold that a prompt passes; `inclusive` for providers
    /// whose higher price begins with the threshold itself.
    #[must_use]
    pub fn passed_threshold(&self, prompt: i64, inclusive: bool) -> Option<i64> {
        let passes = |above_k: &i64| {
            let threshold = above_k.saturating_mul(1_000);
            prompt > threshold || (inclusive && prompt == threshold)
        };
        self.0.iter().filter_map(|rate| rate.above_k).filter(passes).max()
    }

    fn find(&self, base: Base, above_k: Option<i64>, tier: Option<&str>) -> Option<&Rate> {
        let is_it = |rate: &&Rate| rate.base == base && rate.above_k == above_k && rate.tier.as_deref() == tier;
        self.0.iter().find(is_it)
    }

    /// The price that applies: for the threshold and tier, the threshold, the
    /// tier, or plain, the first that there is. A job of the batch interface
    /// pays its own price, or half of the plain one.
    #[must_use]
    pub fn select(&self, base: Base, selector: &Selector<'_>) -> Option<Decimal> {
        let tier = if selector.batch { Some(BATCHES) } else { selector.tier };
        for above_k in [selector.above_k, None] {
            if let Some(rate) = tier.and_then(|tier| self.find(base, above_k, Some(tier))) {
                return Some(rate.usd);
            }
            if let Some(rate) = self.find(base, above_k, None) {
                return Some(if selector.batch && rate.halves { rate.usd / Decimal::TWO } else { rate.usd });
            }
        }
        None
    }

    /// The price of one of several choices.
    #[must_use]
    pub fn choice(&self, base: Base, choice: &str) -> Option<Decimal> {
        self.find(base, None, Some(choice)).map(|rate| rate.usd)
    }
}

/// What chooses among the prices of a record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selector<'a> {
    /// The threshold that the prompt passes, in thousands of tokens.
    pub above_k: Option<i64>,
    /// The service tier.
    pub tier: Option<&'a str>,
    /// A job of the batch interface.
    pub batch: bool,
}

/// The tier that a provider's name for it means; `None` is the standard one.
#[must_use]
pub fn tier_of(service_tier: &str) -> Option<Tier> {
    match service_tier.to_lowercase().as_str() {
        "" | "default" | "standard" | "auto" | "on_demand" => None,
        "fast" | "on_demand_priority" => Some("priority".into()),
        "batch" => Some("flex".into()),
        tier => Some(tier.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_not_listed() {
        for (name, expected) in [
            ("input_cost_per_token", Some((Base::Input, None, None))),
            ("input_cost_per_token_cache_hit", Some((Base::CacheRead, None, None))),
            ("input_cost_per_token_above_77k_tokens", Some((Base::Input, Some(77), None))),
            ("output_cost_per_token_above_200k_tokens_nova", Some((Base::Output, Some(200), Some("nova".into())))),
            ("output_cost_per_token_flex", Some((Base::Output, None, Some("flex".into())))),
            ("cache_creation_input_token_cost_above_1hr", Some((Base::CacheWrite1h, None, None))),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                Some((Base::CacheWrite1h, Some(200), None)),
            ),
            ("cache_creation_input_token_cost_above_12hr_flex", Some((Base::CacheWrite12h, None, Some("flex".into())))),
            ("output_cost_per_image", Some((Base::OutputImageUnit, None, None))),
            ("output_cost_per_image_token", Some((Base::OutputImage, None, None))),
            ("output_cost_per_image_2K", Some((Base::OutputImageUnit, None, Some("2K".into())))),
            ("output_cost_per_second_1080p", Some((Base::OutputSecond, None, Some("1080p".into())))),
            ("input_cost_per_image_above_128k_tokens", Some((Base::InputImageUnit, Some(128), None))),
            ("input_cost_per_video_per_second_above_15s_interval", None),
            ("input_dbu_cost_per_token", None),
            ("max_tokens", None),
            ("input_cost_per_token_above_xk_tokens", None),
        ] {
            assert_eq!(parse_name(name), expected, "{name}");
        }
    }

    #[test]
    fn the_threshold_itself_is_the_lower_level() {
        let mut rates = Rates::default();
        rates.insert("input_cost_per_token_above_200k_tokens", Decimal::ONE, true);
        assert_eq!(rates.passed_threshold(200_000, false), None);
        assert_eq!(rates.passed_threshold(200_001, false), Some(200));
        assert_eq!(rates.passed_threshold(200_000, true), Some(200));
    }
}
