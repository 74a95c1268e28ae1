//! The hashes and distributions of pools: `hash_xxhash`, `dist_jump_hash` and `dist_ring_hash`.

use std::sync::Arc;

use memcache_core::internal::proxy::backend::{Address, Backend};
use memcache_core::internal::proxy::distribution::{POINTS, Placement, Ring};
use memcache_core::internal::proxy::filter::KeyFilter;
use memcache_core::internal::proxy::hash::{KEY_HASHES, KeyHash, xxh3};
use mlua::{AnyUserData, Function, Lua, LuaString, Result, Table, UserData, Value};

use super::{error, text};

/// Most points of a backend in a ring.
const MOST_POINTS: i64 = 100_000;

/// A hash of keys.
#[derive(Clone, Copy)]
struct Hasher(&'static KeyHash);

impl UserData for Hasher {}

/// A distribution over the backends of a pool.
struct Selector(Arc<Placement>);

impl UserData for Selector {}

/// Adds the hashes and distributions.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table) -> Result<()> {
    let hasher = |name| KeyHash::named(name).map(Hasher);
    mcp.set("hash_xxhash", hasher("xxh3"))?;
    let jump = lua.create_table()?;
    jump.set(
        "new",
        lua.create_function(|_, list: Table| Ok(Selector(Arc::new(Placement::Jump(list.raw_len() as u32)))))?,
    )?;
    mcp.set("dist_jump_hash", jump)?;
    let ring = lua.create_table()?;
    ring.set("new", lua.create_function(|lua, (list, options)| new_ring(lua, &list, options))?)?;
    ring.set("hash", hasher("md5"))?;
    mcp.set("dist_ring_hash", ring)
}

/// `dist_ring_hash.new(list, options)`: the list has `addr` and `port` of each backend.
fn new_ring(lua: &Lua, list: &Table, options: Option<Table>) -> Result<Selector> {
    let (mut ring, mut points) = (Ring::Xxh3, POINTS);
    if let Some(options) = options {
        match options.get("omode")? {
            Value::Nil => {}
            Value::String(mode) => {
                ring = Ring::named(&mode.as_bytes()).ok_or_else(|| error("ring_hash: bad omode argument"))?;
            }
            _ => return Err(error("ring_hash: bad omode argument")),
        }
        match options.get("obuckets")? {
            Value::Nil => {}
            count => {
                let count = lua.coerce_integer(count)?.filter(|count| (1..=MOST_POINTS).contains(count));
                let fault = "ring_hash: option argument must be a positive integer";
                points = count.ok_or_else(|| error(fault))? as u32;
            }
        }
    }
    let backends = list.sequence_values::<Table>().map(|entry| backend(&entry?));
    let backends = backends.collect::<Result<Vec<_>>>()?;
    Ok(Selector(Arc::new(Placement::ring(ring, &backends, points))))
}

fn backend(entry: &Table) -> Result<Backend> {
    let address = Address::Tcp(entry.get("addr")?, entry.get("port")?);
    Ok(Backend::at(address))
}

/// How a pool finds the backend of a key.
#[derive(Debug, Clone)]
pub struct KeyMap {
    filter: Option<KeyFilter>,
    hash: &'static KeyHash,
    seed: u64,
    placement: Arc<Placement>,
}

impl KeyMap {
    /// Builds the map of a pool from the options of `mcp.pool`: `dist`, `filter`, `filter_conf`,
    /// `hash` and `seed`. The distribution reads its own options.
    ///
    /// # Errors
    /// An option is wrong.
    pub fn new(lua: &Lua, mcp: &Table, backends: &[Backend], options: Option<&Table>) -> Result<Self> {
        let option = |name: &str| options.map_or(Ok(Value::Nil), |options| options.get::<Value>(name));
        let distribution = match option("dist")? {
            Value::Nil => mcp.get("dist_jump_hash")?,
            distribution => distribution,
        };
        let placement = place(lua, &distribution, backends, options)?;
        let mut map = Self { filter: None, hash: &KEY_HASHES[0], seed: 0, placement };
        if let Some(kind) = text(lua, Some(&option("filter")?))? {
            map.filter = Some(filter(&kind, &option("filter_conf")?)?);
        }
        match option("hash")? {
            Value::Nil => {}
            Value::UserData(hasher) => map.hash = hasher.borrow::<Hasher>()?.0,
            _ => return Err(error("the 'hash' of a pool must be a hash of mcp")),
        }
        if let Some(seed) = text(lua, Some(&option("seed")?))? {
            map.seed = xxh3(&seed.as_bytes());
        }
        Ok(map)
    }

    /// Returns the index of the backend that has a key.
    pub fn choose(&self, key: &[u8]) -> usize {
        let key = self.filter.as_ref().map_or(key, |filter| filter.part(key));
        self.placement.index(key, self.hash.hash(key, self.seed))
    }
}

/// Calls `new` of a distribution.
fn place(
    lua: &Lua,
    distribution: &Value,
    backends: &[Backend],
    options: Option<&Table>,
) -> Result<Arc<Placement>> {
    let Value::Table(distribution) = distribution else {
        return Err(error("cannot create pool missing 'dist' argument"));
    };
    let Value::Function(new) = distribution.get("new")? else {
        return Err(error("key distribution object missing 'new' function"));
    };
    let list = lua.create_table()?;
    for (id, backend) in (1..).zip(backends) {
        let entry = lua.create_table()?;
        entry.set("id", id)?;
        if let Address::Tcp(host, port) = &backend.address {
            entry.set("addr", host.as_str())?;
            entry.set("port", port.to_string())?;
        }
        list.push(entry)?;
    }
    let selector = Function::call::<AnyUserData>(&new, (list, options))?;
    let selector = selector.borrow::<Selector>()?;
    Ok(Arc::clone(&selector.0))
}

fn filter(kind: &LuaString, text: &Value) -> Result<KeyFilter> {
    let kind = kind.to_string_lossy();
    if !matches!(kind.as_str(), "stop" | "tags") {
        return Err(error(format!("unknown hash filter specified: {kind}\n")));
    }
    let Value::String(text) = text else {
        return Err(error("hash filter requires 'filter_conf' string"));
    };
    match *text.as_bytes() {
        [open, close, ref rest @ ..] if rest.len() <= 3 => Ok(match kind.as_str() {
            "stop" => KeyFilter::Stop(text.to_string_lossy()),
            _ => KeyFilter::Tag(open, close),
        }),
        _ => Err(error("hash filter conf must be between 2 and 5 characters")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors;
    use super::*;

    fn map(options: &str, count: u16) -> Result<KeyMap> {
        let lua = Lua::new();
        let mcp = lua.create_table()?;
        add(&lua, &mcp)?;
        lua.globals().set("mcp", &mcp)?;
        let options: Option<Table> = lua.load(options).eval()?;
        let backends = (0..count).map(|n| Address::Tcp("127.0.77.1".into(), 11211 + n));
        let backends: Vec<_> = backends.map(Backend::at).collect();
        KeyMap::new(&lua, &mcp, &backends, options.as_ref())
    }

    /// Returns the backends of the keys k1 to k20, as digits.
    fn choices(options: &str) -> String {
        let map = map(options, 5).unwrap();
        (1..=20).map(|n| map.choose(format!("k{n}").as_bytes()).to_string()).collect()
    }

    /// The choices are those of memcached's proxy 1.6.45, with each option.
    #[test]
    fn keys_are_where_memcached_puts_them() {
        for (options, expected) in RECORDED {
            assert_eq!(choices(options), *expected, "{options}");
        }
    }

    const RECORDED: &[(&str, &str)] = &[
        ("nil", "22444031411013404423"),
        ("{ seed = 'abc' }", "14040400444424222344"),
        ("{ dist = mcp.dist_ring_hash }", "14040412322303224401"),
        ("{ dist = mcp.dist_ring_hash, obuckets = 10 }", "12223213302004143031"),
        (
            "{ dist = mcp.dist_ring_hash, omode = 'ketama', hash = mcp.dist_ring_hash.hash }",
            "01103240022001440033",
        ),
        (
            "{ dist = mcp.dist_ring_hash, omode = 'twemproxy', hash = mcp.dist_ring_hash.hash }",
            "21103240002301003033",
        ),
        (
            "{ dist = mcp.dist_ring_hash, omode = 'evcache', hash = mcp.dist_ring_hash.hash, obuckets = 80 }",
            "00213202342031311324",
        ),
        ("{ hash = mcp.dist_ring_hash.hash }", "32230024440021421130"),
    ];

    #[test]
    fn a_filter_chooses_the_part() {
        let stop = map("{ filter = 'stop', filter_conf = '|#' }", 50).unwrap();
        assert_eq!(stop.choose(b"a|#b"), stop.choose(b"a|#c"));
        assert_eq!(stop.choose(b"a|#b"), stop.choose(b"a"));
        let tags = map("{ filter = 'tags', filter_conf = '{}' }", 50).unwrap();
        assert_eq!(tags.choose(b"x{a}b"), tags.choose(b"a"));
    }

    #[test]
    fn wrong_options() {
        for (options, fault) in [
            ("{ dist = mcp.dist_ring_hash, omode = 'libmemcached' }", "ring_hash: bad omode argument"),
            (
                "{ dist = mcp.dist_ring_hash, obuckets = 0 }",
                "ring_hash: option argument must be a positive integer",
            ),
            ("{ dist = {} }", "key distribution object missing 'new' function"),
            ("{ dist = 1 }", "cannot create pool missing 'dist' argument"),
            ("{ filter = 'x' }", "unknown hash filter specified: x\n"),
            ("{ filter = 'stop' }", "hash filter requires 'filter_conf' string"),
            ("{ filter = 'tags', filter_conf = '{' }", "hash filter conf must be between 2 and 5 characters"),
            (
                "{ filter = 'stop', filter_conf = '123456' }",
                "hash filter conf must be between 2 and 5 characters",
            ),
        ] {
            assert_eq!(errors::message(&map(options, 3).unwrap_err()), fault, "{options}");
        }
    }
}
