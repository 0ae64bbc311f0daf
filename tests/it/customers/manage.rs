//! Making, changing, finding and deleting customers.

use std::collections::BTreeSet;

use bursar::pb;
use pb::AuditAction::{Block, Create, Delete, Update};
use pb::{ErrorReason, Role};
use tonic::Code;

use super::{create, customer, get, known, update};
use crate::spend::{event, record};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn ids(customers: &[pb::Customer]) -> Vec<&str> {
    customers.iter().map(|customer| customer.customer_id.as_str()).collect()
}

fn list(request: pb::ListCustomersRequest, world: &World) -> impl Future<Output = pb::ListCustomersResponse> {
    let admin = world.admin.clone();
    async move { admin.customers().list_customers(request).await.answer() }
}

async fn budget(world: &World, budget: pb::Budget) {
    let request = pb::CreateBudgetRequest { budget: Some(budget), ..Default::default() };
    world.admin.budgets().create_budget(request).await.answer();
}

on_both! {
    async fn a_customer_is_as_it_was_made(world: World) {
        let wanted = pb::Customer {
            alias: "Acme".into(),
            soft_budget: Some("4".into()),
            budget_duration: Some("30d".into()),
            tpm_limit: Some(1_000),
            rpm_limit: Some(10),
            max_parallel_requests: Some(2),
            allowed_models: vec!["gpt-4o".into()],
            metadata: Some(prost_types::Struct { fields: [("plan".to_owned(), prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("pro".into())) })].into() }),
            spend: Some("1.5".into()),
            ..customer("acme", Some("5"))
        };
        let made = create(&world, wanted.clone()).await;
        assert_eq!(made, known(&world, "acme").await);
        assert!(made.budget_resets_at.is_some() && made.created_at.is_some() && !made.etag.is_empty());
        let plain = pb::Customer {
            budget_resets_at: None, created_at: None, updated_at: None, etag: String::new(), lifetime_spend: String::new(), ..made.clone()
        };
        assert_eq!(plain, pb::Customer { blocked: Some(false), ..wanted });
        assert_eq!(made.lifetime_spend, "1.5");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty(), "spend that is set is an event");
    }

    async fn what_is_wrong_is_told_at_once(world: World) {
        let wrong = pb::Customer {
            alias: "x".repeat(257),
            soft_budget: Some("5".into()),
            budget_duration: Some("soon".into()),
            rpm_limit: Some(-1),
            budget_id: Some("free".into()),
            ..customer("", Some("5"))
        };
        let request = pb::CreateCustomerRequest { customer: Some(wrong), ..Default::default() };
        let fields: BTreeSet<String> = world.admin.customers().create_customer(request).await.bad().into_iter().map(|(field, _)| field).collect();
        let expected = ["alias", "budget_duration", "budget_id", "customer_id", "rpm_limit", "soft_budget"];
        assert_eq!(fields, expected.iter().map(|field| format!("customer.{field}")).collect());
        let unknown_tier = pb::Customer { budget_id: Some("none".into()), ..customer("acme", None) };
        let request = pb::CreateCustomerRequest { customer: Some(unknown_tier.clone()), ..Default::default() };
        world.admin.customers().create_customer(request).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        create(&world, customer("acme", None)).await;
        update(&world, unknown_tier, &[]).await.refused(Code::NotFound, ErrorReason::BudgetNotFound);
        let again = pb::CreateCustomerRequest { customer: Some(customer("acme", Some("9"))), ..Default::default() };
        world.admin.customers().create_customer(again).await.refused(Code::AlreadyExists, ErrorReason::CustomerIdExists);
        update(&world, customer("nobody", None), &[]).await.refused(Code::NotFound, ErrorReason::CustomerNotFound);
        get(&world.admin, "nobody").await.refused(Code::NotFound, ErrorReason::CustomerNotFound);
        assert_eq!(update(&world, customer("acme", None), &["customer_id"]).await.bad()[0].0, "update_mask");
    }

    async fn a_create_is_safe_to_repeat(world: World) {
        let request = |max| pb::CreateCustomerRequest { customer: Some(customer("acme", Some(max))), request_id: "once".into() };
        let first = world.admin.customers().create_customer(request("1")).await.answer();
        assert_eq!(world.admin.customers().create_customer(request("1")).await.answer(), first);
        world.admin.customers().create_customer(request("2")).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
    }

    async fn a_mask_writes_and_clears_what_it_names(world: World) {
        let made = create(&world, pb::Customer { alias: "Acme".into(), rpm_limit: Some(5), soft_budget: Some("1".into()), ..customer("acme", Some("5")) }).await;
        let zero = update(&world, pb::Customer { etag: made.etag.clone(), ..customer("acme", Some("0")) }, &["max_budget", "soft_budget", "rpm_limit"]).await;
        let zero = zero.answer().customer.unwrap();
        assert_eq!((zero.max_budget.as_deref(), zero.soft_budget, zero.rpm_limit, zero.alias.as_str()), (Some("0"), None, None, "Acme"));
        update(&world, pb::Customer { etag: made.etag, ..customer("acme", None) }, &["max_budget"]).await.refused(Code::Aborted, ErrorReason::EtagStale);
        let open = update(&world, customer("acme", None), &["max_budget", "alias"]).await.answer().customer.unwrap();
        assert_eq!((open.max_budget, open.alias.as_str()), (None, ""));
        let soft = pb::Customer { soft_budget: Some("7".into()), ..customer("acme", None) };
        update(&world, customer("acme", Some("6")), &[]).await.answer();
        update(&world, soft, &[]).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
    }

    async fn whoever_uses_something_is_known(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let used = |id: &str, customer_id: &str| pb::UsageEvent { customer_id: customer_id.into(), ..event(id, &secret, 400_000) };
        record(&world.admin, vec![used("a", "acme"), used("b", "acme"), used("c", "other"), used("d", " odd ")]).await;
        let found = known(&world, "acme").await;
        assert_eq!((found.spend.as_deref(), found.lifetime_spend.as_str(), found.max_budget.clone()), (Some("2"), "2", None));
        let everybody = list(pb::ListCustomersRequest { order_by: "customer_id".into(), ..Default::default() }, &world).await;
        assert_eq!(ids(&everybody.customers), ["acme", "other"], "who could not be asked for is not made");
        // Making one that is known so far only by its usage keeps what it spent.
        let made = create(&world, customer("acme", Some("5"))).await;
        assert_eq!((made.spend.as_deref(), made.max_budget.as_deref()), (Some("2"), Some("5")));
        record(&world.admin, vec![used("e", "acme")]).await;
        assert_eq!(known(&world, "acme").await.spend.as_deref(), Some("3"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn lists_find_and_order(world: World) {
        budget(&world, pb::Budget { budget_id: "free".into(), ..Default::default() }).await;
        for (id, alias, max) in [("c-1", "Zoe", Some("3")), ("c-2", "Anna", None), ("d-3", "anton", Some("20"))] {
            create(&world, pb::Customer { alias: alias.into(), ..customer(id, max) }).await;
        }
        create(&world, pb::Customer { budget_id: Some("free".into()), ..customer("e-4", None) }).await;
        let blocked = pb::BlockCustomersRequest { customer_ids: vec!["c-2".into()] };
        world.admin.customers().block_customers(blocked).await.answer();
        let find = async |request: pb::ListCustomersRequest| -> Vec<String> {
            let request = pb::ListCustomersRequest { include_total: true, ..request };
            let found = list(request, &world).await;
            assert_eq!(found.total_size, i64::try_from(found.customers.len()).ok());
            ids(&found.customers).into_iter().map(str::to_owned).collect()
        };
        let none = pb::ListCustomersRequest::default;
        assert_eq!(find(none()).await, ["e-4", "d-3", "c-2", "c-1"]);
        assert_eq!(find(pb::ListCustomersRequest { alias_contains: "AN".into(), order_by: "alias".into(), ..none() }).await, ["c-2", "d-3"]);
        assert_eq!(find(pb::ListCustomersRequest { customer_id_contains: "c-".into(), order_by: "customer_id desc".into(), ..none() }).await, ["c-2", "c-1"]);
        assert_eq!(find(pb::ListCustomersRequest { order_by: "max_budget desc".into(), ..none() }).await[..2], ["d-3", "c-1"]);
        assert_eq!(find(pb::ListCustomersRequest { budget_id: "free".into(), ..none() }).await, ["e-4"]);
        assert_eq!(find(pb::ListCustomersRequest { blocked: Some(true), ..none() }).await, ["c-2"]);
        assert_eq!(find(pb::ListCustomersRequest { customer_ids: vec!["c-1".into(), "x".into()], ..none() }).await, ["c-1"]);
        for order_by in ["max_budget", "max_budget desc", "alias", "created_at"] {
            let mut seen = Vec::new();
            let mut page_token = String::new();
            loop {
                let page = pb::ListCustomersRequest { page_size: 1, page_token, order_by: order_by.into(), ..none() };
                let found = list(page, &world).await;
                seen.extend(found.customers.into_iter().map(|customer| customer.customer_id));
                page_token = found.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen.len(), 4, "{order_by}: {seen:?}");
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 4, "{order_by}");
        }
        let wrong = pb::ListCustomersRequest { order_by: "spend".into(), page_size: -1, ..none() };
        assert_eq!(world.admin.customers().list_customers(wrong).await.bad().len(), 2);
    }

    async fn deletes_are_all_or_none_and_forget_no_spend(world: World) {
        create(&world, pb::Customer { spend: Some("3".into()), ..customer("acme", Some("5")) }).await;
        let delete = |ids: &[&str]| pb::DeleteCustomersRequest { customer_ids: ids.iter().map(ToString::to_string).collect() };
        let status = world.admin.customers().delete_customers(delete(&["acme", "x", "y"])).await.refused(Code::NotFound, ErrorReason::CustomerNotFound);
        assert!(status.message().contains("\"x\"") && status.message().contains("\"y\""), "{}", status.message());
        let deleted = world.admin.customers().delete_customers(delete(&["acme", "acme"])).await.answer();
        assert_eq!(deleted.deleted_customer_ids, ["acme"]);
        get(&world.admin, "acme").await.refused(Code::NotFound, ErrorReason::CustomerNotFound);
        assert_eq!(create(&world, customer("acme", Some("5"))).await.spend.as_deref(), Some("3"), "it has spent it");
        assert_eq!(world.admin.customers().delete_customers(delete(&[])).await.bad()[0].0, "customer_ids");
    }

    async fn a_tier_counts_and_keeps_its_customers(world: World) {
        budget(&world, pb::Budget { budget_id: "free".into(), max_budget: Some("1".into()), ..Default::default() }).await;
        create(&world, pb::Customer { budget_id: Some("free".into()), ..customer("acme", None) }).await;
        let shown = world.admin.budgets().get_budget(pb::GetBudgetRequest { budget_id: "free".into() }).await.answer().budget.unwrap();
        assert_eq!((shown.key_count, shown.customer_count), (0, 1));
        let delete = |detach| pb::DeleteBudgetsRequest { budget_ids: vec!["free".into()], detach };
        world.admin.budgets().delete_budgets(delete(false)).await.refused(Code::FailedPrecondition, ErrorReason::BudgetInUse);
        let deleted = world.admin.budgets().delete_budgets(delete(true)).await.answer();
        assert_eq!((deleted.detached_key_count, deleted.detached_customer_count), (0, 1));
        assert_eq!(known(&world, "acme").await.budget_id, None);
    }

    async fn customers_are_for_admins(world: World) {
        create(&world, customer("acme", None)).await;
        let viewer = world.person("viewer", Role::ProxyAdminViewer).await;
        assert_eq!(get(&viewer, "acme").await.answer().customer.unwrap().customer_id, "acme");
        let block = pb::BlockCustomersRequest { customer_ids: vec!["acme".into()] };
        viewer.customers().block_customers(block.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        for client in [world.person("alice", Role::InternalUser).await, world.sidecar().await] {
            get(&client, "acme").await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
            client.customers().block_customers(block.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        }
    }

    async fn every_change_is_audited(world: World) {
        create(&world, customer("acme", None)).await;
        update(&world, customer("acme", Some("1")), &[]).await.answer();
        let names = vec!["acme".to_owned(), "new".to_owned()];
        world.admin.customers().block_customers(pb::BlockCustomersRequest { customer_ids: names.clone() }).await.answer();
        world.admin.customers().delete_customers(pb::DeleteCustomersRequest { customer_ids: names }).await.answer();
        let request = pb::ListAuditEntriesRequest { object_type: "customer".into(), ..Default::default() };
        let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
        let done: Vec<(pb::AuditAction, &str)> = entries.iter().rev().map(|entry| (entry.action(), entry.object_id.as_str())).collect();
        assert_eq!(done, [(Create, "acme"), (Update, "acme"), (Block, "acme"), (Create, "new"), (Delete, "acme"), (Delete, "new")]);
    }
}
