//! Bad input: whatever a client sends, it is told what is wrong with it, and
//! the server stands.

use bursar::pb;
use pb::ErrorReason;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::Type;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::raw::{Contract, call};
use crate::support::world::{MASTER, MODEL};
use crate::support::{Answer, Backend, Client, World, on_both, reason_of};

/// What no input may bring about: codes that blame the server, or nobody.
const NEVER: [Code; 6] =
    [Code::Internal, Code::Unknown, Code::Unimplemented, Code::Unavailable, Code::DataLoss, Code::DeadlineExceeded];

/// Whether a refusal has everything that a refusal must have; if not, what is
/// wrong with it.
fn check_refusal(status: &Status) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{what}: {:?} {}", status.code(), status.message()));
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return fault("no ErrorInfo") };
    let known = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)).is_some();
    if NEVER.contains(&status.code()) || status.message().is_empty() || info.domain != "bursar" || !known {
        return fault("not a refusal of Bursar's");
    }
    let names_fields = details.bad_request().is_some_and(|bad| !bad.field_violations.is_empty());
    if status.code() == Code::InvalidArgument && !names_fields {
        return fault("no field is named");
    }
    Ok(())
}

/// Bytes that are no message.
fn garbage() -> Vec<Vec<u8>> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut all = vec![vec![0xff], vec![0x0a, 0xff, 0xff, 0xff, 0x7f], vec![0x0a, 0x02, 0xff, 0xfe], vec![0x0b; 300]];
    all.extend((0..20).map(|length| (0..=length).flat_map(|_| random()).collect()));
    all
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_by_every_rpc() {
    let world = World::start(Backend::Sqlite).await;
    for (rpc, _) in Contract::new().rpcs() {
        for bytes in garbage() {
            if let Err(status) = call(&world.admin, &rpc, bytes.clone()).await {
                check_refusal(&status).unwrap_or_else(|fault| panic!("{rpc} {bytes:02x?}: {fault}"));
            }
        }
        let status = call(&world.admin, &rpc, vec![0xff]).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"), "{rpc}");
        let limit = if rpc.contains("SpendService") || rpc.contains("ModelService") { 8 << 20 } else { 1 << 20 };
        let status = call(&world.admin, &rpc, vec![0; limit + 1]).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::InvalidArgument, "MESSAGE_TOO_LARGE"), "{rpc}");
    }
}

/// Values that fit a field's type and hardly anything else.
fn hostile(kind: Type) -> Vec<Vec<u8>> {
    let varint = |value: u64| {
        let mut bytes = Vec::new();
        encode_varint(value, &mut bytes);
        bytes
    };
    let text = |text: &str| [varint(text.len() as u64), text.as_bytes().to_vec()].concat();
    match kind {
        Type::String => [
            "",
            " ",
            "\0",
            "a\0b",
            "\u{202e}\u{feff}",
            "-1",
            "1e400",
            "NaN",
            "'; DROP TABLE users; --",
            "%",
            "sk-",
            "🦀",
        ]
        .into_iter()
        .map(text)
        .chain([text(&"x".repeat(70_000)), text(&"é".repeat(200))])
        .collect(),
        Type::Bytes => vec![text("\0")],
        Type::Double => [f64::NAN, f64::INFINITY, -0.0, f64::MAX].map(|value| value.to_le_bytes().to_vec()).into(),
        Type::Bool => vec![varint(0), varint(1)],
        Type::Enum => vec![varint(0), varint(99), varint(u64::MAX)],
        _ => [0, 1, u64::MAX, u64::MAX / 2, 1 << 63, (1 << 31) - 1].map(varint).into(),
    }
}

const fn wire_type(kind: Type) -> WireType {
    match kind {
        Type::Double => WireType::SixtyFourBit,
        Type::String | Type::Bytes | Type::Message => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

/// Every field of a message, at most this many messages deep, set to each of
/// its hostile values: a name for people, and the bytes.
fn assaults(contract: &Contract, message: &str, depth: usize) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for field in &contract.message(message).field {
        let number = u32::try_from(field.number()).unwrap();
        let tagged = |value: &[u8]| {
            let mut bytes = Vec::new();
            encode_key(number, wire_type(field.r#type()), &mut bytes);
            bytes.extend_from_slice(value);
            bytes
        };
        if field.r#type() == Type::Message {
            found.push((field.name().to_owned(), tagged(&[0])));
            if depth == 0 {
                continue;
            }
            for (name, inner) in assaults(contract, field.type_name(), depth - 1) {
                let mut value = Vec::new();
                encode_varint(inner.len() as u64, &mut value);
                value.extend(inner);
                found.push((format!("{}.{name}", field.name()), tagged(&value)));
            }
        } else {
            found.extend(
                hostile(field.r#type())
                    .iter()
                    .enumerate()
                    .map(|(nth, value)| (format!("{}#{nth}", field.name()), tagged(value))),
            );
        }
    }
    found
}

/// Requests that are good, so that a bad field in one is all that is wrong.
fn good_requests(secret: &str, reservation_id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let user = pb::User { user_id: "victim".into(), ..Default::default() };
    let team = pb::Team { team_id: "red".into(), ..Default::default() };
    let key = pb::Key { key_hash: secret.to_owned(), ..Default::default() };
    let usage =
        pb::UsageEvent { request_id: "e".into(), key: secret.into(), model: MODEL.into(), ..Default::default() };
    let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    let acme = || "acme".to_owned();
    let organization = pb::Organization { organization_id: acme(), ..Default::default() };
    let (start_date, end_date) = (String::from("2025-01-01"), String::from("2025-01-02"));
    vec![
        (
            "OrganizationService/UpdateOrganization",
            pb::UpdateOrganizationRequest { organization: Some(organization), ..Default::default() }.encode_to_vec(),
        ),
        (
            "OrganizationService/AddOrganizationMembers",
            pb::AddOrganizationMembersRequest { organization_id: acme(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "OrganizationService/UpdateOrganizationMember",
            pb::UpdateOrganizationMemberRequest { organization_id: acme(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "TeamService/UpdateTeamMember",
            pb::UpdateTeamMemberRequest { team_id: "red".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "TeamService/AddTeamModels",
            pb::AddTeamModelsRequest { team_id: "red".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "UserService/BatchUpdateUsers",
            pb::BatchUpdateUsersRequest { all_users: true, ..Default::default() }.encode_to_vec(),
        ),
        (
            "UserService/CreateInvitation",
            pb::CreateInvitationRequest { user_id: "victim".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "TeamService/GetTeamDailyActivity",
            pb::GetTeamDailyActivityRequest { start_date, end_date, ..Default::default() }.encode_to_vec(),
        ),
        (
            "UserService/CreateUser",
            pb::CreateUserRequest { auto_create_key: Some(false), ..Default::default() }.encode_to_vec(),
        ),
        ("UserService/UpdateUser", pb::UpdateUserRequest { user: Some(user), ..Default::default() }.encode_to_vec()),
        ("TeamService/UpdateTeam", pb::UpdateTeamRequest { team: Some(team), ..Default::default() }.encode_to_vec()),
        (
            "TeamService/AddTeamMembers",
            pb::AddTeamMembersRequest { team_id: "red".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "KeyService/UpdateKey",
            pb::UpdateKeyRequest { key: Some(key), update_mask: mask("metadata"), ..Default::default() }
                .encode_to_vec(),
        ),
        (
            "GatewayService/Authorize",
            pb::AuthorizeRequest { key: secret.into(), model: MODEL.into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "GatewayService/Settle",
            pb::SettleRequest { reservation_id: reservation_id.into(), usage: Some(pb::UsageEvent::default()) }
                .encode_to_vec(),
        ),
        (
            "SpendService/RecordUsage",
            pb::RecordUsageRequest { events: vec![usage], ..Default::default() }.encode_to_vec(),
        ),
    ]
}

on_both! {
    async fn every_field_of_every_rpc_stands_hostile_values(world: World) {
        let contract = Contract::new();
        let (secret, _) = world.key(pb::Key::default()).await;
        world.user(pb::User { user_id: "victim".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        world.organization(pb::Organization { organization_id: "acme".into(), ..Default::default() }).await;
        let reservation = crate::gateway::reserve(&world.with_key(&secret), "r", "0.1").await;
        let good = good_requests(&secret, &reservation);
        let mut calls = 0;
        let mut wrong = Vec::new();
        for (rpc, method) in contract.rpcs() {
            let base = good.iter().find(|(name, _)| rpc.ends_with(name)).map_or(&[][..], |(_, base)| base);
            for (field, bytes) in assaults(&contract, method.input_type(), 2) {
                calls += 1;
                // Two messages in a row are one, whose later fields win.
                if let Err(status) = call(&world.admin, &rpc, [base, &bytes].concat()).await
                    && let Err(fault) = check_refusal(&status)
                {
                    wrong.push(format!("{rpc} {field}: {fault}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(calls > 3_000, "{calls}");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}

#[tokio::test]
async fn a_credential_that_is_none_is_refused_with_its_reason() {
    let world = World::start(Backend::Sqlite).await;
    let bare = || world.anonymous();
    let long = format!("Bearer sk-{}", "x".repeat(20_000));
    for (client, reason) in [
        (bare(), ErrorReason::CredentialMissing),
        (bare().with_header("authorization", ""), ErrorReason::CredentialMalformed),
        (bare().with_header("authorization", MASTER), ErrorReason::CredentialMalformed),
        (bare().with_header("authorization", &format!("Basic {MASTER}")), ErrorReason::CredentialMalformed),
        (bare().with_header("authorization", "Bearer"), ErrorReason::CredentialMalformed),
        (bare().with_header("authorization", "Bearer nonsense"), ErrorReason::CredentialMalformed),
        (bare().with_header("authorization", &long), ErrorReason::CredentialMalformed),
        (world.admin.with_header("authorization", &format!("Bearer {MASTER}")), ErrorReason::CredentialMalformed),
        (bare().with_key("sk-nobody-ever-made-this-one"), ErrorReason::KeyUnknown),
    ] {
        let status = client.users().list_roles(pb::ListRolesRequest {}).await.refused(Code::Unauthenticated, reason);
        check_refusal(&status).unwrap();
    }
    // The scheme's case is the client's own business.
    let lower: Client = bare().with_header("authorization", &format!("bearer {MASTER}"));
    lower.users().list_roles(pb::ListRolesRequest {}).await.answer();
}

#[tokio::test]
async fn an_rpc_that_does_not_exist_is_told_so() {
    let world = World::start(Backend::Sqlite).await;
    for rpc in ["bursar.v1.KeyService/Dream", "bursar.v1.DreamService/GetKey"] {
        let status = call(&world.admin, rpc, Vec::new()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        // Strangers do not learn what exists.
        assert_eq!(call(&world.anonymous(), rpc, Vec::new()).await.unwrap_err().code(), Code::Unauthenticated);
    }
}
