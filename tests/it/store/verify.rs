//! `bursar verify`: it finds every counter that is not the sum of its events.

use bursar::pb;

use crate::spend::{event, record};
use crate::support::database::fresh_directory;
use crate::support::on_both;
use crate::support::process::{run, text};
use crate::support::world::World;

/// Changes the database behind the server's back.
async fn tamper(world: &World, sql: &'static str) {
    assert!(world.execute(sql).await > 0, "{sql}");
}

/// What the command says, and whether it is content.
fn verify(world: &World) -> (bool, String) {
    let directory = fresh_directory();
    let output = run(&directory, &["verify", "--database-url", &world.database.url]);
    std::fs::remove_dir_all(directory).unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn where_there_is_no_database_none_is_made() {
    let directory = fresh_directory();
    let output = run(&directory, &["verify"]);
    assert!(!output.status.success() && text(&output.stderr).contains("bursar.db"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    std::fs::remove_dir_all(directory).unwrap();
}

on_both! {
    async fn counters_that_differ_are_named(world: World) {
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("9".into()), budget_duration: Some("1d".into()), ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        record(&world.admin, vec![event("a", &secret, 400), event("b", &secret, 800)]).await;
        let (content, told) = verify(&world);
        assert!(content && told.contains("equal the sum of 2 events") && told.contains("audit entries are as they were written"), "{told}");
        // Merged or not, each event counts once.
        world.store().merge_deltas(1_000).await.unwrap();
        assert!(verify(&world).0);
        for (breaking, mending, named) in [
            (
                "UPDATE balances SET spent_nanos = spent_nanos + 1 WHERE scope = 'team'",
                "UPDATE balances SET spent_nanos = spent_nanos - 1 WHERE scope = 'team'",
                "team \"red\"",
            ),
            (
                "UPDATE usage_rollups SET api_requests = api_requests + 1",
                "UPDATE usage_rollups SET api_requests = api_requests - 1",
                "rollup",
            ),
            (
                "UPDATE usage_rollups SET spent_nanos = spent_nanos + 1 WHERE cut = 'model' AND grain = 'day'",
                "UPDATE usage_rollups SET spent_nanos = spent_nanos - 1 WHERE cut = 'model' AND grain = 'day'",
                "rollup model by day",
            ),
            (
                "UPDATE usage_events SET cost_nanos = cost_nanos + 5 WHERE request_id = 'b'",
                "UPDATE usage_events SET cost_nanos = cost_nanos - 5 WHERE request_id = 'b'",
                "0.003000005",
            ),
            (
                "UPDATE balances SET name = 'blue' WHERE scope = 'team'",
                "UPDATE balances SET name = 'red' WHERE scope = 'team'",
                "team \"blue\"",
            ),
        ] {
            tamper(&world, breaking).await;
            let (content, told) = verify(&world);
            assert!(!content && told.contains(named), "{breaking}: {told}");
            tamper(&world, mending).await;
        }
        assert!(verify(&world).0);
    }
}
