//! Members of teams.

pub(super) mod add;
pub(super) mod remove;
pub(super) mod update;
