//! Lists of models: filters, pages, and who sees which.

use bursar::pb;

use super::{create, model};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Client, on_both};

async fn names(client: &Client, request: pb::ListModelsRequest) -> Vec<String> {
    let found = client.models().list_models(request).await.answer().models;
    found
        .iter()
        .map(|model| {
            format!("{}{}{}", model.model_name, if model.deployment.is_empty() { "" } else { "@" }, model.deployment)
        })
        .collect()
}

fn registered() -> pb::ListModelsRequest {
    pb::ListModelsRequest { source: pb::ModelSource::Registered.into(), ..Default::default() }
}

on_both! {
    async fn filters_narrow_a_list(world: World) {
        create(&world, pb::Model { access_groups: vec!["beta".into()], provider: "azure".into(), ..model("house-4o", "eu", &[]) }).await;
        create(&world, pb::Model { access_groups: vec!["beta 2".into()], ..model("house-4o", "us", &[]) }).await;
        create(&world, model("gpt-4o", "", &[])).await;
        assert_eq!(names(&world.admin, registered()).await, ["gpt-4o", "house-4o@eu", "house-4o@us"]);
        let list = |request| names(&world.admin, request);
        assert_eq!(list(pb::ListModelsRequest { access_group: "beta".into(), ..Default::default() }).await, ["house-4o@eu"]);
        assert_eq!(list(pb::ListModelsRequest { provider: "azure".into(), ..registered() }).await, ["house-4o@eu"]);
        let part = list(pb::ListModelsRequest { model_name_contains: "-4O".into(), page_size: 3, ..Default::default() }).await;
        assert_eq!(part, ["gpt-4o", "gpt-4o", "gpt-4o-mini"], "the registered one first");
        let of_provider = pb::ListModelsRequest { provider: "openai".into(), source: pb::ModelSource::Catalogue.into(), ..Default::default() };
        let found = world.admin.models().list_models(of_provider).await.answer().models;
        assert!(found.len() > 3 && found.iter().all(|model| model.provider == "openai" && model.source() == pb::ModelSource::Catalogue));
        assert!(list(pb::ListModelsRequest { model_name_contains: "%".into(), ..Default::default() }).await.is_empty());
        let strange = pb::ListModelsRequest { source: 7, page_size: -1, ..Default::default() };
        let bad = world.admin.models().list_models(strange).await.bad();
        assert_eq!(bad.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), ["page_size", "source"]);
    }

    async fn pages_follow_each_other(world: World) {
        for name in ["gpt-4o", "a", "zz"] {
            for deployment in ["", "eu", "us"] {
                create(&world, model(name, deployment, &[])).await;
            }
        }
        let all = names(&world.admin, pb::ListModelsRequest { page_size: 1_000, ..Default::default() }).await;
        assert!(all.len() > 30);
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListModelsRequest { page_size: 2, page_token, include_total: true, ..Default::default() };
            let answer = world.admin.models().list_models(request).await.answer();
            assert_eq!(answer.total_size, Some(i64::try_from(all.len()).unwrap()));
            found.extend(answer.models.into_iter().map(|model| format!("{}{}{}", model.model_name, if model.deployment.is_empty() { "" } else { "@" }, model.deployment)));
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, all);
        let foreign = pb::ListModelsRequest { page_token: "x".into(), ..Default::default() };
        assert_eq!(world.admin.models().list_models(foreign).await.bad()[0].0, "page_token");
    }

    async fn everybody_sees_the_models_that_it_may_call(world: World) {
        create(&world, pb::Model { access_groups: vec!["beta".into()], ..model("new", "", &[]) }).await;
        create(&world, model("Gpt-4o", "", &[])).await;
        world.team(pb::Team { team_id: "red".into(), models: vec!["gpt-4o*".into(), "beta".into()], ..Default::default() }).await;
        let key = |models: &[&str], team: Option<&str>| pb::Key {
            models: models.iter().map(ToString::to_string).collect(), team_id: team.map(Into::into), ..Default::default()
        };
        let cases: [(pb::Key, &[&str]); 4] = [
            (key(&[MODEL], None), &["gpt-4o"]),
            (key(&["beta"], None), &["new"]),
            (key(&[], Some("red")), &["gpt-4o", "gpt-4o-mini", "new"]),
            (key(&["gpt-4o-mini", "beta"], Some("red")), &["gpt-4o-mini", "new"]),
        ];
        for (key, seen) in cases {
            let (secret, _) = world.key(key).await;
            let client = world.with_key(&secret);
            assert_eq!(names(&client, pb::ListModelsRequest::default()).await, seen);
            let hidden = pb::GetModelRequest { model_name: "Gpt-4o".into(), ..Default::default() };
            assert_eq!(client.models().get_model(hidden).await.unwrap_err().code(), tonic::Code::NotFound);
        }
        let sidecar = world.sidecar().await;
        assert!(names(&sidecar, pb::ListModelsRequest::default()).await.contains(&"Gpt-4o".to_owned()));
        // Who is signed in sees what it may call in any of its teams.
        let guest = crate::users::sessions::signed_in(&world, "guest", pb::Role::InternalUser).await;
        let none = pb::User { user_id: "guest".into(), models: vec!["no-default-models".into()], ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(none), ..Default::default() }).await.answer();
        assert!(names(&guest, pb::ListModelsRequest::default()).await.is_empty());
        let members = vec![pb::TeamMember { user_id: "guest".into(), ..Default::default() }];
        world.admin.teams().add_team_members(pb::AddTeamMembersRequest { team_id: "red".into(), members, ..Default::default() }).await.answer();
        assert_eq!(names(&guest, pb::ListModelsRequest::default()).await, ["gpt-4o", "gpt-4o-mini", "new"]);
    }
}
