//! The head of an item that is about to be stored.

use super::mem::{EntryWriter, Memory, bit};

/// The fields of a new item, except its value.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Client flags.
    pub flags: u32,
    /// Second of expiry, or 0 for never.
    pub expiry: u32,
    /// Class, from [`crate::store::Store::class_for`].
    pub class: u8,
    /// State bits to set, such as [`bit::KEY_BINARY`].
    pub bits: u16,
}

impl NewItem<'_> {
    /// Returns the uses that a restored item had. A new item has none.
    #[inline]
    pub(super) fn uses(&self) -> u16 {
        bit::uses(self.bits)
    }
}

/// Writes header, key and flags of a new entry.
pub(super) fn write_head(
    writer: &mut EntryWriter<'_>,
    memory: &Memory,
    new: &NewItem<'_>,
    length: usize,
    bits: u16,
) {
    writer.push(memory, new.key);
    write_header(writer, memory, new, length, bits);
}

/// Writes header and flags of an entry that has this key.
#[inline]
pub(super) fn write_header(
    writer: &mut EntryWriter<'_>,
    memory: &Memory,
    new: &NewItem<'_>,
    length: usize,
    bits: u16,
) {
    let flagged = if new.flags == 0 { 0 } else { bit::HAS_FLAGS };
    writer.start(memory, new.class, new.key.len(), length, new.expiry, new.bits | bits | flagged);
    if new.flags != 0 {
        writer.push(memory, &new.flags.to_ne_bytes());
    }
}
