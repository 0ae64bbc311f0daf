//! Who is calling, and may they: a bearer becomes a [`Caller`], the RPC and the
//! caller's roles become a [`Scope`], before a handler runs.

mod authn;
mod caller;
mod layer;
mod peer;
mod policy;
mod request_id;
mod sessions;
mod throttle;
mod tokens;

pub use self::authn::{Authenticator, MasterKeys, recheck};
pub use self::caller::{Caller, Credential};
pub use self::layer::{AuthLayer, CallerRules, Passport};
pub use self::peer::Peer;
pub use self::policy::{Column, POLICY, Reach, Rule, Scope, rule_of};
pub use self::request_id::{REQUEST_ID, RequestId};
pub use self::sessions::{Session, Sessions, new_key as new_session_key};
pub use self::throttle::{Allowance, Attempt, Subject, Throttle};
pub use self::tokens::{Newcomer, TokenHolder, Tokens, Welcome};
