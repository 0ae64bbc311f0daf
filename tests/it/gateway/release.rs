//! Release: the call was not made.

use bursar::pb;
use pb::{Decision, ErrorReason};
use tonic::Code;

use super::{ask, authorize, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, on_both};

on_both! {
    async fn a_released_reservation_is_free_again(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), max_parallel_requests: Some(1), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let reservation_id = reserve(&client, "a", "1").await;
        assert_eq!(authorize(&client, ask("b", "1")).await.decision(), Decision::Deny);
        let release = pb::ReleaseRequest { reservation_id: reservation_id.clone() };
        assert!(client.gateway().release(release.clone()).await.answer().released);
        assert!(!client.gateway().release(release.clone()).await.answer().released, "a second time it is not live");
        let second = reserve(&client, "a", "1").await;
        assert_ne!(second, reservation_id, "the request id is free again, too");
        // What was released can still be settled: the call was made after all.
        let settled = settle(&client, &reservation_id, 40_000).await;
        assert_eq!((settled.cost.as_str(), settled.late), ("0.1", true));
    }

    async fn only_who_reserved_may_release_or_settle(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let (other, _) = world.key(pb::Key::default()).await;
        let reservation_id = reserve(&world.with_key(&secret), "a", "1").await;
        let forged = reservation_id.chars().rev().collect::<String>();
        let (stranger, owner, sidecar) = (world.with_key(&other), world.with_key(&secret), world.sidecar().await);
        for (client, id) in [(&stranger, &reservation_id), (&sidecar, &reservation_id), (&owner, &forged), (&owner, &"nonsense".to_owned())] {
            let release = pb::ReleaseRequest { reservation_id: id.clone() };
            client.gateway().release(release).await.refused(Code::NotFound, ErrorReason::ReservationNotFound);
            let settle = pb::SettleRequest { reservation_id: id.clone(), usage: Some(pb::UsageEvent::default()) };
            client.gateway().settle(settle).await.refused(Code::NotFound, ErrorReason::ReservationNotFound);
        }
        assert_eq!(owner.gateway().release(pb::ReleaseRequest::default()).await.bad()[0].0, "reservation_id");
        // A proxy admin may end every reservation.
        assert!(world.admin.gateway().release(pb::ReleaseRequest { reservation_id }).await.answer().released);
    }
}
