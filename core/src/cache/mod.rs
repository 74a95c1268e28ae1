//! The cache: typed operations with memcached's semantics, for any caller in the process. It does
//! not depend on a protocol or a socket. The protocols and the language bindings call it.
//!
//! Every method may be called from any thread at any time.

mod api;
#[expect(clippy::module_inception, reason = "a file is named for its noun")]
mod cache;
mod delta;
pub mod events;
mod get_or_insert;
pub mod hot_keys;
mod info;
pub mod item;
pub mod iter;
mod loads;
pub mod maintainer;
mod meta;
pub mod namespace;
#[cfg(feature = "server")]
mod operation;
pub mod options;
pub mod prefix;
mod quota;
mod restore;
mod samples;
pub mod scan;
mod space_saving;
mod store;
mod ttl;
mod types;

use self::cache::item_cas;
pub use self::cache::{Cache, Settle};
pub use self::hot_keys::{Access, HotKey, HotKeys};
pub use self::info::ItemInfo;
pub use self::loads::Load;
#[cfg(feature = "server")]
pub use self::operation::{Exptime, Operation, Response, Show};
pub(crate) use self::restore::{Restored, RestoredItem};
pub use self::ttl::{LONGEST, Ttl};
pub use self::types::{
    Deleted, DeltaOperation, MetaDelete, MetaGet, MetaState, Mode, Number, Request, StoreOperation,
    StoreReply, StoreValue, Stored, is_key,
};
