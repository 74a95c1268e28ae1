//! Routes: `routes{ … }`, `cmdmap{ … }` and `route_KIND{ … }`.

use std::collections::HashMap;
use std::ffi::c_void;
use std::time::{SystemTime, UNIX_EPOCH};

use mlua::{Table, Value};

use super::fault::{Found, fail};
use super::pools::{PoolNames, entries, expand};
use super::text::{Text, quote, show};
use super::vm::{Call, Recorded};
use crate::api::constants;

/// The commands whose TTL `route_ttl` replaces. It refuses others.
const WITH_TTL: [&str; 4] = ["ms", "set", "add", "cas"];

/// The route of a request that no other route is for.
const NO_ROUTE: &str = "{ error = \"no route\" }";

/// Writes routes. Each becomes one with a name, because a variable may stand in several places.
pub(super) struct Routes<'a> {
    recorded: &'a Recorded,
    pools: &'a PoolNames,
    text: &'a mut Text,
    /// The name of each route that is written. `None` while it is being written.
    written: HashMap<*const c_void, Option<String>>,
    /// The place in `routes{ … }` that names the counters there.
    label: String,
}

/// A child: its name or zone, and its route in TOML.
struct Child {
    name: String,
    route: String,
}

impl<'a> Routes<'a> {
    pub fn new(recorded: &'a Recorded, pools: &'a PoolNames, text: &'a mut Text) -> Self {
        Self { recorded, pools, text, written: HashMap::new(), label: String::new() }
    }

    /// Returns the tag of a `routes{ … }`, and the route of all requests of listeners with this
    /// tag.
    pub fn root(&mut self, call: &Call) -> Found<(Option<String>, String)> {
        let fields = Fields { table: &call.table, what: "routes", line: call.line };
        fields.allow(&["map", "cmap", "default", "conf", "tag"])?;
        Ok((fields.text("tag")?, self.lookups(&fields)?))
    }

    fn lookups(&mut self, fields: &Fields<'_>) -> Found<String> {
        "default".clone_into(&mut self.label);
        let mut default = match fields.get("default")? {
            Value::Nil => None,
            value => Some(self.route(&value, "routes.default", fields.line)?),
        };
        if let Some(commands) = fields.table("cmap")? {
            "cmdmap".clone_into(&mut self.label);
            default = Some(self.by_command(&commands, "routes.cmap", fields.line, default)?);
        }
        let Some(map) = fields.table("map")? else {
            return default.map_or_else(|| fail(fields.line, "routes: default, map or cmap is missing"), Ok);
        };
        let default = default.unwrap_or_else(|| NO_ROUTE.to_owned());
        let mut parts = Vec::new();
        for (part, value) in entries(&map, fields.line)? {
            let what = format!("routes.map.{part}");
            self.label.clone_from(&part);
            let route = match self.commands(&value) {
                // A command that it does not have goes on to `cmap` and `default`.
                Some((commands, line)) => self.by_command(&commands, &what, line, Some(default.clone()))?,
                None => self.route(&value, &what, fields.line)?,
            };
            parts.push(format!("{} = {route}", quote(&part)));
        }
        let mut keys = vec![format!("by_part = {{ {} }}", parts.join(", ")), format!("default = {default}")];
        if let Some(conf) = fields.table("conf")? {
            keys.extend(lookup(&Fields { table: &conf, what: "routes.conf", line: fields.line })?);
        }
        Ok(format!("{{ {} }}", keys.join(", ")))
    }

    /// Returns the fields of a `cmdmap{ … }`, or of a table in its place, and their line.
    fn commands(&self, value: &Value) -> Option<(Table, usize)> {
        let table = value.as_table()?;
        match self.marked(table) {
            Some((kind, fields, line)) => (kind == "cmdmap").then_some((fields, line)),
            None => Some((table.clone(), 1)),
        }
    }

    /// Returns the kind, the fields and the line of a route.
    fn marked(&self, table: &Table) -> Option<(String, Table, usize)> {
        table.metatable().filter(|own| own.to_pointer() == self.recorded.marks.to_pointer())?;
        Some((table.raw_get("kind").ok()?, table.raw_get("fields").ok()?, table.raw_get("line").ok()?))
    }

    /// Writes a lookup by command. `default` is the route of other commands.
    fn by_command(
        &mut self,
        commands: &Table,
        what: &str,
        line: usize,
        default: Option<String>,
    ) -> Found<String> {
        let mut default = default.unwrap_or_else(|| NO_ROUTE.to_owned());
        let mut groups = Vec::new();
        for (name, value) in entries(commands, line)? {
            let number: Option<i64> = name.parse().ok();
            let word = match number {
                Some(number) => constants::word(number).map(str::to_lowercase),
                None => Some(name.clone()),
            };
            let what = format!("{what}.{name}");
            let route = self.route(&value, &what, line)?;
            match word {
                _ if number == Some(constants::ANY_STORAGE) => default = route,
                Some(word) if is_command(&word) => groups.push(format!("{word} = {route}")),
                _ => return fail(line, format!("{what}: this must be a command with a key, such as get")),
            }
        }
        Ok(format!("{{ by_command = {{ {} }}, default = {default} }}", groups.join(", ")))
    }

    /// Returns a child in TOML: the name of a pool or of a route.
    fn route(&mut self, value: &Value, what: &str, line: usize) -> Found<String> {
        match value {
            Value::String(name) => {
                let name = name.to_string_lossy();
                match self.named(&name, what, line)?.as_slice() {
                    [child] => Ok(child.route.clone()),
                    _ => fail(line, format!("{what}: {} is a set of pools", quote(&name))),
                }
            }
            Value::Table(table) => self.written(table, what, line),
            other => fail(line, format!("{what} must be a route or the name of a pool, got {}", show(other))),
        }
    }

    fn named(&self, name: &str, what: &str, line: usize) -> Found<Vec<Child>> {
        if name == "internal" {
            return Ok(vec![Child { name: name.to_owned(), route: quote("local") }]);
        }
        match expand(self.pools, name) {
            Some(found) => {
                Ok(found.into_iter().map(|(name, route)| Child { name: name.to_owned(), route }).collect())
            }
            None => fail(line, format!("{what}: there is no pool {}", quote(name))),
        }
    }

    /// Returns the name of a route. Writes it before, if that has not been done.
    fn written(&mut self, table: &Table, what: &str, line: usize) -> Found<String> {
        let Some((kind, fields, own_line)) = self.marked(table) else {
            return fail(line, format!("{what} must be a route or the name of a pool, got a table"));
        };
        match self.written.get(&table.to_pointer()) {
            Some(Some(name)) => return Ok(name.clone()),
            Some(None) => return fail(own_line, format!("route_{kind} leads back to itself")),
            None => {}
        }
        self.written.insert(table.to_pointer(), None);
        let what = format!("route_{kind}");
        let route = self.kind(&kind, &Fields { table: &fields, what: &what, line: own_line })?;
        // These stand for another route.
        let name = if matches!(kind.as_str(), "direct" | "null") {
            route
        } else {
            let name = quote(&self.text.name(own_line));
            self.text.push(format!("{name} = {route}"), own_line);
            name
        };
        self.written.insert(table.to_pointer(), Some(name.clone()));
        Ok(name)
    }

    fn kind(&mut self, kind: &str, fields: &Fields<'_>) -> Found<String> {
        let allow = |keys: &[&str]| fields.allow(keys);
        match kind {
            "direct" => allow(&["child"]).and_then(|()| self.child(fields, "child")),
            "null" => allow(&[]).map(|()| quote("null")),
            "failover" => self.failover(fields),
            "zfailover" => self.zone_failover(fields),
            "allsync" => {
                allow(&["children"])?;
                Ok(format!("{{ all_sync = {}, last = true }}", list(&self.children(fields)?)))
            }
            "allfastest" => {
                allow(&["children", "miss", "wait"])?;
                let mut keys = vec![format!("all_fastest = {}", list(&self.children(fields)?))];
                keys.push(format!("until_hit = {}", fields.switch("miss")?));
                keys.extend(fields.wait()?);
                Ok(format!("{{ {} }}", keys.join(", ")))
            }
            "allasync" => {
                allow(&["children"])?;
                let copies = format!("{{ all_sync = {} }}", list(&self.children(fields)?));
                Ok(format!("{{ shadow = {copies}, of = \"null\" }}"))
            }
            "random" => {
                allow(&["children"])?;
                Ok(format!("{{ random = {} }}", list(&self.children(fields)?)))
            }
            "split" => {
                allow(&["child_a", "child_b"])?;
                let (a, b) = (self.child(fields, "child_a")?, self.child(fields, "child_b")?);
                Ok(format!("{{ split = [{a}, {b}] }}"))
            }
            "ttl" => {
                allow(&["child", "ttl"])?;
                let (child, seconds) = (self.child(fields, "child")?, fields.needed("ttl")?);
                let route = |word| format!("{word} = {{ ttl = {child}, seconds = {seconds} }}");
                let routes = WITH_TTL.map(route).join(", ");
                let refusal = "{ error = \"invalid command for route_ttl\" }";
                Ok(format!("{{ by_command = {{ {routes} }}, default = {refusal} }}"))
            }
            "ratelim" => self.rate_limit(fields),
            _ => fail(fields.line, "cmdmap must stand in the map of routes"),
        }
    }

    fn failover(&mut self, fields: &Fields<'_>) -> Found<String> {
        fields.allow(&["children", "miss", "failover_count", "shuffle", "wait", "local_zone"])?;
        let mut children = self.children(fields)?;
        if fields.switch("shuffle")? {
            shuffle(&mut children);
        }
        if let Some(near) = fields.text("local_zone")? {
            let Some(at) = children.iter().position(|child| child.name == near) else {
                return fields.fail(&format!("local_zone: there is no child {}", quote(&near)));
            };
            children[..=at].rotate_right(1);
        }
        let mut keys = vec![format!("failover = {}", list(&children))];
        keys.push(format!("until_hit = {}", fields.switch("miss")?));
        if let Some(count) = fields.number("failover_count")? {
            keys.push(format!("tries = {}", count.clamp(1, children.len() as u64)));
        }
        keys.extend(fields.wait()?);
        keys.extend(self.counter(fields, "retries")?);
        Ok(format!("{{ {} }}", keys.join(", ")))
    }

    /// Returns the key of TOML for a counter.
    fn counter(&self, fields: &Fields<'_>, of: &str) -> Found<Option<String>> {
        if !fields.switch("stats")? {
            return Ok(None);
        }
        let name = fields.text("stats_name")?.unwrap_or_else(|| self.label.clone());
        Ok(Some(format!("counter = {}", quote(&format!("{name}_{of}")))))
    }

    /// The near zone, then all others at once until a hit.
    fn zone_failover(&mut self, fields: &Fields<'_>) -> Found<String> {
        fields.allow(&["children", "miss", "failover_count", "local_zone"])?;
        let mut far = self.children(fields)?;
        let Some(near) = fields.text("local_zone")?.or_else(|| self.recorded.local_zone.clone()) else {
            return fields.fail("local_zone is missing, and local_zone() was not called");
        };
        let Some(at) = far.iter().position(|child| child.name == near) else {
            return fields.fail(&format!("local_zone: there is no zone {}", quote(&near)));
        };
        let near = far.remove(at).route;
        if let Some(count) = fields.number("failover_count")? {
            far.truncate(count as usize);
        }
        if far.is_empty() {
            return Ok(near);
        }
        let far = format!("{{ all_fastest = {}, until_hit = true }}", list(&far));
        let mut keys = vec![format!("failover = [{near}, {far}]")];
        // Here a miss is an answer only with `miss = false`.
        let until_hit = fields.get("miss")?.is_nil() || fields.switch("miss")?;
        keys.push(format!("until_hit = {until_hit}"));
        keys.extend(self.counter(fields, "retries")?);
        Ok(format!("{{ {} }}", keys.join(", ")))
    }

    fn rate_limit(&mut self, fields: &Fields<'_>) -> Found<String> {
        fields.allow(&["child", "limit", "fillrate", "tickrate", "global", "fail_until_limit"])?;
        let (child, miss) = (self.child(fields, "child")?, quote("null"));
        let (within, over) = if fields.switch("fail_until_limit")? { (miss, child) } else { (child, miss) };
        let limit = fields.needed("limit")?;
        let fill = fields.needed("fillrate")?;
        let tick = fields.number("tickrate")?.unwrap_or(1000);
        // memcached's bucket keeps its last token.
        let burst = limit.saturating_sub(1);
        let shared = fields.switch("global")?;
        let mut keys =
            vec![format!("rate_limit = {within}, over = {over}, tokens = {fill}, every_ms = {tick}")];
        keys.push(format!("burst = {burst}, shared = {shared}"));
        keys.extend(self.counter(fields, "limits")?);
        Ok(format!("{{ {} }}", keys.join(", ")))
    }

    fn child(&mut self, fields: &Fields<'_>, key: &str) -> Found<String> {
        match fields.get(key)? {
            Value::Nil => fields.fail(&format!("{key} is missing")),
            value => self.route(&value, &format!("{}.{key}", fields.what), fields.line),
        }
    }

    /// Returns the children of a list, or those of a map in the order of their names. A set of
    /// pools stands for its zones.
    fn children(&mut self, fields: &Fields<'_>) -> Found<Vec<Child>> {
        let what = format!("{}.children", fields.what);
        let set = |name: &str| name.strip_prefix("set_").is_some();
        let mut children = Vec::new();
        match fields.get("children")? {
            Value::String(name) if set(&name.to_string_lossy()) => {
                let name = name.to_string_lossy();
                let prefix = format!("{name}_");
                children = self.named(&name, &what, fields.line)?;
                for child in &mut children {
                    if let Some(zone) = child.name.strip_prefix(&prefix) {
                        child.name = zone.to_owned();
                    }
                }
            }
            Value::Table(table) if self.marked(&table).is_none() && table.raw_len() > 0 => {
                for value in table.sequence_values::<Value>() {
                    let value = value.or_else(|e| fields.fail(&e.to_string()))?;
                    match &value {
                        Value::String(name) => {
                            children.extend(self.named(&name.to_string_lossy(), &what, fields.line)?);
                        }
                        route => children.push(Child {
                            name: String::new(),
                            route: self.route(route, &what, fields.line)?,
                        }),
                    }
                }
            }
            Value::Table(table) if self.marked(&table).is_none() => {
                for (name, value) in entries(&table, fields.line)? {
                    let route = self.route(&value, &format!("{what}.{name}"), fields.line)?;
                    children.push(Child { name, route });
                }
            }
            Value::Nil => return fields.fail("children is missing"),
            other => {
                return fields
                    .fail(&format!("children must be a table or a set of pools, got {}", show(&other)));
            }
        }
        if children.is_empty() {
            return fields.fail("children is empty");
        }
        Ok(children)
    }
}

/// The fields of a call.
struct Fields<'a> {
    table: &'a Table,
    what: &'a str,
    line: usize,
}

impl Fields<'_> {
    fn fail<T>(&self, message: &str) -> Found<T> {
        fail(self.line, format!("{}: {message}", self.what))
    }

    fn allow(&self, keys: &[&str]) -> Found<()> {
        // As in memcached, a route without a counter ignores these.
        let unknown =
            |name: &String| !keys.contains(&name.as_str()) && name != "stats" && name != "stats_name";
        let names = entries(self.table, self.line)?.into_iter().map(|(name, _)| name);
        match names.into_iter().find(unknown) {
            Some(name) => {
                self.fail(&format!("a native proxy has no {name} here, it has {}", keys.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn get(&self, key: &str) -> Found<Value> {
        self.table.raw_get(key).or_else(|e| self.fail(&e.to_string()))
    }

    fn table(&self, key: &str) -> Found<Option<Table>> {
        match self.get(key)? {
            Value::Nil => Ok(None),
            Value::Table(table) => {
                // `cmap = cmdmap{ … }` is a table, too.
                Ok(Some(table.raw_get("fields").unwrap_or(table)))
            }
            other => self.fail(&format!("{key} must be a table, got {}", show(&other))),
        }
    }

    fn switch(&self, key: &str) -> Found<bool> {
        match self.get(key)? {
            Value::Nil => Ok(false),
            Value::Boolean(on) => Ok(on),
            other => self.fail(&format!("{key} must be true or false, got {}", show(&other))),
        }
    }

    fn text(&self, key: &str) -> Found<Option<String>> {
        match self.get(key)? {
            Value::Nil => Ok(None),
            Value::String(text) => Ok(Some(text.to_string_lossy())),
            other => self.fail(&format!("{key} must be a text, got {}", show(&other))),
        }
    }

    fn number(&self, key: &str) -> Found<Option<u64>> {
        match self.get(key)? {
            Value::Nil => Ok(None),
            Value::Integer(number) if number >= 0 => Ok(Some(number as u64)),
            other => self.fail(&format!("{key} must be a whole number from 0, got {}", show(&other))),
        }
    }

    /// Returns the key of TOML for a time to wait, which is in seconds.
    fn wait(&self) -> Found<Option<String>> {
        let seconds = match self.get("wait")? {
            Value::Nil => return Ok(None),
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            _ => None,
        };
        match seconds.filter(|seconds| (0.0..=3600.0).contains(seconds)) {
            Some(seconds) => Ok(Some(format!("wait_ms = {:.0}", (seconds * 1000.0).max(1.0)))),
            None => self.fail("wait must be a number of seconds from 0 to 3600"),
        }
    }

    fn needed(&self, key: &str) -> Found<u64> {
        self.number(key)?.map_or_else(|| self.fail(&format!("{key} is missing")), Ok)
    }
}

/// Returns the keys of TOML for the lookup of parts of keys.
fn lookup(conf: &Fields<'_>) -> Found<Vec<String>> {
    conf.allow(&["mode", "start", "stop"])?;
    let (start, stop) = (conf.text("start")?, conf.text("stop")?);
    let mut keys = Vec::new();
    match (conf.text("mode")?.as_deref(), start) {
        (Some("anchor"), Some(start)) if stop.is_some() => keys.push(format!("start = {}", quote(&start))),
        (Some("anchor"), _) => return conf.fail("mode anchor needs start and stop"),
        (None | Some("prefix"), _) => {}
        (Some(other), _) => {
            return conf.fail(&format!("mode must be prefix or anchor, got {}", quote(other)));
        }
    }
    keys.extend(stop.map(|stop| format!("stop = {}", quote(&stop))));
    Ok(keys)
}

fn list(children: &[Child]) -> String {
    let routes: Vec<&str> = children.iter().map(|child| child.route.as_str()).collect();
    format!("[{}]", routes.join(", "))
}

fn is_command(word: &str) -> bool {
    memcache_core::internal::proxy::command::Command::named(word).is_some()
}

/// Changes the order at random.
fn shuffle(children: &mut [Child]) {
    let mut draw = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64) | 1;
    for last in (1..children.len()).rev() {
        // Xorshift.
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        children.swap(last, (draw % (last as u64 + 1)) as usize);
    }
}
