//! Random routes as a program in Lua and as native routes: both send the same requests and answer
//! the same, and so does a model of the rules. Not `random`: each side would draw on its own.
//!
//! `ROUTE_SEEDS=1000` runs more of them than by default.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "these tests need a part of it")]
mod bench;

use std::collections::VecDeque;
use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use bench::{Client, Manual, Program, address, start};
use memcache_core::{ProxyConfig, Server, ServerConfig};
use memcache_proxy_lua::{LuaProxy, Sources};

/// Pools that answer, of one backend each.
const POOLS: usize = 3;
/// The pool that answers after all waits with a limit, and stands only in those.
const SLOW: usize = POOLS;
/// Routes of one configuration.
const TREES: usize = 12;
/// Requests to each route.
const REQUESTS: usize = 4;
/// Most requests of a route, about.
const SIZE: usize = 12;
/// The time of the model for a wait with a limit. That of the proxies is a millisecond.
const LIMIT: u64 = 1;
/// The time of the model in which `SLOW` answers.
const NEVER: u64 = 1 << 40;
/// Milliseconds until a limit lets one more request through. No test runs for so long.
const TICK: u32 = 1_000_000_000;

/// A route. `hit` is whether a miss counts as a failure, and `limited` whether it has a limit of
/// time.
#[derive(Debug)]
enum Tree {
    Pool(usize),
    Null,
    Failover {
        children: Vec<Tree>,
        hit: bool,
        tries: usize,
        limited: bool,
    },
    /// The near zone, and the others.
    Zones {
        children: Vec<Tree>,
        hit: bool,
    },
    Sync(Vec<Tree>),
    Fastest {
        children: Vec<Tree>,
        hit: bool,
        limited: bool,
    },
    Split(Vec<Tree>),
    /// The route of reads, and that of other commands.
    Choose(Vec<Tree>),
    Ttl {
        children: Vec<Tree>,
        seconds: u32,
    },
    /// The route of the first `burst` requests, and that of later ones. `number` is that of the
    /// limit.
    Limit {
        children: Vec<Tree>,
        burst: usize,
        number: usize,
    },
}

use Tree::{Choose, Failover, Fastest, Limit, Null, Pool, Split, Sync, Ttl, Zones};

/// A command of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Read,
    Store,
    /// A store with a TTL, and with a flag behind it.
    StoreFor(u32),
    ClassicStore,
    Delete,
}

use Command::{ClassicStore, Delete, Read, Store, StoreFor};

impl Command {
    /// Returns the request for a key, with another TTL than the client's if there is one. The last
    /// line has no end.
    fn request(self, key: &str, ttl: Option<u32>) -> String {
        match (self, ttl) {
            (Read, _) => format!("mg {key} v"),
            (Store, None) => format!("ms {key} 1\r\nx"),
            (Store, Some(ttl)) => format!("ms {key} 1 T{ttl}\r\nx"),
            (StoreFor(own), ttl) => format!("ms {key} 1 T{} F5\r\nx", ttl.unwrap_or(own)),
            (ClassicStore, ttl) => format!("set {key} 0 {} 1\r\nx", ttl.unwrap_or(0)),
            (Delete, _) => format!("md {key}"),
        }
    }
}

/// Pseudo-random numbers, and the number of limits so far.
struct Draw {
    bits: u64,
    limits: usize,
}

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        // Xorshift.
        self.bits ^= self.bits << 13;
        self.bits ^= self.bits >> 7;
        self.bits ^= self.bits << 17;
        (self.bits >> 11) as usize % count
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn children(&mut self, depth: usize) -> Vec<Tree> {
        (0..=self.below(3)).map(|_| self.tree(depth)).collect()
    }

    fn tree(&mut self, depth: usize) -> Tree {
        if depth == 0 || self.below(4) == 0 {
            return if self.below(6) == 0 { Null } else { Pool(self.below(POOLS)) };
        }
        self.inner(depth - 1)
    }

    fn inner(&mut self, depth: usize) -> Tree {
        // Two limits that begin at once would end in any order, so they do not stand inside each
        // other.
        let limited = self.below(4) == 0;
        let children = if limited {
            (0..=self.below(3)).map(|_| if self.below(4) == 0 { Null } else { Pool(SLOW) }).collect()
        } else {
            self.children(depth)
        };
        let hit = self.coin();
        match self.below(if limited { 2 } else { 8 }) {
            0 => Failover { tries: 1 + self.below(children.len()), children, hit, limited },
            1 => Fastest { children, hit, limited },
            2 => Sync(children),
            3 => Split(self.two(depth)),
            4 => Choose(self.two(depth)),
            5 => Ttl { children: vec![self.tree(depth)], seconds: 1 + self.below(1000) as u32 },
            6 => {
                self.limits += 1;
                let (burst, number) = (1 + self.below(REQUESTS), self.limits - 1);
                Limit { children: self.two(depth), burst, number }
            }
            _ => Zones { children: [self.two(depth), children].into_iter().flatten().collect(), hit },
        }
    }

    fn two(&mut self, depth: usize) -> Vec<Tree> {
        vec![self.tree(depth), self.tree(depth)]
    }

    fn command(&mut self) -> Command {
        let own = 1 + self.below(1000) as u32;
        [Read, Read, Read, Store, StoreFor(own), ClassicStore, Delete][self.below(7)]
    }
}

impl Tree {
    fn children(&self) -> &[Self] {
        match self {
            Pool(_) | Null => &[],
            Failover { children, .. }
            | Zones { children, .. }
            | Sync(children)
            | Fastest { children, .. }
            | Split(children)
            | Choose(children)
            | Ttl { children, .. }
            | Limit { children, .. } => children,
        }
    }

    fn size(&self) -> usize {
        1 + self.children().iter().map(Self::size).sum::<usize>()
    }

    /// Returns whether a wait has a limit.
    fn has_limits(&self) -> bool {
        match self {
            Failover { limited: true, .. } | Fastest { limited: true, .. } => true,
            _ => self.children().iter().any(Self::has_limits),
        }
    }

    /// Writes it in TOML.
    fn toml(&self) -> String {
        let list: Vec<String> = self.children().iter().map(Self::toml).collect();
        let list = list.join(", ");
        let wait = |limited: &bool| if *limited { ", wait_ms = 1" } else { "" };
        match self {
            Pool(pool) => format!("'p{pool}'"),
            Null => "'null'".into(),
            Failover { hit, tries, limited, .. } => {
                format!("{{ failover = [{list}], until_hit = {hit}, tries = {tries}{} }}", wait(limited))
            }
            Fastest { hit, limited, .. } => {
                format!("{{ all_fastest = [{list}], until_hit = {hit}{} }}", wait(limited))
            }
            Zones { children, hit } => {
                let zones: Vec<String> =
                    children.iter().enumerate().map(|(n, zone)| format!("z{n} = {}", zone.toml())).collect();
                let zones = zones.join(", ");
                format!("{{ zone_failover = {{ {zones} }}, near = 'z0', until_hit = {hit} }}")
            }
            Sync(_) => format!("{{ all_sync = [{list}], last = true }}"),
            Split(_) => format!("{{ split = [{list}] }}"),
            Choose(children) => {
                let [reads, others] = [&children[0], &children[1]].map(Self::toml);
                format!("{{ by_command = {{ reads = {reads} }}, default = {others} }}")
            }
            Ttl { seconds, .. } => format!("{{ ttl = {list}, seconds = {seconds} }}"),
            Limit { children, burst, .. } => {
                let [within, over] = [&children[0], &children[1]].map(Self::toml);
                let rules = format!("tokens = 1, every_ms = {TICK}, burst = {burst}");
                format!("{{ rate_limit = {within}, over = {over}, {rules} }}")
            }
        }
    }

    /// Writes it as a call in Lua.
    fn lua(&self) -> String {
        let list: Vec<String> = self.children().iter().map(Self::lua).collect();
        let list = list.join(", ");
        let wait = |limited: &bool| if *limited { ", wait = 0.001" } else { "" };
        match self {
            Pool(pool) => format!("pools[{}]", pool + 1),
            Null => "null()".into(),
            Failover { hit, tries, limited, .. } => {
                format!("node(failover, {{ {list}, hit = {hit}, tries = {tries}{} }})", wait(limited))
            }
            Fastest { hit, limited, .. } => {
                format!("node(fastest, {{ {list}, hit = {hit}{} }})", wait(limited))
            }
            Zones { hit, .. } => format!("node(zones, {{ {list}, hit = {hit} }})"),
            Sync(_) => format!("node(sync, {{ {list} }})"),
            Split(_) => format!("node(split, {{ {list} }})"),
            Choose(_) => format!("node(choose, {{ {list} }})"),
            Ttl { seconds, .. } => format!("node(ttl, {{ {list}, seconds = {seconds} }})"),
            // memcached's bucket keeps its last token.
            Limit { burst, .. } => format!("node(limit, {{ {list}, bucket = bucket({}) }})", burst + 1),
        }
    }
}

/// The functions of the program.
const FUNCTIONS: &str = "
local function failover(rctx, r, h, o)
    local res, miss
    for n = 1, o.tries do
        if o.wait then
            res = rctx:enqueue_and_wait(r, h[n], o.wait)
        else
            res = rctx:enqueue_and_wait(r, h[n])
        end
        if res and (res:hit() or res:ok() and not o.hit) then return res end
        if res and res:ok() then miss = res end
    end
    return miss or res
end
local function fastest(rctx, r, h, o)
    rctx:enqueue(r, h)
    if o.wait then
        rctx:wait_cond(1, o.hit and mcp.WAIT_GOOD or mcp.WAIT_OK, o.wait)
    elseif o.hit then
        rctx:wait_cond(#h, mcp.WAIT_FASTGOOD)
    else
        rctx:wait_cond(1, mcp.WAIT_OK)
    end
    return (rctx:best_result(h))
end
local function sync(rctx, r, h)
    rctx:enqueue(r, h)
    rctx:wait_cond(#h, mcp.WAIT_ANY)
    local res
    for n = 1, #h do
        res = rctx:result(h[n])
        if not res:ok() then return res end
    end
    return res
end
local function zones(rctx, r, h, o)
    local near = rctx:enqueue_and_wait(r, h[1])
    if near:hit() or near:ok() and not o.hit then return near end
    local far = table.pack(table.unpack(h, 2))
    rctx:enqueue(r, far)
    rctx:wait_cond(#far, mcp.WAIT_FASTGOOD)
    local best = rctx:best_result(far)
    if near:ok() and not best:hit() then return near end
    return best
end
local function split(rctx, r, h)
    rctx:enqueue(r, h[2])
    return rctx:enqueue_and_wait(r, h[1])
end
local function choose(rctx, r, h)
    return rctx:enqueue_and_wait(r, r:command() == mcp.CMD_MG and h[1] or h[2])
end
local function ttl(rctx, r, h, o)
    local command = r:command()
    if command == mcp.CMD_MS or command == mcp.CMD_SET then
        -- Other routes send the request as it is.
        r = mcp.request(r:raw_line() .. '\\r\\n', r)
        if command == mcp.CMD_MS then r:flag_set('T', o.seconds) else r:token(4, o.seconds) end
    end
    return rctx:enqueue_and_wait(r, h[1])
end
local function limit(rctx, r, h, o)
    return rctx:enqueue_and_wait(r, o.bucket(1) and h[1] or h[2])
end
local function bucket(limit)
    return mcp.ratelim_tbf({ limit = limit, fillrate = 1, tickrate = TICK })
end
local function node(f, o)
    local fgen = mcp.funcgen_new()
    local h = {}
    for n, child in ipairs(o) do h[n] = fgen:new_handle(child) end
    fgen:ready({ f = function(rctx) return function(r) return f(rctx, r, h, o) end end })
    return fgen
end
local function null()
    local fgen = mcp.funcgen_new()
    local miss = mcp.res_mutator_new({ t = 'resnull', idx = 1 })
    fgen:ready({ u = 1, f = function(rctx)
        local res = rctx:response_new()
        return function(r) miss(res, r) return res end
    end })
    return fgen
end
";

/// Returns the program for routes. The pools have these ports.
fn program(trees: &[Tree], ports: &[u16]) -> String {
    let mut out = String::from("function mcp_config_pools()\nmcp.backend_read_timeout(3600)\nreturn {");
    for (pool, port) in ports.iter().enumerate() {
        write!(out, " mcp.pool({{ mcp.backend('p{pool}', '127.0.0.1', {port}) }}),").unwrap();
    }
    write!(
        out,
        " }} end\nlocal TICK = {TICK}\n{FUNCTIONS}function mcp_config_routes(pools)\nlocal map = {{}}\n"
    )
    .unwrap();
    for (number, tree) in trees.iter().enumerate() {
        writeln!(out, "map.t{number} = {}", tree.lua()).unwrap();
    }
    out += "map.wait = node(failover, { pools[4], null(), hit = true, tries = 2, wait = 0.003 })\n";
    out + "mcp.attach(mcp.CMD_ANY_STORAGE, mcp.router_new({ map = map, mode = 'prefix', stop = ':' }))\nend\n"
}

/// Returns the native configuration for routes.
fn configuration(trees: &[Tree], ports: &[u16]) -> String {
    let mut out = String::from(
        "[route]\ndefault = 'null'\nstop = ':'\n[route.by_part]\n\
         wait = { failover = ['p3', 'null'], wait_ms = 3 }\n",
    );
    for (number, tree) in trees.iter().enumerate() {
        writeln!(out, "t{number} = {}", tree.toml()).unwrap();
    }
    for (pool, port) in ports.iter().enumerate() {
        writeln!(out, "[pools.p{pool}]\nbackends = ['127.0.0.1:{port}']\nread_timeout_ms = 3600000").unwrap();
    }
    out
}

/// A reply: that of a pool, one to a write of an item that is not there, the miss of a read, or an
/// error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Good(usize),
    Refused,
    Miss,
    Error,
}

use Reply::{Error, Good, Miss, Refused};

impl Reply {
    fn text(self, command: Command) -> String {
        match (self, command) {
            (Good(pool), Read) => format!("VA 1\r\n{pool}\r\n"),
            (Good(_), ClassicStore) => "STORED\r\n".into(),
            (Good(pool), _) => format!("HD s{pool}\r\n"),
            (Refused, ClassicStore) => "NOT_STORED\r\n".into(),
            (Refused, Delete) => "NF\r\n".into(),
            (Refused, _) => "NS\r\n".into(),
            (Miss, _) => "EN\r\n".into(),
            (Error, _) => "SERVER_ERROR no\r\n".into(),
        }
    }

    /// Returns the reply of a backend that does not have the item.
    fn without_item(command: Command) -> Self {
        if command == Read { Miss } else { Refused }
    }

    /// Returns whether a route that looks further until a hit, or else until an answer, stops.
    fn stops(self, hit: bool) -> bool {
        matches!(self, Good(_) | Refused) || self == Miss && !hit
    }
}

/// A request that reaches a pool: when, which pool, and the TTL in place of the client's.
type Sent = (u64, usize, Option<u32>);

/// The pools of a request, and the requests that reach them.
struct Model {
    command: Command,
    /// The time and the reply of each pool.
    pools: Vec<(u64, Reply)>,
    sends: Vec<Sent>,
    /// The number of requests that each limit has let through.
    passed: Vec<usize>,
    ttl: Option<u32>,
}

impl Model {
    /// Returns the time and the answer of a route that is asked at a time: the rules in a few
    /// words. `None` if it depends on which of two replies at the same time counts.
    fn ask(&mut self, tree: &Tree, now: u64) -> Option<(u64, Reply)> {
        match tree {
            Pool(pool) => {
                self.sends.push((now, *pool, self.ttl));
                let (time, reply) = self.pools[*pool];
                Some((now + time, reply))
            }
            Null => Some((now, Reply::without_item(self.command))),
            Failover { children, hit, tries, limited } => {
                let (mut time, mut best) = (now, Error);
                for child in &children[..*tries] {
                    let (mut end, mut reply) = self.ask(child, time)?;
                    if *limited && end > time + LIMIT {
                        (end, reply) = (time + LIMIT, Error);
                    }
                    time = end;
                    if reply.stops(*hit) {
                        return Some((time, reply));
                    }
                    if reply == Miss {
                        best = Miss;
                    }
                }
                Some((time, best))
            }
            Zones { children, hit } => {
                let (time, near) = self.ask(&children[0], now)?;
                if near.stops(*hit) {
                    return Some((time, near));
                }
                let (end, far) = self.fastest(&children[1..], time, true, false)?;
                Some((end, if near == Miss && far == Error { Miss } else { far }))
            }
            Fastest { children, hit, limited } => self.fastest(children, now, *hit, *limited),
            Sync(children) => {
                let all = self.ask_all(children, now)?;
                let end = all.iter().map(|(time, _)| *time).max()?;
                let failed = all.iter().any(|(_, reply)| *reply == Error);
                Some((end, if failed { Error } else { all.last()?.1 }))
            }
            Split(children) => self.ask_all(children, now)?.first().copied(),
            Choose(children) => self.ask(&children[usize::from(self.command != Read)], now),
            Ttl { children, seconds } => {
                let outer = self.ttl.replace(*seconds);
                let answer = self.ask(&children[0], now);
                self.ttl = outer;
                answer
            }
            Limit { children, burst, number } => {
                let within = self.passed[*number] < *burst;
                self.passed[*number] += usize::from(within);
                self.ask(&children[usize::from(!within)], now)
            }
        }
    }

    fn fastest(&mut self, children: &[Tree], now: u64, hit: bool, limited: bool) -> Option<(u64, Reply)> {
        let mut all = self.ask_all(children, now)?;
        let last = all.iter().map(|(time, _)| *time).max()?;
        let end = if limited { last.min(now + LIMIT) } else { last };
        all.retain(|(time, _)| *time <= end);
        all.sort_by_key(|(time, _)| *time);
        let Some(first) = all.iter().copied().find(|(_, reply)| reply.stops(hit)) else {
            let missed = all.iter().any(|(_, reply)| *reply == Miss);
            return Some((end, if missed { Miss } else { Error }));
        };
        let is_open = |other: &(u64, Reply)| other.0 == first.0 && other.1 != first.1 && other.1.stops(hit);
        if all.iter().any(is_open) { None } else { Some(first) }
    }

    fn ask_all(&mut self, children: &[Tree], now: u64) -> Option<Vec<(u64, Reply)>> {
        children.iter().map(|child| self.ask(child, now)).collect()
    }
}

/// A proxy of one worker, with backends that the test controls.
struct Side {
    name: &'static str,
    backends: Vec<Manual>,
    server: Server,
    client: Client,
    /// For each backend, its requests without a reply, and where that goes.
    open: Vec<VecDeque<(Command, TcpStream)>>,
}

impl Side {
    fn new(name: &'static str, backends: Vec<Manual>, proxy: ProxyConfig) -> Self {
        let open = backends.iter().map(|_| VecDeque::new()).collect();
        let server = start(ServerConfig { proxy: Some(proxy), ..ServerConfig::default() });
        let client = Client::new(address(&server));
        Self { name, backends, server, client, open }
    }

    /// Waits for requests at a backend, which come in any order.
    fn expect(&mut self, pool: usize, command: Command, mut requests: Vec<String>, context: &str) {
        let mut asked = Vec::new();
        for request in &requests {
            let mut lines = Vec::new();
            for _ in request.lines() {
                let line = self.backends[pool].asked();
                let (line, reply_to) =
                    line.unwrap_or_else(|| panic!("{}: p{pool} gets nothing\n{context}", self.name));
                lines.push((line, reply_to));
            }
            let (line, reply_to): (Vec<String>, Vec<TcpStream>) = lines.into_iter().unzip();
            asked.push(line.join("\r\n"));
            self.open[pool].extend(reply_to.into_iter().next().map(|reply_to| (command, reply_to)));
        }
        requests.sort();
        asked.sort();
        assert_eq!(asked, requests, "{}: p{pool}\n{context}", self.name);
    }

    /// Sends the reply to the first open request of a backend. Waits until the proxy has read it.
    fn reply(&mut self, pool: usize, reply: Reply) {
        let (command, mut socket) = self.open[pool].pop_front().unwrap();
        socket.write_all(reply.text(command).as_bytes()).unwrap();
        let mut other = Client::new(address(&self.server));
        for _ in 0..2 {
            other.asks("mn\r\n", "MN\r\n");
        }
    }

    /// Waits until all waits with a limit that have begun are over.
    fn pass_limits(&mut self, context: &str) {
        let mut other = Client::new(address(&self.server));
        other.send("mg wait:k v\r\n");
        self.expect(SLOW, Read, vec!["mg wait:k v".into()], context);
        assert_eq!(other.line(), "EN\r\n", "{}\n{context}", self.name);
    }

    /// Sends the replies that come after all waits.
    fn end(&mut self) {
        while !self.open[SLOW].is_empty() {
            self.reply(SLOW, Good(SLOW));
        }
    }

    /// Fails if the client has an answer.
    fn expect_no_answer(&mut self, context: &str) {
        let socket = &self.client.0;
        socket.set_nonblocking(true).unwrap();
        let early = socket.peek(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        assert!(early.is_err(), "{}: an answer before its time\n{context}", self.name);
    }

    fn expect_answer(&mut self, command: Command, answer: Reply, context: &str) {
        assert!(self.client.0.peek(&mut [0]).is_ok(), "{}: no answer\n{context}", self.name);
        let mut got = self.client.line();
        if got.starts_with("VA ") {
            got += &self.client.line();
        }
        // The texts of a late reply and of an error line differ.
        let wanted = answer.text(command);
        let is_error = answer == Error && got.starts_with("SERVER_ERROR ");
        assert!(is_error || got == wanted, "{}: {got:?}, not {wanted:?}\n{context}", self.name);
    }
}

/// A request of a client.
struct Ask {
    command: Command,
    key: String,
    /// The time and the reply of each pool.
    pools: Vec<(u64, Reply)>,
}

/// Sends a request through both proxies. `passed` are the requests that each limit has let through.
/// Returns `false`, and sends nothing, if the model cannot tell what comes.
fn check(tree: &Tree, ask: Ask, passed: &mut Vec<usize>, sides: &mut [Side]) -> bool {
    let Ask { command, key, pools } = ask;
    let mut model = Model { command, pools, sends: Vec::new(), passed: passed.clone(), ttl: None };
    let Some((end, answer)) = model.ask(tree, 0) else { return false };
    let Model { pools, mut sends, passed: after, .. } = model;
    sends.sort_unstable();
    let replies = sends.iter().filter(|(_, pool, _)| *pool != SLOW);
    let mut replies: Vec<(u64, usize)> =
        replies.map(|(time, pool, _)| (time + pools[*pool].0, *pool)).collect();
    replies.sort_unstable();
    // Replies of two backends at the same time come in any order.
    if replies.windows(2).any(|two| two[0].0 == two[1].0 && two[0].1 != two[1].1) {
        return false;
    }
    *passed = after;
    let context = format!("{command:?} {key} {tree:?}\n{pools:?}\n{sends:?}");
    let mut sends = sends.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)).peekable();
    let (mut is_answered, mut last) = (false, 0);
    for side in &mut *sides {
        side.client.send(&format!("{}\r\n", command.request(&key, None)));
    }
    for (time, pool) in replies.into_iter().map(|(time, pool)| (time, Some(pool))).chain([(u64::MAX, None)]) {
        // All that comes before this reply has come.
        while let Some(at_once) = sends.next_if(|at_once| at_once[0].0 < time) {
            let requests: Vec<String> =
                at_once.iter().map(|(_, _, ttl)| command.request(&key, *ttl)).collect();
            let expect = |side: &mut Side| side.expect(at_once[0].1, command, requests.clone(), &context);
            sides.iter_mut().for_each(expect);
        }
        if tree.has_limits() && time > last {
            sides.iter_mut().for_each(|side| side.pass_limits(&context));
        }
        if !is_answered && end < time {
            sides.iter_mut().for_each(|side| side.expect_answer(command, answer, &context));
            is_answered = true;
        }
        let Some(pool) = pool else { break };
        if !is_answered && time > last {
            sides.iter_mut().for_each(|side| side.expect_no_answer(&context));
        }
        sides.iter_mut().for_each(|side| side.reply(pool, pools[pool].1));
        last = time;
    }
    sides.iter_mut().for_each(Side::end);
    true
}

#[test]
fn native_routes_and_functions_in_lua_agree() {
    let seeds = env::var("ROUTE_SEEDS").ok().map_or(4, |seeds| seeds.parse().unwrap());
    let (mut checked, mut skipped) = (0, 0);
    for seed in 1..=seeds {
        let mut draw = Draw { bits: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), limits: 0 };
        let mut trees = Vec::new();
        while trees.len() < TREES {
            let tree = draw.inner(3);
            if tree.size() <= SIZE {
                trees.push(tree);
            }
        }
        let mut passed = vec![0; draw.limits];
        let backends = || -> Vec<Manual> { (0..=SLOW).map(|_| Manual::new()).collect() };
        let ports = |backends: &[Manual]| backends.iter().map(|backend| backend.port).collect::<Vec<u16>>();
        let (of_lua, of_native) = (backends(), backends());
        let text = configuration(&trees, &ports(&of_native));
        let file = Program::new(&program(&trees, &ports(&of_lua)));
        let lua = LuaProxy::new(Sources { files: vec![file.0.display().to_string()], argument: None });
        let mut sides =
            [Side::new("Lua", of_lua, lua.config()), Side::new("native", of_native, ProxyConfig::Text(text))];
        for (number, tree) in trees.iter().enumerate() {
            for request in 0..REQUESTS {
                let command = draw.command();
                let mut pools: Vec<(u64, Reply)> = (0..POOLS)
                    .map(|pool| {
                        let reply = [Good(pool), Reply::without_item(command), Error][draw.below(3)];
                        (1000 + draw.below(1_000_000) as u64, reply)
                    })
                    .collect();
                pools.push((NEVER, Good(SLOW)));
                let ask = Ask { command, key: format!("t{number}:{seed}-{request}"), pools };
                if check(tree, ask, &mut passed, &mut sides) { checked += 1 } else { skipped += 1 }
            }
        }
    }
    assert!(checked > 4 * skipped, "{checked} requests checked, {skipped} skipped");
}
