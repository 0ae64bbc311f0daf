//! Generated code: the messages and services of `proto/bursar/v1`.

#![expect(clippy::pedantic, reason = "generated; the documentation is in the protos")]

tonic::include_proto!("bursar.v1");

/// Every message and service with its comments, as reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
