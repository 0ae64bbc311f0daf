//! Peers: who is at the other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

/// The other end of a connection, as the connection itself shows it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The gateway that its certificate belongs to, if it showed one.
    pub gateway: Option<Arc<str>>,
}
