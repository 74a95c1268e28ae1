//! The logs of a shard: where its entries are appended, and how their segments become empty again.

mod compactor;
mod logs;
mod prefault;

pub(super) use self::logs::{AppendFor, Logs};
pub use self::prefault::Prefault;
