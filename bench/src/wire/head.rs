//! The beginning of a reply, in any protocol.

/// Longest line of a valid reply.
pub const LONGEST_LINE: usize = 1024;

/// The beginning of a reply; `used` bytes of input belong to it.
#[derive(Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// The input is incomplete.
    Partial,
    /// `length` bytes of value and the protocol's trailer follow. With a key, further replies to
    /// the same request follow those. Without one, the value completes the reply.
    Value { key: Option<&'a [u8]>, length: usize, used: usize },
    /// The end of a get. Keys still unanswered are misses.
    End { used: usize },
    /// A set succeeded.
    Stored { used: usize },
    /// A set was refused for lack of memory or by policy.
    Refused { used: usize },
    /// An error of the server, in a text protocol. A proxy sends it if a backend fails.
    Failed { used: usize },
    /// Anything else.
    Wrong,
}
