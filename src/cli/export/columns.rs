//! Columns of an export: what each is called, and what it holds of an event.

use crate::domain::money::Usd;
use crate::pb;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Money,
    Instant,
    Flag,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    Number(i64),
    /// In nano-dollars.
    Money(i64),
    /// In microseconds.
    Instant(i64),
    Flag(bool),
    Absent,
}

/// A column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) cell: fn(&pb::UsageEvent) -> Cell,
}

impl Column {
    pub(super) const fn text(name: &'static str, cell: fn(&pb::UsageEvent) -> Cell) -> Self {
        Self { name, kind: Kind::Text, cell }
    }

    pub(super) const fn number(name: &'static str, cell: fn(&pb::UsageEvent) -> Cell) -> Self {
        Self { name, kind: Kind::Number, cell }
    }

    pub(super) const fn money(name: &'static str, cell: fn(&pb::UsageEvent) -> Cell) -> Self {
        Self { name, kind: Kind::Money, cell }
    }

    pub(super) const fn instant(name: &'static str, cell: fn(&pb::UsageEvent) -> Cell) -> Self {
        Self { name, kind: Kind::Instant, cell }
    }

    pub(super) const fn flag(name: &'static str, cell: fn(&pb::UsageEvent) -> Cell) -> Self {
        Self { name, kind: Kind::Flag, cell }
    }
}

/// Text that is absent if it is empty.
pub(super) fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::Absent } else { Cell::Text(text.to_owned()) }
}

/// An amount of money as the API has it.
pub(super) fn money(text: Option<&String>) -> Cell {
    text.and_then(|text| Usd::parse_signed(text).ok()).map_or(Cell::Absent, |usd| Cell::Money(usd.nanos()))
}

/// An instant as the API has it.
pub(super) fn instant(at: Option<&prost_types::Timestamp>) -> Cell {
    at.map_or(Cell::Absent, |at| Cell::Instant(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000))
}

/// The value of an enum in the words of its contract, without the prefix.
pub(super) fn word(name: &str, prefix: &str) -> Cell {
    let word = name.trim_start_matches(prefix);
    if word == "UNSPECIFIED" { Cell::Absent } else { Cell::Text(word.to_lowercase()) }
}
