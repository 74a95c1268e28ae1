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
    /// routelib's: the routes. `proxies/pools.lua` comes before them.
    Routelib(&'static str),
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
    /// Whether backends die and come back. Not if the first reply is the answer, and backends that
    /// have died have other items.
    pub kills: bool,
    /// Whether commands are sent in pipelines. The retry of a command could overtake others, so
    /// this is for direct routes.
    pub is_pipelined: bool,
    /// Whether there is arithmetic. A backend refuses some of it, and that takes with it what
    /// follows before the refusal is known: in a pipeline, or after a reply that is dropped.
    pub arithmetic: bool,
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
    pairing("direct", DIRECT.0, DIRECT.1),
    Pairing { is_pipelined: true, arithmetic: false, ..pairing("pipeline", DIRECT.0, DIRECT.1) },
    routelib("failover", include_str!("proxies/failover.lua")),
    routelib("failover-miss", include_str!("proxies/failover-miss.lua")),
    Pairing { arithmetic: false, ..routelib("zfailover", include_str!("proxies/zfailover.lua")) },
    routelib("allsync", include_str!("proxies/allsync.lua")),
    Pairing {
        kills: false,
        arithmetic: false,
        ..routelib("allfastest", include_str!("proxies/allfastest.lua"))
    },
    Pairing { arithmetic: false, ..routelib("split", include_str!("proxies/split.lua")) },
    routelib("ttl", include_str!("proxies/ttl.lua")),
    routelib("ratelim", include_str!("proxies/ratelim.lua")),
    routelib("options", include_str!("proxies/options.lua")),
    routelib("maps", include_str!("proxies/maps.lua")),
];

/// Returns a pairing with the same configuration of routelib on both sides.
const fn routelib(name: &'static str, text: &'static str) -> Pairing {
    pairing(name, Config::Routelib(text), Config::Routelib(text))
}

const fn pairing(name: &'static str, left: Config, right: Config) -> Pairing {
    Pairing { name, left, right, kills: true, is_pipelined: false, arithmetic: true }
}

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
            Self::Routelib(routes) => (format!("{}{routes}", include_str!("proxies/pools.lua")), "lua"),
            Self::Toml(route, pools) => (format!("{route}{pools}"), "toml"),
        };
        let put =
            |text: String, (at, port): (usize, &u16)| text.replace(&format!("${at}"), &port.to_string());
        (ports.iter().enumerate().fold(text, put), extension)
    }

    /// Returns the flags of a proxy that reads its configuration from this file.
    pub fn flags(self, path: &str) -> Vec<String> {
        let option = match self {
            Self::Lua(_) | Self::Toml(..) => format!("proxy_config={path}"),
            Self::Routelib(_) => format!("proxy_config=routelib,proxy_arg={path}"),
        };
        ["-t", "1", "-o", &option].map(str::to_owned).to_vec()
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
        reason: "memcached's routelib has a fault if no far zone of route_zfailover answers without an error",
        holds: |_, left, right| {
            let rest = without(left, b"SERVER_ERROR bad response\r\n");
            let is_alone = rest.is_empty() && (contains(right, b"_ERROR ") || is_miss(right));
            rest.len() < left.len() && (is_alone || rest == right || right == FAILURE)
        },
    },
    Excuse {
        reason: "memcached's routelib has a fault over the limit of route_ratelim, where a miss is documented",
        holds: |request, left, right| {
            let rest = without(left, b"SERVER_ERROR lua failure\r\n");
            let is_same = if rest.is_empty() { is_null(request, right) } else { rest == right };
            rest.len() < left.len() && is_same
        },
    },
    Excuse {
        reason: "our proxy refuses malformed requests and too large values itself, also while the backend is dead",
        holds: |_, left, right| {
            left == FAILURE && (right.starts_with(b"CLIENT_ERROR ") || right == TOO_LARGE)
        },
    },
    Excuse {
        reason: "a get of several keys fails as a whole, where memcached's proxy puts the error between the values",
        holds: |request, left, right| {
            let is_get =
                [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|verb| request.starts_with(verb));
            is_get && right == FAILURE && contains(left, right)
        },
    },
];

fn contains(reply: &[u8], line: &[u8]) -> bool {
    reply.windows(line.len()).any(|part| part == line)
}

/// Returns a reply without this line.
fn without(reply: &[u8], line: &[u8]) -> Vec<u8> {
    reply.split_inclusive(|byte| *byte == b'\n').filter(|part| *part != line).flatten().copied().collect()
}

/// Returns whether a reply is a miss, or says that the item is not as the request wants it.
fn is_miss(reply: &[u8]) -> bool {
    let lines =
        [&b"END\r\n"[..], b"EN\r\n", b"NF", b"NS", b"EX", b"NOT_FOUND\r\n", b"NOT_STORED\r\n", b"EXISTS\r\n"];
    reply.is_empty() || lines.iter().any(|line| reply.starts_with(line))
}

/// Returns whether a reply is that of `null` to a request, or refuses its value.
fn is_null(request: &[u8], reply: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let (miss, silencer): (&[u8], &[u8]) = match words.next() {
        Some(b"get") => (b"END\r\n", b""),
        Some(b"mg") => (b"EN\r\n", b"q"),
        Some(b"ms") => (b"NS\r\n", b""),
        Some(b"set") => (b"NOT_STORED\r\n", b"noreply"),
        Some(b"incr") => (b"NOT_FOUND\r\n", b"noreply"),
        _ => return false,
    };
    let is_quiet = !silencer.is_empty() && words.skip(1).any(|word| word == silencer);
    reply == TOO_LARGE || if is_quiet { reply.is_empty() } else { reply == miss }
}

const FAILURE: &[u8] = b"SERVER_ERROR backend failure\r\n";
const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether memcached's fault over a limit explains the replies.
    fn is_limited(request: &str, left: &str, right: &str) -> bool {
        let excuse = EXCUSES.iter().find(|excuse| excuse.reason.contains("route_ratelim"));
        excuse.is_some_and(|excuse| (excuse.holds)(request.as_bytes(), left.as_bytes(), right.as_bytes()))
    }

    #[test]
    fn a_limit_explains_only_that_a_request_was_refused() {
        let failure = "SERVER_ERROR lua failure\r\n";
        for (request, right) in [
            ("get k\r\n", "END\r\n"),
            ("mg k v\r\n", "EN\r\n"),
            ("mg k v q\r\n", ""),
            ("ms k 1 q\r\nx\r\n", "NS\r\n"),
            ("set k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
            ("set k 0 0 1 noreply\r\nx\r\n", ""),
            ("set k 0 0 9999999\r\n…\r\n", "SERVER_ERROR object too large for cache\r\n"),
            ("incr k 1\r\n", "NOT_FOUND\r\n"),
        ] {
            assert!(is_limited(request, failure, right), "{request}");
        }
        let item = "VALUE a 0 1\r\nx\r\n";
        assert!(is_limited("get a k\r\n", &format!("{item}{failure}END\r\n"), &format!("{item}END\r\n")));
        for (request, right) in [
            ("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"),
            ("mg k v\r\n", "VA 1\r\nx\r\n"),
            ("ms k 1\r\nx\r\n", "HD\r\n"),
            ("ms k 1 q\r\nx\r\n", ""),
            ("set k 0 0 1\r\nx\r\n", "STORED\r\n"),
            ("set k 0 0 1\r\nx\r\n", "SERVER_ERROR backend failure\r\n"),
            ("incr k 1\r\n", "7\r\n"),
            ("touch k 0\r\n", "NOT_FOUND\r\n"),
        ] {
            assert!(!is_limited(request, failure, right), "{request}");
        }
        assert!(!is_limited("get a k\r\n", &format!("{item}{failure}END\r\n"), "END\r\n"));
        assert!(!is_limited("get k\r\n", "END\r\n", "END\r\n"), "memcached did not fail");
    }
}
