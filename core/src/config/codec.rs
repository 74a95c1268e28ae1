//! How the data of a snapshot is stored.

use super::policy::named;

named! {
    /// How the data of a block of a snapshot is stored. The number is the one in the file.
    Codec {
        /// As it is.
        None none,
        /// Compressed as an LZ4 block (the default). A block that would not shrink is stored as it
        /// is.
        Lz4 lz4,
    }
}

#[expect(clippy::derivable_impls, reason = "the macro writes the variants")]
impl Default for Codec {
    fn default() -> Self {
        Self::Lz4
    }
}
