//! Rows of added up usage, as deltas and rollups have them alike.

use super::dialect::Column;
use crate::domain::rollup::{DIMENSIONS, Dimension};

/// A value for each dimension, in their order; empty where a row does not keep
/// it apart.
pub(super) type Place<T> = [T; DIMENSIONS];

/// What is added up, in the order of [`SUMS`].
pub(super) type Sums = [i64; 8];

/// The columns of sums.
pub(super) const SUMS: [&str; 8] = [
    "spent_nanos",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "api_requests",
    "successful_requests",
    "failed_requests",
];

/// The column of a dimension.
pub(super) const fn column_of(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Key => "key_id",
        Dimension::User => "user_id",
        Dimension::Team => "team_id",
        Dimension::Organization => "organization_id",
        Dimension::Customer => "customer_id",
        Dimension::Tag => "tag",
        Dimension::Model => "model",
        Dimension::ModelGroup => "model_group",
        Dimension::Provider => "provider",
        Dimension::Deployment => "deployment",
        Dimension::ErrorCode => "error_code",
    }
}

/// Adds sums to others.
pub(super) fn add(to: &mut Sums, more: &Sums) {
    to.iter_mut().zip(more).for_each(|(total, part)| *total = total.saturating_add(*part));
}

/// The columns of dimensions and sums of some rows.
pub(super) fn columns<'a>(
    rows: impl Iterator<Item = (Place<&'a str>, &'a Sums)> + Clone,
) -> Vec<(&'static str, Column)> {
    let text = |index: usize| rows.clone().map(|(place, _)| place[index].to_owned()).collect();
    let number = |index: usize| rows.clone().map(|(_, sums)| sums[index]).collect();
    let mut columns: Vec<(&'static str, Column)> =
        Dimension::ALL.iter().enumerate().map(|(index, of)| (column_of(*of), Column::Text(text(index)))).collect();
    columns.extend(SUMS.iter().enumerate().map(|(index, name)| (*name, Column::Number(number(index)))));
    columns
}
