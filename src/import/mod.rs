//! Imports: what the database of another gateway has, taken over. Twice is as
//! good as once; what can't be taken over is told, and changes nothing.

mod litellm;
mod row;
mod tally;

pub use self::litellm::litellm;
pub use self::tally::{Kind, Tally};
