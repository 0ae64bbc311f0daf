//! The lists of spend: the most first, page by page, all or a range of days.

use std::collections::BTreeMap;

use bursar::pb;
use pb::{ErrorReason, SpendDimension};
use tonic::Code;

use super::reports::{Call, Sums, seven_weeks, sums};
use super::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

async fn world(backend: Backend) -> World {
    World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await
}

/// What calls add up to by a dimension, the most first.
fn ranked<'a>(calls: impl Iterator<Item = &'a Call>, by: SpendDimension) -> Vec<(String, Sums)> {
    let mut parts: BTreeMap<String, Sums> = BTreeMap::new();
    for call in calls {
        for part in &call.places[&by] {
            let sums = parts.entry(part.clone()).or_default();
            *sums = (sums.0 + call.nanos, sums.1 + 1, sums.2 + i64::from(call.failed));
        }
    }
    let mut parts: Vec<(String, Sums)> = parts.into_iter().collect();
    parts.sort_by_key(|(_, sums)| -sums.0);
    parts
}

/// The whole of a list, one row a page.
macro_rules! walk {
    ($world:expr, $rpc:ident, $request:expr, $id:ident) => {{
        let (mut rows, mut total_size) = (Vec::new(), None);
        let (request, mut page_token) = ($request, String::new());
        let totals = loop {
            let mut page = request.clone();
            (page.page_size, page.page_token, page.include_total) = (1, page_token, rows.is_empty());
            let answer = $world.admin.spend().$rpc(page).await.answer();
            assert!(answer.rows.len() <= 1);
            total_size = total_size.or(answer.total_size);
            rows.extend(answer.rows.into_iter().map(|row| (row.$id, sums(row.metrics.as_ref()))));
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break answer.totals;
            }
        };
        assert_eq!(total_size, i64::try_from(rows.len()).ok());
        (rows, sums(totals.as_ref()))
    }};
}

on_both! {
    async fn every_list_shows_all_spend_the_most_first(backend: Backend) {
        let world = world(backend).await;
        let calls = seven_weeks(&world).await;
        let all = ranked(calls.iter(), SpendDimension::Organization)[0].1;
        let of = |by| ranked(calls.iter(), by);
        let (keys, totals) = walk!(world, list_key_spend, pb::ListKeySpendRequest::default(), key_id);
        assert_eq!((keys, totals), (of(SpendDimension::Key), all));
        assert_eq!(walk!(world, list_user_spend, pb::ListUserSpendRequest::default(), user_id), (of(SpendDimension::User), all));
        assert_eq!(walk!(world, list_team_spend, pb::ListTeamSpendRequest::default(), team_id), (of(SpendDimension::Team), all));
        assert_eq!(walk!(world, list_model_spend, pb::ListModelSpendRequest::default(), model), (of(SpendDimension::Model), all));
        assert_eq!(walk!(world, list_provider_spend, pb::ListProviderSpendRequest::default(), provider), (of(SpendDimension::Provider), all));
        let everybody = pb::ListCustomerSpendRequest { include_empty: true, ..Default::default() };
        assert_eq!(walk!(world, list_customer_spend, everybody, customer_id), (of(SpendDimension::Customer), all));
        let untagged_too = pb::ListTagSpendRequest { include_untagged: true, ..Default::default() };
        assert_eq!(walk!(world, list_tag_spend, untagged_too, tag), (of(SpendDimension::Tag), all));
        // Without those of nobody and without a tag.
        let named = |by: SpendDimension| -> Vec<&Call> { calls.iter().filter(|call| call.places[&by] != [""]).collect() };
        let sum = |calls: &[&Call]| ranked(calls.iter().copied(), SpendDimension::Organization)[0].1;
        let customers = named(SpendDimension::Customer);
        let expected = (ranked(customers.iter().copied(), SpendDimension::Customer), sum(&customers));
        assert_eq!(walk!(world, list_customer_spend, pb::ListCustomerSpendRequest::default(), customer_id), expected);
        let tagged = named(SpendDimension::Tag);
        let expected = (ranked(tagged.iter().copied(), SpendDimension::Tag), sum(&tagged));
        assert_eq!(walk!(world, list_tag_spend, pb::ListTagSpendRequest::default(), tag), expected);
        // Of two tags, each call once in the totals.
        let two = pb::ListTagSpendRequest { tags: vec!["x".into(), "y".into()], ..Default::default() };
        let found: Vec<&Call> = calls.iter().filter(|call| call.places[&SpendDimension::Tag].iter().any(|tag| tag == "x" || tag == "y")).collect();
        let (rows, totals) = walk!(world, list_tag_spend, two, tag);
        assert_eq!((rows.len(), totals), (2, sum(&found)));
    }

    async fn a_range_and_filters_narrow_a_list(backend: Backend) {
        let world = world(backend).await;
        let calls = seven_weeks(&world).await;
        let request = pb::ListModelSpendRequest {
            start_date: "2025-05-10".into(), end_date: "2025-06-03".into(), time_zone: "Asia/Kathmandu".into(),
            team_id: "red".into(), ..Default::default()
        };
        let kathmandu = |call: &&Call| {
            let day = call.at.to_utc().with_timezone(&chrono_tz::Asia::Kathmandu).date_naive().to_string();
            ("2025-05-10".."2025-06-04").contains(&day.as_str()) && call.places[&SpendDimension::Team] == ["red"]
        };
        let found: Vec<&Call> = calls.iter().filter(kathmandu).collect();
        assert!(!found.is_empty());
        let expected = ranked(found.iter().copied(), SpendDimension::Model);
        let (rows, totals) = walk!(world, list_model_spend, request.clone(), model);
        assert_eq!((rows, totals), (expected, ranked(found.into_iter(), SpendDimension::Organization)[0].1));
        let days = pb::ListTeamSpendRequest { start_date: "2025-05-10".into(), end_date: "2025-05-12".into(), include_days: true, ..Default::default() };
        let answer = world.admin.spend().list_team_spend(days).await.answer();
        assert_eq!(answer.days.len(), 3);
        let added: i64 = answer.days.iter().map(|day| sums(day.metrics.as_ref()).0).sum();
        assert_eq!(added, sums(answer.totals.as_ref()).0);
        for (request, field) in [
            (pb::ListTeamSpendRequest { include_days: true, ..Default::default() }, "include_days"),
            (pb::ListTeamSpendRequest { time_zone: "UTC".into(), ..Default::default() }, "time_zone"),
            (pb::ListTeamSpendRequest { start_date: "2025-05-10".into(), ..Default::default() }, "end_date"),
            (pb::ListTeamSpendRequest { page_size: -1, ..Default::default() }, "page_size"),
            (pb::ListTeamSpendRequest { page_token: "nonsense".into(), ..Default::default() }, "page_token"),
        ] {
            assert_eq!(world.admin.spend().list_team_spend(request).await.bad()[0].0, field);
        }
        world.admin.spend().list_model_spend(request).await.answer();
    }

    async fn what_was_used_only_before_a_range_is_not_in_it(backend: Backend) {
        let world = World::builder(backend).at("2025-07-03T00:00:00Z").set("max_event_age", "100d").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let of = |customer: &str, day: &str| pb::UsageEvent {
            customer_id: customer.into(), start_time: at(&format!("{day}T23:30:00Z")), ..event(&format!("{customer}-{day}"), &secret, 400)
        };
        record(&world.admin, vec![of("early", "2025-06-01"), of("both", "2025-06-01"), of("both", "2025-06-20")]).await;
        for merged in [false, true] {
            if merged {
                while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
            }
            // The month but for its first day, of UTC and half an hour later.
            for (time_zone, start_date, found) in [("UTC", "2025-06-02", vec!["both"]), ("Europe/London", "2025-06-02", vec!["both", "early"])] {
                let request = pb::ListCustomerSpendRequest { start_date: start_date.into(), end_date: "2025-06-30".into(), time_zone: time_zone.into(), ..Default::default() };
                let answer = world.admin.spend().list_customer_spend(request).await.answer();
                assert_eq!(answer.rows.iter().map(|row| row.customer_id.as_str()).collect::<Vec<_>>(), found, "{time_zone} {merged}");
                let of_calls: i64 = answer.rows.iter().map(|row| row.metrics.as_ref().unwrap().api_requests).sum();
                assert_eq!(of_calls, answer.totals.unwrap().api_requests);
            }
        }
    }

    async fn everybody_ranks_its_own(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").start().await;
        let (lead, alice) = crate::teams::red(&world, pb::Team::default()).await;
        let (in_team, _) = world.key(crate::keys::in_team("alice")).await;
        let (leads, _) = world.key(crate::keys::in_team("lead")).await;
        let (free, _) = world.key(pb::Key::default()).await;
        let tagged = |tag: &str, customer: &str, event: pb::UsageEvent| pb::UsageEvent { tags: vec![tag.into()], customer_id: customer.into(), ..event };
        record(&world.admin, vec![
            tagged("a", "c1", event("a", &in_team, 400)), tagged("b", "c2", event("b", &leads, 800)), tagged("c", "c3", event("c", &free, 1_600)),
        ]).await;
        for (client, total, tags) in [
            (&world.admin, "0.007", &["a", "b", "c"][..]), (&lead, "0.003", &["a", "b"]), (&alice, "0.001", &["a"]), (&world.with_key(&free), "0.004", &["c"]),
        ] {
            let answer = client.spend().list_key_spend(pb::ListKeySpendRequest::default()).await.answer();
            assert_eq!(answer.totals.unwrap().spend, total);
            assert_eq!(client.spend().list_tag_names(pb::ListTagNamesRequest::default()).await.answer().tags, tags);
        }
        // Of teams, those that are open to it; of end users, those that it administers.
        assert_eq!(lead.spend().list_team_spend(pb::ListTeamSpendRequest::default()).await.answer().totals.unwrap().spend, "0.003");
        assert!(alice.spend().list_team_spend(pb::ListTeamSpendRequest::default()).await.answer().rows.is_empty());
        let names = pb::ListCustomerNamesRequest::default;
        assert_eq!(lead.spend().list_customer_names(names()).await.answer().customer_ids, ["c1", "c2"]);
        alice.spend().list_customer_names(names()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let of_lead = pb::ListKeySpendRequest { user_id: "lead".into(), ..Default::default() };
        alice.spend().list_key_spend(of_lead).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
    }

    async fn names_are_paged_and_found_by_their_beginning(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").start().await;
        let (free, _) = world.key(pb::Key::default()).await;
        let customers = ["b_1", "b%2", "a", "b1", ""];
        let events = customers.iter().enumerate().map(|(number, customer)| pb::UsageEvent {
            customer_id: (*customer).into(), ..event(&format!("e{number}"), &free, 400)
        });
        record(&world.admin, events.collect()).await;
        // Merged or not, a name is one.
        for merges in [true, false] {
            let mut seen = Vec::new();
            let mut request = pb::ListCustomerNamesRequest { page_size: 1, ..Default::default() };
            loop {
                let answer = world.admin.spend().list_customer_names(request.clone()).await.answer();
                seen.extend(answer.customer_ids);
                request.page_token = answer.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, ["a", "b%2", "b1", "b_1"]);
            for (prefix, found) in [("b_", &["b_1"][..]), ("b%", &["b%2"]), ("x", &[])] {
                let request = pb::ListCustomerNamesRequest { prefix: prefix.into(), ..Default::default() };
                assert_eq!(world.admin.spend().list_customer_names(request).await.answer().customer_ids, found);
            }
            if merges {
                world.store().merge_deltas(1_000).await.unwrap();
                record(&world.admin, vec![pb::UsageEvent { customer_id: "a".into(), ..event("again", &free, 400) }]).await;
            }
        }
    }
}
