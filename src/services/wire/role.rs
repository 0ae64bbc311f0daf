//! Enums of the wire and of the domain, side by side.

use super::faults::Faults;
use crate::domain::alert::AlertKind;
use crate::domain::audit::Action;
use crate::domain::invitation::InvitationState;
use crate::domain::key::{KeyState, KeyType};
use crate::domain::role::{MemberPermission, OrganizationRole, Role, TeamRole};
use crate::domain::throughput::ThroughputType;
use crate::domain::webhook::EventType;
use crate::pb;

/// Pairs of equal values; `None` stands for a value that clients may not send.
macro_rules! pairs {
    ($to:ident, $from:ident, $domain:ty, $wire:ty, { $($left:ident = $right:ident),* $(,)? }) => {
        /// The value on the wire.
        pub(crate) const fn $to(value: $domain) -> $wire {
            match value { $(<$domain>::$left => <$wire>::$right),* }
        }

        /// Takes a value; the first of the enum is absent.
        pub(crate) fn $from(field: &str, number: i32, faults: &mut Faults) -> Option<$domain> {
            match <$wire>::try_from(number) {
                $(Ok(<$wire>::$right) => Some(<$domain>::$left),)*
                Ok(_) => None,
                Err(_) => {
                    faults.add(field, format!("has no value {number}"));
                    None
                }
            }
        }
    };
}

pairs!(role_to_wire, role_from_wire, Role, pb::Role, {
    ProxyAdmin = ProxyAdmin,
    ProxyAdminViewer = ProxyAdminViewer,
    InternalUser = InternalUser,
    InternalUserViewer = InternalUserViewer,
});

pairs!(team_role_to_wire, team_role_from_wire, TeamRole, pb::TeamRole, {
    Admin = Admin,
    User = User,
});

pairs!(organization_role_to_wire, organization_role_from_wire, OrganizationRole, pb::OrganizationRole, {
    Admin = Admin,
    InternalUser = InternalUser,
    InternalUserViewer = InternalUserViewer,
});

pairs!(limit_type_to_wire, limit_type_from_wire, ThroughputType, pb::LimitType, {
    Guaranteed = GuaranteedThroughput,
    BestEffort = BestEffortThroughput,
    Dynamic = Dynamic,
});

pairs!(invitation_state_to_wire, invitation_state_from_wire, InvitationState, pb::InvitationState, {
    Open = Open,
    Accepted = Accepted,
    Expired = Expired,
});

pairs!(key_type_to_wire, key_type_from_wire, KeyType, pb::KeyType, {
    Default = Default,
    LlmApi = LlmApi,
    Management = Management,
    ReadOnly = ReadOnly,
    Gateway = Gateway,
});

pairs!(key_state_to_wire, key_state_from_wire, KeyState, pb::KeyState, {
    Active = Active,
    Blocked = Blocked,
    Expired = Expired,
    Deleted = Deleted,
});

pairs!(permission_to_wire, permission_from_wire, MemberPermission, pb::TeamMemberPermission, {
    KeyInfo = KeyInfo,
    KeyHealth = KeyHealth,
    KeyList = KeyList,
    KeyGenerate = KeyGenerate,
    KeyGenerateServiceAccount = KeyGenerateServiceAccount,
    KeyUpdate = KeyUpdate,
    KeyDelete = KeyDelete,
    KeyBlock = KeyBlock,
    KeyUnblock = KeyUnblock,
    KeyRegenerate = KeyRegenerate,
    KeyResetSpend = KeyResetSpend,
    TeamDailyActivity = TeamDailyActivity,
    SpendLogs = SpendLogs,
});

pairs!(action_to_wire, action_from_wire, Action, pb::AuditAction, {
    Create = Create,
    Update = Update,
    Delete = Delete,
    Block = Block,
    Unblock = Unblock,
    AddMember = AddMember,
    UpdateMember = UpdateMember,
    RemoveMember = RemoveMember,
    Accept = Accept,
    Reset = Reset,
    Rotate = Rotate,
    Import = Import,
    BudgetAlert = BudgetAlert,
});

/// The kind of an alert on the wire.
pub(crate) const fn alert_kind_to_wire(kind: AlertKind) -> pb::BudgetAlertKind {
    match kind {
        AlertKind::SoftBudgetCrossed => pb::BudgetAlertKind::SoftBudgetCrossed,
        AlertKind::ThresholdCrossed => pb::BudgetAlertKind::ThresholdCrossed,
        AlertKind::BudgetCrossed => pb::BudgetAlertKind::BudgetCrossed,
        AlertKind::SpendUnpriced => pb::BudgetAlertKind::SpendUnpriced,
    }
}

/// The type of an event on the wire.
pub(crate) const fn event_type_to_wire(event: EventType) -> pb::WebhookEventType {
    match event {
        EventType::SoftBudgetCrossed => pb::WebhookEventType::SoftBudgetCrossed,
        EventType::ThresholdCrossed => pb::WebhookEventType::ThresholdCrossed,
        EventType::BudgetCrossed => pb::WebhookEventType::BudgetCrossed,
        EventType::SpendUnpriced => pb::WebhookEventType::SpendUnpriced,
        EventType::Test => pb::WebhookEventType::Test,
    }
}
