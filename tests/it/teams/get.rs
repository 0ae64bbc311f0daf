//! `GetTeam`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{member, red};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn get(team_id: &str) -> pb::GetTeamRequest {
    pb::GetTeamRequest { team_id: team_id.into(), ..Default::default() }
}

on_both! {
    async fn members_see_the_team_and_strangers_do_not(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let stranger = world.person("bob", pb::Role::InternalUser).await;
        let (service, account) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let (_, of_lead) = world.key(pb::Key { user_id: Some("lead".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let keys = |answer: pb::GetTeamResponse| answer.keys.into_iter().map(|key| key.key_id).collect::<Vec<_>>();
        assert_eq!(keys(lead.teams().get_team(get("red")).await.answer()), [of_lead.key_id.clone(), account.key_id.clone()]);
        assert_eq!(keys(alice.teams().get_team(get("red")).await.answer()), std::slice::from_ref(&account.key_id), "without KEY_LIST");
        assert_eq!(world.with_key(&service).teams().get_team(get("red")).await.answer().team.unwrap().member_count, 2);
        stranger.teams().get_team(get("red")).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        alice.teams().get_team(get("blue")).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        let basic = pb::GetTeamRequest { view: pb::TeamView::Basic.into(), ..get("red") };
        let answer = lead.teams().get_team(basic).await.answer();
        assert!(answer.keys.is_empty() && answer.team.unwrap().members.is_empty());
    }

    async fn members_come_in_pages(world: World) {
        let members: Vec<_> = (0..230).map(|number| format!("u{number:03}")).collect();
        for chunk in members.chunks(100) {
            for id in chunk {
                world.user(pb::User { user_id: id.clone(), ..Default::default() }).await;
            }
        }
        world.team(pb::Team { team_id: "red".into(), members: members.iter().map(|id| member(id, pb::TeamRole::User)).collect(), ..Default::default() }).await;
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let answer = world.admin.teams().get_team(pb::GetTeamRequest { members_page_token: token, ..get("red") }).await.answer();
            let team = answer.team.unwrap();
            assert!(team.members.len() <= 100 && team.member_count == 230);
            seen.extend(team.members.into_iter().map(|member| member.user_id));
            token = answer.members_next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, members);
        let foreign = pb::GetTeamRequest { members_page_token: "x".into(), ..get("red") };
        assert_eq!(world.admin.teams().get_team(foreign).await.bad()[0].0, "members_page_token");
    }
}
