//! `UserService`.

mod admins;
mod batch;
mod create;
mod delete;
mod get;
mod invitations;
mod list;
mod mail;
pub mod sessions;
mod takeover;
mod update;
