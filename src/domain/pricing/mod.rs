//! Pricing: from a price record and what a call used to an exact cost.
//!
//! Prices and products are exact decimals; only the sum is rounded, once, by
//! the caller. What has no price is named, never counted as nothing in
//! silence.

pub mod book;
pub mod catalogue;
pub mod cost;
pub mod counts;
pub mod off_peak;
pub mod rates;

pub use book::{Price, PriceBook};
pub use cost::{Cost, PriceError, Terms, price};
pub use counts::Counts;
