//! Envoy's doors: its own protocols, spoken by a client made of its protos.

mod ext_authz;
mod rate_limit;
mod real;
