//! Lines for watchers.

/// Returns the line of a text of a program.
pub fn user(text: &str) -> String {
    one_line(format!("type=proxy_user msg={text}"))
}

/// Returns the line of a fault of a program.
pub fn fault(text: &str) -> String {
    one_line(format!("type=proxy_error msg={text}"))
}

/// Returns a line with the line ends in it as `\n` and `\r`. memcached leaves them as they are, so
/// that an event is several lines.
pub fn one_line(line: String) -> String {
    if line.contains(['\n', '\r']) { line.replace('\n', "\\n").replace('\r', "\\r") } else { line }
}
