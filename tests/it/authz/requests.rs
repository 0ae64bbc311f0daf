//! A good request for each RPC, about a place.

use bursar::pb;
use prost::Message;

use crate::support::world::MODEL;

/// What requests are about: one of each.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub organization: String,
    pub team: String,
    /// A user of both.
    pub user: String,
    /// Somebody else of both, or the same.
    pub leaver: String,
    /// The team that the user makes a key in, if in any.
    pub key_team: Option<String>,
    /// The hash of the user's key.
    pub key: String,
    /// An invitation of the user.
    pub invitation: String,
    /// A usage event of the key.
    pub event: String,
    /// Whether the caller asks for its own key.
    pub asks_for_itself: bool,
    /// A reservation of the caller, or of the key.
    pub reservation: String,
    /// An entry of the audit log about the team.
    pub audit: String,
    /// A registered model.
    pub model: String,
}

/// What the RPCs do to a place, so that they are called in an order in which
/// none spoils the next.
const LAST: [&str; 15] = [
    "Settle",
    "Release",
    "DeleteModels",
    "BlockKey",
    "UnblockKey",
    "BlockTeam",
    "UnblockTeam",
    "DeleteInvitation",
    "CreateInvitation",
    "DeleteKeys",
    "RemoveTeamMember",
    "RemoveOrganizationMember",
    "DeleteTeams",
    "DeleteUsers",
    "DeleteOrganizations",
];

/// When an RPC is called.
pub fn turn(rpc: &str) -> usize {
    LAST.iter().position(|last| rpc.ends_with(&format!("/{last}"))).map_or(0, |position| position + 1)
}

/// Asks for a small call.
pub fn authorize(place: &Place) -> pb::AuthorizeRequest {
    let key_hash = if place.asks_for_itself { String::new() } else { place.key.clone() };
    pb::AuthorizeRequest { key_hash, ..crate::gateway::ask(&uuid::Uuid::now_v7().to_string(), "0.001") }
}

/// The request of an RPC.
pub fn request(rpc: &str, place: &Place) -> Vec<u8> {
    let (service, rpc) = rpc.strip_prefix("bursar.v1.").unwrap().split_once("Service/").unwrap();
    if let "ListRoles" | "ListAvailableTeams" | "WatchChanges" | "VerifyAuditLog" = rpc {
        return Vec::new();
    }
    let place = place.clone();
    let found = match service {
        "User" => of_users(rpc, place),
        "Team" => of_teams(rpc, place),
        "Organization" => of_organizations(rpc, place),
        "Key" => of_keys(rpc, place),
        "Gateway" => of_gateway(rpc, place),
        "Budget" => of_budgets(rpc, place),
        "Customer" => of_customers(rpc),
        "Spend" => of_spend(rpc, place),
        "Model" => of_models(rpc, place),
        "Audit" => of_audit(rpc, place),
        "Webhook" => of_webhooks(rpc),
        _ => None,
    };
    found.unwrap_or_else(|| panic!("no request for {service}/{rpc}: every RPC has a place in the matrix"))
}

fn of_webhooks(rpc: &str) -> Option<Vec<u8>> {
    // Nothing waits, and nobody listens.
    let webhook = "nobody".to_owned();
    Some(match rpc {
        "ListWebhooks" => pb::ListWebhooksRequest {}.encode_to_vec(),
        "ListWebhookDeliveries" => pb::ListWebhookDeliveriesRequest::default().encode_to_vec(),
        "RetryWebhookDeliveries" => pb::RetryWebhookDeliveriesRequest { webhook, ..Default::default() }.encode_to_vec(),
        "TestWebhook" => pb::TestWebhookRequest { webhook }.encode_to_vec(),
        _ => return None,
    })
}

fn of_users(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { organization, user, .. } = place.clone();
    let new = || uuid::Uuid::now_v7().to_string();
    let update_user = || pb::UpdateUserRequest {
        user: Some(pb::User { user_id: user.clone(), user_alias: Some("alias".into()), ..Default::default() }),
        ..Default::default()
    };
    let (start_date, end_date) = days();
    let bytes = match rpc {
        "CreateUser" => pb::CreateUserRequest {
            user: Some(pb::User { user_id: new(), ..Default::default() }),
            organization_ids: vec![organization],
            ..Default::default()
        }
        .encode_to_vec(),
        "GetUser" => pb::GetUserRequest { user_id: user, ..Default::default() }.encode_to_vec(),
        "UpdateUser" => update_user().encode_to_vec(),
        "BatchUpdateUsers" => {
            pb::BatchUpdateUsersRequest { requests: vec![update_user()], ..Default::default() }.encode_to_vec()
        }
        "DeleteUsers" => pb::DeleteUsersRequest { user_ids: vec![user] }.encode_to_vec(),
        "ListUsers" => pb::ListUsersRequest { user_ids: vec![user], ..Default::default() }.encode_to_vec(),
        "GetUserDailyActivity" => {
            pb::GetUserDailyActivityRequest { user_ids: vec![user], start_date, end_date, ..Default::default() }
                .encode_to_vec()
        }
        "CreateInvitation" => pb::CreateInvitationRequest { user_id: user, ..Default::default() }.encode_to_vec(),
        "GetInvitation" => pb::GetInvitationRequest { invitation_id: place.invitation }.encode_to_vec(),
        "ListInvitations" => pb::ListInvitationsRequest { user_id: user, ..Default::default() }.encode_to_vec(),
        "DeleteInvitation" => pb::DeleteInvitationRequest { invitation_id: place.invitation }.encode_to_vec(),
        "AcceptInvitation" => {
            pb::AcceptInvitationRequest { token: "guessed".into(), password: "a long password".into() }.encode_to_vec()
        }
        "Login" => {
            pb::LoginRequest { user_email: "nobody@b.c".into(), password: "a long password".into() }.encode_to_vec()
        }
        _ => return None,
    };
    Some(bytes)
}

fn of_teams(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { organization, team, user, leaver, .. } = place.clone();
    let new = || uuid::Uuid::now_v7().to_string();
    let member = || pb::TeamMember { user_id: user.clone(), ..Default::default() };
    let models = || vec![MODEL.to_owned(), "gpt-4o-mini".to_owned()];
    let (start_date, end_date) = days();
    let bytes = match rpc {
        "CreateTeam" => pb::CreateTeamRequest {
            team: Some(pb::Team { team_id: new(), organization_id: Some(organization), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "GetTeam" => pb::GetTeamRequest { team_id: team, ..Default::default() }.encode_to_vec(),
        "UpdateTeam" => pb::UpdateTeamRequest {
            team: Some(pb::Team { team_id: team, team_alias: Some("alias".into()), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteTeams" => pb::DeleteTeamsRequest { team_ids: vec![team] }.encode_to_vec(),
        "ListTeams" => pb::ListTeamsRequest { team_ids: vec![team], ..Default::default() }.encode_to_vec(),
        "AddTeamMembers" => {
            pb::AddTeamMembersRequest { team_id: team, members: vec![member()], atomic: true, ..Default::default() }
                .encode_to_vec()
        }
        "UpdateTeamMember" => pb::UpdateTeamMemberRequest {
            team_id: team,
            member: Some(pb::TeamMember { max_budget_in_team: Some("1".into()), ..member() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "RemoveTeamMember" => {
            pb::RemoveTeamMemberRequest { team_id: team, user_id: leaver, ..Default::default() }.encode_to_vec()
        }
        "BlockTeam" => pb::BlockTeamRequest { team_id: team }.encode_to_vec(),
        "UnblockTeam" => pb::UnblockTeamRequest { team_id: team }.encode_to_vec(),
        "AddTeamModels" => pb::AddTeamModelsRequest { team_id: team, models: models() }.encode_to_vec(),
        "RemoveTeamModels" => {
            pb::RemoveTeamModelsRequest { team_id: team, models: models(), ..Default::default() }.encode_to_vec()
        }
        "GetTeamMemberPermissions" => pb::GetTeamMemberPermissionsRequest { team_id: team }.encode_to_vec(),
        "UpdateTeamMemberPermissions" => {
            pb::UpdateTeamMemberPermissionsRequest { team_id: team, append: true, ..Default::default() }.encode_to_vec()
        }
        "GetTeamDailyActivity" => {
            pb::GetTeamDailyActivityRequest { team_ids: vec![team], start_date, end_date, ..Default::default() }
                .encode_to_vec()
        }
        _ => return None,
    };
    Some(bytes)
}

fn of_organizations(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { organization, user, leaver, .. } = place.clone();
    let new = || uuid::Uuid::now_v7().to_string();
    let seat = || pb::OrganizationMember { user_id: user.clone(), ..Default::default() };
    let (start_date, end_date) = days();
    let bytes = match rpc {
        "CreateOrganization" => pb::CreateOrganizationRequest {
            organization: Some(pb::Organization { organization_alias: new(), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "GetOrganization" => {
            pb::GetOrganizationRequest { organization_id: organization, ..Default::default() }.encode_to_vec()
        }
        "UpdateOrganization" => pb::UpdateOrganizationRequest {
            organization: Some(pb::Organization {
                organization_id: organization,
                organization_alias: "alias".into(),
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteOrganizations" => {
            pb::DeleteOrganizationsRequest { organization_ids: vec![organization], ..Default::default() }
                .encode_to_vec()
        }
        "ListOrganizations" => {
            pb::ListOrganizationsRequest { organization_ids: vec![organization], ..Default::default() }.encode_to_vec()
        }
        "AddOrganizationMembers" => pb::AddOrganizationMembersRequest {
            organization_id: organization,
            members: vec![seat()],
            atomic: true,
            ..Default::default()
        }
        .encode_to_vec(),
        "UpdateOrganizationMember" => pb::UpdateOrganizationMemberRequest {
            organization_id: organization,
            member: Some(pb::OrganizationMember { max_budget_in_organization: Some("1".into()), ..seat() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "RemoveOrganizationMember" => {
            pb::RemoveOrganizationMemberRequest { organization_id: organization, user_id: leaver, ..Default::default() }
                .encode_to_vec()
        }
        "GetOrganizationDailyActivity" => pb::GetOrganizationDailyActivityRequest {
            organization_ids: vec![organization],
            start_date,
            end_date,
            ..Default::default()
        }
        .encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn of_keys(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { user, key, .. } = place.clone();
    let new = || uuid::Uuid::now_v7().to_string();
    let bytes = match rpc {
        "GenerateKey" => pb::GenerateKeyRequest {
            key: Some(pb::Key { user_id: Some(user), team_id: place.key_team, ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "GetKey" => pb::GetKeyRequest { key }.encode_to_vec(),
        "ListKeys" => pb::ListKeysRequest { key, include_team_keys: true, ..Default::default() }.encode_to_vec(),
        "BatchGetKeys" => pb::BatchGetKeysRequest { keys: vec![key], ..Default::default() }.encode_to_vec(),
        "ListKeyAliases" => pb::ListKeyAliasesRequest::default().encode_to_vec(),
        "BatchUpdateKeys" => pb::BatchUpdateKeysRequest {
            requests: vec![pb::UpdateKeyRequest {
                key: Some(pb::Key { key_hash: key, key_alias: Some(new()), ..Default::default() }),
                ..Default::default()
            }],
            ..Default::default()
        }
        .encode_to_vec(),
        // The former secret stays good: others call with it.
        "RegenerateKey" => {
            pb::RegenerateKeyRequest { key, grace_period: Some("1d".into()), ..Default::default() }.encode_to_vec()
        }
        "UpdateKey" => pb::UpdateKeyRequest {
            key: Some(pb::Key { key_hash: key, key_alias: Some(new()), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteKeys" => pb::DeleteKeysRequest { keys: vec![key], ..Default::default() }.encode_to_vec(),
        "BlockKey" => pb::BlockKeyRequest { key, ..Default::default() }.encode_to_vec(),
        "UnblockKey" => pb::UnblockKeyRequest { key }.encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn of_gateway(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let bytes = match rpc {
        "Authorize" => authorize(&place).encode_to_vec(),
        "Settle" => pb::SettleRequest {
            reservation_id: place.reservation,
            usage: Some(pb::UsageEvent { prompt_tokens: 1, ..Default::default() }),
        }
        .encode_to_vec(),
        "Release" => pb::ReleaseRequest { reservation_id: place.reservation }.encode_to_vec(),
        "Extend" => {
            let ttl = "1m".to_owned();
            pb::ExtendRequest { reservation_id: place.reservation, ttl, ..Default::default() }.encode_to_vec()
        }
        "ExplainDecision" => {
            let pb::AuthorizeRequest { key_hash, model, .. } = authorize(&place);
            pb::ExplainDecisionRequest { key_hash, model, ..Default::default() }.encode_to_vec()
        }
        "Session" => pb::SessionRequest::default().encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn of_budgets(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let key = place.key;
    let bytes = match rpc {
        "GetBudgetStatus" => {
            pb::GetBudgetStatusRequest { subject: Some(pb::get_budget_status_request::Subject::Key(key)) }
                .encode_to_vec()
        }
        "CreateBudget" => pb::CreateBudgetRequest::default().encode_to_vec(),
        "GetBudget" => pb::GetBudgetRequest { budget_id: "none".into() }.encode_to_vec(),
        "UpdateBudget" => {
            let budget = Some(pb::Budget { budget_id: "none".into(), ..Default::default() });
            pb::UpdateBudgetRequest { budget, update_mask: None }.encode_to_vec()
        }
        "DeleteBudgets" => pb::DeleteBudgetsRequest { budget_ids: vec!["none".into()], detach: true }.encode_to_vec(),
        "ListBudgets" => pb::ListBudgetsRequest::default().encode_to_vec(),
        "SetScopeBudget" => {
            let budget = Some(pb::Budget { max_budget: Some("1000000".into()), ..Default::default() });
            pb::SetScopeBudgetRequest { scope: pb::BudgetScope::Tag.into(), id: "authz".into(), budget }.encode_to_vec()
        }
        "ListBudgetWindows" => {
            let scope = pb::BudgetScope::Team.into();
            pb::ListBudgetWindowsRequest { scope, id: place.team, ..Default::default() }.encode_to_vec()
        }
        "SetBudgetMode" => {
            pb::SetBudgetModeRequest { scope: pb::BudgetScope::Tag.into(), id: "authz".into(), ..Default::default() }
                .encode_to_vec()
        }
        "ListBudgetModes" => pb::ListBudgetModesRequest::default().encode_to_vec(),
        "DeleteBudgetMode" => {
            pb::DeleteBudgetModeRequest { scope: pb::BudgetScope::Tag.into(), id: "authz".into() }.encode_to_vec()
        }
        "ListScopeBudgets" => pb::ListScopeBudgetsRequest::default().encode_to_vec(),
        "DeleteScopeBudget" => {
            pb::DeleteScopeBudgetRequest { scope: pb::BudgetScope::Tag.into(), id: "authz".into() }.encode_to_vec()
        }
        _ => return None,
    };
    Some(bytes)
}

/// Some days.
const TODAY: (&str, &str) = ("2025-06-01", "2025-06-02");

fn of_customers(rpc: &str) -> Option<Vec<u8>> {
    let customer_id = || uuid::Uuid::now_v7().to_string();
    let customer = || Some(pb::Customer { customer_id: customer_id(), ..Default::default() });
    let customer_ids = vec!["none".to_owned()];
    let bytes = match rpc {
        "CreateCustomer" => pb::CreateCustomerRequest { customer: customer(), ..Default::default() }.encode_to_vec(),
        "GetCustomer" => pb::GetCustomerRequest { customer_id: "none".into() }.encode_to_vec(),
        "UpdateCustomer" => pb::UpdateCustomerRequest { customer: customer(), ..Default::default() }.encode_to_vec(),
        "DeleteCustomers" => pb::DeleteCustomersRequest { customer_ids }.encode_to_vec(),
        "ListCustomers" => pb::ListCustomersRequest::default().encode_to_vec(),
        "BlockCustomers" => pb::BlockCustomersRequest { customer_ids: vec![customer_id()] }.encode_to_vec(),
        "UnblockCustomers" => pb::UnblockCustomersRequest { customer_ids }.encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn of_spend(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { key, .. } = place.clone();
    let event = || pb::UsageEvent {
        request_id: uuid::Uuid::now_v7().to_string(),
        key_hash: key.clone(),
        model: MODEL.into(),
        ..Default::default()
    };
    let bytes = match rpc {
        "RecordUsage" => pb::RecordUsageRequest { events: vec![event()], ..Default::default() }.encode_to_vec(),
        "StreamUsage" => {
            pb::StreamUsageRequest { sequence: 1, events: vec![event()], ..Default::default() }.encode_to_vec()
        }
        "ListUsage" => pb::ListUsageRequest { key, ..Default::default() }.encode_to_vec(),
        "ExportUsage" => {
            let filter = Some(pb::ListUsageRequest { key, ..Default::default() });
            pb::ExportUsageRequest { filter, ..Default::default() }.encode_to_vec()
        }
        "GetUsage" => pb::GetUsageRequest { request_id: place.event }.encode_to_vec(),
        "GetDailySpend" => pb::GetDailySpendRequest { key, ..Default::default() }.encode_to_vec(),
        "ListKeySpend" => pb::ListKeySpendRequest { key, ..Default::default() }.encode_to_vec(),
        "ListUserSpend" => pb::ListUserSpendRequest { user_id: place.user, ..Default::default() }.encode_to_vec(),
        "ListTeamSpend" => pb::ListTeamSpendRequest { team_id: place.team, ..Default::default() }.encode_to_vec(),
        "ListModelSpend" => pb::ListModelSpendRequest { key, ..Default::default() }.encode_to_vec(),
        "ListProviderSpend" => pb::ListProviderSpendRequest { key, ..Default::default() }.encode_to_vec(),
        "ListCustomerSpend" => {
            pb::ListCustomerSpendRequest { team_id: place.team, ..Default::default() }.encode_to_vec()
        }
        "ListTagSpend" => pb::ListTagSpendRequest { key, ..Default::default() }.encode_to_vec(),
        "ListCustomerNames" => pb::ListCustomerNamesRequest::default().encode_to_vec(),
        "ListTagNames" => pb::ListTagNamesRequest::default().encode_to_vec(),
        "GetActivity" => {
            let (start_date, end_date) = (TODAY.0.into(), TODAY.1.into());
            pb::GetActivityRequest { key, start_date, end_date, ..Default::default() }.encode_to_vec()
        }
        "GetModelActivity" => {
            let (start_date, end_date) = (TODAY.0.into(), TODAY.1.into());
            pb::GetModelActivityRequest { key, start_date, end_date, ..Default::default() }.encode_to_vec()
        }
        "GetErrorActivity" => {
            let (start_date, end_date) = (TODAY.0.into(), TODAY.1.into());
            pb::GetErrorActivityRequest { start_date, end_date, ..Default::default() }.encode_to_vec()
        }
        "GetSpendReport" => {
            let (start_date, end_date) = (TODAY.0.into(), TODAY.1.into());
            pb::GetSpendReportRequest { key, start_date, end_date, ..Default::default() }.encode_to_vec()
        }
        "AdjustSpend" => pb::AdjustSpendRequest {
            scope: pb::BudgetScope::Team.into(),
            id: place.team,
            amount: "0.5".into(),
            reason: "a test".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ResetSpend" => {
            let scope = pb::BudgetScope::Team.into();
            pb::ResetSpendRequest { scope, ids: vec![place.team], ..Default::default() }.encode_to_vec()
        }
        "RebuildRollups" => {
            let (start_date, end_date) = (TODAY.0.into(), TODAY.1.into());
            pb::RebuildRollupsRequest { start_date, end_date, ..Default::default() }.encode_to_vec()
        }
        "GetProviderBudgets" => pb::GetProviderBudgetsRequest {}.encode_to_vec(),
        "GetTotalSpend" => pb::GetTotalSpendRequest::default().encode_to_vec(),
        "CalculateCost" => {
            let usage = Some(pb::UsageEvent { prompt_tokens: 1, ..Default::default() });
            pb::CalculateCostRequest { model: MODEL.into(), usage, ..Default::default() }.encode_to_vec()
        }
        _ => return None,
    };
    Some(bytes)
}

fn of_models(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let named = |model_name: String| Some(pb::Model { model_name, ..Default::default() });
    let bytes = match rpc {
        "CreateModel" => {
            let model = named(uuid::Uuid::now_v7().to_string());
            pb::CreateModelRequest { model, ..Default::default() }.encode_to_vec()
        }
        "GetModel" => pb::GetModelRequest { model_name: place.model, ..Default::default() }.encode_to_vec(),
        "UpdateModel" => pb::UpdateModelRequest { model: named(place.model), ..Default::default() }.encode_to_vec(),
        "DeleteModels" => pb::DeleteModelsRequest { model_names: vec![place.model] }.encode_to_vec(),
        "ListModels" => pb::ListModelsRequest::default().encode_to_vec(),
        "ImportPrices" => pb::ImportPricesRequest { catalogue: "{}".into(), ..Default::default() }.encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn of_audit(rpc: &str, place: Place) -> Option<Vec<u8>> {
    let Place { team, .. } = place.clone();
    let bytes = match rpc {
        "ListAuditEntries" => {
            pb::ListAuditEntriesRequest { object_type: "team".into(), object_id: team, ..Default::default() }
                .encode_to_vec()
        }
        "GetAuditEntry" => pb::GetAuditEntryRequest { audit_id: place.audit }.encode_to_vec(),
        _ => return None,
    };
    Some(bytes)
}

fn days() -> (String, String) {
    ("2025-06-01".into(), "2025-06-05".into())
}
