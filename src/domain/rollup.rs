//! Rollups: usage added up in advance, so that reports need not count calls.
//!
//! Every event is added to one row of each cut. A cut names the dimensions
//! that its rows keep apart; a report reads the coarsest cut that has the
//! dimensions it filters and groups by. A new cut is a new row of the table.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::clock::Timestamp;

/// The length of a bucket: half an hour, so that a day in nearly every time
/// zone is a sum of buckets.
pub const BUCKET_MICROS: i64 = 1_800_000_000;

/// Something that usage is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub enum Dimension {
    Key,
    User,
    Team,
    Organization,
    Model,
    Provider,
}

/// A set of dimensions that rows are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Cut {
    /// By model and provider.
    Global,
    /// Also by team and organization.
    Team,
    /// Also by user.
    User,
    /// Also by key.
    Key,
}

impl Cut {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What its rows keep apart.
    #[must_use]
    pub const fn dimensions(self) -> &'static [Dimension] {
        use Dimension::{Key, Model, Organization, Provider, Team, User};
        match self {
            Self::Global => &[Model, Provider],
            Self::Team => &[Team, Organization, Model, Provider],
            Self::User => &[User, Team, Organization, Model, Provider],
            Self::Key => &[Key, User, Team, Organization, Model, Provider],
        }
    }

    /// Whether its rows keep a dimension apart.
    #[must_use]
    pub fn has(self, dimension: Dimension) -> bool {
        self.dimensions().contains(&dimension)
    }

    /// The coarsest cut that keeps all of these apart.
    #[must_use]
    pub fn for_dimensions(wanted: &[Dimension]) -> Self {
        let fits = |cut: &&Self| wanted.iter().all(|dimension| cut.has(*dimension));
        Self::VARIANTS.iter().find(fits).copied().unwrap_or(Self::Key)
    }
}

/// The bucket that an instant falls into, by its first instant.
#[must_use]
pub const fn bucket_of(instant: Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.micros().div_euclid(BUCKET_MICROS) * BUCKET_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_the_coarsest_cut_that_has_what_it_needs() {
        use Dimension::{Key, Model, Organization, Team, User};
        for (wanted, cut) in [
            (&[][..], Cut::Global),
            (&[Model], Cut::Global),
            (&[Team], Cut::Team),
            (&[Organization], Cut::Team),
            (&[User], Cut::User),
            (&[Team, User], Cut::User),
            (&[Key], Cut::Key),
            (&[Key, Team, Model], Cut::Key),
        ] {
            assert_eq!(Cut::for_dimensions(wanted), cut, "{wanted:?}");
        }
    }

    #[test]
    fn buckets_are_half_hours() {
        let at = |text: &str| Timestamp::try_from(text.to_owned()).expect("an instant");
        assert_eq!(bucket_of(at("2025-01-31T23:59:59.999999Z")), at("2025-01-31T23:30:00Z"));
        assert_eq!(bucket_of(at("2025-02-01T00:00:00Z")), at("2025-02-01T00:00:00Z"));
        assert_eq!(bucket_of(at("1969-12-31T23:59:00Z")), at("1969-12-31T23:30:00Z"));
    }
}
