//! The commands that clients have sent, for tests that ask for them.

use std::collections::VecDeque;
use std::sync::Arc;

use memcache_core::internal::base::sync::Mutex;
use memcache_core::{ClientCommand, Hooks};

/// Commands that a log keeps. With lines of at most 2 KiB, it takes at most 400 KiB.
pub const LIMIT: usize = 200;

/// The last [`LIMIT`] commands of clients, in all protocols, each on one line. A command of the
/// binary protocol follows the word `binary`.
#[derive(Clone, Debug, Default)]
pub struct CommandLog(Arc<Mutex<VecDeque<String>>>);

impl CommandLog {
    /// Adds a hook to `hooks` that records the commands of a server here.
    pub fn record(&self, hooks: &mut Hooks) {
        let log = self.clone();
        hooks.command = Some(Arc::new(move |command: &ClientCommand<'_>| log.push(command.to_string())));
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == LIMIT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Returns the commands, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }

    /// Removes the commands.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_commands_leave() {
        let log = CommandLog::default();
        (0..LIMIT + 3).for_each(|number| log.push(format!("get {number}")));
        let lines = log.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (LIMIT, "get 3"));
        log.clear();
        assert!(log.lines().is_empty());
    }
}
