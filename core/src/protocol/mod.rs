//! The protocols. Each parses bytes to a key and an operation, and encodes the response. None of
//! them uses a socket.

pub mod ahead;
pub mod binary;
pub mod classic;
pub mod commands;
pub mod encoder;
pub mod key;
pub mod line;
pub mod meta;
pub mod needs;
pub mod output;
pub mod tokens;
pub mod write;

/// memcached's error lines, without their line ends.
pub mod text {
    /// Input that is not a command.
    pub const ERROR: &str = "ERROR";
    /// Too few tokens, or an invalid length or key.
    pub const BAD_LINE: &str = "CLIENT_ERROR bad command line format";
    /// A value that does not end at its given length.
    pub const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk";
    /// An exptime that is not a number.
    pub const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument";
    /// A delta that is not a number.
    pub const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument";
    /// A value that is not a number.
    pub const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";
    /// The item is larger than `-I` allows.
    pub const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
    /// The user has no right to the command or the key. memcached has no rights.
    pub const NOT_PERMITTED: &str = "CLIENT_ERROR not permitted";
    /// There is no memory to store an item.
    pub const NO_MEMORY: &str = "SERVER_ERROR out of memory storing object";
    /// There is no memory for a number.
    pub const NO_MEMORY_DELTA: &str = "SERVER_ERROR out of memory";
    /// There is no memory for the rest of a large value.
    pub const NO_MEMORY_READ: &str = "SERVER_ERROR Out of memory during read";
}
