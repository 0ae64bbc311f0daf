//! The tariff: which of a price's rates apply to one call, by its hour, the
//! length of its prompt, its tier, and whether it is a job of a batch.

use rust_decimal::Decimal;

use super::price::{Band, Price};
use super::rates::{Base, Rates, Selector, Tier, tier_of};
use super::terms::Billable;

/// The rates of a price as they apply to one call.
pub(super) struct Tariff<'a> {
    off_peak: Option<&'a Rates>,
    band: Option<&'a Rates>,
    plain: &'a Rates,
    above_k: Option<i64>,
    tier: Option<Tier>,
    batch: bool,
}

impl<'a> Tariff<'a> {
    pub(super) fn new(price: &'a Price, call: &Billable<'_>) -> Self {
        // One provider's higher price begins with the threshold itself.
        let inclusive = price.provider.as_deref() == Some("xai");
        let off_peak = price.off_peak.as_ref().filter(|(schedule, _)| schedule.holds(call.at));
        Self {
            off_peak: off_peak.map(|(_, rates)| rates),
            band: band_of(&price.bands, call.counts.prompt),
            plain: &price.rates,
            above_k: price.rates.passed_threshold(call.counts.prompt, inclusive),
            tier: tier_of(&call.terms.service_tier),
            batch: call.terms.batch || call.call_type.eq_ignore_ascii_case("batch"),
        }
    }

    fn selector(&self, above_k: Option<i64>) -> Selector<'_> {
        Selector { above_k, tier: self.tier.as_deref(), batch: self.batch }
    }

    /// The rate of a base, from the hours, the band or the record.
    pub(super) fn rate(&self, base: Base) -> Option<Decimal> {
        if let Some(usd) = self.off_peak.and_then(|rates| self.of(rates, base)) {
            return Some(usd);
        }
        let plain = || self.plain.select(base, &self.selector(self.above_k));
        match self.band {
            // What a band does not price: input parts fall back inside the band,
            // anything else is as in the record.
            Some(band) => self.of(band, base).or_else(|| if falls_back(base) { None } else { plain() }),
            None => plain(),
        }
    }

    /// The rate of a base among these, at any length of the prompt.
    pub(super) fn of(&self, rates: &Rates, base: Base) -> Option<Decimal> {
        rates.select(base, &self.selector(None))
    }

    pub(super) fn first_of(&self, bases: &[Base]) -> Option<Decimal> {
        bases.iter().find_map(|base| self.rate(*base))
    }

    /// The price of one of several choices.
    pub(super) fn choice(&self, base: Base, choice: &str) -> Option<Decimal> {
        self.plain.choice(base, choice)
    }
}

/// Whether a part of the tokens costs what its whole does, where it has no
/// price of its own.
const fn falls_back(base: Base) -> bool {
    base.is_per_token() && !matches!(base, Base::Output)
}

/// The band of a prompt's length: above the last one the last.
fn band_of(bands: &[Band], prompt: i64) -> Option<&Rates> {
    let inside = |band: &&Band| band.from < prompt && prompt <= band.up_to;
    let beyond = || if prompt <= 0 { bands.first() } else { bands.last() };
    bands.iter().find(inside).or_else(beyond).map(|band| &band.rates)
}
