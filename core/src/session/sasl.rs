//! Results of Cyrus SASL, which memcached logs.

/// The client must send another step.
pub(super) const CONTINUE: i32 = 1;

/// The client is authenticated.
pub(super) const OK: i32 = 0;

/// A generic failure.
pub(super) const FAIL: i32 = -1;

/// The mechanism is not supported.
pub(super) const NO_MECHANISM: i32 = -4;

/// The response is malformed.
pub(super) const BAD_PROTOCOL: i32 = -5;

/// The user or the password is wrong.
pub(super) const BAD_AUTH: i32 = -13;
