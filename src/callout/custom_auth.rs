//! Custom authentication: a service that knows credentials which Bursar does
//! not.

use std::fmt;

use tonic::Code;
use tonic::transport::Channel;

use super::{connect, silent};
use crate::domain::callout::Callout;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::models::ModelList;
use crate::domain::reason::Reason;
use crate::domain::token::{Stated, TeamClaim};
use crate::error::Error;
use crate::pb::policy::custom_auth_client::CustomAuthClient;
use crate::pb::policy::{AuthenticateRequest, AuthenticateResponse};

/// How long an answer holds that does not say so, and the longest.
const VALID_SECONDS: i64 = 60;
const VALID_MAX_SECONDS: i64 = 3_600;

/// A service that knows credentials.
pub struct CustomAuth {
    client: CustomAuthClient<Channel>,
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
        Ok(Self { client: CustomAuthClient::new(connect(callout)?) })
    }

    /// Asks who shows a credential.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not good; `UNAVAILABLE` if the service does not
    /// answer, or answers with what is nobody.
    pub async fn vouch(&self, credential: &str) -> Result<Vouched, Error> {
        let request = AuthenticateRequest { credential: credential.to_owned() };
        // Boxed, because most installations have none, and it would make every call large.
        match Box::pin(self.client.clone().authenticate(request)).await {
            Ok(answer) => vouched(answer.into_inner()).map_err(|cause| Error::Unavailable {
                reason: Reason::CustomAuthUnavailable,
                cause: format!("custom_auth answers with {cause}"),
                retry: super::RETRY,
            }),
            Err(status) if status.code() == Code::Unauthenticated => Err(Error::Unauthenticated {
                reason: Reason::CredentialUnknown,
                message: "nobody has this credential",
                metadata: Vec::new(),
            }),
            Err(status) => Err(silent(Reason::CustomAuthUnavailable, &status)),
        }
    }
}

/// Who it is by the service's answer, or what is wrong with that.
fn vouched(answer: AuthenticateResponse) -> Result<Vouched, String> {
    let AuthenticateResponse { user_id, team_id, organization_id, customer_id, valid_for } = answer;
    let wrong = |field: &'static str| move |error| format!("a wrong {field}: {error}");
    let user_id = user_id.map(|id| UserId::parse(&id)).transpose().map_err(wrong("user_id"))?;
    let one = team_id.map(|id| TeamId::parse(&id)).transpose().map_err(wrong("team_id"))?;
    let organization_id = organization_id.map(|id| OrganizationId::parse(&id)).transpose();
    if user_id.is_none() && one.is_none() {
        return Err("neither a user nor a team".to_owned());
    }
    let stated = Stated {
        user_id,
        email: None,
        teams: TeamClaim { one, any: Vec::new() },
        organization_id: organization_id.map_err(wrong("organization_id"))?,
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
    }
}
