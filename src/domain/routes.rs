//! Routes: the RPCs that a key's own list lets it call.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// The RPC whose permission a key needs to be judged for a model call.
pub const AUTHORIZE_RPC: &str = "bursar.v1.GatewayService/Authorize";

/// What is done for model calls.
const CALLS: [&str; 8] = [
    AUTHORIZE_RPC,
    "bursar.v1.GatewayService/ExplainDecision",
    "bursar.v1.GatewayService/Extend",
    "bursar.v1.GatewayService/Release",
    "bursar.v1.GatewayService/Session",
    "bursar.v1.GatewayService/Settle",
    "envoy.service.auth.v3.Authorization/Check",
    "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
];

/// What the methods begin with that only read.
const READS: [&str; 7] = ["BatchGet", "Calculate", "Export", "Get", "List", "Verify", "Watch"];

/// RPCs under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Group {
    /// Model calls.
    LlmApiRoutes,
    /// Everything else.
    ManagementRoutes,
    /// What only reads.
    InfoRoutes,
}

impl Group {
    /// Whether an RPC, as `package.Service/Method`, is one of it.
    #[must_use]
    pub fn has(self, rpc: &str) -> bool {
        let is_call = CALLS.contains(&rpc);
        match self {
            Self::LlmApiRoutes => is_call,
            Self::ManagementRoutes => !is_call,
            Self::InfoRoutes => {
                rpc.split_once('/').is_some_and(|(_, method)| READS.iter().any(|read| method.starts_with(read)))
            }
        }
    }
}

/// Whether a key's own list lets it call an RPC. An entry is the RPC's name, a
/// prefix that ends in `*`, or the name of a [`Group`]; an empty list lets it
/// call all.
#[must_use]
pub fn routes_allow(routes: &[Box<str>], rpc: &str) -> bool {
    let covers = |entry: &str| match (entry.strip_suffix('*'), entry.parse::<Group>()) {
        (Some(prefix), _) => rpc.starts_with(prefix),
        (None, Ok(group)) => group.has(rpc),
        (None, Err(_)) => entry == rpc,
    };
    routes.is_empty() || routes.iter().any(|entry| covers(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_a_prefix_or_a_group() {
        let (get, make) = ("bursar.v1.KeyService/GetKey", "bursar.v1.KeyService/GenerateKey");
        for (list, get_key, generate_key, authorize) in [
            (&[][..], true, true, true),
            (&[get], true, false, false),
            (&["bursar.v1.KeyService/*"], true, true, false),
            (&["*"], true, true, true),
            (&["llm_api_routes"], false, false, true),
            (&["management_routes"], true, true, false),
            (&["info_routes"], true, false, false),
            (&["llm_api_routes", "info_routes"], true, false, true),
            (&["all_routes"], false, false, false),
        ] {
            let list: Vec<Box<str>> = list.iter().map(|entry| (*entry).into()).collect();
            let allowed = [get, make, AUTHORIZE_RPC].map(|rpc| routes_allow(&list, rpc));
            assert_eq!(allowed, [get_key, generate_key, authorize], "{list:?}");
        }
    }
}
