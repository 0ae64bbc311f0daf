//! Audit: what changed, as values that can be kept and compared.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::account::{AccountId, Scope};
use super::alert::BudgetAlert;
use super::clock::Timestamp;
use super::ids::{OrganizationId, TeamId};

/// An object's fields by name.
pub type Fields = Map<String, Value>;

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "audit.proto documents each, and the conversion keeps the two equal")]
pub enum Action {
    Create,
    Update,
    Delete,
    Block,
    Unblock,
    AddMember,
    UpdateMember,
    Accept,
    RemoveMember,
    Reset,
    Import,
    Rotate,
    BudgetAlert,
}

impl Action {
    /// What an update is that finds and leaves its object blocked or not.
    #[must_use]
    pub const fn of_update(was_blocked: bool, is_blocked: bool) -> Self {
        match (was_blocked, is_blocked) {
            (false, true) => Self::Block,
            (true, false) => Self::Unblock,
            _ => Self::Update,
        }
    }
}

/// A kind of object that changes are recorded of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub enum ObjectType {
    User,
    Team,
    TeamMember,
    Organization,
    OrganizationMember,
    Invitation,
    SessionKey,
    Key,
    Prices,
    Model,
    ScopeBudget,
    BudgetMode,
    Budget,
    Customer,
    Rollups,
}

impl ObjectType {
    /// The kind of object that an account belongs to.
    #[must_use]
    pub const fn of_account(scope: Scope) -> Self {
        match scope {
            Scope::Key | Scope::KeyWindow | Scope::KeyModel => Self::Key,
            Scope::User | Scope::UserPersonal | Scope::UserModel => Self::User,
            Scope::Team | Scope::TeamModel => Self::Team,
            Scope::TeamMember => Self::TeamMember,
            Scope::Organization | Scope::OrganizationModel => Self::Organization,
            Scope::OrganizationMember => Self::OrganizationMember,
            Scope::Customer | Scope::CustomerModel => Self::Customer,
            Scope::Tag | Scope::Provider | Scope::Model | Scope::Global => Self::ScopeBudget,
        }
    }

    /// The name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Who makes a change, from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// A user id, `key:<key_id>`, `master`, `cli` or `bursar`.
    pub actor: String,
    /// The key that was the credential.
    pub actor_key_id: Option<String>,
    /// The user on whose behalf an admin acts.
    pub on_behalf_of: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// The RPC or command.
    pub rpc: &'static str,
}

impl Author {
    /// Bursar itself: what it does when nobody asks.
    #[must_use]
    pub fn bursar(rpc: &'static str) -> Self {
        Self::of_no_request("bursar", rpc)
    }

    /// Whoever may run commands on the machine.
    #[must_use]
    pub fn cli(rpc: &'static str) -> Self {
        Self::of_no_request("cli", rpc)
    }

    fn of_no_request(actor: &str, rpc: &'static str) -> Self {
        Self { actor: actor.to_owned(), actor_key_id: None, on_behalf_of: None, request_id: String::new(), rpc }
    }
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// To what kind of object.
    pub object_type: ObjectType,
    /// To which one.
    pub object_id: String,
    /// The object before, or the fields of it that changed.
    pub before: Option<Fields>,
    /// The object after, or the fields of it that changed.
    pub after: Option<Fields>,
    /// The team that the object belongs to.
    pub team_id: Option<TeamId>,
    /// The organization that it belongs to; of an object of a team, the team's.
    pub organization_id: Option<OrganizationId>,
}

impl Change {
    fn new(action: Action, object_type: ObjectType, object_id: impl ToString) -> Self {
        Self {
            action,
            object_type,
            object_id: object_id.to_string(),
            before: None,
            after: None,
            team_id: None,
            organization_id: None,
        }
    }

    /// An object was made.
    pub fn created(object_type: ObjectType, object_id: impl ToString, after: &impl Serialize) -> Self {
        Self { after: Some(fields(after)), ..Self::new(Action::Create, object_type, object_id) }
    }

    /// An object was deleted.
    pub fn deleted(object_type: ObjectType, object_id: impl ToString, before: &impl Serialize) -> Self {
        Self { before: Some(fields(before)), ..Self::new(Action::Delete, object_type, object_id) }
    }

    /// An object was changed; `None` if it was not.
    pub fn updated<T: Serialize>(
        object_type: ObjectType,
        object_id: impl ToString,
        before: &T,
        after: &T,
    ) -> Option<Self> {
        let (before, after) = difference(&fields(before), &fields(after));
        let is_one = !before.is_empty() || !after.is_empty();
        let change = Self::new(Action::Update, object_type, object_id);
        is_one.then_some(Self { before: Some(before), after: Some(after), ..change })
    }

    /// A budget of an account reached a level. A part of an object is found in the
    /// log of the object.
    #[must_use]
    pub fn alerted(account: &AccountId, alert: &BudgetAlert) -> Self {
        let object_id = account.part_of_object().map_or_else(|| account.audit_id(), |(object, _)| object);
        let change = Self::new(Action::BudgetAlert, ObjectType::of_account(account.scope()), object_id);
        Self { after: Some(fields(alert)), ..change }
    }

    /// The same change under another name for what was done.
    #[must_use]
    pub fn named(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The same change, of an object that belongs to a team.
    #[must_use]
    pub fn of_team(self, team: Option<&TeamId>) -> Self {
        Self { team_id: team.cloned(), ..self }
    }

    /// The same change, of an object that belongs to an organization.
    #[must_use]
    pub fn of_organization(self, organization: Option<&OrganizationId>) -> Self {
        Self { organization_id: organization.cloned(), ..self }
    }

    /// The same change, with the reason that was given for it.
    #[must_use]
    pub fn because(mut self, reason: Option<&Value>) -> Self {
        if let (Some(reason), Some(after)) = (reason, &mut self.after) {
            after.insert("reason".to_owned(), reason.clone());
        }
        self
    }

    /// The same change with these fields on both sides, changed or not: what
    /// names the object, where its id does not.
    #[must_use]
    pub fn naming(mut self, names: &[(&str, &str)]) -> Self {
        for side in [&mut self.before, &mut self.after].into_iter().flatten() {
            side.extend(names.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        }
        self
    }

    /// The fields that the change touches, by name.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let before = self.before.iter().flat_map(Map::keys);
        let after = self.after.iter().flat_map(Map::keys);
        before.chain(after).map(String::as_str)
    }
}

/// Fields that change with every write and say nothing about it.
const BOOKKEEPING: [&str; 2] = ["updated_at", "version"];

/// An object as fields; those without a value are left out.
pub fn fields(object: &impl Serialize) -> Fields {
    match serde_json::to_value(object) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        // Domain objects are structs of plain values: they serialize to maps.
        _ => Fields::new(),
    }
}

/// The fields that differ, before and after.
fn difference(before: &Fields, after: &Fields) -> (Fields, Fields) {
    let differing = |these: &Fields, those: &Fields| {
        let differs = |(name, value): &(&String, &Value)| {
            those.get(*name) != Some(*value) && !BOOKKEEPING.contains(&name.as_str())
        };
        these.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    (differing(before, after), differing(after, before))
}

/// The hash of the entry before the first.
pub const CHAIN_START: [u8; 32] = [0; 32];

/// A recorded change, as it is hashed.
#[derive(Serialize)]
pub struct Entry<'a> {
    /// Its id.
    pub audit_id: &'a str,
    /// Its position.
    pub sequence: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: &'a str,
    /// The key that was the credential.
    pub actor_key_id: &'a str,
    /// On whose behalf.
    pub on_behalf_of: &'a str,
    /// What was done.
    pub action: &'a str,
    /// To what kind of object.
    pub object_type: &'a str,
    /// To which one.
    pub object_id: &'a str,
    /// The object before, as the JSON text that is stored.
    pub before: &'a str,
    /// The object after, as the JSON text that is stored.
    pub after: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
    /// The RPC or command.
    pub rpc: &'a str,
    /// The team that the object belongs to. Left out if there is none, as
    /// entries had none at first.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub team_id: &'a str,
    /// The organization that the object belongs to, likewise.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub organization_id: &'a str,
}

impl Entry<'_> {
    /// The hash that chains the entry to the one before: SHA-256 over the
    /// previous hash and the entry as canonical JSON.
    #[must_use]
    pub fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(previous);
        // A struct of strings and a number: serializing cannot fail.
        digest.update(serde_json::to_vec(self).unwrap_or_default());
        digest.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_holds_only_what_changed() {
        let before = json!({"a": 1, "b": 2, "c": null, "version": 1});
        let after = json!({"a": 1, "b": 3, "c": 4, "version": 2});
        let change = Change::updated(ObjectType::User, "u", &before, &after).expect("a change");
        assert_eq!(Value::from(change.before.clone().expect("before")), json!({"b": 2}));
        assert_eq!(Value::from(change.after.clone().expect("after")), json!({"b": 3, "c": 4}));
        assert_eq!(change.fields().collect::<Vec<_>>(), ["b", "b", "c"]);
        assert_eq!(Change::updated(ObjectType::User, "u", &before, &before), None);
    }
}
