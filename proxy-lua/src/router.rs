//! The lookup of `mcp.router_new`: a key and a command lead to a target.

use std::collections::HashMap;

use memchr::memmem;

/// Longest separator.
pub const SEPARATOR_MAX: usize = 5;

/// One more than the largest number of a command with a key.
const COMMANDS: usize = 21;

/// The part of a key that a map has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The part before the first `stop`.
    Prefix {
        /// The separator behind the part.
        stop: Vec<u8>,
    },
    /// The part between `start`, which begins the key, and the first `stop` behind it.
    Anchor {
        /// The text before the part.
        start: Vec<u8>,
        /// The separator behind the part.
        stop: Vec<u8>,
    },
}

impl Default for Part {
    fn default() -> Self {
        Self::Prefix { stop: b"/".to_vec() }
    }
}

impl Part {
    /// Returns the part of a key. Returns `None` if the key has none, or an empty one.
    fn of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let (rest, stop) = match self {
            Self::Prefix { stop } => (key, stop),
            Self::Anchor { start, stop } => (key.strip_prefix(start.as_slice())?, stop),
        };
        let end = memmem::find(rest, stop)?;
        rest.get(..end).filter(|part| !part.is_empty())
    }
}

/// Targets by the numbers of commands.
#[derive(Debug, Clone)]
pub struct Commands<T> {
    targets: [Option<T>; COMMANDS],
    /// The target of the others.
    any: Option<T>,
}

impl<T> Default for Commands<T> {
    fn default() -> Self {
        Self { targets: [const { None }; COMMANDS], any: None }
    }
}

impl<T> Commands<T> {
    /// Sets the target of one command, which has a key.
    pub fn set(&mut self, command: u8, target: T) {
        if let Some(old) = self.targets.get_mut(usize::from(command)) {
            *old = Some(target);
        }
    }

    /// Sets the target of the other commands.
    pub fn set_any(&mut self, target: T) {
        self.any = Some(target);
    }

    fn get(&self, command: u8) -> Option<&T> {
        self.targets.get(usize::from(command)).and_then(Option::as_ref).or(self.any.as_ref())
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.targets.iter().chain([&self.any]).flatten()
    }
}

/// The targets of a part of a key.
#[derive(Debug, Clone)]
pub enum Entry<T> {
    /// One target.
    One(T),
    /// A target for each command.
    Commands(Commands<T>),
}

/// A lookup by the part of a key, then by the command.
#[derive(Debug, Clone)]
pub struct Router<T> {
    /// The part of the key that `map` has.
    pub part: Part,
    /// Targets by the part.
    pub map: HashMap<Vec<u8>, Entry<T>>,
    /// Targets by the command, for other keys.
    pub commands: Commands<T>,
    /// The target of the rest.
    pub default: Option<T>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { part: Part::default(), map: HashMap::new(), commands: Commands::default(), default: None }
    }
}

impl<T> Router<T> {
    /// Returns the target of a request. Returns `None` if there is none, or the key is empty.
    pub fn target(&self, command: u8, key: &[u8]) -> Option<&T> {
        if key.is_empty() {
            return None;
        }
        let entry =
            if self.map.is_empty() { None } else { self.part.of(key).and_then(|part| self.map.get(part)) };
        let target = match entry {
            Some(Entry::One(target)) => Some(target),
            Some(Entry::Commands(commands)) => commands.get(command),
            None => None,
        };
        target.or_else(|| self.commands.get(command)).or(self.default.as_ref())
    }

    /// Iterates over all targets.
    pub fn targets(&self) -> impl Iterator<Item = &T> {
        let of_map = self.map.values().flat_map(|entry| {
            let (one, commands) = match entry {
                Entry::One(target) => (Some(target), None),
                Entry::Commands(commands) => (None, Some(commands)),
            };
            one.into_iter().chain(commands.into_iter().flat_map(Commands::all))
        });
        of_map.chain(self.commands.all()).chain(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: u8 = 7;
    const SET: u8 = 9;

    fn router(part: Part) -> Router<&'static str> {
        let mut router = Router { part, default: Some("default"), ..Router::default() };
        router.map.insert(b"one".to_vec(), Entry::One("one"));
        let mut commands = Commands::default();
        commands.set(GET, "get of two");
        router.map.insert(b"two".to_vec(), Entry::Commands(commands.clone()));
        commands.set_any("any of three");
        router.map.insert(b"three".to_vec(), Entry::Commands(commands));
        router.commands.set(SET, "set");
        router
    }

    #[test]
    fn prefixes() {
        let by_slash = router(Part::default());
        let long = router(Part::Prefix { stop: b"::".to_vec() });
        for (command, key, target) in [
            (GET, "one/k", "one"),
            (SET, "one/k", "one"),
            (GET, "two/k", "get of two"),
            (SET, "two/k", "set"),
            (14, "two/k", "default"),
            (14, "three/k/l", "any of three"),
            (GET, "three/", "get of two"),
            (GET, "four/k", "default"),
            (GET, "one", "default"),
            (SET, "/one/k", "set"),
        ] {
            assert_eq!(by_slash.target(command, key.as_bytes()), Some(&target), "{key}");
            let key = key.replace('/', "::");
            assert_eq!(long.target(command, key.as_bytes()), Some(&target), "{key}");
        }
        assert_eq!(long.target(GET, b"one:k"), Some(&"default"));
        assert_eq!(by_slash.target(GET, b""), None);
        assert_eq!(by_slash.targets().count(), 6);
    }

    #[test]
    fn anchors() {
        let anchor = |start: &str, stop: &str| Part::Anchor { start: start.into(), stop: stop.into() };
        let (short, long) = (router(anchor("/", "/")), router(anchor("<-", "->")));
        for (key, target) in
            [("/one/k", "one"), ("/one", "default"), ("one/k", "default"), ("//one/", "default")]
        {
            assert_eq!(short.target(GET, key.as_bytes()), Some(&target), "{key}");
        }
        for (key, target) in
            [("<-one->k", "one"), ("<-one-k", "default"), ("<-->", "default"), ("<-", "default")]
        {
            assert_eq!(long.target(GET, key.as_bytes()), Some(&target), "{key}");
        }
    }

    #[test]
    fn nothing_found() {
        let router: Router<()> = Router::default();
        assert_eq!(router.target(GET, b"a/b"), None);
    }
}
