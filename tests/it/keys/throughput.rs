//! What a team, and its organization, guarantee to keys.

use bursar::pb;
use pb::{ErrorReason, LimitType, Role, TeamRole};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::generate;
use crate::gateway::{ask, authorize, denial, reserve};
use crate::organizations::acme;
use crate::spend::{event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

fn guaranteed(team: &str, tpm: i64) -> pb::Key {
    pb::Key {
        team_id: Some(team.into()),
        tpm_limit: Some(tpm),
        tpm_limit_type: LimitType::GuaranteedThroughput.into(),
        ..Default::default()
    }
}

async fn make(client: &Client, key: pb::Key) -> Result<tonic::Response<pb::Key>, Status> {
    client.keys().generate_key(generate(key)).await.map(|answer| answer.map(|made| made.key.unwrap()))
}

async fn update(client: &Client, key: pb::Key) -> Result<tonic::Response<pb::Key>, Status> {
    let request = pb::UpdateKeyRequest { key: Some(key), ..Default::default() };
    client.keys().update_key(request).await.map(|answer| answer.map(|changed| changed.key.unwrap()))
}

fn red(tpm: i64) -> pb::Team {
    pb::Team { team_id: "red".into(), tpm_limit: Some(tpm), ..Default::default() }
}

/// What a refusal tells under a name.
fn told(refusal: &Status, name: &str) -> String {
    refusal.get_error_details().error_info().unwrap().metadata[name].clone()
}

const OVER: ErrorReason = ErrorReason::ThroughputOverallocated;

on_both! {
    async fn what_a_team_guarantees_adds_up_to_what_it_has(world: World) {
        world.team(red(1_000)).await;
        let first = make(&world.admin, guaranteed("red", 600)).await.answer();
        assert_eq!(first.tpm_limit_type(), LimitType::GuaranteedThroughput);
        let refused = make(&world.admin, guaranteed("red", 401)).await.refused(Code::FailedPrecondition, OVER);
        let told = ["allocated", "limit", "team_id", "dimension"].map(|name| told(&refused, name));
        assert_eq!(told, ["600", "1000", "red", "tpm_limit"]);
        // Best effort promises nothing, and is counted where something is promised.
        let plain = pb::Key { tpm_limit: Some(900), team_id: Some("red".into()), ..Default::default() };
        let plain = make(&world.admin, plain).await.answer();
        make(&world.admin, guaranteed("red", 1)).await.refused(Code::FailedPrecondition, OVER);
        update(&world.admin, pb::Key { key_hash: plain.key_hash.clone(), tpm_limit: Some(400), ..Default::default() }).await.answer();
        let promise = pb::Key { key_hash: plain.key_hash.clone(), tpm_limit_type: LimitType::GuaranteedThroughput.into(), ..Default::default() };
        update(&world.admin, promise).await.answer();
        // A key's own share is no obstacle to it; another's is.
        let set = |key: &pb::Key, tpm| pb::Key { key_hash: key.key_hash.clone(), tpm_limit: Some(tpm), ..Default::default() };
        update(&world.admin, set(&first, 600)).await.answer();
        update(&world.admin, set(&first, 601)).await.refused(Code::FailedPrecondition, OVER);
        update(&world.admin, set(&first, 500)).await.answer();
        update(&world.admin, set(&plain, 500)).await.answer();
        // The team keeps what it promised.
        let shrink = |tpm| pb::UpdateTeamRequest { team: Some(red(tpm)), ..Default::default() };
        world.admin.teams().update_team(shrink(999)).await.refused(Code::FailedPrecondition, OVER);
        world.admin.teams().update_team(shrink(1_000)).await.answer();
    }

    async fn models_and_tiers_are_counted(world: World) {
        let model_rpm_limit = [("gpt-4o".to_owned(), 10)].into();
        world.team(pb::Team { team_id: "red".into(), model_rpm_limit, tpm_limit: Some(100), ..Default::default() }).await;
        let of_model = |rpm| pb::Key {
            team_id: Some("red".into()),
            model_rpm_limit: [("gpt-4o".to_owned(), rpm)].into(),
            rpm_limit_type: LimitType::GuaranteedThroughput.into(),
            ..Default::default()
        };
        make(&world.admin, of_model(6)).await.answer();
        let refused = make(&world.admin, of_model(5)).await.refused(Code::FailedPrecondition, OVER);
        assert_eq!(told(&refused, "model"), "gpt-4o");
        make(&world.admin, of_model(4)).await.answer();
        let budget = pb::Budget { budget_id: "small".into(), tpm_limit: Some(80), ..Default::default() };
        world.admin.budgets().create_budget(pb::CreateBudgetRequest { budget: Some(budget), ..Default::default() }).await.answer();
        let tiered = pb::Key { budget_id: Some("small".into()), tpm_limit: None, ..guaranteed("red", 0) };
        make(&world.admin, tiered.clone()).await.answer();
        make(&world.admin, tiered).await.refused(Code::FailedPrecondition, OVER);
        make(&world.admin, guaranteed("red", 20)).await.answer();
    }

    async fn an_organization_has_no_more_for_keys_than_its_limit(world: World) {
        acme(&world, pb::Organization { tpm_limit: Some(100), ..Default::default() }).await;
        for team in ["red", "blue"] {
            world.team(crate::organizations::team(team)).await;
        }
        make(&world.admin, guaranteed("red", 60)).await.answer();
        let refused = make(&world.admin, guaranteed("blue", 41)).await.refused(Code::FailedPrecondition, OVER);
        assert_eq!(told(&refused, "organization_id"), "acme");
        make(&world.admin, guaranteed("blue", 40)).await.answer();
        let smaller = pb::Organization { organization_id: "acme".into(), tpm_limit: Some(99), ..Default::default() };
        let shrink = pb::UpdateOrganizationRequest { organization: Some(smaller), ..Default::default() };
        world.admin.organizations().update_organization(shrink).await.refused(Code::FailedPrecondition, OVER);
        // A team brings along what it promised.
        world.team(pb::Team { team_id: "green".into(), ..Default::default() }).await;
        let key = make(&world.admin, guaranteed("green", 1)).await.answer();
        let enter = || pb::UpdateTeamRequest { team: Some(crate::organizations::team("green")), ..Default::default() };
        world.admin.teams().update_team(enter()).await.refused(Code::FailedPrecondition, OVER);
        let promise = pb::Key { key_hash: key.key_hash, tpm_limit_type: LimitType::BestEffortThroughput.into(), ..Default::default() };
        update(&world.admin, promise).await.answer();
        world.admin.teams().update_team(enter()).await.answer();
    }

    async fn of_20_promises_at_once_with_room_for_10_exactly_10_are_given(world: World) {
        acme(&world, pb::Organization { tpm_limit: Some(1_000), ..Default::default() }).await;
        for team in ["red", "blue"] {
            world.team(crate::organizations::team(team)).await;
        }
        let mut makers = JoinSet::new();
        for number in 0..20 {
            let admin = world.admin.clone();
            let team = if number % 2 == 0 { "red" } else { "blue" };
            makers.spawn(async move { make(&admin, guaranteed(team, 100)).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = makers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 10);
        for refusal in refused {
            refusal.refused(Code::FailedPrecondition, OVER);
        }
    }

    async fn a_team_is_given_away_by_its_admins(world: World) {
        world.team(red(1_000)).await;
        let mut callers = Vec::new();
        for (user, role) in [("adam", TeamRole::Admin), ("mia", TeamRole::User)] {
            callers.push(world.person(user, Role::InternalUser).await);
            let member = pb::TeamMember { user_id: user.into(), role: role.into(), ..Default::default() };
            let add = pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![member], ..Default::default() };
            world.admin.teams().add_team_members(add).await.answer();
        }
        let grant = pb::UpdateTeamMemberPermissionsRequest {
            team_id: "red".into(),
            member_permissions: vec![pb::TeamMemberPermission::KeyGenerate.into()],
            ..Default::default()
        };
        world.admin.teams().update_team_member_permissions(grant).await.answer();
        let (adam, mia) = (&callers[0], &callers[1]);
        let of = |user: &str, kind: LimitType| pb::Key { user_id: Some(user.into()), tpm_limit_type: kind.into(), ..guaranteed("red", 10) };
        let own = make(adam, of("adam", LimitType::GuaranteedThroughput)).await.answer();
        make(adam, of("adam", LimitType::Dynamic)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let refused = make(mia, of("mia", LimitType::GuaranteedThroughput)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        assert_eq!(told(&refused, "field"), "tpm_limit_type");
        let hers = make(mia, of("mia", LimitType::BestEffortThroughput)).await.answer();
        let change = |key: &pb::Key, kind: LimitType| pb::Key { key_hash: key.key_hash.clone(), tpm_limit_type: kind.into(), ..Default::default() };
        update(mia, change(&hers, LimitType::GuaranteedThroughput)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        update(adam, change(&hers, LimitType::GuaranteedThroughput)).await.answer();
        update(adam, change(&own, LimitType::Dynamic)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        update(&world.admin, change(&own, LimitType::Dynamic)).await.answer();
        let personal = pb::Key { tpm_limit_type: LimitType::Dynamic.into(), ..Default::default() };
        make(mia, personal).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }

    async fn a_dynamic_limit_of_a_key_holds_in_bad_times(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:10Z").start().await;
        let dynamic = LimitType::Dynamic.into();
        let (secret, _) = world.key(pb::Key { rpm_limit: Some(1), rpm_limit_type: dynamic, ..Default::default() }).await;
        let (client, sidecar) = (world.with_key(&secret), world.sidecar().await);
        for id in ["a", "b"] {
            reserve(&client, id, "0").await;
        }
        let failed = pb::UsageEvent {
            status: pb::UsageStatus::Failure.into(),
            error_code: "429".into(),
            model: crate::support::world::MODEL.into(),
            ..event("refused", &secret, 0)
        };
        record(&sidecar, vec![failed]).await;
        assert_eq!(denial(&authorize(&client, ask("c", "0")).await).0, pb::DenyReason::RateLimited);
    }

    async fn an_owner_that_is_missing_is_made_if_an_admin_says_so(world: World) {
        let wanted = |user: &str| pb::GenerateKeyRequest {
            create_missing_user: true,
            ..generate(pb::Key { user_id: Some(user.into()), ..Default::default() })
        };
        let not_said = pb::GenerateKeyRequest { create_missing_user: false, ..wanted("nina") };
        world.admin.keys().generate_key(not_said).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        for _ in 0..2 {
            let made = world.admin.keys().generate_key(wanted("nina")).await.answer();
            assert_eq!(made.key.unwrap().user_id.as_deref(), Some("nina"));
        }
        let got = world.admin.users().get_user(pb::GetUserRequest { user_id: "nina".into(), ..Default::default() }).await.answer();
        assert_eq!((got.user.unwrap().user_id.as_str(), got.keys.len()), ("nina", 2));
        let person = world.person("ingo", Role::InternalUser).await;
        person.keys().generate_key(wanted("nobody")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let nameless = pb::GenerateKeyRequest { create_missing_user: true, ..generate(pb::Key::default()) };
        world.admin.keys().generate_key(nameless).await.bad();
        // In a team it is no member; neither key nor user is left behind.
        world.team(red(10)).await;
        let mut in_team = wanted("olaf");
        in_team.key.as_mut().unwrap().team_id = Some("red".into());
        world.admin.keys().generate_key(in_team).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInTeam);
        let get = pb::GetUserRequest { user_id: "olaf".into(), ..Default::default() };
        world.admin.users().get_user(get).await.refused(Code::NotFound, ErrorReason::UserNotFound);
    }
}
