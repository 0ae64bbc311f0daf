//! Policies: what an installation forbids beyond Bursar's own rules.

use bursar::config::load_from;
use bursar::domain::clock::Clock;
use bursar::pb;
use bursar::server::Server;
use pb::ErrorReason::PolicyRefused;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Answer, Backend, World, on_both};

const POLICIES: &str = r#"[
    { name = "tagged", on = ["generate_key"], message = "keys need a tag cost-…",
      allow = "caller.is_proxy_admin && request.key != null && request.key.key_alias == 'exempt' || after.tags.exists(tag, tag.startsWith('cost-'))" },
    { name = "frugal", on = ["generate_key", "update_key", "regenerate_key"], message = "keys may spend 100 USD at most",
      allow = "after.max_budget != null && double(after.max_budget) <= 100.0 || after.key_alias == 'exempt'" },
    { name = "steady", on = ["update_key"], message = "tags stay as they are", allow = "before.tags == after.tags" },
    { name = "named", on = ["create_team"], message = "teams are named team-…",
      allow = "after.team_id.startsWith('team-') && action == 'create_team' && before == null" },
]"#;

async fn world(backend: Backend) -> World {
    // One line, as flags and variables are.
    World::builder(backend).set("policies", &POLICIES.replace('\n', " ")).start().await
}

fn key(tags: &[&str], max_budget: &str) -> pb::Key {
    let tags = tags.iter().map(ToString::to_string).collect();
    pb::Key { tags, max_budget: Some(max_budget.into()), ..Default::default() }
}

#[track_caller]
fn refused_by<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>, policy: &str, message: &str) {
    let status = answer.refused(Code::PermissionDenied, PolicyRefused);
    assert_eq!(status.message(), message);
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["policy"], policy);
}

on_both! {
    async fn a_policy_refuses_in_its_own_words(backend: Backend) {
        let world = world(backend).await;
        let generate = async |key: pb::Key| {
            let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
            world.admin.keys().generate_key(request).await
        };
        refused_by(generate(key(&[], "5")).await, "tagged", "keys need a tag cost-…");
        refused_by(generate(key(&["cost-1"], "100.01")).await, "frugal", "keys may spend 100 USD at most");
        let made = generate(key(&["cost-1"], "100")).await.answer().key.unwrap();
        let exempt = pb::Key { key_alias: Some("exempt".into()), ..Default::default() };
        generate(exempt).await.answer();

        let update = async |key: pb::Key| {
            let key = pb::Key { key_hash: made.key_hash.clone(), ..key };
            world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(key), ..Default::default() }).await
        };
        let budget = |text: &str| pb::Key { max_budget: Some(text.into()), ..Default::default() };
        refused_by(update(budget("200")).await, "frugal", "keys may spend 100 USD at most");
        refused_by(update(key(&["cost-2"], "1")).await, "steady", "tags stay as they are");
        assert_eq!(update(budget("50")).await.answer().key.unwrap().max_budget.as_deref(), Some("50"));
        let change = pb::UpdateKeyRequest { key: Some(budget("300")), ..Default::default() };
        let again = pb::RegenerateKeyRequest { key: made.key_hash.clone(), update: Some(change), ..Default::default() };
        refused_by(world.admin.keys().regenerate_key(again.clone()).await, "frugal", "keys may spend 100 USD at most");
        world.admin.keys().regenerate_key(pb::RegenerateKeyRequest { update: None, ..again }).await.answer();

        let team = |id: &str| pb::CreateTeamRequest { team: Some(pb::Team { team_id: id.into(), ..Default::default() }), ..Default::default() };
        refused_by(world.admin.teams().create_team(team("x")).await, "named", "teams are named team-…");
        world.admin.teams().create_team(team("team-x")).await.answer();
    }

    async fn no_door_leads_around_a_policy(backend: Backend) {
        let world = world(backend).await;
        let user = pb::User { user_id: "alice".into(), ..Default::default() };
        let with_key = pb::CreateUserRequest { user: Some(user.clone()), ..Default::default() };
        refused_by(world.admin.users().create_user(with_key.clone()).await, "tagged", "keys need a tag cost-…");
        let request = pb::GetUserRequest { user_id: "alice".into(), ..Default::default() };
        world.admin.users().get_user(request).await.refused(Code::NotFound, pb::ErrorReason::UserNotFound);
        world.admin.users().create_user(pb::CreateUserRequest { key: Some(key(&["cost-1"], "1")), ..with_key }).await.answer();

        let (_, made) = world.key(key(&["cost-1"], "1")).await;
        let change = pb::Key { key_hash: made.key_hash, max_budget: Some("200".into()), ..Default::default() };
        let requests = vec![pb::UpdateKeyRequest { key: Some(change), ..Default::default() }];
        let batch = world.admin.keys().batch_update_keys(pb::BatchUpdateKeysRequest { requests, ..Default::default() }).await.answer();
        let error = batch.results[0].error.as_ref().unwrap();
        assert_eq!((error.code, error.message.as_str()), (Code::PermissionDenied as i32, "keys may spend 100 USD at most"));
    }
}

#[tokio::test]
async fn a_policy_that_can_not_be_asked_stops_the_start() {
    let start = async |allow: &str| {
        let policy =
            format!("[{{ name = 'p', on = ['generate_key', 'create_team'], message = 'no', allow = \"{allow}\" }}]");
        let flags = [("policies".to_owned(), policy), ("listen".to_owned(), "127.0.0.1:0".to_owned())];
        let settings = load_from(&flags, None, &[]).unwrap();
        Server::bind(settings, Clock::system()).await.err().unwrap().to_string()
    };
    for (allow, told) in [
        ("after.", "wrong setting: policies: p: allow"),
        ("after.budget == 1", "No such key: budget"),
        ("after.team_alias == ''", "for generate_key: No such key: team_alias"),
        ("frobnicate(after)", "Undeclared reference to 'frobnicate'"),
        ("after.tags", "must be true or false"),
    ] {
        let error = start(allow).await;
        assert!(error.contains(told), "{allow}: {error}");
    }
}
