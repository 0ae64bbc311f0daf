//! LiteLLM's database. Its schema is public (`schema.prisma` of the proxy): what
//! is read are rows as JSON, so that a column more or less does not matter.

mod keys;
mod models;
mod objects;

use std::collections::{BTreeMap, BTreeSet};

use self::objects::Budgets;
use super::row::{Fault, Row};
use super::tally::{Fate, Kind, Tally};
use crate::domain::audit::Author;
use crate::domain::clock::Timestamp;
use crate::domain::correction::Owner;
use crate::domain::customer::{Customer, CustomerDefaults};
use crate::domain::ids::{BudgetId, OrganizationId, TeamId, UserId};
use crate::domain::key::Key;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::organization::OrganizationMember;
use crate::domain::role::TeamRole;
use crate::domain::team::Team;
use crate::domain::tier::in_force;
use crate::domain::window::Calendar;
use crate::store::{Constraint, Counted, ForeignDatabase, Life, Store, StoreError, Tx};

/// What audit entries name in place of an RPC.
const COMMAND: &str = "import litellm";

/// Takes over the organizations, budgets, users, teams, members, keys and
/// customers of a database of LiteLLM, each with what it has spent, and its models. What is
/// there already stays as it is. With `dry_run` nothing is written.
///
/// # Errors
/// [`StoreError`] if a database fails, or it is none of LiteLLM's.
pub async fn litellm(
    store: &Store,
    source: &ForeignDatabase,
    calendar: Calendar,
    dry_run: bool,
    now: Timestamp,
) -> Result<Tally, StoreError> {
    let mut import = Import { store, source, calendar, dry_run, now, tally: Tally::default(), there: BTreeSet::new() };
    let budgets = import.by_id("LiteLLM_BudgetTable", "budget_id").await?;
    let keys = import.rows("LiteLLM_VerificationToken").await?;
    let customers = import.rows("LiteLLM_EndUserTable").await?;
    let tiers = tiers_among(&keys, &customers);
    import.organizations(&budgets).await?;
    import.tiers(&budgets, &tiers).await?;
    import.users().await?;
    import.organization_members(&budgets).await?;
    import.teams(&budgets).await?;
    import.keys(keys).await?;
    import.customers(&budgets, &tiers, customers).await?;
    import.models().await?;
    Ok(import.tally)
}

/// An import that is under way.
struct Import<'a> {
    store: &'a Store,
    source: &'a ForeignDatabase,
    calendar: Calendar,
    dry_run: bool,
    now: Timestamp,
    tally: Tally,
    /// What is there, or would be.
    there: BTreeSet<(Kind, String)>,
}

/// What became of an object, or why it is not taken over.
type Done = Result<Fate, Fault>;

impl Import<'_> {
    async fn rows(&self, table: &'static str) -> Result<Vec<Row>, StoreError> {
        let rows = self.source.rows(table).await?;
        let missing = || StoreError::Broken(format!("there is no table {table:?}: it is no database of LiteLLM"));
        Ok(rows.ok_or_else(missing)?.into_iter().map(Row).collect())
    }

    async fn by_id(&self, table: &'static str, column: &str) -> Result<BTreeMap<String, Row>, StoreError> {
        // Texts without their quotes, numbers as they are.
        let id = |row: &Row| row.text(column).or_else(|| row.0.get(column).map(ToString::to_string));
        let rows = self.rows(table).await?.into_iter();
        Ok(rows.filter_map(|row| id(&row).map(|id| (id, row))).collect())
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.store.begin(Author::cli(COMMAND), self.now).await
    }

    /// Counts an object that others may need.
    fn count(&mut self, kind: Kind, name: &str, done: Done) {
        if done.is_ok() {
            self.there.insert((kind, name.to_owned()));
        }
        self.tally.count(kind, name, done);
    }

    /// Whether what an object needs is there, or would be.
    async fn needs(&self, kind: Kind, id: Option<&str>) -> Result<Result<(), Fault>, StoreError> {
        let Some(id) = id else { return Ok(Ok(())) };
        let view = self.store.view();
        let is_there = self.there.contains(&(kind, id.to_owned()))
            || match kind {
                Kind::Organization => view.find_organization(&OrganizationId::stored(id)).await?.is_some(),
                Kind::Budget => view.find_tier(&BudgetId::stored(id)).await?.is_some(),
                Kind::User => view.find_user(&UserId::stored(id)).await?.is_some(),
                Kind::Team => view.find_team(&TeamId::stored(id)).await?.is_some(),
                Kind::OrganizationMember | Kind::TeamMember | Kind::Key | Kind::Customer | Kind::Model => false,
            };
        let name: &'static str = kind.into();
        Ok(if is_there { Ok(()) } else { Err(format!("{name} {id:?} is not there")) })
    }

    /// Saves an object that was made, with what it has spent.
    async fn save(&self, mut tx: Tx, spends: &[(Owner<'_>, Budget, Usd)]) -> Result<(), StoreError> {
        for (owner, budget, wanted) in spends {
            let window = budget.window(&self.calendar, self.now);
            let counted = Counted { window, budget: *budget };
            tx.set_spent(owner, owner.accounts(), counted, (*wanted, Life::Changes)).await?;
        }
        // No cache of this process is stale: it serves nobody.
        tx.commit().await.map(drop)
    }

    async fn organizations(&mut self, budgets: &Budgets) -> Result<(), StoreError> {
        for row in self.rows("LiteLLM_OrganizationTable").await? {
            let name = row.text("organization_id").unwrap_or_default();
            let done = match with_spend(objects::organization(&row, budgets, self.now), &row) {
                Err(fault) => Err(fault),
                Ok((made, _)) if self.store.view().find_organization(&made.organization_id).await?.is_some() => {
                    Ok(Fate::Known)
                }
                Ok(_) if self.dry_run => Ok(Fate::New),
                Ok((made, spent)) => {
                    let mut tx = self.begin().await?;
                    tx.insert_organization(&made).await?;
                    self.save(tx, &[(Owner::Organization(&made.organization_id), made.budget, spent)]).await?;
                    Ok(Fate::New)
                }
            };
            self.count(Kind::Organization, &name, done);
        }
        Ok(())
    }

    async fn tiers(&mut self, budgets: &Budgets, tiers: &BTreeSet<String>) -> Result<(), StoreError> {
        for (name, row) in budgets.iter().filter(|(name, _)| tiers.contains(*name)) {
            let done = match objects::tier(row, self.now) {
                Err(fault) => Err(fault),
                Ok(made) if self.store.view().find_tier(&made.budget_id).await?.is_some() => Ok(Fate::Known),
                Ok(_) if self.dry_run => Ok(Fate::New),
                Ok(made) => {
                    let mut tx = self.begin().await?;
                    tx.insert_tier(&made).await?;
                    self.save(tx, &[]).await?;
                    Ok(Fate::New)
                }
            };
            self.count(Kind::Budget, name, done);
        }
        Ok(())
    }

    async fn users(&mut self) -> Result<(), StoreError> {
        for row in self.rows("LiteLLM_UserTable").await? {
            let name = row.text("user_id").unwrap_or_default();
            let done = match with_spend(objects::user(&row, self.now), &row) {
                Err(fault) => Err(fault),
                Ok((made, _)) if self.store.view().find_user(&made.user_id).await?.is_some() => Ok(Fate::Known),
                Ok((mut made, spent)) => {
                    if row.has("password") {
                        let what =
                            "passwords are not taken over: invite people, or let an identity provider sign them in";
                        self.tally.note(Kind::User, &name, what);
                    }
                    let taken = match &made.user_email {
                        Some(email) => self.store.view().find_user_by_email(email).await?.is_some(),
                        None => false,
                    };
                    if taken {
                        made.user_email = None;
                        self.tally.note(Kind::User, &name, "user_email is another user's, too: left out");
                    }
                    if !self.dry_run {
                        let mut tx = self.begin().await?;
                        tx.insert_user(&made).await?;
                        self.save(tx, &[(Owner::User(&made.user_id), made.budget, spent)]).await?;
                    }
                    Ok(Fate::New)
                }
            };
            self.count(Kind::User, &name, done);
        }
        Ok(())
    }

    async fn organization_members(&mut self, budgets: &Budgets) -> Result<(), StoreError> {
        for row in self.rows("LiteLLM_OrganizationMembership").await? {
            let [user, organization] =
                ["user_id", "organization_id"].map(|column| row.text(column).unwrap_or_default());
            let done = match with_spend(objects::organization_member(&row, budgets, self.now), &row) {
                Err(fault) => Err(fault),
                Ok((made, spent)) => self.organization_member(made, spent).await?,
            };
            self.tally.count(Kind::OrganizationMember, &format!("{user} in {organization}"), done);
        }
        Ok(())
    }

    async fn organization_member(&self, made: OrganizationMember, spent: Usd) -> Result<Done, StoreError> {
        let needs = [(Kind::User, made.user_id.as_str()), (Kind::Organization, made.organization_id.as_str())];
        for (kind, id) in needs {
            if let Err(fault) = self.needs(kind, Some(id)).await? {
                return Ok(Err(fault));
            }
        }
        let view = self.store.view();
        if view.find_organization_member(&made.organization_id, &made.user_id).await?.is_some() {
            return Ok(Ok(Fate::Known));
        }
        let organization = view.find_organization(&made.organization_id).await?;
        let Some(organization) = organization.filter(|_| !self.dry_run) else { return Ok(Ok(Fate::New)) };
        let mut tx = self.begin().await?;
        tx.insert_organization_member(&made).await?;
        let owner = Owner::OrganizationMember(&made.organization_id, &made.user_id);
        self.save(tx, &[(owner, made.budget(&organization.budget), spent)]).await?;
        Ok(Ok(Fate::New))
    }

    async fn teams(&mut self, budgets: &Budgets) -> Result<(), StoreError> {
        let aliases = self.by_id("LiteLLM_ModelTable", "id").await?;
        let memberships = self.rows("LiteLLM_TeamMembership").await?.into_iter();
        let pair = |row: &Row| Some((row.text("team_id")?, row.text("user_id")?));
        let memberships: BTreeMap<_, _> = memberships.filter_map(|row| pair(&row).map(|pair| (pair, row))).collect();
        for row in self.rows("LiteLLM_TeamTable").await? {
            let name = row.text("team_id").unwrap_or_default();
            let ((team, members), spent) = match with_spend(objects::team(&row, budgets, &aliases, self.now), &row) {
                Ok(read) => read,
                Err(fault) => {
                    self.count(Kind::Team, &name, Err(fault));
                    continue;
                }
            };
            let done = self.team(&team, spent).await?;
            let is_there = done.is_ok();
            self.count(Kind::Team, &name, done);
            if is_there {
                for (user_id, role) in members {
                    let own = memberships.get(&(team.team_id.to_string(), user_id.to_string()));
                    let done = self.member(&team, &user_id, role, own, budgets).await?;
                    self.tally.count(Kind::TeamMember, &format!("{user_id} in {name}"), done);
                }
            }
        }
        Ok(())
    }

    async fn team(&self, team: &Team, spent: Usd) -> Result<Done, StoreError> {
        let view = self.store.view();
        if view.find_team(&team.team_id).await?.is_some() {
            return Ok(Ok(Fate::Known));
        }
        let organization = team.organization_id.as_ref().map(OrganizationId::as_str);
        if let Err(fault) = self.needs(Kind::Organization, organization).await? {
            return Ok(Err(fault));
        }
        if self.dry_run {
            return Ok(Ok(Fate::New));
        }
        let mut tx = self.begin().await?;
        tx.insert_team(team).await?;
        self.save(tx, &[(Owner::Team(&team.team_id), team.budget, spent)]).await?;
        Ok(Ok(Fate::New))
    }

    async fn member(
        &self,
        team: &Team,
        user_id: &UserId,
        role: TeamRole,
        row: Option<&Row>,
        budgets: &Budgets,
    ) -> Result<Done, StoreError> {
        let own = row.map(|row| with_spend(objects::member_limits(row, budgets, self.now), row)).transpose();
        let (own_limits, spent) = match own {
            Ok(own) => own.unwrap_or_default(),
            Err(fault) => return Ok(Err(fault)),
        };
        if let Err(fault) = self.needs(Kind::User, Some(user_id.as_str())).await? {
            return Ok(Err(fault));
        }
        if self.dry_run {
            let known = self.store.view().find_member(&team.team_id, user_id).await?.is_some();
            return Ok(Ok(if known { Fate::Known } else { Fate::New }));
        }
        let mut member = objects::member(team.team_id.clone(), user_id.clone(), role, self.now);
        member.own_limits = own_limits;
        let mut tx = self.begin().await?;
        if !tx.insert_member(&member).await? {
            return Ok(Ok(Fate::Known));
        }
        if let Some(id) = &team.organization_id {
            let place = objects::place(id.clone(), user_id.clone(), self.now);
            tx.insert_organization_member(&place).await?;
        }
        let (budget, _) = member.own_limits.unwrap_or_default().effective(&team.budget);
        self.save(tx, &[(Owner::Member(&team.team_id, user_id), budget, spent)]).await?;
        Ok(Ok(Fate::New))
    }

    async fn keys(&mut self, rows: Vec<Row>) -> Result<(), StoreError> {
        for row in rows {
            let ((key, notes), spent) = match with_spend(keys::key(&row, self.now), &row) {
                Ok(read) => read,
                Err(fault) => {
                    let name = row.text("key_name").unwrap_or_default();
                    self.tally.count(Kind::Key, &name, Err(fault));
                    continue;
                }
            };
            let name = key.key_alias.clone().unwrap_or_else(|| key.key_name.clone());
            let done = self.key(key, &name, spent).await?;
            if done == Ok(Fate::New) {
                for note in notes {
                    self.tally.note(Kind::Key, &name, &note);
                }
            }
            self.tally.count(Kind::Key, &name, done);
        }
        Ok(())
    }

    async fn key(&mut self, mut key: Key, name: &str, spent: Usd) -> Result<Done, StoreError> {
        let view = self.store.view();
        let was_here = view.find_deleted_key(&key.key_hash).await?.is_some();
        if was_here || view.find_key(&key.key_hash).await?.is_some() {
            return Ok(Ok(Fate::Known));
        }
        let needs = [
            (Kind::Team, key.team_id.as_ref().map(TeamId::as_str)),
            (Kind::Budget, key.budget_id.as_ref().map(BudgetId::as_str)),
        ];
        for (kind, id) in needs {
            if let Err(fault) = self.needs(kind, id).await? {
                return Ok(Err(fault));
            }
        }
        if self.needs(Kind::User, key.user_id.as_ref().map(UserId::as_str)).await?.is_err() {
            self.tally.note(Kind::Key, name, "its owner is not there: it belongs to nobody");
            key.user_id = None;
        }
        if self.dry_run {
            return Ok(Ok(Fate::New));
        }
        let tier = match &key.budget_id {
            Some(id) => self.store.view().find_tier(id).await?,
            None => None,
        };
        let budget = in_force(&key.budget, tier.as_ref());
        loop {
            let mut tx = self.begin().await?;
            if let (Some(team), Some(user)) = (&key.team_id, &key.user_id) {
                self.join(&mut tx, team, user, name).await?;
            }
            match tx.insert_key(&key).await {
                Err(StoreError::Taken(Constraint::KeyAlias)) if key.key_alias.is_some() => {
                    self.tally.note(Kind::Key, name, "its alias is another key's, too: left out");
                    key.key_alias = None;
                }
                Err(StoreError::Taken(_)) => return Ok(Ok(Fate::Known)),
                Err(error) => return Err(error),
                Ok(()) => {
                    self.save(tx, &[(Owner::Key(key.key_id), budget, spent)]).await?;
                    return Ok(Ok(Fate::New));
                }
            }
        }
    }

    async fn customers(
        &mut self,
        budgets: &Budgets,
        tiers: &BTreeSet<String>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        for row in rows {
            let name = row.text("user_id").unwrap_or_default();
            let done = match with_spend(objects::customer(&row, budgets, tiers, self.now), &row) {
                Err(fault) => Err(fault),
                Ok((made, spent)) => self.customer(made, spent).await?,
            };
            self.count(Kind::Customer, &name, done);
        }
        Ok(())
    }

    async fn customer(&self, made: Customer, spent: Usd) -> Result<Done, StoreError> {
        let view = self.store.view();
        let known = view.find_customer(&made.customer_id).await?;
        if known.is_some_and(|known| known.version != Customer::UNTOUCHED) {
            return Ok(Ok(Fate::Known));
        }
        let tier = made.budget_id.as_ref().map(BudgetId::as_str);
        if let Err(fault) = self.needs(Kind::Budget, tier).await? {
            return Ok(Err(fault));
        }
        if self.dry_run {
            return Ok(Ok(Fate::New));
        }
        let tier = match &made.budget_id {
            Some(id) => view.find_tier(id).await?,
            None => None,
        };
        let (budget, _) = CustomerDefaults::default().limits_of(&made, tier.as_ref());
        let mut tx = self.begin().await?;
        tx.insert_customer(&made).await?;
        self.save(tx, &[(Owner::Customer(&made.customer_id), budget, spent)]).await?;
        Ok(Ok(Fate::New))
    }

    async fn models(&mut self) -> Result<(), StoreError> {
        for row in self.rows("LiteLLM_ProxyModelTable").await? {
            let name = row.text("model_name").unwrap_or_default();
            let done = match models::model(&row, self.now) {
                Err(fault) => Err(fault),
                Ok(made) if self.store.view().find_model(&made.model_name, &made.deployment).await?.is_some() => {
                    Ok(Fate::Known)
                }
                Ok(_) if self.dry_run => Ok(Fate::New),
                Ok(made) => {
                    let mut tx = self.begin().await?;
                    tx.insert_model(&made).await?;
                    self.save(tx, &[]).await?;
                    Ok(Fate::New)
                }
            };
            self.count(Kind::Model, &name, done);
        }
        Ok(())
    }

    /// The owner of a team's key is in the team, or its calls are denied.
    async fn join(&mut self, tx: &mut Tx, team: &TeamId, user: &UserId, key: &str) -> Result<(), StoreError> {
        let member = objects::member(team.clone(), user.clone(), TeamRole::User, self.now);
        if !tx.insert_member(&member).await? {
            return Ok(());
        }
        self.tally.note(Kind::Key, key, "its owner was not in its team, and joined it");
        let organization = tx.view().find_team(team).await?.and_then(|team| team.organization_id);
        if let Some(id) = organization {
            tx.insert_organization_member(&objects::place(id, user.clone(), self.now)).await?;
        }
        Ok(())
    }
}

/// The budgets that are tiers here: those that keys are in, or several customers.
/// One that is a single customer's are limits of its own.
fn tiers_among(keys: &[Row], customers: &[Row]) -> BTreeSet<String> {
    let budget = |row: &Row| row.text("budget_id");
    let mut seen = BTreeSet::new();
    let shared = customers.iter().filter_map(budget).filter(|id| !seen.insert(id.clone()));
    keys.iter().filter_map(budget).chain(shared.collect::<Vec<_>>()).collect()
}

/// What was read, with what its row says that was spent in the window that is
/// open.
fn with_spend<T>(read: Result<T, Fault>, row: &Row) -> Result<(T, Usd), Fault> {
    Ok((read?, row.money("spend")?.unwrap_or_default()))
}
