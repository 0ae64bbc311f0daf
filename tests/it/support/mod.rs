//! A world for a test: a server on a real socket, a real database, and clients.

pub mod answer;
pub mod callouts;
pub mod certificates;
pub mod client;
pub mod cutter;
pub mod data;
pub mod database;
pub mod dice;
pub mod fake_clock;
pub mod issuer;
pub mod mail_server;
pub mod process;
pub mod raw;
pub mod receiver;
pub mod redis;
pub mod world;

pub use self::answer::{Answer, reason_of};
pub use self::client::Client;
pub use self::database::Backend;
pub use self::dice::Dice;
pub use self::world::World;

/// Runs a test twice: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($argument:ident: $type:ty) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, reason = "a short test may need none of them")]
            use super::*;

            $(#[$attribute])*
            async fn case($argument: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                case(<$type as $crate::support::world::ForBackend>::for_backend($crate::support::Backend::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                case(<$type as $crate::support::world::ForBackend>::for_backend($crate::support::Backend::Postgres).await).await;
            }
        }
    )+};
}
pub(crate) use on_both;
