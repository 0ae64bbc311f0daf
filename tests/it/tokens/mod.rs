//! Tokens of identity providers: which are good, and who their holders are.

mod calls;
mod holders;
mod keys;
mod sync;
mod verify;

use bursar::pb;
use serde_json::{Value, json};

use crate::support::issuer::{AT_NOON, IdentityProvider};
use crate::support::{Backend, Client, World};

/// A world in which an issuer's tokens are accepted, with these other settings
/// of the issuer.
pub async fn world_of(backend: Backend, issuer: &IdentityProvider, more: &str) -> World {
    World::builder(backend).at(AT_NOON).set("jwt", &issuer.setting(more)).start().await
}

/// An internal user.
pub fn user(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), user_role: pb::Role::InternalUser.into(), ..Default::default() }
}

/// Who calls with the token of a user.
pub fn holder(world: &World, issuer: &IdentityProvider, user_id: &str) -> Client {
    world.with_key(&issuer.token(&json!({ "sub": user_id })))
}

/// Whether a credential is good; a call that everybody may make.
pub async fn knock(client: &Client) -> Result<tonic::Response<pb::ListRolesResponse>, tonic::Status> {
    client.users().list_roles(pb::ListRolesRequest {}).await
}

/// The same with a token with these claims.
pub async fn knock_with(
    world: &World,
    issuer: &IdentityProvider,
    claims: &Value,
) -> Result<tonic::Response<pb::ListRolesResponse>, tonic::Status> {
    knock(&world.with_key(&issuer.token(claims))).await
}
