//! Where answers go: an encoder of one wire implements this, dispatch calls it.
//! Nothing here knows bytes.

use crate::cache::{Deleted, Number, StoreReply, Tokens};
use crate::error::{AllocError, DeltaError};
use crate::request::Key;
use crate::store::Visit;

/// A sink of answers. Each request is answered by exactly one call.
pub trait Reply {
    /// A read found an item. The shard is locked: copy or pin, and return.
    fn hit(&mut self, visit: &mut Visit<'_>);

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

    /// A meta get found an item. The shard is locked.
    fn meta_hit(&mut self, visit: &mut Visit<'_>, tokens: Tokens);

    /// A meta get or inspection found nothing.
    fn meta_miss(&mut self);

    /// An inspection found an item. The shard is locked.
    fn inspected(&mut self, visit: &mut Visit<'_>);
}
