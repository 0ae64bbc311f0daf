//! The policy: which role may call which RPC, and how far it reaches.
//!
//! This table is the whole of it. Without a row an RPC is refused; a test walks
//! the descriptor set and fails when one is missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use strum::VariantArray;

use super::caller::{Caller, Credential};
use crate::domain::fault::Refusal;
use crate::domain::identity::Ranks;
use crate::domain::key::KeyType;
use crate::domain::reason::Reason;
use crate::domain::role::{OrganizationRole, Role, TeamRole};
use crate::domain::routes::routes_allow;

/// How far a caller reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything.
    All,
    /// The organizations that its user administers, with their teams, and the
    /// users whose home they are.
    AdminOrganization,
    /// The organizations that its user is in.
    Organization,
    /// The teams that its user administers.
    AdminTeam,
    /// The teams that its user, or the key itself, is in.
    Team,
    /// What a team permits its members.
    Permitted,
    /// Its own user, keys and spend.
    Own,
    /// The key it calls with.
    Itself,
}

use Reach::{AdminOrganization, AdminTeam, All, Itself, Organization, Own, Permitted, Team};

/// A column of the table: a role, or a kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Column {
    /// The master key, and users with that role.
    ProxyAdmin,
    /// Users with that role.
    ProxyAdminViewer,
    /// What administering an organization adds to an internal role.
    OrganizationAdmin,
    /// What being in an organization adds to an internal role.
    OrganizationMember,
    /// What administering a team adds to an internal role.
    TeamAdmin,
    /// What being in a team adds to an internal role.
    TeamMember,
    /// Users with that role.
    InternalUser,
    /// Users with that role.
    InternalUserViewer,
    /// Keys of a team without a user.
    TeamKey,
    /// Keys without a user and a team.
    FreeKey,
    /// Sidecars.
    Gateway,
}

/// Whether an RPC changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    /// A model call of a key, or a question about it.
    Call,
    /// For everybody, without a credential.
    Public,
}

use Kind::{Call, Public, Read, Write};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The RPC, as `package.Service/Method`.
    pub rpc: &'static str,
    kind: Kind,
    /// The reach of each column, in the order of [`Column`].
    reaches: [&'static [Reach]; 11],
}

const NO: &[Reach] = &[];
const ALL: &[Reach] = &[All];
const ORG: &[Reach] = &[AdminOrganization];
const O_MEM: &[Reach] = &[Organization];
const ADM: &[Reach] = &[AdminTeam];
const TEAM: &[Reach] = &[Team];
const PERM: &[Reach] = &[Permitted];
const OWN: &[Reach] = &[Own];
const SELF: &[Reach] = &[Itself];
const TM_SELF: &[Reach] = &[Team, Itself];
const TM_PERM: &[Reach] = &[Team, Permitted];

const fn row(rpc: &'static str, kind: Kind, reaches: [&'static [Reach]; 11]) -> Rule {
    Rule { rpc, kind, reaches }
}

/// The policy.
#[rustfmt::skip]
pub static POLICY: [Rule; 117] = [
    //                                                                     admin    viewer   o.adm    o.mem    t.adm    t.mem    user     reader   t.key    free     gateway
    row("bursar.v1.UserService/CreateUser",                       Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/GetUser",                          Read,  [ALL,     ALL,     ORG,     NO,      ADM,     NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.UserService/UpdateUser",                       Write, [ALL,     OWN,     ORG,     NO,      NO,      NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.UserService/BatchUpdateUsers",                 Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/DeleteUsers",                      Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/ListUsers",                        Read,  [ALL,     ALL,     ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/GetUserDailyActivity",             Read,  [ALL,     ALL,     ORG,     NO,      NO,      NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.UserService/ListRoles",                        Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      ALL,     ALL,     ALL,     ALL,     ALL]),
    row("bursar.v1.UserService/CreateInvitation",                 Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/GetInvitation",                    Read,  [ALL,     ALL,     ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/ListInvitations",                  Read,  [ALL,     ALL,     ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/DeleteInvitation",                 Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.UserService/AcceptInvitation",                 Public,[ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL]),
    row("bursar.v1.UserService/Login",                            Public,[ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL,     ALL]),

    row("bursar.v1.TeamService/CreateTeam",                       Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      OWN,     NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/GetTeam",                          Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    TEAM,    TEAM,    TEAM,    NO,      NO]),
    row("bursar.v1.TeamService/UpdateTeam",                       Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/DeleteTeams",                      Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/ListTeams",                        Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    OWN,     OWN,     TEAM,    NO,      NO]),
    row("bursar.v1.TeamService/AddTeamMembers",                   Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      OWN,     NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/RemoveTeamMember",                 Write, [ALL,     NO,      ORG,     NO,      ADM,     OWN,     NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/BlockTeam",                        Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/UnblockTeam",                      Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/UpdateTeamMember",                 Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/AddTeamModels",                    Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/RemoveTeamModels",                 Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/ListAvailableTeams",               Read,  [OWN,     OWN,     ORG,     NO,      ADM,     NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.TeamService/GetTeamMemberPermissions",         Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    TEAM,    TEAM,    TEAM,    NO,      NO]),
    row("bursar.v1.TeamService/UpdateTeamMemberPermissions",      Write, [ALL,     NO,      ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.TeamService/GetTeamDailyActivity",             Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TM_PERM, TEAM,    TEAM,    SELF,    NO,      NO]),

    row("bursar.v1.OrganizationService/CreateOrganization",       Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/GetOrganization",          Read,  [ALL,     ALL,     ORG,     O_MEM,   NO,      NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/UpdateOrganization",       Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/DeleteOrganizations",      Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/ListOrganizations",        Read,  [ALL,     ALL,     ORG,     O_MEM,   NO,      NO,      OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/AddOrganizationMembers",   Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/UpdateOrganizationMember", Write, [ALL,     NO,      ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/RemoveOrganizationMember", Write, [ALL,     NO,      ORG,     OWN,     NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.OrganizationService/GetOrganizationDailyActivity", Read, [ALL,   ALL,     ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),

    row("bursar.v1.KeyService/GenerateKey",                       Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    OWN,     NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/GetKey",                            Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    OWN,     OWN,     TM_SELF, SELF,    NO]),
    row("bursar.v1.KeyService/BatchGetKeys",                      Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    OWN,     OWN,     TM_SELF, SELF,    NO]),
    row("bursar.v1.KeyService/ListKeys",                          Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TM_PERM, OWN,     OWN,     PERM,    NO,      NO]),
    row("bursar.v1.KeyService/ListKeyAliases",                    Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TM_PERM, OWN,     OWN,     PERM,    NO,      NO]),
    row("bursar.v1.KeyService/UpdateKey",                         Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    OWN,     NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/BatchUpdateKeys",                   Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    OWN,     NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/RegenerateKey",                     Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    OWN,     NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/DeleteKeys",                        Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    OWN,     NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/BlockKey",                          Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    NO,      NO,      PERM,    NO,      NO]),
    row("bursar.v1.KeyService/UnblockKey",                        Write, [ALL,     NO,      ORG,     NO,      ADM,     PERM,    NO,      NO,      PERM,    NO,      NO]),

    row("bursar.v1.GatewayService/Authorize",                     Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    ALL]),
    row("bursar.v1.GatewayService/Settle",                        Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    SELF]),
    row("bursar.v1.GatewayService/Release",                       Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    SELF]),
    row("bursar.v1.GatewayService/Extend",                        Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    SELF]),
    row("bursar.v1.GatewayService/ExplainDecision",               Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    ALL]),
    row("bursar.v1.GatewayService/Session",                       Call,  [ALL,     SELF,    NO,      NO,      NO,      NO,      SELF,    SELF,    SELF,    SELF,    ALL]),
    row("bursar.v1.GatewayService/WatchChanges",                  Read,  [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      ALL]),

    row("envoy.service.auth.v3.Authorization/Check",              Call,  [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      ALL]),
    row("envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", Call, [ALL, NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      ALL]),

    row("bursar.v1.BudgetService/GetBudgetStatus",                Read,  [ALL,     ALL,     ORG,     NO,      ADM,     TEAM,    OWN,     OWN,     TM_SELF, SELF,    ALL]),
    row("bursar.v1.BudgetService/CreateBudget",                   Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/GetBudget",                      Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/UpdateBudget",                   Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/DeleteBudgets",                  Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/ListBudgets",                    Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/ListBudgetWindows",              Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/SetScopeBudget",                 Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/ListScopeBudgets",               Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/DeleteScopeBudget",              Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/SetBudgetMode",                  Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/ListBudgetModes",                Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.BudgetService/DeleteBudgetMode",               Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),

    row("bursar.v1.CustomerService/CreateCustomer",               Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/GetCustomer",                  Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/UpdateCustomer",               Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/DeleteCustomers",              Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/ListCustomers",                Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/BlockCustomers",               Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.CustomerService/UnblockCustomers",             Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),

    row("bursar.v1.ModelService/CreateModel",                     Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.ModelService/GetModel",                        Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      OWN,     OWN,     SELF,    SELF,    ALL]),
    row("bursar.v1.ModelService/UpdateModel",                     Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.ModelService/DeleteModels",                    Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.ModelService/ListModels",                      Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      OWN,     OWN,     SELF,    SELF,    ALL]),
    row("bursar.v1.ModelService/ImportPrices",                    Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),

    row("bursar.v1.SpendService/RecordUsage",                     Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      ALL]),
    row("bursar.v1.SpendService/StreamUsage",                     Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      ALL]),
    row("bursar.v1.SpendService/ListUsage",                       Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ExportUsage",                     Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetUsage",                        Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetDailySpend",                   Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ListKeySpend",                    Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ListUserSpend",                   Read,  [ALL,     ALL,     ORG,     NO,      ADM,     OWN,     OWN,     OWN,     NO,      NO,      NO]),
    row("bursar.v1.SpendService/ListTeamSpend",                   Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    NO,      NO,      SELF,    NO,      NO]),
    row("bursar.v1.SpendService/ListModelSpend",                  Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ListProviderSpend",               Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ListCustomerSpend",               Read,  [ALL,     ALL,     ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/ListTagSpend",                    Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/ListCustomerNames",               Read,  [ALL,     ALL,     ORG,     NO,      ADM,     NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/ListTagNames",                    Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetActivity",                     Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetModelActivity",                Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetErrorActivity",                Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/GetSpendReport",                  Read,  [ALL,     ALL,     ORG,     NO,      ADM,     PERM,    OWN,     OWN,     SELF,    SELF,    NO]),
    row("bursar.v1.SpendService/GetTotalSpend",                   Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/GetProviderBudgets",              Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/AdjustSpend",                     Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/ResetSpend",                      Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/RebuildRollups",                  Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.SpendService/CalculateCost",                   Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      ALL,     ALL,     ALL,     ALL,     ALL]),

    row("bursar.v1.WebhookService/ListWebhooks",                  Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.WebhookService/ListWebhookDeliveries",         Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.WebhookService/RetryWebhookDeliveries",        Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.WebhookService/TestWebhook",                   Write, [ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),

    row("bursar.v1.AuditService/ListAuditEntries",                Read,  [ALL,     ALL,     ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.AuditService/GetAuditEntry",                   Read,  [ALL,     ALL,     ORG,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
    row("bursar.v1.AuditService/VerifyAuditLog",                  Read,  [ALL,     ALL,     NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO,      NO]),
];

static BY_RPC: LazyLock<HashMap<&'static str, &'static Rule>> =
    LazyLock::new(|| POLICY.iter().map(|rule| (rule.rpc, rule)).collect());

/// The row of an RPC.
pub fn rule_of(rpc: &str) -> Option<&'static Rule> {
    BY_RPC.get(rpc).copied()
}

/// How far a caller reaches with an RPC: what its roles add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<Reach>);

impl Scope {
    /// Whether it reaches this far.
    pub fn has(&self, reach: Reach) -> bool {
        self.0.contains(&reach)
    }

    /// Whether it reaches everything.
    pub fn is_all(&self) -> bool {
        self.has(All)
    }

    fn add(&mut self, reaches: &[Reach]) {
        for reach in reaches {
            if !self.has(*reach) {
                self.0.push(*reach);
            }
        }
    }
}

impl Rule {
    /// What a column reaches.
    pub const fn reach_of(&self, column: Column) -> &'static [Reach] {
        self.reaches[column as usize]
    }

    /// Whether it manages or reads, and is no part of a model call.
    pub const fn is_management(&self) -> bool {
        matches!(self.kind, Read | Write)
    }

    /// The names of the columns that may call the RPC.
    pub fn needed(&self) -> Vec<&'static str> {
        let may = |column: &&Column| !self.reach_of(**column).is_empty();
        Column::VARIANTS.iter().filter(may).map(Into::into).collect()
    }

    /// Lets a caller in, and says how far it reaches.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if its key or its role may not call the RPC.
    pub fn admit(&self, caller: &Caller) -> Result<Scope, Refusal> {
        if !self.is_open_to(caller) {
            let message = format!("the key may not call {}", self.rpc);
            return Err(Refusal::denied(Reason::RpcNotAllowedForKey, message).with("rpc", self.rpc));
        }
        self.scope_of(caller).ok_or_else(|| {
            let message = format!("your role may not call {}", self.rpc);
            caller.role_refused(self.rpc, &self.needed().join(","), message)
        })
    }

    /// How far a caller reaches; `None` if it may not call the RPC at all.
    /// Rights add up over memberships; a viewer gains no writes by being in a
    /// team or organization, and an admin viewer gains nothing.
    pub fn scope_of(&self, caller: &Caller) -> Option<Scope> {
        let mut scope = Scope::default();
        for column in columns_of(caller) {
            let is_viewer = caller.user().is_some_and(|user| user.role == Role::InternalUserViewer);
            let is_membership = matches!(column, Column::TeamMember | Column::OrganizationMember);
            if is_viewer && is_membership && self.kind == Write {
                continue;
            }
            scope.add(self.reach_of(column));
        }
        // What the rights of its user are is no matter to a key that only calls models:
        // it may be in the hands of somebody else.
        if caller.only_calls_models() && !scope.0.is_empty() {
            return Some(Scope(vec![Itself]));
        }
        // A session calls no models, and only a key is one that could be read.
        let has_certificate = matches!(caller.credential, Credential::Gateway(_));
        let calls = (caller.token().is_some() || has_certificate) && self.kind == Call;
        if caller.key().is_none() && !calls {
            scope.0.retain(|reach| *reach != Itself);
        }
        (!scope.0.is_empty()).then_some(scope)
    }

    /// Whether it needs no credential.
    pub fn is_public(&self) -> bool {
        self.kind == Public
    }

    /// Whether a key's type and its own list of RPCs let it be used for this
    /// one.
    pub fn is_open_to(&self, caller: &Caller) -> bool {
        let Some(key) = caller.key() else { return true };
        let reads_itself = [GET_KEY, GET_BUDGET_STATUS].contains(&self.rpc);
        let by_type = match key.key_type {
            KeyType::Default | KeyType::Gateway => true,
            _ if self.kind == Public => true,
            KeyType::LlmApi => self.kind == Call || reads_itself,
            KeyType::Management => self.kind != Call,
            KeyType::ReadOnly => self.kind == Read,
        };
        by_type && routes_allow(&key.allowed_routes, self.rpc)
    }
}

const GET_KEY: &str = "bursar.v1.KeyService/GetKey";
const GET_BUDGET_STATUS: &str = "bursar.v1.BudgetService/GetBudgetStatus";

/// The columns that hold for a caller.
fn columns_of(caller: &Caller) -> Vec<Column> {
    let identity = match &caller.credential {
        Credential::Master => return vec![Column::ProxyAdmin],
        Credential::Nothing => return Vec::new(),
        Credential::Gateway(_) => return vec![Column::Gateway],
        Credential::Token(holder) if holder.is_admin() => return vec![Column::ProxyAdmin],
        Credential::Token(_) | Credential::Session(_) => None,
        Credential::Key(identity) => Some(identity),
    };
    if identity.is_some_and(|identity| identity.key.key_type == KeyType::Gateway) {
        return vec![Column::Gateway];
    }
    let Some(user) = caller.user() else {
        return vec![if caller.team_of_its_own().is_some() { Column::TeamKey } else { Column::FreeKey }];
    };
    let own = match user.role {
        Role::ProxyAdmin => return vec![Column::ProxyAdmin],
        Role::ProxyAdminViewer => return vec![Column::ProxyAdminViewer],
        Role::InternalUser => Column::InternalUser,
        Role::InternalUserViewer => Column::InternalUserViewer,
    };
    let Ranks { team, organization } = user.ranks;
    let added = [
        (organization == Some(OrganizationRole::Admin), Column::OrganizationAdmin),
        (organization.is_some(), Column::OrganizationMember),
        (team == Some(TeamRole::Admin), Column::TeamAdmin),
        (team.is_some(), Column::TeamMember),
    ];
    let added = added.into_iter().filter(|(holds, _)| *holds).map(|(_, column)| column);
    std::iter::once(own).chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::routes::Group;

    /// The groups know RPCs by their names; this table by what they do.
    #[test]
    fn groups_of_routes_are_what_the_table_says() {
        for rule in POLICY.iter().filter(|rule| rule.kind != Public) {
            let groups =
                [Group::LlmApiRoutes, Group::ManagementRoutes, Group::InfoRoutes].map(|group| group.has(rule.rpc));
            assert_eq!(groups, [rule.kind == Call, rule.kind != Call, rule.kind == Read], "{}", rule.rpc);
        }
    }
}
