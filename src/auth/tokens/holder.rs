//! Holders: who a verified token stands for, and for which team it calls.

use std::sync::Arc;

use super::{Tokens, Verified};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::identity::{Identity, Principal, TeamFacts, UserFacts};
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::ticket;
use crate::error::Error;

/// Somebody who showed a token.
#[derive(Clone, Debug)]
pub struct TokenHolder {
    token: Arc<Verified>,
    /// The team that it asked for.
    wanted: Option<TeamId>,
    /// Who it is, as one who calls models; `None`: it may only manage.
    pub identity: Option<Identity>,
}

impl TokenHolder {
    /// Its user, if it has one.
    pub fn user(&self) -> Option<&Arc<UserFacts>> {
        self.identity.as_ref()?.user.as_ref()
    }

    /// Takes its user as it is now.
    pub(in crate::auth) fn become_user(&mut self, user: Arc<UserFacts>) {
        if let Some(identity) = &mut self.identity {
            identity.user = Some(user);
        }
    }

    /// Takes the team that it is itself as it is now.
    pub(in crate::auth) fn become_team(&mut self, team: Arc<TeamFacts>) {
        if let Some(identity) = &mut self.identity {
            identity.team = Some(team);
        }
    }

    /// The team that it is itself, if it is no user.
    pub fn team_of_its_own(&self) -> Option<&TeamId> {
        self.identity.as_ref().filter(|identity| identity.user.is_none())?.key.team_id.as_ref()
    }

    /// Whether its token makes it a proxy admin.
    pub fn is_admin(&self) -> bool {
        self.token.stated.is_admin
    }

    /// The customer on whose behalf it calls, if its token names one.
    pub fn customer_id(&self) -> Option<&str> {
        self.token.stated.customer_id.as_deref()
    }

    /// From when on its token is good no more.
    pub fn ends_at(&self) -> Timestamp {
        self.token.ends_at
    }

    /// Its name, if it is none of Bursar's users.
    pub fn name(&self) -> String {
        let issuer = &self.token.realm.name;
        match (&self.token.stated.user_id, self.team_of_its_own()) {
            (Some(user), _) => format!("idp:{issuer}:{user}"),
            (None, Some(team)) => format!("idp:{issuer}:team:{team}"),
            (None, None) => format!("idp:{issuer}"),
        }
    }

    /// Its name inside tickets: the same for all of its tokens.
    pub fn ticket_tag(&self) -> u64 {
        ticket::principal_tag(&self.token.realm.name, self.token.stated.user_id.as_ref(), self.team_of_its_own())
    }
}

impl Tokens {
    /// Who calls a model with the token of somebody who was admitted.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if none of its teams may call it.
    pub async fn calling(&self, holder: &TokenHolder, model: &str, now: Timestamp) -> Result<Option<Identity>, Error> {
        Ok(self.resolve(&holder.token, holder.wanted.as_ref(), Some(model), now).await?.identity)
    }

    /// Who a token stands for, when it calls a model or none.
    pub(super) async fn resolve(
        &self,
        token: &Arc<Verified>,
        wanted: Option<&TeamId>,
        model: Option<&str>,
        now: Timestamp,
    ) -> Result<TokenHolder, Error> {
        let directory = self.gate.directory();
        let stated = &token.stated;
        let user = match &stated.user_id {
            Some(id) => directory.user(id).await?,
            None => None,
        };
        let mut principal = Principal { user_id: stated.user_id.clone(), ..Principal::default() };
        if let Some(id) = stated.user_id.as_ref().filter(|_| user.is_none()) {
            if !stated.is_admin {
                let message = format!("the token is good, and user {:?} does not exist", id.as_str());
                return Err(Refusal::denied(Reason::UserUnknown, message).with("user_id", id).into());
            }
            principal.user_id = None;
        }
        principal.team_id = self.team(token, user.as_deref(), wanted, model).await?;
        if let Some(id) = &stated.organization_id {
            if directory.organization(id).await?.is_none() {
                let message = format!("the token is good, and organization {:?} does not exist", id.as_str());
                let refusal = Refusal::denied(Reason::OrganizationUnknown, message).with("organization_id", id);
                return Err(refusal.into());
            }
            principal.organization_id = Some(id.clone());
        }
        let calls_models = principal.user_id.is_some() || principal.team_id.is_some();
        let identity =
            if calls_models { Some(directory.principal(principal, stated.models.clone(), now).await?) } else { None };
        Ok(TokenHolder { token: Arc::clone(token), wanted: wanted.cloned(), identity })
    }

    /// The team for which a token calls: the one that was asked for, the one it
    /// was made for, the first of its teams that may call the model, the default.
    async fn team(
        &self,
        token: &Verified,
        user: Option<&UserFacts>,
        wanted: Option<&TeamId>,
        model: Option<&str>,
    ) -> Result<Option<TeamId>, Error> {
        let teams = &token.stated.teams;
        if let Some(wanted) = wanted {
            self.check_wanted(token, user, wanted).await?;
        }
        if let Some(team) = wanted.or(teams.one.as_ref()) {
            self.existing(team).await?;
            return Ok(Some(team.clone()));
        }
        for id in &teams.any {
            let team = self.gate.directory().team(id).await?;
            let fits = |team: &TeamFacts| model.is_none_or(|model| self.gate.lets_call(team, model));
            if team.is_some_and(|team| !team.blocked && fits(&team)) {
                return Ok(Some(id.clone()));
            }
        }
        match &token.realm.default_team {
            Some(team) => {
                self.existing(team).await?;
                Ok(Some(team.clone()))
            }
            None if token.realm.team_required && model.is_some() => {
                let message = "none of the token's teams may call the model";
                Err(Refusal::denied(Reason::NoTeamForModel, message).into())
            }
            None => Ok(None),
        }
    }

    /// A team may be asked for that the token names; if it names none, one that
    /// the user is in.
    async fn check_wanted(&self, token: &Verified, user: Option<&UserFacts>, wanted: &TeamId) -> Result<(), Error> {
        let teams = &token.stated.teams;
        let is_named = teams.all().any(|team| team == wanted);
        let is_member = match user.filter(|_| teams.all().next().is_none()) {
            Some(user) => self.gate.directory().member(wanted, &user.user_id).await?.is_some(),
            None => false,
        };
        if is_named || is_member {
            return Ok(());
        }
        let message = format!("team {:?} is not among those of the token", wanted.as_str());
        Err(Refusal::denied(Reason::TeamNotInToken, message).with("team_id", wanted).into())
    }

    async fn existing(&self, team: &TeamId) -> Result<(), Error> {
        if self.gate.directory().team(team).await?.is_some() {
            return Ok(());
        }
        let message = format!("the token is good, and team {:?} does not exist", team.as_str());
        Err(Refusal::denied(Reason::TeamUnknown, message).with("team_id", team).into())
    }
}
