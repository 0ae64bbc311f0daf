//! `BatchUpdateUsers`: many users, each by the rules of `UpdateUser`.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::role::role_from_wire;
use crate::services::wire::status;

use super::update::update_user;

/// The most changes of one request.
const REQUESTS_MAX: usize = 500;

/// How many users are read at a time when all are changed.
const BATCH: u64 = 500;

/// How many failures are told when all users are changed.
const FAILURES_TOLD: usize = 1_000;

/// Changes users.
pub(super) async fn batch_update_users(
    ctx: Ctx,
    request: pb::BatchUpdateUsersRequest,
) -> Result<pb::BatchUpdateUsersResponse, Error> {
    check(&request)?;
    if request.all_users {
        if !ctx.scope.is_all() {
            let message = "only a proxy admin may change all users";
            return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "all_users").into());
        }
        return Box::pin(update_all(ctx, request.update.unwrap_or_default())).await;
    }
    let mut answer = pb::BatchUpdateUsersResponse::default();
    for one in request.requests {
        let result = update_one(&ctx, one).await;
        count(&mut answer, &result);
        answer.results.push(result);
    }
    Ok(answer)
}

fn check(request: &pb::BatchUpdateUsersRequest) -> Result<(), Error> {
    let mut faults = Faults::default();
    let wants_some = !request.requests.is_empty();
    if wants_some == request.all_users || request.requests.len() > REQUESTS_MAX {
        faults.add("requests", format!("must have 1-{REQUESTS_MAX} entries, or all_users must be set, not both"));
    }
    if request.update.is_some() != request.all_users {
        faults.add("update", "must be set with all_users, and only then");
    }
    if let Some(update) = &request.update {
        check_update_of_all(update, &mut faults);
    }
    faults.finish()
}

/// What can't be the same for every user, and what must not be given to all.
fn check_update_of_all(update: &pb::UpdateUserRequest, faults: &mut Faults) {
    let nobody = pb::User::default();
    let user = update.user.as_ref().unwrap_or(&nobody);
    let gives_rights = role_from_wire("update.user.user_role", user.user_role, faults).is_some_and(Role::is_admin);
    let masked = |path: &str| update.update_mask.iter().any(|mask| mask.paths.iter().any(|named| named == path));
    for (field, is_set) in [
        ("update.user.user_id", !user.user_id.is_empty()),
        ("update.user.user_email", user.user_email.is_some() || masked("user_email")),
        ("update.user.etag", !user.etag.is_empty()),
        ("update.user.spend", user.spend.is_some() || masked("spend")),
        ("update.user.user_role", gives_rights),
        ("update.password", update.password.is_some() || masked("password")),
        ("update.allow_missing", update.allow_missing),
    ] {
        if is_set {
            faults.add(field, "can't be set for all users");
        }
    }
}

async fn update_all(ctx: Ctx, update: pb::UpdateUserRequest) -> Result<pb::BatchUpdateUsersResponse, Error> {
    let mut answer = pb::BatchUpdateUsersResponse::default();
    let mut last = None;
    loop {
        let users = ctx.app.store.view().users_after(last.as_ref(), BATCH).await?;
        let Some(end) = users.last() else { return Ok(answer) };
        last = Some(end.user_id.clone());
        for user in users {
            let of_user = pb::User { user_id: user.user_id.to_string(), ..update.user.clone().unwrap_or_default() };
            let result = update_one(&ctx, pb::UpdateUserRequest { user: Some(of_user), ..update.clone() }).await;
            count(&mut answer, &result);
            if result.error.is_some() && answer.results.len() < FAILURES_TOLD {
                answer.results.push(result);
            }
        }
    }
}

/// Changes one user. Whatever fails is its own result: others before it are
/// changed already.
async fn update_one(ctx: &Ctx, request: pb::UpdateUserRequest) -> pb::UserResult {
    let named = request.user.clone().unwrap_or_default();
    let meant = pb::UserResult {
        user_id: named.user_id,
        user_email: named.user_email.unwrap_or_default(),
        ..pb::UserResult::default()
    };
    match update_user(ctx.clone(), request).await {
        Ok(updated) => pb::UserResult { user: updated.user, ..meant },
        Err(error) => {
            ctx.log(&error);
            pb::UserResult { error: Some(status::of(&error)), ..meant }
        }
    }
}

fn count(answer: &mut pb::BatchUpdateUsersResponse, result: &pb::UserResult) {
    answer.total_count += 1;
    answer.success_count += i64::from(result.error.is_none());
    answer.failed_count += i64::from(result.error.is_some());
}
