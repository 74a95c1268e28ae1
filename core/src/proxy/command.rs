//! The commands that a proxy routes: the words of the text protocols that have a key.

/// A command with a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// Its word.
    pub word: &'static str,
    /// Its effect.
    pub kind: Kind,
}

/// The effect of a command, as far as routes differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads an item.
    Read,
    /// Stores a value.
    Store,
    /// Removes an item.
    Delete,
    /// Changes a number or a time of expiry.
    Change,
}

/// All commands.
pub static COMMANDS: [Command; 19] = [
    Command { word: "get", kind: Kind::Read },
    Command { word: "gets", kind: Kind::Read },
    Command { word: "gat", kind: Kind::Read },
    Command { word: "gats", kind: Kind::Read },
    Command { word: "mg", kind: Kind::Read },
    Command { word: "me", kind: Kind::Read },
    Command { word: "set", kind: Kind::Store },
    Command { word: "add", kind: Kind::Store },
    Command { word: "replace", kind: Kind::Store },
    Command { word: "append", kind: Kind::Store },
    Command { word: "prepend", kind: Kind::Store },
    Command { word: "cas", kind: Kind::Store },
    Command { word: "ms", kind: Kind::Store },
    Command { word: "delete", kind: Kind::Delete },
    Command { word: "md", kind: Kind::Delete },
    Command { word: "incr", kind: Kind::Change },
    Command { word: "decr", kind: Kind::Change },
    Command { word: "ma", kind: Kind::Change },
    Command { word: "touch", kind: Kind::Change },
];

impl Command {
    /// Returns the command with this word.
    pub fn named(word: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.word == word)
    }

    /// Returns whether it is of the meta protocol.
    pub fn is_meta(&self) -> bool {
        matches!(self.word, "mg" | "me" | "ms" | "md" | "ma")
    }

    /// Returns the number of the token with the first flag of a meta command.
    pub fn flags(&self) -> usize {
        if self.word == "ms" { 3 } else { 2 }
    }

    /// Returns whether `group` is the word of this command, or names a group with it: `reads` or
    /// `writes`.
    pub fn is_in(&self, group: &str) -> bool {
        match group {
            "reads" => self.kind == Kind::Read,
            "writes" => self.kind != Kind::Read,
            word => self.word == word,
        }
    }
}
