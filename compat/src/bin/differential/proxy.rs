//! Configurations of memcached's proxy and of ours that must behave alike, and the differences that
//! docs/proxy.md argues.

use memcache_compat::Outcome;

/// Backends of each proxy.
pub const BACKENDS: usize = 3;

/// A configuration. `$0` to `$2` stand for the ports of the backends. A key that begins with `bN/`
/// must go to backend N.
#[derive(Clone, Copy, Debug)]
pub enum Config {
    /// A program of memcached's API.
    Lua(&'static str),
    /// Our own format: a route, and the pools.
    Toml(&'static str, &'static str),
}

/// The configurations of the left proxy and of the right one.
#[derive(Debug)]
pub struct Pairing {
    /// Its name on the command line.
    pub name: &'static str,
    /// memcached's proxy.
    pub left: Config,
    /// Our proxy.
    pub right: Config,
    /// Whether commands are sent in pipelines. Then a command that a backend refuses would take
    /// others with it, and the retry of a command could overtake others. So this is for direct
    /// routes, and without arithmetic.
    pub is_pipelined: bool,
}

const POOLS: &str = include_str!("proxies/pools.toml");

const DIRECT: (Config, Config) = (
    Config::Lua(include_str!("proxies/direct.lua")),
    Config::Toml(
        "route = { by_prefix = { 'b0/' = 'b0', 'b1/' = 'b1', 'b2/' = 'b2' }, default = 'all' }\n",
        POOLS,
    ),
);

/// All of them.
pub static PAIRINGS: &[Pairing] = &[
    Pairing { name: "direct", left: DIRECT.0, right: DIRECT.1, is_pipelined: false },
    Pairing { name: "pipeline", left: DIRECT.0, right: DIRECT.1, is_pipelined: true },
];

/// Returns the pairing with this name, or all of them.
pub fn named(name: &str) -> Outcome<Vec<&'static Pairing>> {
    let found: Vec<_> = PAIRINGS.iter().filter(|pairing| [pairing.name, "all"].contains(&name)).collect();
    if found.is_empty() {
        let known: Vec<_> = PAIRINGS.iter().map(|pairing| pairing.name).collect();
        return Err(format!("--proxy must be all or one of {}, got {name}", known.join(", ")));
    }
    Ok(found)
}

impl Config {
    /// Returns the text for backends at these ports, and the extension of its file.
    pub fn text(self, ports: &[u16]) -> (String, &'static str) {
        let (text, extension) = match self {
            Self::Lua(text) => (text.to_owned(), "lua"),
            Self::Toml(route, pools) => (format!("{route}{pools}"), "toml"),
        };
        let put =
            |text: String, (at, port): (usize, &u16)| text.replace(&format!("${at}"), &port.to_string());
        (ports.iter().enumerate().fold(text, put), extension)
    }

    /// Returns the flags of a proxy that reads its configuration from this file.
    pub fn flags(path: &str) -> Vec<String> {
        ["-t", "1", "-o", &format!("proxy_config={path}")].map(str::to_owned).to_vec()
    }
}

/// A difference with a reason.
#[derive(Debug)]
pub struct Excuse {
    /// The reason.
    pub reason: &'static str,
    /// Returns whether these replies to a request differ for that reason: memcached's, and ours.
    pub holds: fn(&[u8], &[u8], &[u8]) -> bool,
}

/// All of them.
pub static EXCUSES: &[Excuse] = &[
    Excuse {
        reason: "our proxy refuses a malformed request itself, also while the backend is dead",
        holds: |_, left, right| left == FAILURE && right.starts_with(b"CLIENT_ERROR "),
    },
    Excuse {
        reason: "a get of several keys fails as a whole, where memcached's proxy puts the error between the values",
        holds: |request, left, right| {
            let is_get =
                [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|verb| request.starts_with(verb));
            is_get && right == FAILURE && left.windows(right.len()).any(|part| part == right)
        },
    },
];

const FAILURE: &[u8] = b"SERVER_ERROR backend failure\r\n";
