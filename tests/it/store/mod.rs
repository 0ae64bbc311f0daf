//! The store: proofs that need to look behind the wire.

mod verify;
