//! A mistake of a configuration.

/// A mistake, with its line in the file, or 0.
#[derive(Debug)]
pub struct Fault {
    pub line: usize,
    pub message: String,
}

/// A result of functions that find mistakes.
pub type Found<T> = Result<T, Fault>;

pub fn fail<T>(line: usize, message: impl Into<String>) -> Found<T> {
    Err(Fault { line, message: message.into() })
}
