//! The reasons for which a connection ends.

/// The reason for which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client broke the protocol, or the socket failed.
    Error,
    /// The client has ended the connection.
    Normal,
    /// The client sent nothing for too long.
    IdleTimeout,
    /// The server stops.
    Shutdown,
}
