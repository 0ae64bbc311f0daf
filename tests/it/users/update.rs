//! `UpdateUser`: masks, etags, rights, windows.

use bursar::pb;
use pb::ErrorReason;
use prost_types::FieldMask;
use tonic::Code;

use crate::gateway::{ask, authorize, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn update(user: pb::User, paths: &[&str]) -> pb::UpdateUserRequest {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    pb::UpdateUserRequest { user: Some(user), update_mask: (!paths.is_empty()).then_some(mask), ..Default::default() }
}

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

on_both! {
    async fn what_is_present_is_written_and_the_rest_stays(world: World) {
        let before = world.user(pb::User { user_alias: Some("Al".into()), max_budget: Some("5".into()), ..named("alice") }).await;
        let change = pb::User { max_budget: Some("7".into()), rpm_limit: Some(3), ..named("alice") };
        let after = world.admin.users().update_user(update(change, &[])).await.answer().user.unwrap();
        assert_eq!(after, pb::User {
            max_budget: Some("7".into()), rpm_limit: Some(3), updated_at: after.updated_at, etag: after.etag.clone(), ..before.clone()
        });
        assert_ne!(after.etag, before.etag);
    }

    async fn a_mask_writes_what_it_names_and_clears_what_is_absent(world: World) {
        world.user(pb::User { user_alias: Some("Al".into()), max_budget: Some("5".into()), models: vec!["m".into()], ..named("alice") }).await;
        let change = pb::User { user_alias: Some("ignored".into()), rpm_limit: Some(3), ..named("alice") };
        let after = world.admin.users().update_user(update(change, &["max_budget", "models", "rpm_limit"])).await.answer().user.unwrap();
        assert_eq!((after.user_alias.as_deref(), after.max_budget, after.rpm_limit), (Some("Al"), None, Some(3)));
        assert!(after.models.is_empty());
    }

    async fn metadata_is_replaced_or_merged_by_entry(world: World) {
        let entries = |list: &[(&str, &str)]| {
            let value = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
            Some(prost_types::Struct { fields: list.iter().map(|(name, text)| (name.to_string(), value(text))).collect() })
        };
        world.user(pb::User { metadata: entries(&[("a", "1"), ("b", "2")]), ..named("alice") }).await;
        let change = pb::User { metadata: entries(&[("a", "9"), ("c", "3")]), ..named("alice") };
        let after = world.admin.users().update_user(update(change.clone(), &["metadata.a", "metadata.b"])).await.answer().user.unwrap();
        assert_eq!(after.metadata, entries(&[("a", "9")]), "b was named and is absent");
        let after = world.admin.users().update_user(update(change, &["metadata"])).await.answer().user.unwrap();
        assert_eq!(after.metadata, entries(&[("a", "9"), ("c", "3")]));
    }

    async fn unknown_and_output_only_paths_are_refused(world: World) {
        world.user(named("alice")).await;
        for path in ["password_hash", "created_at", "key_count", "user_id", "team_ids", "", "models.0", "*"] {
            let bad = world.admin.users().update_user(update(named("alice"), &["user_alias", path])).await.bad();
            assert_eq!(bad[0].0, "update_mask", "{path:?}");
        }
    }

    async fn a_stale_etag_is_refused(world: World) {
        let first = world.user(named("alice")).await;
        let change = pb::User { user_alias: Some("x".into()), etag: first.etag.clone(), ..named("alice") };
        world.admin.users().update_user(update(change.clone(), &[])).await.answer();
        let status = world.admin.users().update_user(update(change, &[])).await.refused(Code::Aborted, ErrorReason::EtagStale);
        assert!(status.message().contains("alice"), "{}", status.message());
    }

    async fn a_user_is_found_by_address_too(world: World) {
        world.user(pb::User { user_email: Some("a@b.c".into()), ..named("alice") }).await;
        let change = pb::User { user_email: Some("A@b.c".into()), user_alias: Some("x".into()), ..Default::default() };
        let after = world.admin.users().update_user(update(change, &["user_alias"])).await.answer().user.unwrap();
        assert_eq!((after.user_id.as_str(), after.user_email.as_deref()), ("alice", Some("a@b.c")));
        world.admin.users().update_user(update(pb::User::default(), &["user_alias"])).await.refused(Code::InvalidArgument, ErrorReason::UserReferenceMissing);
        world.admin.users().update_user(update(named("bob"), &["user_alias"])).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        let made = pb::UpdateUserRequest { allow_missing: true, ..update(pb::User { max_budget: Some("1".into()), ..named("bob") }, &[]) };
        assert_eq!(world.admin.users().update_user(made).await.answer().user.unwrap().max_budget.as_deref(), Some("1"));
        // Everything that the request says becomes true.
        let user = pb::User { user_email: Some("zoe@b.c".into()), spend: Some("0.5".into()), ..named("zoe") };
        let made = pb::UpdateUserRequest { allow_missing: true, password: Some("a long enough one".into()), ..update(user, &[]) };
        assert_eq!(world.admin.users().update_user(made).await.answer().user.unwrap().spend.as_deref(), Some("0.5"));
        crate::users::sessions::login(&world, "zoe@b.c", "a long enough one").await.answer();
    }

    async fn users_change_their_alias_and_nothing_else(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let auditor = world.person("auditor", pb::Role::ProxyAdminViewer).await;
        for (client, own) in [(&alice, "alice"), (&auditor, "auditor")] {
            let change = pb::User { user_alias: Some("me".into()), ..named(own) };
            assert_eq!(client.users().update_user(update(change, &[])).await.answer().user.unwrap().user_alias.as_deref(), Some("me"));
            for change in [
                pb::User { user_role: pb::Role::ProxyAdmin.into(), ..named(own) },
                pb::User { max_budget: Some("1000000".into()), ..named(own) },
                pb::User { models: vec!["all-proxy-models".into()], ..named(own) },
                pb::User { spend: Some("0".into()), ..named(own) },
                pb::User { blocked: Some(true), ..named(own) },
            ] {
                client.users().update_user(update(change.clone(), &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
            }
        }
        let foreign = pb::User { user_alias: Some("x".into()), ..named("auditor") };
        alice.users().update_user(update(foreign, &[])).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        let user = world.admin.users().get_user(pb::GetUserRequest { user_id: "alice".into(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!((user.user_role(), user.max_budget, user.models.len()), (pb::Role::InternalUser, None, 0), "nothing was written");
    }

    async fn a_taken_address_is_refused(world: World) {
        world.user(pb::User { user_email: Some("a@b.c".into()), ..named("alice") }).await;
        world.user(named("bob")).await;
        let change = pb::User { user_email: Some("A@B.c".into()), ..named("bob") };
        world.admin.users().update_user(update(change, &[])).await.refused(Code::AlreadyExists, ErrorReason::UserEmailExists);
    }

    async fn a_soft_budget_stays_below_the_stored_maximum(world: World) {
        world.user(pb::User { max_budget: Some("5".into()), ..named("alice") }).await;
        let change = pb::User { soft_budget: Some("5".into()), ..named("alice") };
        world.admin.users().update_user(update(change.clone(), &[])).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
        let both = pb::User { max_budget: Some("4".into()), ..change };
        world.admin.users().update_user(update(both, &[])).await.refused(Code::InvalidArgument, ErrorReason::SoftBudgetNotBelowMax);
    }

    async fn a_raised_budget_counts_from_the_next_call_on(world: World) {
        world.user(pb::User { max_budget: Some("1".into()), ..named("alice") }).await;
        let client = world.with_key(&world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await.0);
        reserve(&client, "a", "1").await;
        assert_eq!(authorize(&client, ask("b", "1")).await.decision(), pb::Decision::Deny);
        let change = pb::User { max_budget: Some("2".into()), ..named("alice") };
        world.admin.users().update_user(update(change, &[])).await.answer();
        reserve(&client, "b", "1").await;
        let change = pb::User { max_budget: Some("0.5".into()), ..named("alice") };
        world.admin.users().update_user(update(change, &[])).await.answer();
        assert_eq!(authorize(&client, ask("c", "0")).await.decision(), pb::Decision::Deny, "below what is reserved");
    }

    async fn a_new_duration_starts_a_new_window(backend: Backend) {
        let world = World::builder(backend).at("2025-01-10T12:00:00Z").start().await;
        world.user(pb::User { max_budget: Some("1".into()), ..named("alice") }).await;
        let client = world.with_key(&world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await.0);
        let id = reserve(&client, "a", "1").await;
        settle(&client, &id, 400_000).await;
        assert_eq!(authorize(&client, ask("b", "0.5")).await.decision(), pb::Decision::Deny);
        let change = pb::User { budget_duration: Some("1d".into()), ..named("alice") };
        let user = world.admin.users().update_user(update(change, &[])).await.answer().user.unwrap();
        assert_eq!((user.spend.as_deref(), user.lifetime_spend.as_str()), (Some("0"), "1"));
        assert_eq!(user.budget_resets_at.unwrap().seconds, 1_736_553_600, "at the next midnight");
        let id = reserve(&client, "b", "1").await;
        settle(&client, &id, 400_000).await;
        world.hands().set("2025-01-11T00:00:00Z");
        reserve(&client, "c", "1").await;
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn an_admin_corrects_spend_and_the_ledger_knows(world: World) {
        world.user(pb::User { max_budget: Some("10".into()), ..named("alice") }).await;
        let client = world.with_key(&world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await.0);
        let id = reserve(&client, "a", "1").await;
        settle(&client, &id, 400_000).await;
        for (spend, fits) in [("9.5", false), ("0", true)] {
            let user = world.admin.users().update_user(update(pb::User { spend: Some(spend.into()), ..named("alice") }, &[])).await.answer().user.unwrap();
            assert_eq!(user.spend.as_deref(), Some(spend));
            let decision = authorize(&client, ask("b", "1")).await.decision();
            assert_eq!(decision == pb::Decision::Allow, fits, "{spend}");
        }
        let verified = world.store().verify().await.unwrap();
        assert!(verified.discrepancies.is_empty(), "{verified:?}");
    }
}
