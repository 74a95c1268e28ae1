//! Reads of items: without the lock where possible, and of values that outlive the lock.

mod access_batch;
mod counters;
mod entry_ref;
mod lookup_hint;
mod optimistic;
mod pinned;
mod seqlock;

pub(crate) use self::access_batch::AccessBatch;
pub(super) use self::counters::ReadCounters;
pub use self::entry_ref::{EntryRef, INLINE_COPY_MAX, ReadConflict};
pub use self::lookup_hint::LookupHint;
pub use self::pinned::PinnedValue;
pub(super) use self::seqlock::{SeqLock, SeqLockGuard};
