//! Model calls with a token: judged as its user and team, and paid by them.

use bursar::pb;
use pb::BudgetScope as Scope;
use pb::DenyReason::{
    BudgetExceeded, CallNotAllowed, KeyExpired, KeyUnknown, ModelNotAllowed, TeamBlocked, UserDeactivated,
    UserNotInTeam,
};
use pb::ErrorReason::{AliasAmbiguous, KeyRequired, NoTeamForModel, NotYourKey, ReservationNotFound, TeamUnknown};
use serde_json::{Value, json};
use tonic::Code;

use super::{holder, knock_with, user, world_of};
use crate::gateway::{ask, authorize, denial, settle};
use crate::support::issuer::{IdentityProvider, Mood};
use crate::support::world::MODEL;
use crate::support::{Answer, Backend, Client, World, on_both};

const TEAMS: &str = "claims = { user_id = \"sub\", team_ids = \"groups\", team_id = \"team\", organization_id = \"org\", \
                     customer_id = \"customer\", scopes = \"scope\" }";

async fn team(world: &World, id: &str, models: &[&str], members: &[&str]) {
    let models = models.iter().map(ToString::to_string).collect();
    world.team(pb::Team { team_id: id.into(), models, max_budget: Some("1".into()), ..Default::default() }).await;
    let member = |id: &&str| pb::TeamMember { user_id: (*id).into(), ..Default::default() };
    let members = members.iter().map(member).collect();
    let request = pb::AddTeamMembersRequest { team_id: id.into(), members, ..Default::default() };
    world.admin.teams().add_team_members(request).await.answer();
}

/// What a sidecar asks for a client with a token with these claims.
fn with(issuer: &IdentityProvider, id: &str, claims: &Value) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { key: issuer.token(claims), ..ask(id, "0.5") }
}

async fn spent(client: &Client, user_id: &str) -> String {
    let request = pb::GetUserRequest { user_id: user_id.into(), ..Default::default() };
    client.users().get_user(request).await.answer().user.unwrap().lifetime_spend
}

on_both! {
    async fn a_sidecar_asks_with_a_clients_token(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, TEAMS).await;
        world.user(pb::User { max_budget: Some("1".into()), ..user("alice") }).await;
        let sidecar = world.sidecar().await;
        let claims = json!({ "sub": "alice", "customer": "acme" });
        let answer = authorize(&sidecar, with(&issuer, "a", &claims)).await;
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        let identity = answer.identity.unwrap();
        assert_eq!((identity.user_id.as_str(), identity.customer_id.as_str()), ("alice", "acme"));
        assert!(identity.key_hash.is_empty() && identity.key_id.is_empty());
        assert_eq!(answer.budgets.iter().map(pb::BudgetStatus::scope).collect::<Vec<_>>(), [Scope::User]);
        // With another token, it is the same user: half of its budget is taken.
        let second = json!({ "sub": "alice", "jti": 2 });
        assert_eq!(authorize(&sidecar, with(&issuer, "b", &second)).await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "c", &claims)).await), (BudgetExceeded, Scope::User));
        let settled = settle(&sidecar, &answer.reservation_id, 1_000).await;
        assert_eq!((settled.cost.as_str(), settled.late), ("0.0025", false));
        assert_eq!(settled.budgets[0].spend, "0.0025");
        assert_eq!(spent(&world.admin, "alice").await, "0.0025");
        let events = world.admin.spend().list_usage(pb::ListUsageRequest { user_id: "alice".into(), ..Default::default() }).await.answer().events;
        assert_eq!((events.len(), events[0].key_hash.as_str()), (1, ""));
        // Told twice, it counts once.
        settle(&sidecar, &answer.reservation_id, 1_000).await;
        assert_eq!(spent(&world.admin, "alice").await, "0.0025");
    }

    async fn teams_and_organizations_may_be_named_by_their_aliases(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, "claims = { user_id = \"sub\", team_alias = \"team\", organization_alias = \"org\" }").await;
        world.user(user("alice")).await;
        let named = |id: &str, alias: &str| pb::Team { team_id: id.into(), team_alias: Some(alias.into()), ..Default::default() };
        world.team(named("t1", "Research")).await;
        world.team(named("t2", "Twins")).await;
        world.team(named("t3", "Twins")).await;
        world.organization(pb::Organization { organization_id: "acme".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.admin.teams().add_team_members(pb::AddTeamMembersRequest { team_id: "t1".into(), members, ..Default::default() }).await.answer();
        let sidecar = world.sidecar().await;
        let good = authorize(&sidecar, with(&issuer, "a", &json!({ "sub": "alice", "team": "Research" }))).await;
        assert_eq!(good.identity.unwrap().team_id, "t1", "{}", good.message);
        let placed = authorize(&sidecar, with(&issuer, "b", &json!({ "sub": "alice", "org": "acme" }))).await;
        assert_eq!(placed.identity.unwrap().organization_id, "acme", "{}", placed.message);
        let knock = async |team: &str| knock_with(&world, &issuer, &json!({ "sub": "alice", "team": team })).await;
        knock("Twins").await.refused(Code::FailedPrecondition, AliasAmbiguous);
        knock("Nobody").await.refused(Code::PermissionDenied, TeamUnknown);
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "c", &json!({ "sub": "alice", "team": "Twins" }))).await).0, CallNotAllowed);
        // An alias that has changed hands stands for who has it now, within a minute.
        let token = json!({ "sub": "alice", "team": "Research", "jti": 1 });
        assert_eq!(authorize(&sidecar, with(&issuer, "d", &token)).await.identity.unwrap().team_id, "t1");
        let rename = |id: &str, alias: &str| pb::UpdateTeamRequest { team: Some(named(id, alias)), ..Default::default() };
        world.admin.teams().update_team(rename("t1", "Former")).await.answer();
        world.admin.teams().update_team(rename("t2", "Research")).await.answer();
        world.hands().advance(61);
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "e", &token)).await).0, UserNotInTeam);
    }

    async fn what_is_wrong_with_a_clients_token_is_a_denial(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = format!("{TEAMS}, leeway = \"0\", require_team = true");
        let world = world_of(backend, &issuer, &more).await;
        world.user(user("alice")).await;
        world.user(user("bob")).await;
        team(&world, "t", &[], &["alice"]).await;
        team(&world, "narrow", &["another-model"], &["alice"]).await;
        let sidecar = world.sidecar().await;
        let noon = crate::support::issuer::NOON;
        for (claims, reason) in [
            (json!({ "sub": "alice", "team": "t", "aud": "x" }), KeyUnknown),
            (json!({ "sub": "alice", "team": "t", "iss": "x" }), KeyUnknown),
            (json!({ "sub": "alice", "team": "t", "exp": noon }), KeyExpired),
            (json!({ "sub": "nobody", "team": "t" }), CallNotAllowed),
            (json!({ "sub": "alice", "team": "nowhere" }), CallNotAllowed),
            (json!({ "sub": "alice", "team": "t", "org": "nowhere" }), CallNotAllowed),
            (json!({ "sub": "bob", "team": "t" }), UserNotInTeam),
            (json!({ "sub": "alice", "groups": ["narrow"] }), ModelNotAllowed),
            (json!({ "sub": "alice" }), ModelNotAllowed),
        ] {
            let answer = authorize(&sidecar, with(&issuer, "a", &claims)).await;
            assert_eq!(denial(&answer).0, reason, "{claims}: {}", answer.message);
        }
        let good = json!({ "sub": "alice", "team": "t" });
        let change = |blocked| pb::User { user_id: "alice".into(), blocked: Some(blocked), ..Default::default() };
        crate::users::sessions::change(&world.admin, change(true)).await.answer();
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "a", &good)).await).0, UserDeactivated);
        crate::users::sessions::change(&world.admin, change(false)).await.answer();
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "t".into(), ..Default::default() }).await.answer();
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "a", &good)).await).0, TeamBlocked);
        // No answer is no denial.
        issuer.be(Mood::Failing);
        world.hands().advance(3_600);
        let status = sidecar.gateway().authorize(with(&issuer, "a", &good)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }

    async fn the_team_is_the_one_that_may_call_the_model(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, &format!("{TEAMS}, default_team_id = \"default\"")).await;
        world.user(user("alice")).await;
        for (id, models) in [("narrow", &["x"][..]), ("first", &[MODEL]), ("second", &[]), ("default", &[])] {
            team(&world, id, models, &["alice"]).await;
        }
        let sidecar = world.sidecar().await;
        let groups = json!(["gone", "narrow", "first", "second"]);
        for (header, claims, expected) in [
            (None, json!({ "groups": groups }), "first"),
            (None, json!({ "groups": groups, "team": "second" }), "second"),
            (None, json!({ "groups": ["narrow"] }), "default"),
            (None, json!({}), "default"),
            (Some("second"), json!({ "groups": groups }), "second"),
            // A token that names no team leaves the choice among its user's.
            (Some("first"), json!({}), "first"),
        ] {
            let mut claims = claims;
            claims["sub"] = json!("alice");
            let client = header.map_or_else(|| sidecar.clone(), |team| sidecar.with_header("bursar-team-id", team));
            let answer = authorize(&client, pb::AuthorizeRequest { reserve: false, ..with(&issuer, "", &claims) }).await;
            assert_eq!(answer.decision(), pb::Decision::Allow, "{claims}: {}", answer.message);
            assert_eq!(answer.identity.unwrap().team_id, expected, "{header:?} {claims}");
        }
        let named = json!({ "sub": "alice", "groups": ["first"] });
        let outside = sidecar.with_header("bursar-team-id", "second");
        assert_eq!(denial(&authorize(&outside, with(&issuer, "a", &named)).await).0, CallNotAllowed);
    }

    async fn scopes_narrow_the_models(backend: Backend) {
        let issuer = IdentityProvider::start();
        let more = format!("{TEAMS}, scope_mappings = [{{ scope = \"small\", models = [\"gpt-4o-mini\"] }}]");
        let world = world_of(backend, &issuer, &more).await;
        world.user(user("alice")).await;
        let sidecar = world.sidecar().await;
        let small = json!({ "sub": "alice", "scope": "small" });
        assert_eq!(denial(&authorize(&sidecar, with(&issuer, "a", &small)).await), (ModelNotAllowed, Scope::Key));
        let mini = pb::AuthorizeRequest { model: "gpt-4o-mini".into(), ..with(&issuer, "b", &small) };
        assert_eq!(authorize(&sidecar, mini).await.decision(), pb::Decision::Allow);
        let none = pb::AuthorizeRequest { model: "gpt-4o-mini".into(), ..with(&issuer, "c", &json!({ "sub": "alice" })) };
        assert_eq!(denial(&authorize(&sidecar, none).await).0, ModelNotAllowed);
    }

    async fn somebody_asks_for_itself_with_its_token(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, &format!("{TEAMS}, admin_scope = \"admin\"")).await;
        for id in ["alice", "bob"] {
            world.user(user(id)).await;
        }
        let (alice, bob) = (holder(&world, &issuer, "alice"), holder(&world, &issuer, "bob"));
        let reserved = authorize(&alice, ask("a", "0.5")).await;
        assert_eq!(reserved.decision(), pb::Decision::Allow, "{}", reserved.message);
        let release = pb::ReleaseRequest { reservation_id: reserved.reservation_id.clone() };
        bob.gateway().release(release).await.refused(Code::NotFound, ReservationNotFound);
        // The next token of the same user settles it.
        let again = world.with_key(&issuer.token(&json!({ "sub": "alice", "jti": 2 })));
        assert_eq!(settle(&again, &reserved.reservation_id, 1_000).await.cost, "0.0025");
        let (secret, _) = world.key(pb::Key::default()).await;
        let others = pb::AuthorizeRequest { key: secret, ..ask("b", "0.5") };
        alice.gateway().authorize(others).await.refused(Code::PermissionDenied, NotYourKey);
        let own = with(&issuer, "c", &json!({ "sub": "bob" }));
        alice.gateway().authorize(own).await.refused(Code::PermissionDenied, NotYourKey);
        let robot = world.with_key(&issuer.token(&json!({ "sub": "robot", "scope": "admin" })));
        robot.gateway().authorize(ask("d", "0.5")).await.refused(Code::InvalidArgument, KeyRequired);
        let for_robot = with(&issuer, "e", &json!({ "sub": "robot", "scope": "admin" }));
        assert_eq!(denial(&authorize(&world.sidecar().await, for_robot).await).0, CallNotAllowed);
    }

    async fn a_team_is_needed_where_the_issuer_says_so(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, &format!("{TEAMS}, require_team = true")).await;
        world.user(user("alice")).await;
        holder(&world, &issuer, "alice").gateway().authorize(ask("a", "0.5")).await.refused(Code::PermissionDenied, NoTeamForModel);
    }

    async fn a_reservation_outlives_the_server_that_gave_it(backend: Backend) {
        let issuer = IdentityProvider::start();
        let world = world_of(backend, &issuer, TEAMS).await;
        world.organization(pb::Organization { organization_id: "o".into(), max_budget: Some("1".into()), ..Default::default() }).await;
        world.user(pb::User { max_budget: Some("1".into()), ..user("alice") }).await;
        let sidecar = world.sidecar().await;
        let claims = json!({ "sub": "alice", "org": "o" });
        let first = authorize(&sidecar, with(&issuer, "a", &claims)).await;
        let second = authorize(&sidecar, with(&issuer, "b", &claims)).await;
        assert_eq!(first.identity.unwrap().organization_id, "o");
        let setting = issuer.setting(TEAMS);
        let database = world.stop().await;
        let world = World::builder(backend).at(crate::support::issuer::AT_NOON).set("jwt", &setting).start_on(database).await;
        let key = pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() };
        let other = world.with_key(&world.key(key).await.0);
        let release = pb::ReleaseRequest { reservation_id: second.reservation_id.clone() };
        other.gateway().release(release.clone()).await.refused(Code::NotFound, ReservationNotFound);
        // As the admin, who settles for all.
        assert!(world.admin.gateway().release(release).await.answer().released);
        assert_eq!(settle(&world.admin, &first.reservation_id, 1_000).await.cost, "0.0025");
        assert_eq!(spent(&world.admin, "alice").await, "0.0025");
        let request = pb::GetOrganizationRequest { organization_id: "o".into(), ..Default::default() };
        let organization = world.admin.organizations().get_organization(request).await.answer().organization.unwrap();
        assert_eq!(organization.spend.as_deref(), Some("0.0025"));
        // All of the room is back.
        let whole = pb::AuthorizeRequest { estimated_cost: Some("0.99".into()), ..with(&issuer, "c", &claims) };
        assert_eq!(authorize(&world.admin, whole).await.decision(), pb::Decision::Allow);
    }
}
