//! Reasons: the machine-readable names of everything that can be refused.

use strum::{IntoStaticStr, VariantArray};

/// Why a request was refused, as `ErrorInfo.reason`. `error_reason.proto` says
/// what each one means and which metadata it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "error_reason.proto documents each, and a test keeps the two equal")]
pub enum Reason {
    // UNAUTHENTICATED
    CredentialMissing,
    CredentialMalformed,
    KeyUnknown,
    KeyExpired,
    TokenInvalid,
    TokenExpired,
    LoginFailed,
    InvitationNotUsable,
    // PERMISSION_DENIED
    KeyBlocked,
    TeamBlocked,
    UserDeactivated,
    RoleNotAllowed,
    RpcNotAllowedForKey,
    FieldNotAllowed,
    NotYourKey,
    NotYourUser,
    NotYourTeam,
    TeamPermissionMissing,
    AboveOwnBudget,
    BudgetRaiseNeedsAdmin,
    CustomKeysDisabled,
    GenerationNotAllowed,
    AdminRoleNeedsProxyAdmin,
    OnBehalfOfNotAllowed,
    PasswordWrong,
    NotYourOrganization,
    OrganizationBlocked,
    SelfJoinOnly,
    // INVALID_ARGUMENT
    FieldInvalid,
    MessageMalformed,
    MessageTooLarge,
    SoftBudgetNotBelowMax,
    TempBudgetIncomplete,
    DuplicateMember,
    UserIdEmailMismatch,
    UserReferenceMissing,
    CallerHasNoUser,
    CallerHasNoKey,
    KeyRequired,
    KeyMalformed,
    DurationInvalid,
    AboveUpperBound,
    RequiredParamMissing,
    ServiceAccountIdImmutable,
    PageTokenInvalid,
    RangeReversed,
    RangeTooLong,
    UsageRequired,
    PriceListMalformed,
    PriceImplausible,
    ClockSkew,
    TooOld,
    CostOutOfRange,
    // NOT_FOUND
    UserNotFound,
    TeamNotFound,
    MemberNotFound,
    KeyNotFound,
    UsageNotFound,
    ReservationNotFound,
    InvitationNotFound,
    AuditEntryNotFound,
    AccountNotFound,
    ScopeBudgetNotFound,
    BudgetNotFound,
    ModelNotFound,
    JobNotFound,
    OrganizationNotFound,
    // ALREADY_EXISTS
    UserIdExists,
    ModelExists,
    BudgetIdExists,
    UserEmailExists,
    TeamIdExists,
    MemberExists,
    KeyExists,
    KeyAliasExists,
    RequestIdReused,
    RequestIdConflict,
    OrganizationIdExists,
    // FAILED_PRECONDITION
    UserNotInTeam,
    TooManyFormerSecrets,
    BudgetInUse,
    NoRotationSink,
    ModelOutsideOwner,
    CannotDeleteSelf,
    LastProxyAdmin,
    LastTeamAdmin,
    CreatorLimitExceeded,
    LimitAboveTeam,
    ModelNotPriced,
    CallTypeNotPriced,
    PasswordExists,
    EmailNotDeliverable,
    CreditExceedsSpend,
    TimeZoneNeedsLogs,
    ReportNeedsLogs,
    NoPassword,
    OrgBudgetExceeded,
    OrgModelNotAllowed,
    OrgTpmExceeded,
    OrgRpmExceeded,
    OrgThroughputOverallocated,
    MoveModels,
    MoveBudget,
    MoveMembers,
    MoveTpm,
    MoveRpm,
    MemberNotInOrganization,
    UserNotInOrganization,
    LastOrgAdmin,
    ViewerCannotAdminister,
    MemberBudgetExceedsOrg,
    OrganizationNotEmpty,
    WouldAllowAllModels,
    // ABORTED
    EtagStale,
    TooManyWriters,
    // RESOURCE_EXHAUSTED
    TooManyRequests,
    TooManyFailures,
    // DEADLINE_EXCEEDED
    DeadlineExceeded,
    // UNAVAILABLE
    StoreUnavailable,
    ShuttingDown,
    // INTERNAL
    InternalError,
}

impl Reason {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
