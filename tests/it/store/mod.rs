//! The store: proofs that need to look behind the wire.

mod merge;
mod pages;
mod partitions;
mod verify;
