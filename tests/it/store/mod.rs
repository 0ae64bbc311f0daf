//! The store: proofs that need to look behind the wire.

mod pages;
mod partitions;
mod verify;
