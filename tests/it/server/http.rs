//! HTTP: whether a server lives, takes calls, and what it did.

use bursar::pb;
use tonic::Code;

use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, on_both};

/// The status and the text of a page.
async fn page(world: &World, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", world.http_address)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The value of a metric with these labels.
fn value<'a>(metrics: &'a str, name: &str) -> &'a str {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {metrics}"))
}

on_both! {
    async fn a_server_takes_calls_until_it_stops(world: World) {
        assert_eq!(page(&world, "/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(page(&world, "/readyz").await, (200, "ready\ndatabase ok\n".to_owned()));
        assert_eq!(page(&world, "/").await.0, 404);
        world.app().gate.begin_stop();
        assert_eq!(page(&world, "/readyz").await, (503, "stopping\ndatabase ok\n".to_owned()));
        assert_eq!(page(&world, "/livez").await.0, 200);
    }

    async fn it_tells_what_it_did(world: World) {
        let (secret, key) = world.key(pb::Key { max_budget: Some("0.01".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let first = reserve(&client, "a", "0.001").await;
        reserve(&client, "b", "0.001").await;
        settle(&client, &first, 2_000).await;
        assert_eq!(denial(&authorize(&client, ask("c", "1")).await).0, pb::DenyReason::BudgetExceeded);
        let shadow = pb::SetBudgetModeRequest { scope: pb::BudgetScope::Key.into(), id: key.key_id, shadow: true, ..Default::default() };
        world.admin.budgets().set_budget_mode(shadow).await.answer();
        authorize(&client, pb::AuthorizeRequest { reserve: false, ..ask("d", "1") }).await;
        let unknown = pb::GetTeamRequest { team_id: "none".into(), ..Default::default() };
        assert_eq!(world.admin.teams().get_team(unknown).await.unwrap_err().code(), Code::NotFound);
        let (status, metrics) = page(&world, "/metrics").await;
        assert_eq!(status, 200);
        for (name, expected) in [
            ("bursar_requests_total{rpc=\"bursar.v1.GatewayService/Authorize\",code=\"OK\"}", "4"),
            ("bursar_requests_total{rpc=\"bursar.v1.TeamService/GetTeam\",code=\"NOT_FOUND\"}", "1"),
            ("bursar_request_duration_seconds_count{rpc=\"bursar.v1.GatewayService/Settle\"}", "1"),
            ("bursar_decisions_total{decision=\"allow\",reason=\"\"}", "3"),
            ("bursar_decisions_total{decision=\"deny\",reason=\"budget_exceeded\"}", "1"),
            ("bursar_decisions_total{decision=\"deny\",reason=\"key_blocked\"}", "0"),
            ("bursar_shadow_denials_total", "1"),
            ("bursar_overruns_total", "1"),
            ("bursar_reservations", "1"),
            ("bursar_ledger_events_total", "1"),
            ("bursar_ledger_failed_batches_total", "0"),
        ] {
            assert_eq!(value(&metrics, name), expected, "{name}");
        }
        assert!(value(&metrics, "bursar_accounts") != "0" && metrics.contains("bursar_database_connections{pool="));
        // What is told has no secrets, and names nobody.
        assert!(!metrics.contains("sk-") && !metrics.contains(&key.key_hash));
    }
}
