//! `GetActivity`, `GetModelActivity`, `GetErrorActivity`, `GetTotalSpend`.

use std::collections::BTreeMap;

use bursar::pb;
use pb::{DenyReason, ErrorReason, SpendDimension, SpendWindow};
use tonic::Code;

use super::reports::{Call, seven_weeks, sums};
use crate::gateway::{ask, authorize};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

async fn world(backend: Backend) -> World {
    World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await
}

fn in_june(call: &Call) -> bool {
    ("2025-06-01".."2025-06-11").contains(&call.at.to_utc().date_naive().to_string().as_str())
}

const JUNE: (&str, &str) = ("2025-06-01", "2025-06-10");

on_both! {
    async fn activity_is_by_day_and_by_the_busiest_models(backend: Backend) {
        let world = world(backend).await;
        let calls = seven_weeks(&world).await;
        let june: Vec<&Call> = calls.iter().filter(|call| in_june(call)).collect();
        let request = pb::GetActivityRequest { start_date: JUNE.0.into(), end_date: JUNE.1.into(), ..Default::default() };
        let answer = world.admin.spend().get_activity(request.clone()).await.answer();
        assert_eq!((answer.days.len(), answer.days[0].date.as_str()), (10, "2025-06-01"));
        let spent: i64 = june.iter().map(|call| call.nanos).sum();
        assert_eq!((sums(answer.totals.as_ref()).0, sums(answer.totals.as_ref()).1), (spent, i64::try_from(june.len()).unwrap()));
        let mut by_model: BTreeMap<&str, i64> = BTreeMap::new();
        for call in &june {
            *by_model.entry(&call.places[&SpendDimension::ModelGroup][0]).or_default() += 1;
        }
        assert!(by_model["large"] > by_model["small"]);
        let models = pb::GetModelActivityRequest { start_date: JUNE.0.into(), end_date: JUNE.1.into(), page_size: 1, ..Default::default() };
        let answer = world.admin.spend().get_model_activity(models).await.answer();
        let (first, others) = (&answer.models[0], answer.others.as_ref().unwrap());
        assert_eq!((answer.models.len(), first.model_group.as_str(), sums(first.totals.as_ref()).1), (1, "large", by_model["large"]));
        assert_eq!((sums(others.totals.as_ref()).1, others.days.len()), (by_model["small"], 10));
        assert_eq!(sums(answer.totals.as_ref()).0, spent);
        assert_eq!(world.admin.spend().get_activity(pb::GetActivityRequest::default()).await.bad().len(), 2);
    }

    async fn failures_are_counted_by_code_day_and_deployment(backend: Backend) {
        let world = world(backend).await;
        let calls = seven_weeks(&world).await;
        let count = |code: &str, deployment: &str| {
            let found = calls.iter().filter(|call| in_june(call)).filter(|call| call.failed && call.error_code == code && call.deployment == deployment);
            i64::try_from(found.count()).unwrap()
        };
        let ask = |error_codes: &[&str]| pb::GetErrorActivityRequest {
            start_date: JUNE.0.into(), end_date: JUNE.1.into(), error_codes: error_codes.iter().map(ToString::to_string).collect(), ..Default::default()
        };
        let throttled = world.admin.spend().get_error_activity(ask(&[])).await.answer();
        assert_eq!(throttled.total, count("429", "east") + count("429", "west"));
        assert_eq!((throttled.days.len(), throttled.days.iter().map(|day| day.failed_requests).sum::<i64>()), (10, throttled.total));
        for deployment in &throttled.deployments {
            assert_eq!(deployment.total, count("429", &deployment.deployment));
        }
        let both = world.admin.spend().get_error_activity(ask(&["429", "500"])).await.answer();
        assert_eq!(both.total, throttled.total + count("500", "east") + count("500", "west"));
        let alice = world.person("ann", pb::Role::InternalUser).await;
        alice.spend().get_error_activity(ask(&[])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }

    async fn denied_calls_are_counted_by_reason_and_nowhere_else(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        let (poor, _) = world.key(pb::Key { max_budget: Some("0".into()), ..Default::default() }).await;
        let (blocked, _) = world.key(pb::Key { blocked: Some(true), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let call = |key: &str, request_id: &str| pb::AuthorizeRequest { key: key.into(), ..ask(request_id, "0.1") };
        for number in 0..3 {
            authorize(&sidecar, call(&poor, &format!("poor-{number}"))).await;
        }
        authorize(&sidecar, call(&blocked, "blocked")).await;
        authorize(&sidecar, call("sk-nobody-has-this-key-0123456789", "unknown")).await;
        authorize(&sidecar, call("no key at all", "stranger")).await;
        authorize(&sidecar, pb::AuthorizeRequest { model: "nobody-knows-it".into(), ..call(&poor, "junk") }).await;
        let activity = |time_zone: &str, model_group: &str| {
            let request = pb::GetErrorActivityRequest {
                start_date: "2025-06-09".into(), end_date: "2025-06-10".into(), time_zone: time_zone.into(), model_group: model_group.into(), ..Default::default()
            };
            let client = world.admin.clone();
            async move {
                let found = client.spend().get_error_activity(request).await.answer();
                assert_eq!(found.total, 0, "no call failed");
                found.denials.iter().map(|of| (of.reason(), of.days.iter().map(|day| day.failed_requests).collect::<Vec<_>>(), of.total)).collect::<Vec<_>>()
            }
        };
        let all = vec![
            (DenyReason::BudgetExceeded, vec![0, 4], 4), (DenyReason::KeyUnknown, vec![0, 2], 2), (DenyReason::KeyBlocked, vec![0, 1], 1),
        ];
        world.app().gate.write_denials().await.unwrap();
        assert_eq!(activity("", "").await, all);
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        assert_eq!(activity("", "").await, all, "also from the rollups");
        assert_eq!(activity("Asia/Kathmandu", "").await, all);
        assert_eq!(activity("", MODEL).await[0], (DenyReason::BudgetExceeded, vec![0, 3], 3));
        let total = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer();
        assert_eq!(total.metrics.unwrap().api_requests, 0);
        let rebuild = world.admin.spend().rebuild_rollups(pb::RebuildRollupsRequest::default()).await.answer().rebuild.unwrap();
        crate::spend::rebuild::done(&world.admin, &rebuild.job_id).await;
        assert_eq!(activity("", "").await, all, "nothing else knows them");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn the_total_is_of_all_time_or_of_thirty_days(backend: Backend) {
        let world = world(backend).await;
        let calls = seven_weeks(&world).await;
        let total = |window: SpendWindow| {
            let client = world.admin.clone();
            async move { client.spend().get_total_spend(pb::GetTotalSpendRequest { window: window.into() }).await.answer() }
        };
        let all = total(SpendWindow::Unspecified).await;
        assert_eq!(sums(all.metrics.as_ref()).0, calls.iter().map(|call| call.nanos).sum::<i64>());
        assert_eq!(all.spend, all.metrics.unwrap().spend);
        assert_eq!(total(SpendWindow::CurrentBudget).await.spend, all.spend, "without a budget of everything");
        // 27 May to 25 June.
        let recent = |call: &&Call| call.at.to_utc().date_naive().to_string().as_str() >= "2025-05-27";
        let expected: i64 = calls.iter().filter(recent).map(|call| call.nanos).sum();
        assert_eq!(sums(total(SpendWindow::Last30Days).await.metrics.as_ref()).0, expected);
        let odd = pb::GetTotalSpendRequest { window: 9 };
        assert_eq!(world.admin.spend().get_total_spend(odd).await.bad()[0].0, "window");
    }
}
