//! The commands that clients have sent, for tests that ask for them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use memcache_core::Hooks;
use memcache_core::internal::base::sync::Mutex;

/// Commands that a log keeps. With lines of at most 2 KiB, it takes at most 400 KiB.
pub const LIMIT: usize = 200;

/// A command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The descriptor of the client's connection. The system uses it again after the connection.
    pub client: i32,
    /// Whether it came in the binary protocol.
    pub is_binary: bool,
    /// The command in its text form, without the value.
    line: String,
}

impl Command {
    fn new(client: i32, line: &str) -> Self {
        let (is_binary, line) = match line.strip_prefix("binary ") {
            Some(line) => (true, line),
            None => (false, line),
        };
        Self { client, is_binary, line: line.to_owned() }
    }

    /// Returns its name, such as `get`.
    pub fn name(&self) -> &str {
        self.arguments().next().unwrap_or_default()
    }

    /// Returns its words, the first of which is its name.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.line.split_ascii_whitespace()
    }
}

/// Writes one line. A command of the binary protocol follows the word `binary`.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_binary { "binary " } else { "" }, self.line)
    }
}

/// The last [`LIMIT`] commands of clients, in all protocols.
#[derive(Clone, Debug, Default)]
pub struct CommandLog(Arc<Mutex<VecDeque<Command>>>);

impl CommandLog {
    /// Adds a hook to `hooks` that records the commands of a server here.
    pub fn record(&self, hooks: &mut Hooks) {
        let log = self.clone();
        hooks.command = Some(Arc::new(move |client, line: &str| log.push(Command::new(client, line))));
    }

    fn push(&self, command: Command) {
        let mut commands = self.0.lock();
        if commands.len() == LIMIT {
            commands.pop_front();
        }
        commands.push_back(command);
    }

    /// Returns the commands, oldest first.
    pub fn commands(&self) -> Vec<Command> {
        self.0.lock().iter().cloned().collect()
    }

    /// Returns the commands as lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().iter().map(Command::to_string).collect()
    }

    /// Removes the commands.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: impl IntoIterator<Item = String>) -> CommandLog {
        let (log, mut hooks) = (CommandLog::default(), Hooks::default());
        log.record(&mut hooks);
        let hook = hooks.command.unwrap();
        lines.into_iter().for_each(|line| hook(7, &line));
        log
    }

    #[test]
    fn commands_are_typed_and_written_as_they_came() {
        let lines = ["set greeting 0 60 5".to_owned(), "binary get key".to_owned()];
        let log = log(lines.clone());
        let commands = log.commands();
        assert_eq!((commands[0].client, commands[0].is_binary, commands[0].name()), (7, false, "set"));
        assert_eq!(commands[1].arguments().collect::<Vec<_>>(), ["get", "key"]);
        assert!(commands[1].is_binary);
        assert_eq!(log.lines(), lines);
        log.clear();
        assert!(log.lines().is_empty());
    }

    #[test]
    fn the_oldest_commands_leave() {
        let log = log((0..LIMIT + 3).map(|number| format!("get {number}")));
        let lines = log.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (LIMIT, "get 3"));
    }
}
