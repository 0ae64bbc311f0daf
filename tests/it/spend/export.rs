//! `ExportUsage`, and the commands `bursar export` and `bursar report`.

use std::fs::File;
use std::path::Path;

use bursar::pb;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use pb::ErrorReason;
use tonic::Code;

use super::{at, event, record};
use crate::support::database::fresh_directory;
use crate::support::process::{run, text};
use crate::support::world::{MASTER, World};
use crate::support::{Answer, Client, on_both};

async fn export(client: &Client, request: pb::ExportUsageRequest) -> Vec<pb::ExportUsageResponse> {
    let mut stream = client.spend().export_usage(request).await.answer();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

fn of(filter: pb::ListUsageRequest) -> pb::ExportUsageRequest {
    pb::ExportUsageRequest { filter: Some(filter), ..Default::default() }
}

fn ids(messages: &[pb::ExportUsageResponse]) -> Vec<&str> {
    messages.iter().flat_map(|message| &message.events).map(|event| event.request_id.as_str()).collect()
}

/// Events of two teams, a second apart, recorded in no order.
async fn furnish(world: &World, count: i64) {
    for team in ["red", "blue"] {
        world
            .team(pb::Team { team_id: team.into(), team_alias: Some(format!("The {team}s")), ..Default::default() })
            .await;
    }
    let (red, _) = world
        .key(pb::Key { team_id: Some("red".into()), key_alias: Some("red key".into()), ..Default::default() })
        .await;
    let (blue, _) = world.key(pb::Key { team_id: Some("blue".into()), ..Default::default() }).await;
    let start = at("2025-06-01T00:00:00Z").unwrap().seconds;
    let events = (0..count).map(|number| {
        let number = number * 7 % count;
        let start_time = Some(prost_types::Timestamp { seconds: start + number, nanos: 0 });
        pb::UsageEvent {
            start_time,
            tags: vec!["a\"b".into()],
            ..event(&format!("{number:05}"), if number % 4 == 0 { &blue } else { &red }, 400)
        }
    });
    record(&world.admin, events.collect()).await;
}

fn bursar(world: &World, directory: &Path, arguments: &[&str]) -> std::process::Output {
    let mut all = arguments.to_vec();
    all.extend(["--address", &world.address, "--key", MASTER]);
    run(directory, &all)
}

on_both! {
    async fn all_events_are_streamed_in_the_order_in_which_they_began(world: World) {
        furnish(&world, 2_500).await;
        let messages = export(&world.admin, pb::ExportUsageRequest::default()).await;
        assert_eq!(messages.iter().map(|message| message.events.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let found = ids(&messages);
        assert!(found.is_sorted() && found.len() == 2_500);
        assert_eq!(messages[2].next_page_token, "");
        // Goes on where it was.
        let again = pb::ExportUsageRequest { page_token: messages[0].next_page_token.clone(), ..Default::default() };
        let rest = export(&world.admin, again).await;
        assert_eq!(ids(&rest), found[1_000..]);
        let foreign = pb::ExportUsageRequest { page_token: messages[0].next_page_token.clone(), ..of(pb::ListUsageRequest { team_id: "red".into(), ..Default::default() }) };
        assert_eq!(world.admin.spend().export_usage(foreign).await.bad()[0].0, "page_token");
    }

    async fn an_export_has_the_filters_and_the_reach_of_the_list(world: World) {
        furnish(&world, 8).await;
        let window = pb::ListUsageRequest { start_time: at("2025-06-01T00:00:02Z"), end_time: at("2025-06-01T00:00:06Z"), team_id: "red".into(), ..Default::default() };
        assert_eq!(ids(&export(&world.admin, of(window)).await), ["00002", "00003", "00005"]);
        let members = vec![pb::TeamMember { user_id: "lead".into(), role: pb::TeamRole::Admin.into(), ..Default::default() }];
        let lead = world.person("lead", pb::Role::InternalUser).await;
        world.admin.teams().add_team_members(pb::AddTeamMembersRequest { team_id: "blue".into(), members, ..Default::default() }).await.answer();
        assert_eq!(ids(&export(&lead, pb::ExportUsageRequest::default()).await), ["00000", "00004"]);
        let foreign = of(pb::ListUsageRequest { team_id: "red".into(), ..Default::default() });
        lead.spend().export_usage(foreign).await.refused(Code::PermissionDenied, ErrorReason::NotYourTeam);
        let paged = of(pb::ListUsageRequest { page_size: 5, ..Default::default() });
        assert_eq!(world.admin.spend().export_usage(paged).await.bad()[0].0, "filter.page_size");
        let bad = of(pb::ListUsageRequest { min_spend: Some("x".into()), status: 9, cost_source: 99, ..Default::default() });
        let fields: Vec<String> = world.admin.spend().export_usage(bad).await.bad().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["filter.status", "filter.cost_source", "filter.min_spend"]);
    }

    async fn a_stream_ends_with_its_credential(world: World) {
        furnish(&world, 5_000).await;
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        let mut stream = viewer.spend().export_usage(pb::ExportUsageRequest::default()).await.answer();
        stream.message().await.unwrap().unwrap();
        let blocked = pb::User { user_id: "viewer".into(), blocked: Some(true), ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(blocked), ..Default::default() }).await.answer();
        let mut seen = 1;
        let status = loop {
            match stream.message().await {
                Ok(message) => { message.expect("an end by a refusal"); seen += 1 }
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::PermissionDenied, "after {seen} messages");
    }

    async fn files_hold_every_event_exactly(world: World) {
        furnish(&world, 1_200).await;
        let directory = fresh_directory();
        let output = bursar(&world, &directory, &["export", "usage.csv", "--team", "red"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "900 events\n");
        let mut reader = csv::Reader::from_path(directory.join("usage.csv")).unwrap();
        let names: Vec<String> = reader.headers().unwrap().iter().map(ToOwned::to_owned).collect();
        let column = |name: &str| names.iter().position(|known| known == name).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 900);
        let first = &rows[0];
        assert_eq!([&first[column("request_id")], &first[column("cost")], &first[column("key_alias")], &first[column("tags")], &first[column("start_time")]],
            ["00001", "0.001", "red key", r#"["a\"b"]"#, "2025-06-01T00:00:01Z"]);
        for (format, name) in [("parquet", "cost"), ("focus-parquet", "BilledCost")] {
            let file = format!("{format}.parquet");
            let output = bursar(&world, &directory, &["export", &file, "--format", format]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let reader = SerializedFileReader::new(File::open(directory.join(file)).unwrap()).unwrap();
            let costs = reader.get_row_iter(None).unwrap().map(|row| {
                let row = row.unwrap();
                let cost = row.get_column_iter().find(|(column, _)| *column == name).unwrap().1.clone();
                let Field::Decimal(cost) = cost else { panic!("{cost:?}") };
                i64::from_be_bytes(cost.data().try_into().unwrap())
            });
            assert_eq!(costs.sum::<i64>(), 1_200_000_000, "nano-dollars");
        }
        let there = bursar(&world, &directory, &["export", "usage.csv"]);
        assert!(!there.status.success() && text(&there.stderr).contains("usage.csv is there already"), "{}", text(&there.stderr));
        let refused = run(&directory, &["export", "no.csv", "--address", &world.address, "--key", "sk-nobody"]);
        assert!(!refused.status.success() && text(&refused.stderr).contains("the server refuses"), "{}", text(&refused.stderr));
        assert!(!directory.join("no.csv").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn a_report_shows_spend_with_bars_and_for_machines(world: World) {
        furnish(&world, 8).await;
        let directory = fresh_directory();
        let dates = ["--start-date", "2025-06-01", "--end-date", "2025-06-02"];
        let report = |more: &[&str]| {
            let output = bursar(&world, &directory, &[&["report"], more, &dates].concat());
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        let by_day = report(&[]);
        let lines: Vec<&str> = by_day.lines().collect();
        assert_eq!((lines[0], lines[2].trim_end()), ("day           USD  calls", "2025-06-02      0      0"));
        assert_eq!(lines[1], format!("2025-06-01  0.008      8  {}", "█".repeat(40)));
        assert_eq!(lines[4], "0.008 USD in 8 calls");
        let by_team = report(&["--by", "team"]);
        assert!(by_team.lines().nth(1).unwrap().starts_with("The reds (red)") && by_team.lines().nth(2).unwrap().contains("0.002      2  █████████████▎"), "{by_team}");
        let machine: serde_json::Value = serde_json::from_str(&report(&["--by", "model", "--json"])).unwrap();
        assert_eq!((&machine["lines"][0]["label"], &machine["lines"][0]["spend"], &machine["totals"]["api_requests"]), (&"gpt-4o".into(), &"0.008".into(), &8.into()));
        for by in ["key", "user", "provider", "tag"] {
            assert!(report(&["--by", by]).contains("0.008 USD in 8 calls"), "{by}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
