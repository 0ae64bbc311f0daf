//! The warm path: no statement of the database, many callers at once.

use bursar::pb;

use super::{ask, authorize};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, on_both};

on_both! {
    async fn a_warm_authorize_makes_no_statement(world: World) {
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("1000".into()), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("1000".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("1000".into()), members, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key {
            user_id: Some("alice".into()), team_id: Some("red".into()), max_budget: Some("1000".into()), ..Default::default()
        }).await;
        let sidecar = world.sidecar().await;
        let plain = pb::AuthorizeRequest { key: secret.clone(), model: MODEL.into(), ..Default::default() };
        // Twice: the first look reads, and the first needs for room are what
        // shows that there is demand.
        for number in 0..8 {
            authorize(&sidecar, plain.clone()).await;
            authorize(&sidecar, pb::AuthorizeRequest { key: secret.clone(), ..ask(&format!("warm-{number}"), "0.001") }).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let feed = quiet_statements(&world).await;
        let before = world.store().statements();
        for number in 0..50 {
            authorize(&sidecar, plain.clone()).await;
            let asked = pb::AuthorizeRequest { key: secret.clone(), ..ask(&format!("hot-{number}"), "0.000001") };
            let answer = authorize(&sidecar, asked).await;
            assert_eq!(answer.decision(), pb::Decision::Allow);
            sidecar.gateway().release(pb::ReleaseRequest { reservation_id: answer.reservation_id }).await.answer();
        }
        let made = world.store().statements() - before;
        assert!(made <= feed, "150 calls made {made} statements, {feed} of which the background may have made");
    }
}

/// The statements that the background makes by itself in two seconds: the
/// change feed looks once a second.
async fn quiet_statements(world: &World) -> u64 {
    let before = world.store().statements();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    world.store().statements() - before + 2
}
