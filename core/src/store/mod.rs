//! The store: the only access to items.
//!
//! ```text
//!   Store -- Common   memory, segments, hash, clock, flush    (shared by all)
//!        `-- Shard 0..n   index, logs, counters               (one lock each)
//! ```
//!
//! A key's hash selects its shard. A [`LockedEntry`] is a locked shard opened at one key. A command
//! makes all changes to an item through it, in one critical section. Values are copied out, or read
//! through a [`PinnedValue`]. Most reads need no lock (`optimistic.rs`).
//!
//! Items are appended to logs, which consist of segments. A segment is reused after compaction
//! (`compactor.rs`). See docs/architecture.md.
//!
//! Lock order: a shard, then the pool in `Segments`. A thread with the lock of one shard never
//! locks another. If the shard has no memory ([`locked_entry::Full`]), the thread frees memory
//! without any lock ([`Store::make_room`]).

mod accounts;
mod attempts;
mod beside;
#[cfg(test)]
mod churn;
mod classes;
mod expiry;
mod index;
mod locked_entry;
mod log;
mod marks;
mod mem;
mod new_item;
mod policy;
mod quota;
mod read;
mod reservation;
mod room;
mod scan;
mod shard;
mod shared;
pub mod stats;
#[expect(clippy::module_inception, reason = "a file is named for its noun")]
mod store;
mod totals;
mod verify;

#[cfg(test)]
pub(crate) use self::attempts::Attempts;
pub use self::beside::Beside;
pub use self::expiry::{CrawlBegin, TimeSnapshot};
pub use self::locked_entry::{Full, LockedEntry};
pub use self::log::Prefault;
pub use self::mem::{HEADER, Header, Item, Usage, bit, item_size};
pub use self::new_item::NewItem;
pub use self::policy::Tuning;
pub use self::quota::Quota;
pub(crate) use self::read::AccessBatch;
pub use self::read::{EntryRef, INLINE_COPY_MAX, LookupHint, PinnedValue, ReadConflict};
pub use self::reservation::Reservation;
pub use self::scan::{Bucket, Listing};
pub use self::shard::Lookup;
pub use self::shared::Sizes;
pub(crate) use self::store::Loading;
pub use self::store::Store;
pub use self::verify::ItemCounts;
