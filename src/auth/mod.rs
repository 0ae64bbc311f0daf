//! Who is calling, and may they: a bearer becomes a [`Caller`], the RPC and the
//! caller's roles become a [`Scope`], before a handler runs.

mod authn;
mod caller;
mod layer;
mod policy;

pub use self::authn::{Authenticator, MasterKeys};
pub use self::caller::{Caller, Credential};
pub use self::layer::{AuthLayer, Passport, RequestId};
pub use self::policy::{Column, POLICY, Reach, Rule, Scope, rule_of};
