//! The commands that a proxy routes: the words of the text protocols that have a key.

/// A command with a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// Its word.
    pub word: &'static str,
    /// Its effect.
    pub kind: Kind,
    /// memcached's number of the command, by which Lua programs name it.
    pub number: u8,
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
    /// Is about the server. It has no key.
    Server,
}

/// All commands with a key.
pub static COMMANDS: [Command; 19] = [
    Command { word: "get", kind: Kind::Read, number: 7 },
    Command { word: "gets", kind: Kind::Read, number: 12 },
    Command { word: "gat", kind: Kind::Read, number: 8 },
    Command { word: "gats", kind: Kind::Read, number: 13 },
    Command { word: "mg", kind: Kind::Read, number: 1 },
    Command { word: "me", kind: Kind::Read, number: 6 },
    Command { word: "set", kind: Kind::Store, number: 9 },
    Command { word: "add", kind: Kind::Store, number: 10 },
    Command { word: "replace", kind: Kind::Store, number: 19 },
    Command { word: "append", kind: Kind::Store, number: 17 },
    Command { word: "prepend", kind: Kind::Store, number: 20 },
    Command { word: "cas", kind: Kind::Store, number: 11 },
    Command { word: "ms", kind: Kind::Store, number: 2 },
    Command { word: "delete", kind: Kind::Delete, number: 18 },
    Command { word: "md", kind: Kind::Delete, number: 3 },
    Command { word: "incr", kind: Kind::Change, number: 14 },
    Command { word: "decr", kind: Kind::Change, number: 15 },
    Command { word: "ma", kind: Kind::Change, number: 5 },
    Command { word: "touch", kind: Kind::Change, number: 16 },
];

/// The commands without a key that memcached's proxy parses.
static KEYLESS: [Command; 5] = [
    Command { word: "mn", kind: Kind::Server, number: 4 },
    Command { word: "quit", kind: Kind::Server, number: 22 },
    Command { word: "stats", kind: Kind::Server, number: 23 },
    Command { word: "watch", kind: Kind::Server, number: 25 },
    Command { word: "version", kind: Kind::Server, number: 27 },
];

impl Command {
    /// Returns the command with a key and this word.
    pub fn named(word: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.word == word)
    }

    /// Returns the command with this word, with or without a key.
    pub fn parsed(word: &str) -> Option<&'static Self> {
        Self::named(word).or_else(|| KEYLESS.iter().find(|command| command.word == word))
    }

    /// Returns the number of the token with the key. 0 means that there is none.
    pub fn key(&self) -> usize {
        match self.kind {
            Kind::Server => 0,
            _ if self.word.starts_with("gat") => 2,
            _ => 1,
        }
    }

    /// Returns the number of the token with the TTL, if it has one in each request. Meta commands
    /// have a flag for it.
    pub fn ttl(&self) -> Option<usize> {
        match self.kind {
            Kind::Store if self.word != "ms" => Some(3),
            _ if self.word.starts_with("gat") => Some(1),
            _ if self.word == "touch" => Some(2),
            _ => None,
        }
    }

    /// Returns whether its request gets the TTL of a route, if it has no flags.
    pub fn takes_ttl(&self) -> bool {
        self.ttl().is_some() || self.word == "ms"
    }

    /// Returns the number of the token with the length of the value. 0 means that none follows.
    pub fn length(&self) -> usize {
        match self.kind {
            Kind::Store if self.word == "ms" => 2,
            Kind::Store => 4,
            _ => 0,
        }
    }

    /// Returns whether its last token may be `noreply`.
    pub fn has_noreply(&self) -> bool {
        !self.is_meta() && !matches!(self.kind, Kind::Read | Kind::Server)
    }

    /// Returns the reply that says that there is no item, or that a write is refused. As in
    /// memcached's proxy, that to `cas` is `NOT_STORED`: a backend sends `NOT_FOUND`.
    pub fn miss(&self) -> &'static [u8] {
        match self.word {
            "mg" | "me" => b"EN\r\n",
            "ms" => b"NS\r\n",
            "md" | "ma" => b"NF\r\n",
            "get" | "gets" | "gat" | "gats" => b"END\r\n",
            "incr" | "decr" | "touch" | "delete" => b"NOT_FOUND\r\n",
            _ => b"NOT_STORED\r\n",
        }
    }

    /// Returns its index in [`COMMANDS`].
    pub fn index(&'static self) -> usize {
        let distance = (&raw const *self as usize).wrapping_sub(COMMANDS.as_ptr() as usize);
        distance / size_of::<Self>()
    }

    /// Returns whether it may have several keys.
    pub fn is_get(&self) -> bool {
        self.kind == Kind::Read && !self.is_meta()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_know_their_indexes() {
        for (index, command) in COMMANDS.iter().enumerate() {
            assert_eq!(command.index(), index);
        }
    }
}
