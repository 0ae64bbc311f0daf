//! Generated code: the messages and services of `proto/bursar/v1`.

#![expect(clippy::pedantic, clippy::large_enum_variant, reason = "generated; the documentation is in the protos")]

tonic::include_proto!("bursar.v1");

/// Every message and service with its comments, as reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What Bursar asks other services: the messages and services of
/// `proto/bursar/policy/v1`.
#[expect(clippy::large_enum_variant, reason = "generated; each of the requests may be the one")]
pub mod policy {
    include!(concat!(env!("OUT_DIR"), "/callouts/bursar.policy.v1.rs"));
}

pub use self::of_envoy::envoy;

/// What Envoy asks Bursar: a part of its own protos, in `proto/envoy`.
#[expect(missing_docs, reason = "generated; Envoy documents them")]
mod of_envoy {
    include!(concat!(env!("OUT_DIR"), "/envoy/mod.rs"));
}
