//! `GetTeam`: a team with its members and keys.

use std::collections::HashMap;

use crate::domain::account::AccountId;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::money::Usd;
use crate::domain::role::MemberPermission;
use crate::domain::team::{Member, Team};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, visible_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, List, newest_first, token};
use crate::services::wire::{key, team, text};
use crate::store::{Cursor, CursorKey, KeyFilter, KeyScope, Page, PageRequest, StoredKey, sortable};

/// How many members and keys are shown with a team.
const SHOWN: u64 = 100;

/// Reads a team.
pub(super) async fn get_team(ctx: Ctx, request: pb::GetTeamRequest) -> Result<pb::GetTeamResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    let view = pb::TeamView::try_from(request.view);
    if view.is_err() {
        faults.add("view", format!("has no value {}", request.view));
    }
    let members_list = List::new(&ctx, &pb::GetTeamRequest { members_page_token: String::new(), ..request.clone() });
    let after = page::after("members_page_token", &request.members_page_token, &members_list, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("a team id vanished"))?;
    let (found, standing) = visible_team(&ctx, ctx.app.store.view(), &id).await?;
    let shown = stored_team(&ctx, &id).await?;
    if view == Ok(pb::TeamView::Basic) {
        return Ok(pb::GetTeamResponse { team: Some(shown), ..pb::GetTeamResponse::default() });
    }
    let members = members(&ctx, &found, &standing, after).await?;
    let keys = keys(&ctx, &id, &standing).await?;
    let calendar = &ctx.app.rules.calendar;
    let keys_list = List::of_rpc(
        &ctx,
        "bursar.v1.KeyService/ListKeys",
        &pb::ListKeysRequest { team_id: id.to_string(), ..pb::ListKeysRequest::default() },
    );
    Ok(pb::GetTeamResponse {
        team: Some(pb::Team { members: members.items, ..shown }),
        keys: keys.items.iter().map(|stored| key::to_wire(stored, calendar, ctx.now)).collect(),
        members_next_page_token: token(&members_list, members.next),
        keys_next_page_token: token(&keys_list, keys.next),
    })
}

/// A team as it is stored now, without its members.
pub(super) async fn stored_team(ctx: &Ctx, id: &TeamId) -> Result<pb::Team, Error> {
    use crate::domain::fault::Refusal;
    use crate::domain::reason::Reason;
    let stored = ctx.app.store.view().find_stored_team(id, ctx.now).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found(Reason::TeamNotFound, "team", [id]))?;
    Ok(team::to_wire(&stored, &ctx.app.rules.calendar, ctx.now))
}

async fn members(
    ctx: &Ctx,
    team: &Team,
    standing: &TeamStanding,
    after: Option<Cursor>,
) -> Result<Page<pb::TeamMember>, Error> {
    let view = ctx.app.store.view();
    let after = after.map(|cursor| UserId::stored(cursor.id));
    let mut members = view.members_after(&team.team_id, after.as_ref(), SHOWN + 1).await?;
    let more = members.len() > usize::try_from(SHOWN).unwrap_or(usize::MAX);
    members.truncate(usize::try_from(SHOWN).unwrap_or(usize::MAX));
    let next = members.last().filter(|_| more);
    let next = next.map(|last| Cursor { key: CursorKey::Null, id: last.user_id.to_string() });
    let spent = member_spend(ctx, team, &members).await?;
    // A plain member sees what itself spent, not what others did.
    let sees_all = standing.manages() || *standing == TeamStanding::Viewer;
    let items = members
        .iter()
        .map(|member| {
            let spent = spent.get(&member.user_id).copied().unwrap_or_default();
            let shown = team::member_to_wire(member, team, spent, &ctx.app.rules.calendar, ctx.now);
            let hides = !sees_all && !ctx.caller.is_user(&member.user_id);
            if hides { pb::TeamMember { spend: String::new(), ..shown } } else { shown }
        })
        .collect();
    Ok(Page { items, next, total: None })
}

/// What members spent in their current windows.
pub(super) async fn member_spend(ctx: &Ctx, team: &Team, members: &[Member]) -> Result<HashMap<UserId, Usd>, Error> {
    let calendar = &ctx.app.rules.calendar;
    let windows: HashMap<_, _> = members
        .iter()
        .map(|member| {
            let (budget, _) = team::effective(member, team);
            let account = AccountId::team_member(&team.team_id, &member.user_id);
            ((account, budget.window(calendar, ctx.now).start), member.user_id.clone())
        })
        .collect();
    let keys: Vec<_> = windows.keys().cloned().collect();
    let balances = ctx.app.store.view().balances(&keys).await?;
    Ok(balances.into_iter().filter_map(|(key, balance)| Some((windows.get(&key)?.clone(), balance.spent))).collect())
}

/// The team's keys that the caller may list.
async fn keys(ctx: &Ctx, id: &TeamId, standing: &TeamStanding) -> Result<Page<StoredKey>, Error> {
    let sees_all = standing.may(MemberPermission::KeyList) || *standing == TeamStanding::Viewer;
    let visible_to = match (sees_all, ctx.caller.user_id(), ctx.caller.key_id()) {
        (true, ..) => KeyScope::All,
        (false, Some(user), _) => KeyScope::OfUser(user.clone()),
        (false, None, Some(key)) => KeyScope::Only(key),
        (false, None, None) => return Ok(Page { items: Vec::new(), next: None, total: None }),
    };
    let filter = KeyFilter { team_id: Some(id.clone()), visible_to, ..KeyFilter::default() };
    let page = PageRequest { size: SHOWN, after: None, count: false };
    Ok(ctx.app.store.view().list_keys(&filter, newest_first(&sortable::KEYS), &page, ctx.now).await?)
}
