//! The reasons for which a connection to a backend ends.

/// The reason for which a connection to a backend ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The backend did not accept the connection.
    Connecting,
    /// The backend did not accept the connection in time.
    ConnectTimeout,
    /// The backend did not tell its version in time.
    ReadValidate,
    /// The first reply was not a version.
    BadValidate,
    /// A reply did not come in time.
    Timeout,
    /// The backend closed the connection.
    Disconnected,
    /// Reading failed.
    Reading,
    /// Writing failed.
    Writing,
    /// A reply cannot be understood.
    Parsing,
    /// A reply that answers none of the requests the proxy sends.
    Unexpected,
    /// A classic value does not end with `END`.
    MissingEnd,
    /// Bytes came that answer no request.
    TrailingData,
    /// The backend refused a request with `ERROR` or `CLIENT_ERROR`. It may have read the rest of
    /// the request as another one.
    Refused,
    /// A reply with another key or opaque than the request, or to another command.
    WrongReply,
    /// Replies hold too much memory.
    OutOfMemory,
}

impl Reason {
    /// All reasons, by their number.
    pub const ALL: [Self; 15] = [
        Self::Connecting,
        Self::ConnectTimeout,
        Self::ReadValidate,
        Self::BadValidate,
        Self::Timeout,
        Self::Disconnected,
        Self::Reading,
        Self::Writing,
        Self::Parsing,
        Self::Unexpected,
        Self::MissingEnd,
        Self::TrailingData,
        Self::Refused,
        Self::WrongReply,
        Self::OutOfMemory,
    ];

    /// Returns its word. memcached has all of them but `wrongreply`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::ConnectTimeout => "conntimeout",
            Self::ReadValidate => "readvalidate",
            Self::BadValidate => "badvalidate",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::Parsing => "parsing",
            Self::Unexpected => "unhandledres",
            Self::MissingEnd => "missingend",
            Self::TrailingData => "trailingdata",
            Self::Refused => "closedsock",
            Self::WrongReply => "wrongreply",
            Self::OutOfMemory => "outofmemory",
        }
    }

    /// Returns whether it ends a connection that has worked. Such ends count as flapping.
    pub fn is_flap(self) -> bool {
        matches!(self, Self::Timeout | Self::Disconnected | Self::Reading | Self::Writing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_numbers() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
        assert_eq!(Reason::ALL.len(), Reason::OutOfMemory as usize + 1, "the last reason");
    }
}
