//! Pricing: from a price and what a call used to an exact cost.
//!
//! Prices and products are exact decimals; only the sum is rounded, once, by
//! the caller. What has no price is named, never counted as nothing in
//! silence.

pub mod book;
pub mod catalogue;
pub mod cost;
pub mod counts;
pub mod markup;
pub mod method;
pub mod off_peak;
pub mod price;
pub mod rates;
mod tariff;
pub mod terms;
pub mod units;

pub use book::{Lookup, ModelPricing, Offers, OwnVersion, PriceBook};
pub use cost::{Cost, PriceError, price};
pub use counts::Counts;
pub use markup::{Markup, Markups};
pub use price::{Price, PriceRecord};
pub use terms::{Billable, Terms};
pub use units::{Unit, Units};
