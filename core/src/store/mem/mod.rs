//! The memory of items: segments of it, and the entries in them. Nothing here knows an index, a log
//! or a policy.

mod entry_writer;
mod header;
mod item;
mod key;
mod mapped;
mod memory;
mod prefetch;
mod racing;
mod rank;
mod reference;
mod segment;
#[cfg_attr(windows, path = "system_windows.rs")]
#[cfg_attr(miri, path = "system_miri.rs")]
mod system;
mod token;

pub(super) use self::entry_writer::EntryWriter;
pub(super) use self::header::{FLAGS, Kind, QUEUES, Queue, USES_MAX};
pub use self::header::{HEADER, Header, bit, item_size};
pub use self::item::Item;
pub(super) use self::item::fill;
pub(super) use self::key::same_key;
pub(super) use self::mapped::{Atomics, Mapped, atomics};
pub(super) use self::memory::{LARGE_PAGE, Memory};
pub(super) use self::prefetch::prefetch;
pub(super) use self::rank::Rank;
pub(super) use self::reference::{AtomicRef, Ref};
pub use self::segment::Usage;
pub(super) use self::segment::{Cursor, Segments, State};
pub(super) use self::token::{Hold, ShardToken};
