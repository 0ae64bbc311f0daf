//! Policies of the settings: what they see of a request, in the words of the
//! API.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde_json::{Map, Value as Json, json};

use super::consent::caller;
use crate::config::ConfigError;
use crate::domain::fault::Refusal;
use crate::domain::policy::{Action, Facts, Policy, check_all};
use crate::pb;
use crate::pb::policy::Caller;
use crate::services::Ctx;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).ok());

/// Fields that hold secrets: no policy sees them.
const SECRETS: [&str; 2] = ["new_secret", "secret"];

/// A message that policies see, with its name in the protos.
pub(crate) trait Shown: Message {
    /// The name, after the package.
    const NAME: &'static str;
}

macro_rules! shown {
    ($($message:ident),+) => {$(
        impl Shown for pb::$message {
            const NAME: &'static str = stringify!($message);
        }
    )+};
}

shown!(Key, Team, GenerateKeyRequest, UpdateKeyRequest, CreateUserRequest, CreateTeamRequest);

/// Asks the policies of an action. `objects` are the object before, absent if it
/// is made, and as it would be.
///
/// # Errors
/// `PERMISSION_DENIED` with a policy's own message.
pub(crate) fn check<O: Shown>(
    ctx: &Ctx,
    action: Action,
    request: &impl Shown,
    objects: impl FnOnce() -> (Option<O>, O),
) -> Result<(), Refusal> {
    check_all(&ctx.app.rules.policies, action, || {
        let (before, after) = objects();
        Facts {
            caller: json_of_caller(&caller(ctx)),
            request: json_of(request),
            before: before.as_ref().map_or(Json::Null, json_of),
            after: json_of(&after),
        }
    })
}

/// Tries every policy on empty messages, so that a broken one is known when the
/// server starts.
///
/// # Errors
/// [`ConfigError`] that names the policy.
pub fn rehearse(policies: &[Policy]) -> Result<(), ConfigError> {
    let key =
        |request: Json, before: Json| Facts { caller: nobody(), request, before, after: json_of(&pb::Key::default()) };
    let is_new = || Json::Null;
    let update = || json_of(&pb::UpdateKeyRequest::default());
    let changed = || json_of(&pb::Key::default());
    let scenes = [
        (Action::GenerateKey, key(json_of(&pb::GenerateKeyRequest::default()), is_new())),
        (Action::UpdateKey, key(update(), changed())),
        (Action::RegenerateKey, key(update(), changed())),
        (
            Action::CreateTeam,
            Facts {
                caller: nobody(),
                request: json_of(&pb::CreateTeamRequest::default()),
                before: is_new(),
                after: json_of(&pb::Team::default()),
            },
        ),
    ];
    for policy in policies {
        for (action, facts) in &scenes {
            let broken = |told| ConfigError(format!("wrong setting: policies: {}: allow {told}", policy.name()));
            policy.rehearse(*action, facts).map_err(broken)?;
        }
    }
    Ok(())
}

fn json_of_caller(caller: &Caller) -> Json {
    json!({
        "name": caller.name,
        "user_id": caller.user_id,
        "role": caller.role.map(|_| caller.role().as_str_name()),
        "team_id": caller.team_id,
        "key_id": caller.key_id,
        "is_proxy_admin": caller.is_proxy_admin,
    })
}

fn nobody() -> Json {
    json_of_caller(&Caller::default())
}

/// A message as JSON, with the names of the protos. What is absent is null, so
/// that every field can be asked about.
fn json_of<M: Shown>(message: &M) -> Json {
    let descriptor = POOL.as_ref().and_then(|pool| pool.get_message_by_name(&format!("bursar.v1.{}", M::NAME)));
    let decoded = descriptor.map(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()));
    decoded.and_then(Result::ok).map_or(Json::Null, |message| fields(&message))
}

fn fields(message: &DynamicMessage) -> Json {
    let descriptor = message.descriptor();
    // Timestamps, masks and free data are what JSON makes of them.
    if descriptor.package_name() == "google.protobuf" {
        return serde_json::to_value(message).unwrap_or_default();
    }
    let mut all = Map::new();
    for field in descriptor.fields().filter(|field| !SECRETS.contains(&field.name())) {
        let is_there = !field.supports_presence() || message.has_field(&field);
        let value = if is_there { value_of(&field, &message.get_field(&field)) } else { Json::Null };
        all.insert(field.name().to_owned(), value);
    }
    Json::Object(all)
}

fn value_of(field: &FieldDescriptor, value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::String(text) => json!(text),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(names) => names.get_value(*number).map_or(Json::Null, |value| json!(value.name())),
            _ => Json::Null,
        },
        Value::Message(message) => fields(message),
        Value::List(list) => list.iter().map(|value| value_of(field, value)).collect(),
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Json::Null };
            let of = entry.map_entry_value_field();
            let named = |key: &prost_reflect::MapKey| key.as_str().map(str::to_owned);
            entries
                .iter()
                .filter_map(|(key, value)| Some((named(key)?, value_of(&of, value))))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::F32(_) | Value::F64(_) | Value::Bytes(_) => Json::Null,
    }
}
