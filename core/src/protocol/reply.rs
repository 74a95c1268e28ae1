//! A sink of replies. The encoder of a protocol implements it, and `dispatch` calls it. Values are
//! passed as entries of the store.

use crate::base::error::{AllocError, DeltaError};
use crate::cache::{Deleted, MetaState, Number, StoreReply};
use crate::protocol::request::Key;
use crate::store::{EntryRef, ReadConflict};

/// A sink of replies. Each request ends with exactly one call that does not return
/// [`ReadConflict`]. A call that returns it leaves no output behind.
pub trait Reply {
    /// A read found an item. Its shard may be locked: copy or pin, and return.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn hit(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict>;

    /// A read found no item.
    fn miss(&mut self, key: Key<'_>);

    /// A store ended.
    fn stored(&mut self, reply: &StoreReply);

    /// A store was refused: there is no memory, or the item is too large.
    fn refused(&mut self, error: AllocError);

    /// A delete ended.
    fn deleted(&mut self, deleted: Deleted);

    /// A touch ended; the argument says whether it found the item.
    fn touched(&mut self, found: bool);

    /// An increment or decrement ended.
    fn number(&mut self, number: Result<Number, DeltaError>);

    /// A meta get found an item. Its shard may be locked.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn meta_hit(&mut self, entry: &mut EntryRef<'_>, tokens: MetaState) -> Result<(), ReadConflict>;

    /// A meta get or inspection found no item.
    fn meta_miss(&mut self);

    /// An inspection found an item. Its shard may be locked.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn inspected(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict>;
}
