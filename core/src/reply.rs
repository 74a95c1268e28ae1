//! Where answers go: an encoder of one wire implements this, dispatch calls it.
//! Nothing here knows a wire; values come as entries of the store.

use crate::cache::{Deleted, MetaState, Number, StoreReply};
use crate::error::{AllocError, DeltaError};
use crate::request::Key;
use crate::store::{EntryRef, ReadConflict};

/// A sink of answers. Each request is answered by exactly one call that is not
/// [`ReadConflict`]; one that is leaves nothing behind.
pub trait Reply {
    /// A read found an item. Its shard may be locked: copy or pin, and return.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn hit(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict>;

    /// A read found nothing.
    fn miss(&mut self, key: Key<'_>);

    /// A store ended.
    fn stored(&mut self, reply: &StoreReply);

    /// A store had no room.
    fn refused(&mut self, error: AllocError);

    /// A delete ended.
    fn deleted(&mut self, deleted: Deleted);

    /// A touch found its item, or not.
    fn touched(&mut self, found: bool);

    /// An increment or decrement ended.
    fn number(&mut self, number: Result<Number, DeltaError>);

    /// A meta get found an item. Its shard may be locked.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn meta_hit(&mut self, entry: &mut EntryRef<'_>, tokens: MetaState) -> Result<(), ReadConflict>;

    /// A meta get or inspection found nothing.
    fn meta_miss(&mut self);

    /// An inspection found an item. Its shard may be locked.
    ///
    /// # Errors
    /// [`ReadConflict`].
    fn inspected(&mut self, entry: &mut EntryRef<'_>) -> Result<(), ReadConflict>;
}
