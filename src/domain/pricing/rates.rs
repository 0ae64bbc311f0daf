//! Rates: the prices of one record, and which of them applies to a call.
//!
//! A price list names them `<base>[_above_<N>k_tokens][_<tier>]`. Names are
//! parsed, not listed: a new threshold or tier needs no code.

use rust_decimal::Decimal;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What a price is for, without threshold and tier. Only prices of tokens and
/// of a whole request; other units are kept but not billed.
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
}

impl Base {
    /// Names that mean the same as another.
    const ALIASES: [(&'static str, Base); 1] = [("input_cost_per_token_cache_hit", Base::CacheRead)];

    /// Whether it is the price of a token.
    #[must_use]
    pub const fn is_per_token(self) -> bool {
        !matches!(self, Self::Request)
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
    /// Takes one field of a price record. Says whether it is a billed price.
    pub fn insert(&mut self, name: &str, usd: Decimal) -> bool {
        let Some((base, above_k, tier)) = parse_name(name) else { return false };
        let rate = Rate { base, above_k, tier, usd };
        let same = |other: &Rate| (other.base, other.above_k, &other.tier) == (rate.base, rate.above_k, &rate.tier);
        // An alias does not replace the price that it stands for.
        if !self.0.iter().any(same) {
            self.0.push(rate);
        }
        true
    }

    /// Whether tokens have a price.
    #[must_use]
    pub fn prices_tokens(&self) -> bool {
        self.0.iter().any(|rate| rate.base.is_per_token())
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

    fn find(&self, base: Base, above_k: Option<i64>, tier: Option<&str>) -> Option<Decimal> {
        let is_it = |rate: &&Rate| rate.base == base && rate.above_k == above_k && rate.tier.as_deref() == tier;
        self.0.iter().find(is_it).map(|rate| rate.usd)
    }

    /// The price that applies: for the threshold and tier, the threshold, the
    /// tier, or plain, the first that there is. A job of the batch interface
    /// pays its own price, or half of the plain one.
    #[must_use]
    pub fn select(&self, base: Base, selector: &Selector<'_>) -> Option<Decimal> {
        let tier = if selector.batch { Some(BATCHES) } else { selector.tier };
        let plain_part = |usd: Decimal| if selector.batch && base.is_per_token() { usd / Decimal::TWO } else { usd };
        for above_k in [selector.above_k, None] {
            if let Some(usd) = tier.and_then(|tier| self.find(base, above_k, Some(tier))) {
                return Some(usd);
            }
            if let Some(usd) = self.find(base, above_k, None) {
                return Some(plain_part(usd));
            }
        }
        None
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
pub fn tier_of(service_tier: &str) -> Option<String> {
    match service_tier.to_lowercase().as_str() {
        "" | "default" | "standard" | "auto" | "on_demand" => None,
        "fast" | "on_demand_priority" => Some("priority".to_owned()),
        "batch" => Some("flex".to_owned()),
        tier => Some(tier.to_owned()),
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
            ("output_cost_per_image", None),
            ("input_cost_per_second", None),
            ("max_tokens", None),
            ("input_cost_per_token_above_xk_tokens", None),
        ] {
            assert_eq!(parse_name(name), expected, "{name}");
        }
    }

    #[test]
    fn the_threshold_itself_is_the_lower_level() {
        let mut rates = Rates::default();
        rates.insert("input_cost_per_token_above_200k_tokens", Decimal::ONE);
        assert_eq!(rates.passed_threshold(200_000, false), None);
        assert_eq!(rates.passed_threshold(200_001, false), Some(200));
        assert_eq!(rates.passed_threshold(200_000, true), Some(200));
    }
}
