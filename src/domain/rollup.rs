//! Rollups: usage added up in advance, so that reports need not count calls.
//!
//! An event first becomes deltas: one row per source and half hour, in the
//! event's own transaction. Later many deltas at once are merged into rollups:
//! for each cut, which names the dimensions that its rows keep apart, a row per
//! grain. A report adds the rollups of the coarsest cut that has what it looks
//! at to the deltas that are not merged yet: together they are always all
//! events. A new cut is a new row of the tables below, and a partition of the
//! table of rollups.

mod cover;
mod grain;

use strum::{EnumString, IntoStaticStr, VariantArray};

pub use self::cover::{Cover, Interval, Stretch, cover, intervals};
pub use self::grain::Grain;
use super::clock::Timestamp;

/// Something that usage is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub enum Dimension {
    Key,
    User,
    Team,
    Organization,
    Customer,
    Tag,
    Model,
    ModelGroup,
    Provider,
    Deployment,
    ErrorCode,
}

/// How many dimensions there are.
pub const DIMENSIONS: usize = Dimension::ALL.len();

impl Dimension {
    /// All of them, in their order.
    pub const ALL: [Self; 11] =
        [Key, User, Team, Organization, Customer, Tag, Model, ModelGroup, Provider, Deployment, ErrorCode];
}

/// Which part of the events deltas are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// Every call.
    Call,
    /// Every call, once for each of its tags, or once without any.
    Tag,
    /// Every call that failed.
    Failure,
    /// Every call that was denied. These are no events: nothing else knows them.
    Denial,
}

/// A set of dimensions that rows are kept by, the coarsest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Cut {
    /// By team.
    Team,
    /// By model.
    Model,
    /// By key, and so by user and team.
    Key,
    /// By team and model.
    TeamModel,
    /// By customer, and so mostly by team.
    Customer,
    /// By key and model.
    KeyModel,
    /// By tag and key.
    Tag,
    /// By error and deployment.
    Failure,
    /// By the reason of a denial, and by key and model.
    Denial,
}

use Dimension::{Customer, Deployment, ErrorCode, Key, Model, ModelGroup, Organization, Provider, Tag, Team, User};

impl Source {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What its deltas keep apart.
    #[must_use]
    pub const fn dimensions(self) -> &'static [Dimension] {
        match self {
            Self::Call => &[Key, User, Team, Organization, Customer, Model, ModelGroup, Provider],
            Self::Tag => &[Key, User, Team, Organization, Tag],
            Self::Failure => &[Model, ModelGroup, Provider, Deployment, ErrorCode],
            Self::Denial => &[Key, User, Team, Organization, ModelGroup, ErrorCode],
        }
    }

    /// Whether it is made of events, and can be made of them again.
    #[must_use]
    pub fn is_of_events(self) -> bool {
        self != Self::Denial
    }

    /// Whether its deltas keep a dimension apart.
    #[must_use]
    pub fn has(self, dimension: Dimension) -> bool {
        self.dimensions().contains(&dimension)
    }
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
        match self {
            Self::Team => &[Team, Organization],
            Self::Model => &[Model, ModelGroup, Provider],
            Self::Key => &[Key, User, Team, Organization],
            Self::TeamModel => &[Team, Organization, Model, ModelGroup, Provider],
            Self::Customer => &[Team, Organization, Customer],
            Self::KeyModel => &[Key, User, Team, Organization, Model, ModelGroup, Provider],
            Self::Tag => Source::Tag.dimensions(),
            Self::Failure => Source::Failure.dimensions(),
            Self::Denial => Source::Denial.dimensions(),
        }
    }

    /// The deltas that it is made of.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::Tag => Source::Tag,
            Self::Failure => Source::Failure,
            Self::Denial => Source::Denial,
            _ => Source::Call,
        }
    }

    /// The grains in which it is kept, the finest first. Cuts with very many
    /// rows are not kept by half hours: what a report needs of these it takes
    /// from the events.
    #[must_use]
    pub const fn grains(self) -> &'static [Grain] {
        match self {
            Self::Customer | Self::Tag => &[Grain::Day, Grain::Month],
            _ => &[Grain::HalfHour, Grain::Day, Grain::Month],
        }
    }

    /// Whether its rows keep a dimension apart.
    #[must_use]
    pub fn has(self, dimension: Dimension) -> bool {
        self.dimensions().contains(&dimension)
    }

    /// The cuts that are made of events.
    pub fn of_events() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied().filter(|cut| cut.source().is_of_events())
    }

    /// The coarsest cut of a source that keeps all of these apart; `None`: only
    /// the events themselves do.
    #[must_use]
    pub fn for_dimensions(source: Source, wanted: &[Dimension]) -> Option<Self> {
        let fits = |cut: &&Self| cut.source() == source && wanted.iter().all(|dimension| cut.has(*dimension));
        Self::VARIANTS.iter().find(fits).copied()
    }
}

/// What each day of UTC that is over is ranked by in advance: what may have very
/// many parts a day. Something new here is ranked from the next day that changes.
pub const RANKED: [(Source, Dimension); 4] =
    [(Source::Call, Key), (Source::Call, User), (Source::Call, Customer), (Source::Tag, Tag)];

/// How many parts of a day such a ranking has.
pub const RANKED_MOST: u64 = 100;

/// The half hour that an instant falls into, by its first instant.
#[must_use]
pub fn bucket_of(instant: Timestamp) -> Timestamp {
    Grain::HalfHour.floor(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_the_coarsest_cut_that_has_what_it_needs() {
        for (wanted, cut) in [
            (&[][..], Some(Cut::Team)),
            (&[Model], Some(Cut::Model)),
            (&[Team], Some(Cut::Team)),
            (&[Organization], Some(Cut::Team)),
            (&[User], Some(Cut::Key)),
            (&[Team, User], Some(Cut::Key)),
            (&[Team, Provider], Some(Cut::TeamModel)),
            (&[Customer, Organization], Some(Cut::Customer)),
            (&[Key, Team, ModelGroup], Some(Cut::KeyModel)),
            (&[Customer, Model], None),
            (&[Tag], None),
        ] {
            assert_eq!(Cut::for_dimensions(Source::Call, wanted), cut, "{wanted:?}");
        }
        assert_eq!(Cut::for_dimensions(Source::Tag, &[Tag, User]), Some(Cut::Tag));
        assert_eq!(Cut::for_dimensions(Source::Tag, &[Tag, Model]), None);
        assert_eq!(Cut::for_dimensions(Source::Failure, &[ErrorCode]), Some(Cut::Failure));
        assert_eq!(Cut::for_dimensions(Source::Denial, &[ErrorCode, ModelGroup]), Some(Cut::Denial));
    }

    #[test]
    fn every_cut_can_be_made_of_its_source() {
        for cut in Cut::VARIANTS {
            assert!(cut.dimensions().iter().all(|dimension| cut.source().has(*dimension)), "{cut:?}");
            assert!(cut.dimensions().is_sorted() && cut.grains().is_sorted(), "{cut:?}");
        }
    }
}
