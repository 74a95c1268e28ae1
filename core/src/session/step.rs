//! The end of a step of a session: what it used, and the next action.

use std::time::Duration;

use crate::state::CloseReason;

/// The next action of the connection's owner after [`crate::session::Session::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All usable input was used. Flush, then wait for more input.
    Input,
    /// The budget is spent or the output is full. Flush, let other clients have their turn, then
    /// call again with the rest of the input, which may be empty.
    Yield,
    /// Flush, then close.
    Close(CloseReason),
    /// Close without flushing what this visit produced.
    Abort(CloseReason),
    /// Flush, then stream events of these kinds. Input is ignored from now on.
    Watch(u32),
    /// Flush, wait, then call again with the rest of the input.
    Sleep(Duration),
    /// Flush, and do not read. When the last open slot of the output is filled, flush, then call
    /// again with the rest of the input, which may be empty.
    Pending,
}

/// Result of [`crate::session::Session::advance`].
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// The next action.
    pub next: Next,
}

/// The use of one piece of input.
pub(super) enum Used {
    /// This many bytes were used. The session goes on with the rest.
    Bytes(usize),
    /// The session needs more input.
    NeedInput,
    /// This many bytes were used. The owner acts next.
    Stop(usize, Next),
}
