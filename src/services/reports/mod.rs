//! Reports: usage by day, which several services answer with.

pub(super) mod activity;
pub(super) mod days;
pub(super) mod parts;
