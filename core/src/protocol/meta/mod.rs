//! The meta protocol: `mg ms md ma me`, a key and single-letter flags.

pub(super) mod encode;
mod flags;
pub(super) mod parse;

pub use self::encode::Form;
pub use self::flags::{Argument, FLAGS, Flag, MetaCommand, Returned};
pub use self::parse::KeyRoom;
