//! Markup: what is taken off a provider's list price, and what is added to it.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::cost::Cost;

/// The name under which the margin of all providers without their own stands.
pub const GLOBAL: &str = "global";

/// What becomes of one provider's list prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Markup {
    /// The share that is taken off, 0–1.
    pub discount: Decimal,
    /// The share that is then added.
    pub margin: Decimal,
    /// The dollars that are then added to each call.
    pub fixed: Decimal,
}

impl Markup {
    /// The list price as it is.
    pub const NONE: Self = Self { discount: Decimal::ZERO, margin: Decimal::ZERO, fixed: Decimal::ZERO };

    /// Adds discount and margin to a cost; `None` beyond what a decimal holds.
    pub(super) fn apply(&self, cost: &mut Cost) -> Option<()> {
        if *self == Self::NONE {
            return Some(());
        }
        let original = cost.original()?;
        // What costs nothing has no margin: budgets do not apply to it, either.
        if original.is_zero() {
            return Some(());
        }
        cost.discount = original.checked_mul(self.discount)?;
        let discounted = original.checked_sub(cost.discount)?;
        cost.margin = discounted.checked_mul(self.margin)?.checked_add(self.fixed)?;
        Some(())
    }
}

/// The markups of all providers: settings `cost_discount_config` and
/// `cost_margin_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markups {
    discounts: HashMap<String, Decimal>,
    margins: HashMap<String, (Decimal, Decimal)>,
}

impl Markups {
    /// Discounts by provider; margins (a share and dollars) by provider or
    /// [`GLOBAL`].
    #[must_use]
    pub fn new(discounts: HashMap<String, Decimal>, margins: HashMap<String, (Decimal, Decimal)>) -> Self {
        Self { discounts, margins }
    }

    /// The markup of a provider.
    #[must_use]
    pub fn of(&self, provider: &str) -> Markup {
        if self.discounts.is_empty() && self.margins.is_empty() {
            return Markup::NONE;
        }
        let (margin, fixed) =
            self.margins.get(provider).or_else(|| self.margins.get(GLOBAL)).copied().unwrap_or_default();
        Markup { discount: self.discounts.get(provider).copied().unwrap_or_default(), margin, fixed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_has_its_own_margin_or_that_of_all() {
        let share = |text: &str| text.parse::<Decimal>().expect("a decimal");
        let markups = Markups::new(
            [("openai".to_owned(), share("0.05"))].into(),
            [("azure".to_owned(), (share("0.2"), Decimal::ZERO)), (GLOBAL.to_owned(), (share("0.1"), share("0.5")))]
                .into(),
        );
        assert_eq!(markups.of("openai"), Markup { discount: share("0.05"), margin: share("0.1"), fixed: share("0.5") });
        assert_eq!(markups.of("azure"), Markup { margin: share("0.2"), ..Markup::NONE });
        assert_eq!(Markups::default().of("openai"), Markup::NONE);
    }
}
