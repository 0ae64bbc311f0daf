//! The daily activities of users, teams and organizations.

use bursar::pb;
use pb::ErrorReason::{NotYourUser, OrganizationNotFound, RoleNotAllowed, TeamNotFound};
use tonic::Code;

use super::{at, event, record};
use crate::support::{Answer, Backend, Client, World, on_both};
use crate::teams::member;

/// A company: olga administers acme, omar is in it; lead administers its team
/// red, alice is in it; zoe administers the team blue of no organization, omar
/// is in it.
struct Company {
    world: World,
    olga: Client,
    omar: Client,
    lead: Client,
    alice: Client,
    zoe: Client,
    /// The key of the team blue.
    blue: Client,
    /// The key of alice in red.
    in_red: pb::Key,
}

impl Company {
    async fn start(backend: Backend) -> Self {
        let world = World::builder(backend).at("2025-06-05T12:00:00Z").start().await;
        let (olga, omar) = crate::organizations::acme(&world, pb::Organization::default()).await;
        let lead = world.person("lead", pb::Role::InternalUser).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let zoe = world.person("zoe", pb::Role::InternalUser).await;
        let request = pb::CreateTeamRequest {
            team: Some(pb::Team {
                members: vec![member("lead", pb::TeamRole::Admin), member("alice", pb::TeamRole::User)],
                team_alias: Some("Red".into()),
                ..crate::organizations::team("red")
            }),
            add_members_to_organization: true,
            ..Default::default()
        };
        world.admin.teams().create_team(request).await.answer();
        let members = vec![member("zoe", pb::TeamRole::Admin), member("omar", pb::TeamRole::User)];
        world.team(pb::Team { team_id: "blue".into(), members, ..Default::default() }).await;
        let key = |user: &str, team: Option<&str>| {
            world.key(pb::Key { user_id: Some(user.into()), team_id: team.map(Into::into), ..Default::default() })
        };
        let (personal, _) = key("omar", None).await;
        let (alices, in_red) = key("alice", Some("red")).await;
        let (leads, _) = key("lead", Some("red")).await;
        let (omars, _) = key("omar", Some("blue")).await;
        let (blue, _) = world.key(pb::Key { team_id: Some("blue".into()), ..Default::default() }).await;
        let (free, _) = world.key(pb::Key::default()).await;
        record(
            &world.admin,
            vec![
                event("a", &personal, 400),
                event("b", &alices, 800),
                event("c", &leads, 1_600),
                event("d", &omars, 3_200),
                event("e", &free, 6_400),
                event("f", &blue, 12_800),
                pb::UsageEvent { start_time: at("2025-06-03T10:00:00Z"), ..event("g", &alices, 25_600) },
            ],
        )
        .await;
        let blue = world.with_key(&blue);
        Self { world, olga, omar, lead, alice, zoe, blue, in_red }
    }
}

fn of_users(ids: &[&str]) -> pb::GetUserDailyActivityRequest {
    pb::GetUserDailyActivityRequest {
        user_ids: ids.iter().map(ToString::to_string).collect(),
        start_date: "2025-06-01".into(),
        end_date: "2025-06-05".into(),
        ..Default::default()
    }
}

fn of_teams(ids: &[&str]) -> pb::GetTeamDailyActivityRequest {
    pb::GetTeamDailyActivityRequest {
        team_ids: ids.iter().map(ToString::to_string).collect(),
        start_date: "2025-06-01".into(),
        end_date: "2025-06-05".into(),
        ..Default::default()
    }
}

fn of_organizations(ids: &[&str]) -> pb::GetOrganizationDailyActivityRequest {
    pb::GetOrganizationDailyActivityRequest {
        organization_ids: ids.iter().map(ToString::to_string).collect(),
        start_date: "2025-06-01".into(),
        end_date: "2025-06-05".into(),
        ..Default::default()
    }
}

async fn users(client: &Client, request: pb::GetUserDailyActivityRequest) -> pb::GetUserDailyActivityResponse {
    client.users().get_user_daily_activity(request).await.answer()
}

async fn teams(client: &Client, request: pb::GetTeamDailyActivityRequest) -> pb::GetTeamDailyActivityResponse {
    client.teams().get_team_daily_activity(request).await.answer()
}

fn spend(totals: Option<pb::SpendMetrics>) -> String {
    totals.unwrap().spend
}

/// Id, alias and spend of each part.
fn parts(breakdown: Option<&pb::SpendBreakdown>) -> Vec<(&str, &str, &str)> {
    let slices = breakdown.unwrap().slices.iter();
    slices.map(|part| (part.id.as_str(), part.alias.as_str(), part.metrics.as_ref().unwrap().spend.as_str())).collect()
}

on_both! {
    async fn days_are_whole_and_the_newest_is_first(backend: Backend) {
        let company = Company::start(backend).await;
        let answer = teams(&company.world.admin, of_teams(&[])).await;
        let days: Vec<(&str, &str)> = answer.days.iter().map(|day| (day.date.as_str(), day.metrics.as_ref().unwrap().spend.as_str())).collect();
        assert_eq!(days, [("2025-06-05", "0.046"), ("2025-06-04", "0"), ("2025-06-03", "0.064"), ("2025-06-02", "0"), ("2025-06-01", "0")]);
        assert_eq!(spend(answer.totals), "0.11", "keys of no team are no team's activity");
        let today = &answer.days[0];
        assert_eq!(parts(today.entities.as_ref()), [("blue", "", "0.04"), ("red", "Red", "0.006")]);
        assert_eq!(parts(today.models.as_ref()), [("gpt-4o", "", "0.046")]);
        assert_eq!(parts(today.providers.as_ref()), [("openai", "", "0.046")]);
        let of_alice = answer.days[2].keys.as_ref().unwrap();
        assert_eq!((of_alice.slices[0].id.as_str(), of_alice.slices[0].key_hash.as_str()), (company.in_red.key_id.as_str(), company.in_red.key_hash.as_str()));
        assert_eq!(of_alice.distinct, 1);
        // One key by itself, the others in one sum.
        let top = teams(&company.world.admin, pb::GetTeamDailyActivityRequest { top_keys: Some(1), ..of_teams(&[]) }).await;
        let keys = top.days[0].keys.as_ref().unwrap();
        assert_eq!((keys.slices.len(), keys.distinct, keys.others.as_ref().unwrap().spend.as_str()), (1, 4, "0.014"));
    }

    async fn pages_split_no_day_and_totals_cover_all(backend: Backend) {
        let company = Company::start(backend).await;
        let mut dates = Vec::new();
        let mut token = String::new();
        loop {
            let request = pb::GetUserDailyActivityRequest { page_size: 2, page_token: token, include_total: true, ..of_users(&[]) };
            let page = users(&company.world.admin, request).await;
            assert_eq!((spend(page.totals), page.total_size), ("0.127".to_owned(), Some(5)));
            dates.extend(page.days.into_iter().map(|day| (day.date, day.metrics.unwrap().spend)));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let dates: Vec<(&str, &str)> = dates.iter().map(|(date, spend)| (date.as_str(), spend.as_str())).collect();
        assert_eq!(dates, [("2025-06-05", "0.063"), ("2025-06-04", "0"), ("2025-06-03", "0.064"), ("2025-06-02", "0"), ("2025-06-01", "0")]);
        let foreign = pb::GetUserDailyActivityRequest { page_token: users(&company.world.admin, pb::GetUserDailyActivityRequest { page_size: 2, ..of_users(&[]) }).await.next_page_token, ..of_users(&["omar"]) };
        assert_eq!(company.world.admin.users().get_user_daily_activity(foreign).await.bad()[0].0, "page_token");
    }

    async fn users_are_seen_by_themselves_and_where_they_are_administered(backend: Backend) {
        let company = Company::start(backend).await;
        for (client, ids, sum) in [
            (&company.world.admin, &[] as &[&str], "0.127"),
            (&company.world.admin, &["omar"], "0.009"),
            (&company.world.admin, &["omar", "alice"], "0.075"),
            // A user who never was: nothing.
            (&company.world.admin, &["nobody"], "0"),
            (&company.omar, &[], "0.009"),
            (&company.omar, &["omar"], "0.009"),
            // What omar used in a team of no organization is none of hers.
            (&company.olga, &["omar"], "0.001"),
            (&company.olga, &["olga"], "0"),
            (&company.olga, &[], "0.071"),
            // To administer a team shows the team, not its users.
            (&company.lead, &[], "0.004"),
        ] {
            assert_eq!(spend(users(client, of_users(ids)).await.totals), sum, "{ids:?}");
        }
        for (client, id) in [(&company.omar, "alice"), (&company.lead, "alice"), (&company.olga, "zoe"), (&company.zoe, "nobody")] {
            let answer = client.users().get_user_daily_activity(of_users(&[id])).await;
            answer.refused(Code::PermissionDenied, NotYourUser);
        }
        company.blue.users().get_user_daily_activity(of_users(&[])).await.refused(Code::PermissionDenied, RoleNotAllowed);
    }

    async fn teams_show_admins_everything_and_members_their_share(backend: Backend) {
        let company = Company::start(backend).await;
        let all = [
            (&company.world.admin, &["red"] as &[&str], "0.07"),
            (&company.olga, &["red"], "0.07"),
            (&company.lead, &["red"], "0.07"),
            (&company.lead, &[], "0.07"),
            (&company.alice, &["red"], "0.066"),
            (&company.omar, &[], "0.008"),
            (&company.zoe, &[], "0.04"),
            // A key of a team: its own calls.
            (&company.blue, &["blue"], "0.032"),
        ];
        for (client, ids, sum) in all {
            assert_eq!(spend(teams(client, of_teams(ids)).await.totals), sum, "{ids:?}");
        }
        for (client, id) in [(&company.alice, "blue"), (&company.olga, "blue"), (&company.zoe, "red"), (&company.blue, "red"), (&company.lead, "none")] {
            let answer = client.teams().get_team_daily_activity(of_teams(&["red", "blue", id][2..])).await;
            answer.refused(Code::NotFound, TeamNotFound);
        }
        // A key of one's team narrows to what one may see of it, and no further.
        let of_key = |key: &str| pb::GetTeamDailyActivityRequest { key: key.into(), ..of_teams(&[]) };
        assert_eq!(spend(teams(&company.lead, of_key(&company.in_red.key_hash)).await.totals), "0.066");
        assert_eq!(spend(teams(&company.zoe, of_key(&company.in_red.key_hash)).await.totals), "0");
        assert_eq!(spend(teams(&company.lead, of_key(&"0".repeat(64))).await.totals), "0");
        let without = pb::GetTeamDailyActivityRequest { exclude_team_ids: vec!["red".into()], ..of_teams(&[]) };
        assert_eq!(spend(teams(&company.world.admin, without).await.totals), "0.04");

        // Members who may, see it all: of this team, and of no other.
        let open = pb::UpdateTeamMemberPermissionsRequest {
            team_id: "blue".into(),
            member_permissions: vec![pb::TeamMemberPermission::TeamDailyActivity.into()],
            ..Default::default()
        };
        company.zoe.teams().update_team_member_permissions(open).await.answer();
        assert_eq!(spend(teams(&company.omar, of_teams(&[])).await.totals), "0.04");
        assert_eq!(spend(teams(&company.alice, of_teams(&[])).await.totals), "0.066");
        // Who is in no team sees nothing, and not everything.
        let loner = company.world.person("loner", pb::Role::InternalUser).await;
        let nothing = teams(&loner, of_teams(&[])).await;
        assert_eq!((nothing.days.len(), spend(nothing.totals)), (5, "0".to_owned()));
    }

    async fn organizations_are_for_their_admins(backend: Backend) {
        let company = Company::start(backend).await;
        for (client, ids) in [(&company.world.admin, &["acme"] as &[&str]), (&company.world.admin, &[]), (&company.olga, &[]), (&company.olga, &["acme"])] {
            let answer = client.organizations().get_organization_daily_activity(of_organizations(ids)).await.answer();
            assert_eq!(spend(answer.totals), "0.071");
            assert_eq!(parts(answer.days[0].entities.as_ref()).iter().map(|part| (part.0, part.2)).collect::<Vec<_>>(), [("acme", "0.007")]);
        }
        company.world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
        for id in ["other", "none"] {
            let answer = company.olga.organizations().get_organization_daily_activity(of_organizations(&["acme", id])).await;
            answer.refused(Code::NotFound, OrganizationNotFound);
        }
        for client in [&company.omar, &company.lead, &company.blue] {
            let answer = client.organizations().get_organization_daily_activity(of_organizations(&[])).await;
            answer.refused(Code::PermissionDenied, RoleNotAllowed);
        }
        let without = pb::GetOrganizationDailyActivityRequest { exclude_organization_ids: vec!["acme".into()], ..of_organizations(&[]) };
        let answer = company.world.admin.organizations().get_organization_daily_activity(without).await.answer();
        assert_eq!(spend(answer.totals), "0");
    }

    async fn what_was_deleted_keeps_its_name(backend: Backend) {
        let company = Company::start(backend).await;
        let delete = pb::DeleteTeamsRequest { team_ids: vec!["red".into()], ..Default::default() };
        company.world.admin.teams().delete_teams(delete).await.answer();
        let answer = teams(&company.world.admin, of_teams(&["red"])).await;
        assert_eq!(parts(answer.days[2].entities.as_ref()), [("red", "Red", "0.064")]);
        assert_eq!(answer.days[2].keys.as_ref().unwrap().slices[0].key_hash, company.in_red.key_hash);
        assert_eq!(spend(teams(&company.olga, of_teams(&[])).await.totals), "0.07", "it was of her organization");
    }

    async fn a_day_begins_where_the_asker_is(backend: Backend) {
        let company = Company::start(backend).await;
        let in_zone = pb::GetTeamDailyActivityRequest { time_zone: "Pacific/Auckland".into(), ..of_teams(&["red"]) };
        let answer = teams(&company.world.admin, in_zone).await;
        let used: Vec<(&str, &str)> = answer.days.iter().map(|day| (day.date.as_str(), day.metrics.as_ref().unwrap().spend.as_str())).filter(|(_, spend)| *spend != "0").collect();
        // Noon of the 5th is the 6th there; ten in the morning of the 3rd is not.
        assert_eq!(used, [("2025-06-03", "0.064")]);
        let cut = pb::GetTeamDailyActivityRequest { time_zone: "Asia/Kathmandu".into(), ..of_teams(&["red"]) };
        let answer = teams(&company.lead, cut).await;
        assert_eq!((spend(answer.totals), parts(answer.days[0].entities.as_ref())), ("0.07".to_owned(), vec![("red", "Red", "0.006")]));
    }

    async fn impossible_questions_are_refused(world: World) {
        for (request, field) in [
            (pb::GetTeamDailyActivityRequest::default(), "start_date"),
            (pb::GetTeamDailyActivityRequest { end_date: String::new(), ..of_teams(&[]) }, "end_date"),
            (pb::GetTeamDailyActivityRequest { start_date: "2025-06-31".into(), ..of_teams(&[]) }, "start_date"),
            (pb::GetTeamDailyActivityRequest { start_date: "2020-06-01".into(), ..of_teams(&[]) }, "end_date"),
            (pb::GetTeamDailyActivityRequest { top_keys: Some(0), ..of_teams(&[]) }, "top_keys"),
            (pb::GetTeamDailyActivityRequest { top_keys: Some(101), ..of_teams(&[]) }, "top_keys"),
            (pb::GetTeamDailyActivityRequest { page_size: -1, ..of_teams(&[]) }, "page_size"),
            (pb::GetTeamDailyActivityRequest { key: "nonsense".into(), ..of_teams(&[]) }, "key"),
            (pb::GetTeamDailyActivityRequest { time_zone: "Mars".into(), ..of_teams(&[]) }, "time_zone"),
            (of_teams(&["\n"]), "team_ids[0]"),
        ] {
            assert_eq!(world.admin.teams().get_team_daily_activity(request.clone()).await.bad()[0].0, field, "{request:?}");
        }
    }
}
