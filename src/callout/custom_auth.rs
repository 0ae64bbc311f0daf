//! Custom authentication: a service that knows credentials which Bursar does
//! not.

use std::fmt;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tonic::Code;
use tonic::transport::Channel;

use super::{connect, in_time, silent, traced};
use crate::domain::callout::Callout;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId, UserId, check_id};
use crate::domain::models::ModelList;
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;
use crate::domain::token::{Aliases, Stated, TeamClaim};
use crate::error::Error;
use crate::pb::policy::custom_auth_client::CustomAuthClient;
use crate::pb::policy::{AuthenticateRequest, AuthenticateResponse};
use crate::traces::span;

/// How long an answer holds that does not say so, and the longest.
const VALID_SECONDS: i64 = 60;
const VALID_MAX_SECONDS: i64 = 3_600;

/// How long a refusal holds, and how many are remembered.
const REFUSED_SECONDS: i64 = 5;
const REMEMBERED: usize = 10_000;

/// About how many credentials it is asked at once.
const AT_ONCE: usize = 256;

/// A service that knows credentials.
pub struct CustomAuth {
    client: CustomAuthClient<Channel>,
    timeout: Duration,
    /// Who is asked about at this moment.
    places: Semaphore,
    /// When credentials were refused, by their hashes.
    refused: Cache<KeyHash, Timestamp>,
}

/// Somebody whom the service knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Vouched {
    /// Who it is.
    pub stated: Stated,
    /// For how long.
    pub seconds: i64,
}

impl CustomAuth {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// `INTERNAL` if the machine's certificates can't be read.
    pub fn new(callout: &Callout) -> Result<Self, Error> {
        Ok(Self {
            client: CustomAuthClient::new(connect(callout)?),
            timeout: callout.timeout,
            places: Semaphore::new(AT_ONCE),
            refused: Cache::new(REMEMBERED),
        })
    }

    /// Asks who shows a credential. What was refused just now is not asked about
    /// again, and only some are at once: whoever guesses must not take the places
    /// of others.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not good; `UNAVAILABLE` if the service does not
    /// answer, or answers with what is nobody.
    pub async fn vouch(&self, credential: &str, now: Timestamp) -> Result<Vouched, Error> {
        let hash = KeyHash::of(credential);
        if self.refused.get(&hash).is_some_and(|at| now < at.plus_seconds(REFUSED_SECONDS)) {
            return Err(unknown());
        }
        let Ok(_place) = self.places.try_acquire() else { return Err(unavailable("is asked about too many at once")) };
        let request = AuthenticateRequest { credential: credential.to_owned() };
        let mut client = self.client.clone();
        // Boxed, because most installations have none, and it would make every call large.
        let asked = async { Box::pin(client.authenticate(traced(request))).await };
        match span("callout.custom_auth", in_time(self.timeout, asked)).await {
            Ok(answer) => vouched(answer).map_err(|cause| unavailable(&format!("answers with {cause}"))),
            Err(status) if status.code() == Code::Unauthenticated => {
                self.refused.insert(hash, now);
                Err(unknown())
            }
            Err(status) => Err(silent(Reason::CustomAuthUnavailable, &status)),
        }
    }
}

fn unknown() -> Error {
    let (reason, message) = (Reason::CredentialUnknown, "nobody has this credential");
    Error::Unauthenticated { reason, message, metadata: Vec::new() }
}

fn unavailable(what: &str) -> Error {
    Error::Unavailable {
        reason: Reason::CustomAuthUnavailable,
        cause: format!("custom_auth {what}"),
        retry: super::RETRY,
    }
}

/// Who it is by the service's answer, or what is wrong with that.
fn vouched(answer: AuthenticateResponse) -> Result<Vouched, String> {
    let AuthenticateResponse { user_id, team_id, organization_id, customer_id, valid_for } = answer;
    let wrong = |field: &'static str| move |error| format!("a wrong {field}: {error}");
    let user_id = user_id.map(|id| UserId::parse(&id)).transpose().map_err(wrong("user_id"))?;
    let one = team_id.map(|id| TeamId::parse(&id)).transpose().map_err(wrong("team_id"))?;
    customer_id.as_deref().map(check_id).transpose().map_err(wrong("customer_id"))?;
    let organization_id = organization_id.map(|id| OrganizationId::parse(&id)).transpose();
    if user_id.is_none() && one.is_none() {
        return Err("neither a user nor a team".to_owned());
    }
    let stated = Stated {
        user_id,
        email: None,
        teams: TeamClaim { one, any: Vec::new() },
        organization_id: organization_id.map_err(wrong("organization_id"))?,
        aliases: Aliases::default(),
        customer_id,
        role: None,
        is_admin: false,
        models: ModelList::default(),
    };
    let seconds = valid_for.map_or(VALID_SECONDS, |duration| duration.seconds.clamp(0, VALID_MAX_SECONDS));
    Ok(Vouched { stated, seconds })
}

impl fmt::Debug for CustomAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomAuth").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(user_id: Option<&str>, team_id: Option<&str>, seconds: Option<i64>) -> AuthenticateResponse {
        AuthenticateResponse {
            user_id: user_id.map(str::to_owned),
            team_id: team_id.map(str::to_owned),
            valid_for: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn an_answer_names_somebody_for_a_while() {
        for (given, seconds) in [(None, 60), (Some(0), 0), (Some(-5), 0), (Some(90), 90), (Some(1 << 40), 3_600)] {
            let vouched = vouched(answer(Some("alice"), Some("team"), given)).expect("somebody");
            assert_eq!(vouched.seconds, seconds);
            assert_eq!(vouched.stated.user_id, UserId::parse("alice").ok());
            assert_eq!(vouched.stated.teams.one, TeamId::parse("team").ok());
            assert!(!vouched.stated.is_admin);
        }
        for (user, team, told) in [
            (None, None, "neither a user nor a team"),
            (Some(""), None, "a wrong user_id"),
            (Some("alice"), Some("a\u{0}"), "a wrong team_id"),
        ] {
            let error = vouched(answer(user, team, None)).expect_err("nobody");
            assert!(error.contains(told), "{error}");
        }
        let of =
            |customer: String| AuthenticateResponse { customer_id: Some(customer), ..answer(Some("a"), None, None) };
        for wrong in ["x".repeat(257), "a\nb".to_owned()] {
            assert!(vouched(of(wrong)).is_err_and(|told| told.starts_with("a wrong customer_id")));
        }
    }
}
