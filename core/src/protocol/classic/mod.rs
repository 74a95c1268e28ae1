//! The classic text protocol: `get`, `set`, `incr` and so on.

pub(super) mod encode;
pub(super) mod parse;

pub use self::encode::found;
