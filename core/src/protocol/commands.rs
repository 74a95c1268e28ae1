//! The words of the text protocols: one table. Parsing, the look-ahead, the rights of users, the
//! names of fault rules, the test of the gate and the differential tester read it.

use super::line::Line;
use super::meta::KeyRoom;
use super::{classic, meta};
use crate::cache::Mode;
use crate::config::Need;

/// The kind of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A classic command on items.
    Classic,
    /// A meta command.
    Meta,
    /// A command about the server.
    Admin(Admin),
}

/// A command of the text protocols.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its first word, by which fault rules name it, too.
    pub word: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The least right that it needs. Its arguments may raise it: see [`super::needs`].
    pub need: Need,
    /// The number of the token with its first key, or 0 if it has none.
    pub key: usize,
    /// The number of the token with the length of the value that follows, or 0 if none follows.
    pub value: usize,
    /// A line with this command, for the key `door`. If a value follows, it has one byte.
    pub example: &'static str,
}

/// A command about the server. `admin` carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as their words")]
pub enum Admin {
    CacheMemlimit,
    Config,
    Debugitem,
    Debugtime,
    FlushAll,
    FlushPrefix,
    Lru,
    LruCrawler,
    Misbehave,
    Persist,
    Quit,
    RefreshCerts,
    Shutdown,
    Slabs,
    Stats,
    Verbosity,
    Version,
    Watch,
}

/// The parts of a line that parsing needs.
struct Place<'a> {
    /// The line without its end.
    line: &'a [u8],
    /// The length of its first word.
    word: usize,
    room: &'a mut KeyRoom,
}

macro_rules! commands {
    (|$at:ident| $($word:literal, $kind:expr, $need:expr, $key:literal, $value:literal, $example:literal => $parse:expr;)*) => {
        /// The commands.
        pub const COMMANDS: &[Command] = &[$(command($word, $kind, $need, $key, $value, $example)),*];

        /// Parses a line without its end, whose first word has the length `word`. A key that was
        /// sent in base64 is decoded to `room`.
        #[inline]
        pub fn parse<'a>(line: &'a [u8], word: usize, room: &'a mut KeyRoom) -> Line<'a> {
            let $at = Place { line, word, room };
            match line.get(..word).unwrap_or_default() {
                $($word => $parse,)*
                _ => Line::Other,
            }
        }

        /// Returns the places of key and length, 0 for none, of the command with this word.
        #[inline]
        pub(super) fn places(word: &[u8]) -> Option<(usize, usize)> {
            match word {
                $($word => Some(($key, $value)),)*
                _ => None,
            }
        }
    };
}

/// Returns the row of the command with this word. The table is searched: not for a hot path.
pub fn find(word: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|row| row.word.as_bytes() == word)
}

const fn command(
    word: &'static [u8],
    kind: Kind,
    need: Need,
    key: usize,
    value: usize,
    example: &'static str,
) -> Command {
    let Ok(word) = std::str::from_utf8(word) else { panic!("words are text") };
    Command { word, kind, need, key, value, example }
}

commands! { |at|
    // word, kind, least right, token of the key, token of the length, example => parsed line
    b"get", Kind::Classic, Need::Read, 1, 0, "get door" => classic::parse::gets(at.line, at.word, false);
    b"gets", Kind::Classic, Need::Read, 1, 0, "gets door" => classic::parse::gets(at.line, at.word, true);
    b"set", Kind::Classic, Need::Write, 1, 4, "set door 0 0 1" => classic::parse::store(at.line, Mode::Set);
    b"mg", Kind::Meta, Need::Read, 1, 0, "mg door t v" => meta::parse::get(at.line, at.room);
    b"ms", Kind::Meta, Need::Write, 1, 2, "ms door 1" => meta::parse::set(at.line, at.room);
    b"md", Kind::Meta, Need::Write, 1, 0, "md door" => meta::parse::delete(at.line, at.room);
    b"ma", Kind::Meta, Need::Write, 1, 0, "ma door" => meta::parse::delta(at.line, at.room);
    b"mn", Kind::Meta, Need::Nothing, 0, 0, "mn" => Line::Noop;
    b"me", Kind::Meta, Need::Read, 1, 0, "me door" => meta::parse::inspect(at.line, at.room);
    b"add", Kind::Classic, Need::Write, 1, 4, "add door 0 0 1" => classic::parse::store(at.line, Mode::Add);
    b"cas", Kind::Classic, Need::Write, 1, 4, "cas door 0 0 1 1" => classic::parse::store(at.line, Mode::Cas);
    b"gat", Kind::Classic, Need::Write, 2, 0, "gat 1000 door" => classic::parse::gats(at.line, false);
    b"gats", Kind::Classic, Need::Write, 2, 0, "gats 1000 door" => classic::parse::gats(at.line, true);
    b"incr", Kind::Classic, Need::Write, 1, 0, "incr door 1" => classic::parse::delta(at.line, true);
    b"decr", Kind::Classic, Need::Write, 1, 0, "decr door 1" => classic::parse::delta(at.line, false);
    b"touch", Kind::Classic, Need::Write, 1, 0, "touch door 1000" => classic::parse::touch(at.line);
    b"delete", Kind::Classic, Need::Write, 1, 0, "delete door" => classic::parse::delete(at.line);
    b"append", Kind::Classic, Need::Write, 1, 4, "append door 0 0 1" => classic::parse::store(at.line, Mode::Append);
    b"replace", Kind::Classic, Need::Write, 1, 4, "replace door 0 0 1" => classic::parse::store(at.line, Mode::Replace);
    b"prepend", Kind::Classic, Need::Write, 1, 4, "prepend door 0 0 1" => classic::parse::store(at.line, Mode::Prepend);
    b"cache_memlimit", Kind::Admin(Admin::CacheMemlimit), Need::Admin, 0, 0, "cache_memlimit 9" => Line::Other;
    b"config", Kind::Admin(Admin::Config), Need::Read, 0, 4, "config set cluster 0 1" => Line::Other;
    b"debugitem", Kind::Admin(Admin::Debugitem), Need::Admin, 0, 0, "debugitem ref door" => Line::Other;
    b"debugtime", Kind::Admin(Admin::Debugtime), Need::Admin, 0, 0, "debugtime 100000" => Line::Other;
    b"flush_all", Kind::Admin(Admin::FlushAll), Need::Admin, 0, 0, "flush_all" => Line::Other;
    b"flush_prefix", Kind::Admin(Admin::FlushPrefix), Need::Write, 0, 0, "flush_prefix door" => Line::Other;
    b"lru", Kind::Admin(Admin::Lru), Need::Admin, 0, 0, "lru mode flat" => Line::Other;
    b"lru_crawler", Kind::Admin(Admin::LruCrawler), Need::Admin, 0, 0, "lru_crawler metadump all" => Line::Other;
    b"misbehave", Kind::Admin(Admin::Misbehave), Need::Admin, 0, 0, "misbehave" => Line::Other;
    b"persist", Kind::Admin(Admin::Persist), Need::Admin, 0, 0, "persist status" => Line::Other;
    b"quit", Kind::Admin(Admin::Quit), Need::Nothing, 0, 0, "quit" => Line::Other;
    b"refresh_certs", Kind::Admin(Admin::RefreshCerts), Need::Admin, 0, 0, "refresh_certs" => Line::Other;
    b"shutdown", Kind::Admin(Admin::Shutdown), Need::Admin, 0, 0, "shutdown" => Line::Other;
    b"slabs", Kind::Admin(Admin::Slabs), Need::Admin, 0, 0, "slabs automove 0" => Line::Other;
    b"stats", Kind::Admin(Admin::Stats), Need::Read, 0, 0, "stats" => Line::Other;
    b"verbosity", Kind::Admin(Admin::Verbosity), Need::Admin, 0, 0, "verbosity 2" => Line::Other;
    b"version", Kind::Admin(Admin::Version), Need::Nothing, 0, 0, "version" => Line::Other;
    b"watch", Kind::Admin(Admin::Watch), Need::Admin, 0, 0, "watch fetchers" => Line::Other;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example has its word, and its key and length where the row says.
    #[test]
    fn examples_match_their_rows() {
        for command in COMMANDS {
            let tokens: Vec<&str> = command.example.split(' ').collect();
            assert_eq!(tokens.first(), Some(&command.word));
            assert!(command.key == 0 || tokens.get(command.key) == Some(&"door"), "{command:?}");
            assert!(command.value == 0 || tokens.get(command.value) == Some(&"1"), "{command:?}");
            let mut room = KeyRoom::new();
            let line = parse(command.example.as_bytes(), command.word.len(), &mut room);
            assert!(!matches!(line, Line::Bad { .. }), "{command:?}");
            assert_eq!(matches!(line, Line::Other), matches!(command.kind, Kind::Admin(_)));
        }
    }
}
