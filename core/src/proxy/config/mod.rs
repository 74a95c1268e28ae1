//! The configuration of a proxy: TOML text to a [`Configuration`].
//!
//! `route` is the route of all requests. `[pools.NAME]` has backends, and `[routes.NAME]` a route
//! that others use by its name. A route is the name of a pool or of a route, or a table whose one
//! main key is its kind: a row of `KINDS`. Each mistake is one line with its place.

mod entry;
mod names;
mod pool;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use self::entry::ConfigFault;
use self::entry::{Entry, MAX_NAME, Table};
use super::bucket::Limit;
use super::command::{COMMANDS, Command};
use super::hot::{HotCache, HotRules};
use super::name::NameRules;
use super::pool::Pool;
use super::route::{NodeId, Route, RouteCounter, Routes};
use super::ttl::{LONGEST_TTL, TtlRule};
use crate::config::{MIB, Tag};

/// The bytes of a configuration at most.
pub const MAX_TEXT: usize = 1 << 20;
/// Pools at most.
const MAX_POOLS: usize = 1000;
/// Backends of all pools at most.
pub const MAX_BACKENDS: usize = 10_000;
/// Nodes of all routes at most.
const MAX_NODES: usize = 10_000;
/// Routes within routes at most, names included.
const MAX_DEPTH: usize = 16;
/// Requests for one request of a client at most. A running request needs memory for as many.
pub const MAX_SENDS: usize = 64;

/// Longest time for which a route waits for answers, in milliseconds: an hour.
const MAX_WAIT_MILLIS: u64 = 3_600_000;

/// The name of the route that answers a miss.
const NULL: &str = "null";
/// The name of the route to the cache of this server.
const LOCAL: &str = "local";

/// A configuration.
#[derive(Debug)]
pub struct Configuration {
    /// Pools and routes.
    pub routes: Routes,
    /// When names are looked up again.
    pub names: NameRules,
}

/// Parses the pools and routes of a configuration.
///
/// # Errors
///
/// The first mistake.
pub fn parse(text: &str) -> Result<Routes, ConfigFault> {
    read(text).map(|configuration| configuration.routes)
}

/// Parses a configuration.
///
/// # Errors
///
/// The first mistake.
pub fn read(text: &str) -> Result<Configuration, ConfigFault> {
    if text.len() > MAX_TEXT {
        return Err(ConfigFault::new("", &(0..0), &format!("the file must have at most {MAX_TEXT} bytes")));
    }
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let mut message = error.message().replace('\n', ", ");
        // The parser does not say which one.
        if let (true, Some(key)) = (message.starts_with("duplicate key"), text.get(span.clone())) {
            message = format!("{key}: {message}");
        }
        ConfigFault::new(text, &span, &message)
    })?;
    let (span, table) = (table.span(), table.into_inner());
    let top = Table { text, name: String::new(), span, entries: &table };
    top.allow(&["route", "pools", "routes", "listeners", "names"])?;
    let rules = names::rules(&top)?;
    let mut builder = Builder::new(text);
    let pools = top.named("pools")?;
    check_counts(&pools)?;
    for (name, entry) in pools {
        builder.add_pool(name, &entry)?;
    }
    for (name, entry) in top.named("routes")? {
        builder.name(name, &entry, Named::Unread(entry.value))?;
    }
    let root =
        top.get("route").map_or_else(|| top.fail("route is missing: it is the route of all requests"), Ok)?;
    let root = builder.route(&root, 0)?;
    // Routes that the root does not reach must be right, too.
    let mut names = Vec::new();
    for (name, entry) in top.named("routes")? {
        names.push((name.to_owned(), builder.resolve(name, &entry, 0)?));
    }
    let mut listeners = Vec::new();
    for (name, entry) in top.named("listeners")? {
        let tag = Tag::new(name).map_or_else(|| entry.fail("the tag of a listener has 1 to 8 bytes"), Ok)?;
        listeners.push((tag, builder.route(&entry, 0)?));
    }
    let Builder { pools, nodes, limits, counters, .. } = builder;
    let routes = Routes { pools, nodes, names, root, listeners, limits, counters };
    let sends = routes.most_sends();
    if sends > MAX_SENDS {
        return top.fail(&format!("a request must cause at most {MAX_SENDS} requests, got {sends}"));
    }
    Ok(Configuration { routes, names: rules })
}

/// Fails if there are too many pools or backends, at the first pool of the text that is too many.
fn check_counts(pools: &[(&str, Entry<'_>)]) -> Result<(), ConfigFault> {
    let mut in_order: Vec<&Entry<'_>> = pools.iter().map(|(_, entry)| entry).collect();
    in_order.sort_by_key(|entry| entry.value.span().start);
    let mut backends = 0;
    for (before, entry) in in_order.into_iter().enumerate() {
        if before == MAX_POOLS {
            return entry.fail(&format!("there must be at most {MAX_POOLS} pools, got {}", pools.len()));
        }
        backends += match entry.table()?.get("backends").map(|list| list.value.get_ref()) {
            Some(DeValue::Array(list)) => list.len(),
            _ => 0,
        };
        if backends > MAX_BACKENDS {
            return entry.fail(&format!("all pools together must have at most {MAX_BACKENDS} backends"));
        }
    }
    Ok(())
}

/// The meaning of a name.
#[derive(Clone, Copy)]
enum Named<'a> {
    Pool(NodeId),
    Unread(&'a Spanned<DeValue<'a>>),
    /// A route that is being read: a reference to it is a loop.
    Open,
    Read(NodeId),
}

/// Reads routes into nodes. A node comes after those to which it refers.
struct Builder<'a> {
    text: &'a str,
    names: HashMap<String, Named<'a>>,
    pools: Vec<Pool>,
    nodes: Vec<Route>,
    /// For each node, the number of nodes on the longest way to a pool.
    depths: Vec<usize>,
    /// The rate limits.
    limits: Vec<Limit>,
    /// The counters of routes.
    counters: Vec<RouteCounter>,
}

/// Reads the route of a table of one kind.
type Read = for<'a, 'b> fn(&'b mut Builder<'a>, &'b Table<'a>, usize) -> Result<Route, ConfigFault>;

/// A kind of route: its main key, its other keys, and how it is read.
struct KindRow {
    name: &'static str,
    keys: &'static [&'static str],
    read: Read,
}

static KINDS: [KindRow; 16] = [
    KindRow { name: "failover", keys: &["until_hit", "tries", "wait_ms", "counter"], read: failover },
    KindRow {
        name: "zone_failover",
        keys: &["near", "until_hit", "wait_ms", "counter"],
        read: zone_failover,
    },
    KindRow { name: "gutter", keys: &["of", "seconds", "wait_ms", "counter"], read: gutter },
    KindRow { name: "all_sync", keys: &["last"], read: all_sync },
    KindRow { name: "all_fastest", keys: &["until_hit", "wait_ms"], read: all_fastest },
    KindRow { name: "random", keys: &[], read: random },
    KindRow { name: "split", keys: &[], read: split },
    KindRow { name: "shadow", keys: &["of", "percent"], read: shadow },
    KindRow { name: "ttl", keys: &["seconds", "max_seconds"], read: ttl },
    KindRow { name: "warm_up", keys: &["from"], read: warm_up },
    KindRow { name: "migrate", keys: &["to", "start", "interval"], read: migrate },
    KindRow {
        name: "rate_limit",
        keys: &["per_second", "tokens", "every_ms", "burst", "shared", "over", "counter"],
        read: rate_limit,
    },
    KindRow { name: "hot", keys: &["ttl_ms", "at_least", "memory_mib"], read: hot },
    KindRow { name: "by_prefix", keys: &["default"], read: by_prefix },
    KindRow { name: "by_part", keys: &["start", "stop", "default"], read: by_part },
    KindRow { name: "by_command", keys: &["default"], read: by_command },
];

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            names: HashMap::new(),
            pools: Vec::new(),
            nodes: Vec::new(),
            depths: Vec::new(),
            limits: Vec::new(),
            counters: Vec::new(),
        }
    }

    fn name(&mut self, name: &str, entry: &Entry<'a>, named: Named<'a>) -> Result<(), ConfigFault> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return entry.fail(&format!("a name must have 1 to {MAX_NAME} bytes in one line"));
        }
        if name == NULL || name == LOCAL {
            return entry.fail(&format!("{name} is the name of a built-in route, choose another one"));
        }
        if self.names.insert(name.to_owned(), named).is_some() {
            return entry.fail("this name is taken, pools and routes have different names");
        }
        Ok(())
    }

    fn add_pool(&mut self, name: &str, entry: &Entry<'a>) -> Result<(), ConfigFault> {
        let pool = pool::pool(name, &entry.table()?)?;
        let node = self.add(entry, Route::Pool(self.pools.len()))?;
        self.pools.push(pool);
        self.name(name, entry, Named::Pool(node))
    }

    fn add(&mut self, entry: &Entry<'a>, route: Route) -> Result<NodeId, ConfigFault> {
        if self.nodes.len() == MAX_NODES {
            return entry.fail(&format!("all routes together must have at most {MAX_NODES} parts"));
        }
        let below = route.children().into_iter().filter_map(|node| self.depths.get(node)).max();
        let depth = 1 + below.copied().unwrap_or(0);
        check_depth(entry, depth)?;
        self.nodes.push(route);
        self.depths.push(depth);
        Ok(self.nodes.len() - 1)
    }

    /// Reads a route: a name or a table.
    fn route(&mut self, entry: &Entry<'a>, depth: usize) -> Result<NodeId, ConfigFault> {
        // A level of routes may be a name and a table.
        check_depth(entry, depth.div_ceil(2))?;
        match entry.value.get_ref() {
            DeValue::String(name) if *name == NULL => self.add(entry, Route::Null),
            DeValue::String(name) if *name == LOCAL => self.add(entry, Route::Local),
            DeValue::String(name) => self.resolve(name, entry, depth),
            DeValue::Table(_) => {
                let table = entry.table()?;
                let route = self.table(&table, depth + 1)?;
                self.add(entry, route)
            }
            _ => entry.wanted("the name of a pool or a route, or a table with a kind of route"),
        }
    }

    /// Returns the node of a name.
    fn resolve(&mut self, name: &str, entry: &Entry<'a>, depth: usize) -> Result<NodeId, ConfigFault> {
        match self.names.get(name).copied() {
            Some(Named::Pool(node) | Named::Read(node)) => Ok(node),
            Some(Named::Open) => entry.fail(&format!("route {name:?} leads back to itself")),
            Some(Named::Unread(value)) => {
                self.names.insert(name.to_owned(), Named::Open);
                let inner = Entry { text: self.text, name: format!("routes.{name}"), value };
                let node = self.route(&inner, depth + 1)?;
                self.names.insert(name.to_owned(), Named::Read(node));
                Ok(node)
            }
            None => entry.fail(&format!("there is no pool or route {name:?}")),
        }
    }

    /// Reads the route of a table, by its kind.
    fn table(&mut self, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
        if let Some(text) = table.get("error") {
            table.allow(&["error"])?;
            return Ok(Route::Error(text.line()?));
        }
        let mut kinds = KINDS.iter().filter(|kind| table.get(kind.name).is_some());
        let Some(kind) = kinds.next() else {
            let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).chain(["error"]).collect();
            let kinds = kinds.join(", ");
            let is_known = |key: &str| KINDS.iter().any(|kind| kind.keys.contains(&key));
            return match table.entries().into_iter().find(|(key, _)| !is_known(key)) {
                Some((_, entry)) => entry.fail(&format!("this kind of route is unknown, known are {kinds}")),
                None => table.fail(&format!("a route must have one of the keys {kinds}")),
            };
        };
        if let Some(other) = kinds.next() {
            return table.fail(&format!("a route has one kind, got {} and {}", kind.name, other.name));
        }
        table.allow(&[&[kind.name], kind.keys].concat())?;
        (kind.read)(self, table, depth)
    }

    fn child(&mut self, table: &Table<'a>, key: &str, depth: usize) -> Result<NodeId, ConfigFault> {
        let entry = table.required(key)?;
        self.route(&entry, depth)
    }

    /// Returns the index of the counter that a route names. Routes may share one.
    fn counter(&mut self, table: &Table<'a>) -> Result<Option<usize>, ConfigFault> {
        let Some(entry) = table.get("counter") else { return Ok(None) };
        let name = entry.line()?;
        if name.contains(' ') {
            return entry.wanted("a name without spaces");
        }
        let known = self.counters.iter().position(|counter| counter.name == name);
        Ok(Some(known.unwrap_or_else(|| {
            self.counters.push(RouteCounter::new(&name));
            self.counters.len() - 1
        })))
    }

    /// Reads a list of routes.
    fn children(&mut self, table: &Table<'a>, key: &str, depth: usize) -> Result<Vec<NodeId>, ConfigFault> {
        let entry = table.required(key)?;
        let list = entry.list("a list of routes")?;
        if list.is_empty() || list.len() > MAX_SENDS {
            return entry.fail(&format!("a list has 1 to {MAX_SENDS} routes, got {}", list.len()));
        }
        list.iter().map(|entry| self.route(entry, depth)).collect()
    }
}

fn check_depth(entry: &Entry<'_>, depth: usize) -> Result<(), ConfigFault> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    entry.fail(&format!("a route must have at most {MAX_DEPTH} routes inside each other"))
}

fn failover<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let children = builder.children(table, "failover", depth)?;
    let tries =
        table.number("tries", 1, children.len() as u64)?.map_or(children.len(), |tries| tries as usize);
    let (until_hit, wait, counter) = (table.switch("until_hit")?, wait(table)?, builder.counter(table)?);
    Ok(Route::Failover { children, until_hit, tries, wait, counter })
}

/// A `failover` to a pool whose items live for a short time, except of deletes. A delete goes to
/// both, and the pool that may come back with the item answers.
fn gutter<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let (main, gutter) = (builder.child(table, "of", depth)?, builder.child(table, "gutter", depth)?);
    let seconds = seconds(table, "seconds")?;
    let entry = table.required("gutter")?;
    let short = builder.add(&entry, Route::Ttl(gutter, TtlRule::AtMost(seconds)))?;
    // `md` may have a TTL, too, for an item that it makes stale.
    let both = builder.add(&entry, Route::Shadow { child: main, to: short, percent: 100 })?;
    let (children, wait, counter) = (vec![main, short], wait(table)?, builder.counter(table)?);
    let failover = Route::Failover { children, until_hit: false, tries: 2, wait, counter };
    let default = builder.add(&entry, failover)?;
    let groups = ["delete", "md"].map(|word| (word.to_owned(), both));
    Ok(Route::ByCommand { groups: groups.into(), default })
}

/// The near zone, then all others at once: a `failover` to an `all_fastest`.
fn zone_failover<'a>(
    builder: &mut Builder<'a>,
    table: &Table<'a>,
    depth: usize,
) -> Result<Route, ConfigFault> {
    let zones = table.required("zone_failover")?;
    let wanted = table.required("near")?;
    let (mut near, mut far) = (None, Vec::new());
    for (zone, entry) in zones.table()?.entries() {
        let node = builder.route(&entry, depth)?;
        if zone == wanted.string()? { near = Some(node) } else { far.push(node) }
    }
    let Some(near) = near else { return wanted.fail("near must be one of the zones") };
    if far.is_empty() || far.len() > MAX_SENDS {
        return zones.fail(&format!("there must be 1 to {MAX_SENDS} zones beside the near one"));
    }
    let wait = wait(table)?;
    let far = builder.add(&zones, Route::AllFastest { children: far, until_hit: true, wait })?;
    let (until_hit, counter) = (table.switch("until_hit")?, builder.counter(table)?);
    Ok(Route::Failover { children: vec![near, far], until_hit, tries: 2, wait, counter })
}

fn all_sync<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let children = builder.children(table, "all_sync", depth)?;
    Ok(Route::AllSync { children, last: table.switch("last")? })
}

fn all_fastest<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let children = builder.children(table, "all_fastest", depth)?;
    Ok(Route::AllFastest { children, until_hit: table.switch("until_hit")?, wait: wait(table)? })
}

/// Reads the time for which a route waits for answers.
fn wait(table: &Table<'_>) -> Result<Option<Duration>, ConfigFault> {
    Ok(table.number("wait_ms", 1, MAX_WAIT_MILLIS)?.map(Duration::from_millis))
}

fn random<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    builder.children(table, "random", depth).map(Route::Random)
}

/// routelib's name for a shadow of all requests.
fn split<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    match builder.children(table, "split", depth)?[..] {
        [child, to] => Ok(Route::Shadow { child, to, percent: 100 }),
        _ => table.fail("split has two routes: the first one answers"),
    }
}

fn shadow<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let (child, to) = (builder.child(table, "of", depth)?, builder.child(table, "shadow", depth)?);
    let percent = table.number("percent", 1, 100)?.unwrap_or(100) as u32;
    Ok(Route::Shadow { child, to, percent })
}

fn ttl<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let child = builder.child(table, "ttl", depth)?;
    let rule = match (table.get("seconds"), table.get("max_seconds")) {
        (Some(_), Some(_)) => return table.fail("a ttl has one of seconds and max_seconds"),
        (Some(_), None) => TtlRule::Exactly(seconds(table, "seconds")?),
        (None, Some(_)) => TtlRule::AtMost(seconds(table, "max_seconds")?),
        (None, None) => return table.fail("seconds or max_seconds is missing"),
    };
    Ok(Route::Ttl(child, rule))
}

/// Reads a TTL.
fn seconds(table: &Table<'_>, key: &str) -> Result<u32, ConfigFault> {
    Ok(table.needed_number(key, 1, LONGEST_TTL as u64)? as u32)
}

fn warm_up<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    Ok(Route::WarmUp {
        new: builder.child(table, "warm_up", depth)?,
        old: builder.child(table, "from", depth)?,
    })
}

fn migrate<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let (from, to) = (builder.child(table, "migrate", depth)?, builder.child(table, "to", depth)?);
    let start = table.needed_number("start", 1, 1 << 40)?;
    let interval = table.number("interval", 1, 366 * 24 * 3600)?.unwrap_or(3600);
    Ok(Route::Migrate { from, to, start, interval })
}

fn rate_limit<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let child = builder.child(table, "rate_limit", depth)?;
    let most = u64::from(u32::MAX);
    let (tokens, every_ms) = match table.number("tokens", 1, most)? {
        Some(tokens) if table.get("per_second").is_none() => {
            (tokens, table.needed_number("every_ms", 1, most)?)
        }
        Some(_) => return table.fail("a limit has one of per_second and tokens"),
        None if table.get("every_ms").is_some() => return table.fail("every_ms belongs to tokens"),
        None => (table.needed_number("per_second", 1, most)?, 1000),
    };
    let (tokens, every_ms) = (tokens as u32, every_ms as u32);
    let burst = table.number("burst", 1, most)?.map_or(tokens, |burst| burst as u32);
    let over = match table.get("over") {
        Some(entry) => builder.route(&entry, depth)?,
        None => builder.add(&table.required("rate_limit")?, Route::Null)?,
    };
    // Routes of a list have the name of the list.
    let nth = builder
        .limits
        .iter()
        .filter(|limit| limit.place.rsplit_once(' ').is_some_and(|(name, _)| name == table.name))
        .count();
    let shared = table.switch("shared")?.then(Arc::default);
    builder.limits.push(Limit { place: format!("{} {nth}", table.name), shared });
    let limit = builder.limits.len() - 1;
    let counter = builder.counter(table)?;
    Ok(Route::RateLimit { child, over, tokens, every_ms, burst, limit, counter })
}

fn hot<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let child = builder.child(table, "hot", depth)?;
    let rules = HotRules {
        ttl: Duration::from_millis(table.number("ttl_ms", 1, 60_000)?.unwrap_or(1000)),
        at_least: table.number("at_least", 1, 1_000_000)?.unwrap_or(100) as u32,
        memory: table.number("memory_mib", 1, 1024)?.unwrap_or(16) as usize * MIB,
    };
    Ok(Route::Hot(child, Arc::new(HotCache::new(rules))))
}

fn by_prefix<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let mut prefixes = Vec::new();
    for (prefix, entry) in table.required("by_prefix")?.table()?.entries() {
        if prefix.is_empty() || prefix.len() > MAX_NAME {
            return entry.fail(&format!("a prefix must have 1 to {MAX_NAME} bytes, got {}", prefix.len()));
        }
        prefixes.push((prefix.to_owned(), builder.route(&entry, depth)?));
    }
    prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Ok(Route::ByPrefix { prefixes, default: builder.child(table, "default", depth)? })
}

fn by_part<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let mut parts = Vec::new();
    for (part, entry) in table.required("by_part")?.table()?.entries() {
        if part.len() > MAX_NAME {
            return entry.fail(&format!("a part must have at most {MAX_NAME} bytes, got {}", part.len()));
        }
        parts.push((part.to_owned(), builder.route(&entry, depth)?));
    }
    let text = |key| table.get(key).map(|entry| entry.line()).transpose();
    let (start, stop) = (text("start")?.unwrap_or_default(), text("stop")?.unwrap_or_else(|| "/".into()));
    Ok(Route::ByPart { start, stop, parts, default: builder.child(table, "default", depth)? })
}

fn by_command<'a>(builder: &mut Builder<'a>, table: &Table<'a>, depth: usize) -> Result<Route, ConfigFault> {
    let mut groups = Vec::new();
    for (group, entry) in table.required("by_command")?.table()?.entries() {
        if !matches!(group, "reads" | "writes") && Command::named(group).is_none() {
            let words: Vec<&str> = COMMANDS.iter().map(|command| command.word).collect();
            return entry.fail(&format!("this must be reads, writes or one of {}", words.join(", ")));
        }
        groups.push((group.to_owned(), builder.route(&entry, depth)?));
    }
    Ok(Route::ByCommand { groups, default: builder.child(table, "default", depth)? })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::backend::{Address, Backend};
    use super::super::distribution::DISTRIBUTIONS;
    use super::super::source::Source;
    use super::*;

    /// Pools in one line each, so that a route begins at line 3.
    const POOLS: &str = "pools.a.backends = ['a']\npools.b.backends = ['b']\n";

    fn fault(text: &str) -> String {
        parse(text).err().map_or_else(|| panic!("accepted: {text}"), |fault| fault.to_string())
    }

    /// Texts behind [`POOLS`], and the start of the line that they give.
    const MISTAKES: &[(&str, &str)] = &[
        ("route = 'a", "3: "),
        ("", "1: route is missing"),
        ("x = 1", "3: x: this key is unknown here, known are route, pools, routes, listeners, names"),
        (
            "route = 'a'\n[listeners]\nlong_name = 'a'",
            "5: listeners.long_name: the tag of a listener has 1 to 8 bytes",
        ),
        (
            "route = 1",
            "3: route: must be the name of a pool or a route, or a table with a kind of route, got 1",
        ),
        ("route = 'c'", "3: route: there is no pool or route \"c\""),
        ("route = {}", "3: route: a route must have one of the keys failover, zone_failover,"),
        ("route = { seconds = 1 }", "3: route: a route must have one of the keys failover,"),
        (
            "route = { random = [{\nfailver = ['a'], until_hit = true }] }",
            "4: route.random.failver: this kind of route is unknown, known are failover, zone_failover,",
        ),
        ("route = 'a'\nroute = 'b'", "4: route: duplicate key"),
        ("route = 'a'\n[pools.c]\nbackends = ['c']\n[pools.c]\nseed = 'x'", "6: c: duplicate key"),
        ("route = { ttl = 'a', seconds = 1, seconds = 2 }", "3: seconds: duplicate key"),
        ("\nroute = { random = ['a'], ttl = 'a' }", "4: route: a route has one kind, got random and ttl"),
        (
            "route = { random = ['a'], seconds = 1 }",
            "3: route.seconds: this key is unknown here, known are random",
        ),
        ("route = { random = [] }", "3: route.random: a list has 1 to 64 routes, got 0"),
        ("route = { random = 'a' }", "3: route.random: must be a list of routes, got \"a\""),
        (
            "route = { failover = ['a'], tries = 2 }",
            "3: route.tries: must be a whole number from 1 to 1, got 2",
        ),
        (
            "route = { failover = ['a'], wait_ms = 0 }",
            "3: route.wait_ms: must be a whole number from 1 to 3600000, got 0",
        ),
        (
            "route = { failover = ['a'], counter = 'a b' }",
            "3: route.counter: must be a name without spaces, got \"a b\"",
        ),
        ("route = { failover = ['a'], until_hit = 1 }", "3: route.until_hit: must be true or false, got 1"),
        (
            "route = { failover = [{ random = ['z'] }] }",
            "3: route.failover.random: there is no pool or route \"z\"",
        ),
        ("route = { zone_failover = { x = 'a', y = 'b' } }", "3: route: near is missing"),
        (
            "route = { zone_failover = { x = 'a', y = 'b' }, near = 'z' }",
            "3: route.near: near must be one of",
        ),
        ("route = { zone_failover = { x = 'a' }, near = 'x' }", "3: route.zone_failover: there must be 1 to"),
        ("route = { split = ['a'] }", "3: route: split has two routes"),
        (
            "route = { shadow = 'a', of = 'b', percent = 0 }",
            "3: route.percent: must be a whole number from 1",
        ),
        ("route = { shadow = 'a' }", "3: route: of is missing"),
        ("route = { ttl = 'a' }", "3: route: seconds or max_seconds is missing"),
        ("route = { ttl = 'a', seconds = 1, max_seconds = 1 }", "3: route: a ttl has one of seconds and"),
        ("route = { ttl = 'a', max_seconds = 2592001 }", "3: route.max_seconds: must be a whole number"),
        (
            "route = { ttl = 'a', seconds = -1 }",
            "3: route.seconds: must be a whole number from 1 to 2592000, got -1",
        ),
        ("route = { warm_up = 'a' }", "3: route: from is missing"),
        ("route = { migrate = 'a', to = 'b' }", "3: route: start is missing"),
        ("route = { rate_limit = 'a', per_second = 1.5 }", "3: route.per_second: must be a whole number"),
        ("route = { rate_limit = 'a' }", "3: route: per_second is missing"),
        ("route = { rate_limit = 'a', tokens = 1 }", "3: route: every_ms is missing"),
        ("route = { rate_limit = 'a', every_ms = 1, per_second = 1 }", "3: route: every_ms belongs to"),
        ("route = { rate_limit = 'a', tokens = 1, per_second = 1 }", "3: route: a limit has one of"),
        (
            "route = 'a'\npools.local.backends = ['c']",
            "4: pools.local: local is the name of a built-in route",
        ),
        ("route = { by_part = { x = 'a' } }", "3: route: default is missing"),
        ("route = { by_part = { x = 'a' }, default = 'a', stop = '' }", "3: route.stop: must be a text of 1"),
        ("route = { by_prefix = { 'x' = 'a' } }", "3: route: default is missing"),
        (
            "route = { by_prefix = { '' = 'a' }, default = 'a' }",
            "3: route.by_prefix.: a prefix must have 1 to",
        ),
        (
            "route = { by_command = { fly = 'a' }, default = 'a' }",
            "3: route.by_command.fly: this must be reads,",
        ),
        ("route = { error = \"a\\nb\" }", "3: route.error: must be a text of 1 to 250 bytes in one line"),
        ("route = 'x'\n[routes]\nx = 'y'\ny = 'x'", "6: routes.y: route \"x\" leads back to itself"),
        ("route = 'a'\n[routes.x]\nfailover = ['a', 'x']", "5: routes.x.failover: route \"x\" leads back"),
        ("route = 'a'\n[routes]\na = 'b'", "5: routes.a: this name is taken"),
        ("route = 'a'\n[routes]\nnull = 'b'", "5: routes.null: null is the name of a built-in route, choose"),
        ("route = 'a'\n\"x\\ny\" = 1", "4: x y: this key is unknown here"),
        (
            "route = 'a'\n[routes]\n\"x\\ny\" = 'a'",
            "5: routes.x y: a name must have 1 to 250 bytes in one line",
        ),
        ("route = 'a'\n[pools.c]", "4: pools.c: backends is missing"),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\npoints = 8",
            "6: pools.c.points: distribution jump has no points, those with points are ring, ketama,",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\npoints = 6\ndistribution = 'ketama'",
            "6: pools.c.points: must be a multiple of 4, because ketama has 4 by each hash, got 6",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = []",
            "5: pools.c.backends: a pool must have 1 to 1000 backends, got 0",
        ),
        ("route = 'a'\n[pools.c]\nbackends = [\n'c c']", "6: pools.c.backends: must be HOST:PORT,"),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c:99999']",
            "5: pools.c.backends: must be an address with a port from 1 to 65535, got \"c:99999\"",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ address = 'unix:rel.sock' }]",
            "5: pools.c.backends.address: must be unix: and an absolute path of at most 107 bytes in one line, got",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['300.1.1.1:11211']",
            "5: pools.c.backends: must be an address with a valid IP address, got \"300.1.1.1:11211\"",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['-bad-.example']",
            "5: pools.c.backends: must be an address whose host has parts of 1 to 63 bytes without - at their",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [1]",
            "5: pools.c.backends: must be an address, or a table with an address or a source, got 1",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ address = 'c', name = 'n' }, { address = 'd', name = 'n' }]",
            "5: pools.c.backends: two backends have the name n",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c', 'c:11211']",
            "5: pools.c.backends: the pool has c:11211 twice",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ address = 'c', weight = 2 }]",
            "5: pools.c.backends: distribution jump has no weights, those with weights are ketama, ketama_port,",
        ),
        ("route = 'a'\n[pools.c]\nbackends = ['c']\nport = 1", "6: pools.c.port: this key is unknown here"),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\ndistribution = 'hash'",
            "6: pools.c.distribution: must be one of jump",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\ndistribution = 1",
            "6: pools.c.distribution: must be one of jump, ring",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nkey_hash = 1",
            "6: pools.c.key_hash: must be one of xxh3",
        ),
        ("route = 'a'\n[pools.c]\nbackends = ['c']\nhash_tag = 1", "6: pools.c.hash_tag: must be two"),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ srv = 1 }]",
            "5: pools.c.backends.srv: must be a name such as",
        ),
        (
            "route = 'a'\n[names]\nservers = [1]",
            "5: names.servers: must be IP or IP:PORT of a DNS server, got 1",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nkey_hash = 'sha1'",
            "6: pools.c.key_hash: must be one of xxh3",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\ndistribution = 'rendezvous'\nkey_hash = 'md5'",
            "7: pools.c.key_hash: distribution rendezvous hashes keys in a way of its own",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nkey_hash = 'md5'\nseed = 'x'",
            "7: pools.c.seed: only key_hash",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhash_tag = '{'",
            "6: pools.c.hash_tag: must be two characters",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ dns = 'a', weight = 1 }]",
            "5: pools.c.backends.weight: this key is unknown here, known are dns, port",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ dns = '10.0.0.1' }]",
            "5: pools.c.backends.dns: must be the name of a host, got \"10.0.0.1\"",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ dns = 'a', port = 0 }]",
            "5: pools.c.backends.port: must be a",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ srv = 'a b' }]",
            "5: pools.c.backends.srv: must be a name such as",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ srv = 'x' }, 'a', { srv = 'x' }]",
            "5: pools.c.backends: the pool has the SRV records of x twice",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = [{ elasticache = 'unix:/a' }]",
            "5: pools.c.backends.elasticache: must be HOST:PORT of a configuration endpoint",
        ),
        (
            "route = 'a'\n[names]\nmin_seconds = 0",
            "5: names.min_seconds: must be a whole number from 1 to 86400",
        ),
        ("route = 'a'\n[names]\nmax_seconds = 1", "4: names: min_seconds must be at most max_seconds"),
        (
            "route = 'a'\n[names]\nservers = ['dns']",
            "5: names.servers: must be IP or IP:PORT of a DNS server",
        ),
        ("route = 'a'\n[names]\nttl = 1", "5: names.ttl: this key is unknown here, known are min_seconds,"),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhash_stop = ''",
            "6: pools.c.hash_stop: must be a text such as",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nconnections = 9",
            "6: pools.c.connections: must be a whole number from 1 to 8, got 9",
        ),
        ("route = 'a'\n[pools.c]\nbackends = ['c']\ntls = {}", "6: pools.c.tls: ca is missing: it verifies"),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\ntls = { ca = 'x', verify = 1 }",
            "6: pools.c.tls.verify: must be true or false, got 1",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['unix:/c']\ntls = { verify = false }",
            "6: pools.c.tls: a Unix socket has no TLS",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhealth = { eject = 'yes' }",
            "6: pools.c.health.eject: must be one of no, miss, rehash, got \"yes\"",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhealth = { eject = true }",
            "6: pools.c.health.eject: must be one of no, miss, rehash, got true",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhealth = { probe = 1 }",
            "6: pools.c.health.probe: must be version, or get and a key, got 1",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhealth = { probe = 'get a b' }",
            "6: pools.c.health.probe: must be version, or get and a key, got \"get a b\"",
        ),
        (
            "route = 'a'\n[pools.c]\nbackends = ['c']\nhealth = { every_ms = 1 }",
            "6: pools.c.health.every_ms: must be a whole number from 10 to 3600000, got 1",
        ),
        ("route = { gutter = 'a', of = 'b' }", "3: route: seconds is missing"),
        ("route = { hot = 'a', at_least = 0 }", "3: route.at_least: must be a whole number from 1"),
    ];

    #[test]
    fn mistakes_have_a_line_and_a_name() {
        for (text, expected) in MISTAKES {
            let fault = fault(&format!("{}{text}\n", if text.is_empty() { "" } else { POOLS }));
            assert!(fault.starts_with(expected), "{text}: {fault}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let nested = |count| {
            format!("{POOLS}route = {}'a'{}", "{ ttl = ".repeat(count), ", seconds = 1 }".repeat(count))
        };
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(fault(&nested(MAX_DEPTH)).ends_with("at most 16 routes inside each other"));
        // The same by names that are short one by one.
        let chain = |n: usize| format!("r{n:02} = {{ random = ['r{:02}'] }}\n", n + 1);
        let chains: String = (0..30).map(chain).collect();
        let named =
            format!("route = {{ random = ['r20', 'r10', 'r00'] }}\n{POOLS}[routes]\n{chains}r30 = 'a'\n");
        assert!(fault(&named).ends_with("at most 16 routes inside each other"));

        let double = |n: usize| format!("r{n} = {{ all_sync = ['r{}', 'r{}'] }}\n", n + 1, n + 1);
        let doubled: String = (0..7).map(double).collect();
        let fault_of_sends = fault(&format!("route = 'r0'\n{POOLS}[routes]\n{doubled}r7 = 'a'\n"));
        assert_eq!(fault_of_sends, "1: a request must cause at most 64 requests, got 128");
        assert!(fault(&" ".repeat(MAX_TEXT + 1)).starts_with("1: the file must have at most"));
        // The first pool that is too many is not the last one by name.
        let pool = |n| format!("pools.p{n}.backends = ['a']\n");
        let pools = (0..=MAX_POOLS).map(pool).collect::<Vec<_>>().concat();
        assert_eq!(fault(&pools), "1001: pools.p1000: there must be at most 1000 pools, got 1001");
        let backends = (0..1000).map(|n| format!("'b{n}'")).collect::<Vec<_>>().join(",");
        let pool = |n| format!("[pools.p{n}]\nbackends = [{backends}]\n");
        let pools = (0..=10).map(pool).collect::<Vec<_>>().concat();
        assert!(
            fault(&pools).starts_with("21: pools.p10: all pools together must have at most 10000 backends")
        );
    }

    #[test]
    fn a_rate_limit_has_a_place() {
        let limit = |per_second| format!("{{ rate_limit = 'a', per_second = {per_second} }}");
        let text = format!(
            "{POOLS}route = {{ random = [{}, {}, 'x', 'y'] }}\n[routes]\nx = {}\ny = {{ ttl = {}, seconds = 1 }}",
            limit(1),
            limit(2),
            limit(3),
            limit(4)
        );
        let limits = parse(&text).map(|routes| routes.limits).unwrap_or_default();
        let places: Vec<String> = limits.into_iter().map(|limit| limit.place).collect();
        assert_eq!(places, ["route.random 0", "route.random 1", "routes.x 0", "routes.y.ttl 0"]);
    }

    #[test]
    fn backends_may_have_sources() {
        let members = "'b', { dns = 'a' }, { srv = '_m._tcp.a' }, { elasticache = 'c:1' }";
        let text = format!(
            "route = 'p'\n[names]\nservers = ['10.0.0.1', '[::1]:5353']\n[pools.p]\nbackends = [{members}]"
        );
        let configuration = read(&text).unwrap();
        let servers: Vec<String> = configuration.names.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:5353"]);
        let mut pool = configuration.routes.pools[0].clone();
        assert_eq!((pool.backends.len(), pool.sources().count()), (1, 3));
        let found = |name: &str| Backend::at(Address::parse(name).unwrap());
        pool.discover(|source| match source {
            Source::Dns(..) => vec![found("d"), found("b")],
            Source::Srv(_) => vec![],
            Source::ElastiCache(..) => vec![found("e")],
        });
        let names: Vec<String> = pool.backends.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["b:11211", "d:11211", "e:11211"]);
        // A pool may have no backend.
        for distribution in &DISTRIBUTIONS {
            let text = format!(
                "route = 'p'\n[pools.p]\nbackends = [{{ srv = 'x' }}]\ndistribution = '{}'",
                distribution.name
            );
            let mut pool = parse(&text).unwrap().pools.remove(0);
            assert!(pool.backends.get(pool.choose(b"key")).is_none());
            pool.discover(|_| vec![]);
            assert!(pool.backends.get(pool.choose(b"key")).is_none());
        }
    }

    #[test]
    fn a_near_zone_comes_first() {
        let route = "route = { zone_failover = { x = 'a', y = 'b' }, near = 'y' }\n";
        let nodes = parse(&format!("{route}{POOLS}")).map(|routes| routes.nodes);
        let far = Route::AllFastest { children: vec![0], until_hit: true, wait: None };
        let (children, wait, counter) = (vec![1, 2], None, None);
        let near = Route::Failover { children, until_hit: false, tries: 2, wait, counter };
        assert_eq!(nodes.ok().and_then(|nodes| nodes.get(2..).map(<[Route]>::to_vec)), Some(vec![far, near]));
    }
}
