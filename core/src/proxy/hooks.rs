//! The commands that an engine routes. The others are about this server or its own cache.

use super::command::COMMANDS;
use crate::config::Tag;

/// A set of commands, by their index in [`COMMANDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands(u32);

impl Commands {
    /// No command.
    pub const NONE: Self = Self(0);
    /// Each command with a key.
    pub const ALL: Self = Self((1 << COMMANDS.len()) - 1);

    /// Adds a command by its word. Returns `false` if it has no key.
    pub fn add(&mut self, word: &str) -> bool {
        let index = index(word.as_bytes());
        self.0 |= index.map_or(0, |index| 1 << index);
        index.is_some()
    }

    fn has(self, word: &[u8]) -> bool {
        self == Self::ALL || index(word).is_some_and(|index| self.0 & 1 << index != 0)
    }
}

/// The commands that an engine routes.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Those of every listener.
    pub common: Commands,
    /// Those of listeners with a tag, in addition.
    pub tagged: Vec<(Tag, Commands)>,
    /// Whether lines are parsed as memcached's proxy does: it routes lines that a server would
    /// refuse, and refuses others in its own words.
    pub is_lenient: bool,
}

impl Hooks {
    /// Returns the hooks of an engine that routes every command with a key.
    pub fn all() -> Self {
        Self { common: Commands::ALL, ..Self::default() }
    }

    /// Returns whether a command of a listener with this tag is routed. `word` is the word of a
    /// command with a key.
    #[inline]
    pub fn route(&self, word: &[u8], tag: Option<Tag>) -> bool {
        self.common == Commands::ALL || self.common != Commands::NONE && self.common.has(word) || {
            !self.tagged.is_empty() && self.route_tagged(word, tag)
        }
    }

    #[cold]
    fn route_tagged(&self, word: &[u8], tag: Option<Tag>) -> bool {
        self.tagged.iter().any(|(own, commands)| Some(*own) == tag && commands.has(word))
    }
}

fn index(word: &[u8]) -> Option<usize> {
    COMMANDS.iter().position(|command| command.word.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_add_commands() {
        let mut hooks = Hooks::default();
        assert!(!hooks.route(b"get", None));
        assert!(hooks.common.add("get") && !hooks.common.add("stats"));
        let mut commands = Commands::default();
        assert!(commands.add("touch"));
        hooks.tagged.extend(Tag::new("a").map(|tag| (tag, commands)));
        assert!(hooks.route(b"get", None) && hooks.route(b"get", Tag::new("a")));
        assert!(!hooks.route(b"touch", None) && !hooks.route(b"touch", Tag::new("b")));
        assert!(hooks.route(b"touch", Tag::new("a")) && !hooks.route(b"set", Tag::new("a")));
        assert!(COMMANDS.iter().all(|command| Hooks::all().route(command.word.as_bytes(), None)));
    }
}
