//! What a token changes about its user.

use super::{Memberships, Realm, Stated};
use crate::domain::ids::TeamId;
use crate::domain::role::Role;
use crate::domain::team::Team;

/// What a token changes about its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The role it gets.
    pub role: Option<Role>,
    /// The teams it joins.
    pub joins: Vec<TeamId>,
    /// The teams it leaves.
    pub leaves: Vec<TeamId>,
}

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// The changes of a user with this role in these teams. `named`: the teams
    /// of the token, as far as they exist.
    ///
    /// A team that the realm does not manage keeps its members; only their own
    /// hands take them out.
    #[must_use]
    pub fn of(stated: &Stated, realm: &Realm, role: Role, teams: &[Team], named: &[Team]) -> Self {
        let role = stated.role.filter(|stated| realm.sets_roles && *stated != role);
        let is_in = |team: &Team, list: &[Team]| list.iter().any(|other| other.team_id == team.team_id);
        let ids = |list: Vec<&Team>| list.into_iter().map(|team| team.team_id.clone()).collect::<Vec<_>>();
        let joins = named.iter().filter(|team| !is_in(team, teams)).collect();
        let is_managed = |team: &&Team| team.idp_managed_by.as_deref() == Some(&*realm.name);
        let leaves = teams.iter().filter(is_managed).filter(|team| !is_in(team, named)).collect();
        match realm.memberships {
            Memberships::Ignore => Self { role, ..Self::default() },
            Memberships::Add => Self { role, joins: ids(joins), ..Self::default() },
            Memberships::Sync => Self { role, joins: ids(joins), leaves: ids(leaves) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::team::tests::team;
    use crate::domain::token::TeamClaim;

    fn realm() -> Realm {
        Realm::of_known("https://idp.example")
    }

    fn named(id: &str, managed: bool) -> Team {
        let realm = managed.then(|| realm().name.to_string());
        Team { team_id: TeamId::stored(id), idp_managed_by: realm, ..team() }
    }

    fn stated(role: Option<Role>) -> Stated {
        Stated {
            user_id: None,
            email: None,
            teams: TeamClaim::default(),
            organization_id: None,
            aliases: crate::domain::token::Aliases::default(),
            customer_id: None,
            role,
            is_admin: false,
            models: crate::domain::models::ModelList::default(),
        }
    }

    #[test]
    fn teams_are_joined_and_managed_ones_left() {
        let before = [named("kept", true), named("left", true), named("by-hand", false)];
        let token = [named("kept", true), named("new", true), named("other", false)];
        for (memberships, joins, leaves) in [
            (Memberships::Ignore, vec![], vec![]),
            (Memberships::Add, vec!["new", "other"], vec![]),
            (Memberships::Sync, vec!["new", "other"], vec!["left"]),
        ] {
            let realm = Realm { memberships, ..realm() };
            let changes = Changes::of(&stated(None), &realm, Role::InternalUser, &before, &token);
            let names = |list: &[TeamId]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((names(&changes.joins), names(&changes.leaves)), (names_of(&joins), names_of(&leaves)));
        }
        let other = Realm { memberships: Memberships::Sync, ..Realm::of_known("https://other.example") };
        assert!(Changes::of(&stated(None), &other, Role::InternalUser, &before, &[]).leaves.is_empty());
    }

    fn names_of(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_role_is_set_where_that_is_wanted() {
        for (sets_roles, stated_role, expected) in [
            (true, Some(Role::InternalUser), None),
            (true, Some(Role::ProxyAdmin), Some(Role::ProxyAdmin)),
            (true, None, None),
            (false, Some(Role::ProxyAdmin), None),
        ] {
            let realm = Realm { sets_roles, ..realm() };
            let changes = Changes::of(&stated(stated_role), &realm, Role::InternalUser, &[], &[]);
            assert_eq!(changes.role, expected);
            assert_eq!(changes.are_none(), expected.is_none());
        }
    }
}
