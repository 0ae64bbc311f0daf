//! `KeyService`.

mod at_once;
mod batch;
mod block;
mod delete;
mod generate;
mod get;
mod homes;
mod limits;
mod list;
mod policies;
mod purge;
mod regenerate;
mod rotate;
mod throughput;
mod update;

use bursar::pb;

/// A request for a key of a user in a team.
pub fn in_team(user_id: &str) -> pb::Key {
    pb::Key { user_id: Some(user_id.into()), team_id: Some("red".into()), ..Default::default() }
}

/// A request for a key.
pub fn generate(key: pb::Key) -> pb::GenerateKeyRequest {
    pb::GenerateKeyRequest { key: Some(key), ..Default::default() }
}
