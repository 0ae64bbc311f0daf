//! The permission matrix: every RPC of the contract, called by everybody. The
//! outcomes are snapshots, to be read like a policy; a change of one is accepted
//! with `INSTA_UPDATE=always`.

mod door;
mod reach;
mod requests;
