//! Tallies: what became of the rows that were read.

use std::collections::BTreeMap;

use strum::{IntoStaticStr, VariantArray};

/// How many names a note keeps.
const NAMED: usize = 5;

/// What is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// An organization.
    Organization,
    /// A tier that keys or customers are in.
    Budget,
    /// A user.
    User,
    /// A team.
    Team,
    /// A user in an organization.
    OrganizationMember,
    /// A user in a team.
    TeamMember,
    /// A key.
    Key,
    /// A customer.
    Customer,
    /// A model at a deployment.
    Model,
}

/// How many rows of a kind came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They were read.
    pub read: u64,
    /// They are new.
    pub new: u64,
    /// They were there before.
    pub known: u64,
    /// They were not taken over.
    pub refused: u64,
}

/// Some rows of which the same is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// How many there are.
    pub count: u64,
    /// The names of the first.
    pub names: Vec<String>,
}

/// What became of all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By kind.
    pub counts: BTreeMap<Kind, Count>,
    /// What was not taken over, and why: rows and parts of rows.
    pub notes: BTreeMap<(Kind, String), Note>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is new.
    New,
    /// It was there before.
    Known,
}

impl Tally {
    /// Counts a row by what became of it.
    pub(super) fn count(&mut self, kind: Kind, name: &str, fate: Result<Fate, String>) {
        let count = self.counts.entry(kind).or_default();
        count.read += 1;
        match fate {
            Ok(Fate::New) => count.new += 1,
            Ok(Fate::Known) => count.known += 1,
            Err(why) => {
                count.refused += 1;
                self.note(kind, name, &format!("not taken over: {why}"));
            }
        }
    }

    /// Notes something about a row.
    pub(super) fn note(&mut self, kind: Kind, name: &str, what: &str) {
        let note = self.notes.entry((kind, what.to_owned())).or_default();
        note.count += 1;
        if note.names.len() < NAMED {
            note.names.push(name.to_owned());
        }
    }
}
