//! `UserService`.

mod admins;
mod batch;
mod create;
mod delete;
mod get;
mod invitations;
mod list;
mod mail;
mod models;
pub mod sessions;
mod takeover;
mod update;
