//! The wire: conversions that services share.

pub(super) mod access;
pub(super) mod answer;
pub(super) mod budget;
pub(super) mod correction;
pub(super) mod etag;
pub(super) mod faults;
pub(super) mod instant;
pub(super) mod key;
pub(super) mod key_ref;
pub(super) mod mask;
pub(super) mod metadata;
pub(super) mod new_key;
pub(super) mod organization;
pub(super) mod page;
pub mod passwords;
pub(super) mod people;
pub(super) mod record_error;
pub(super) mod role;
pub mod secret;
pub(super) mod spend;
pub(super) mod status;
pub(super) mod taken;
pub(super) mod team;
pub(super) mod text;
pub(super) mod usage;
pub(super) mod user;
