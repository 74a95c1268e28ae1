//! Random routes as a program in Lua and as native routes: both send the same requests and answer
//! the same, and so does a model of the rules for waits.
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

/// A route. `hit` is whether a miss counts as a failure, and `limited` whether it has a limit of
/// time.
#[derive(Debug)]
enum Tree {
    Pool(usize),
    Null,
    Failover { children: Vec<Tree>, hit: bool, tries: usize, limited: bool },
    Sync(Vec<Tree>),
    Fastest { children: Vec<Tree>, hit: bool, limited: bool },
    Split(Vec<Tree>),
}

use Tree::{Failover, Fastest, Null, Pool, Split, Sync};

/// Pseudo-random numbers.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count
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
        match self.below(if limited { 2 } else { 4 }) {
            0 => Failover { tries: 1 + self.below(children.len()), children, hit, limited },
            1 => Fastest { children, hit, limited },
            2 => Sync(children),
            _ => Split(vec![self.tree(depth), self.tree(depth)]),
        }
    }
}

impl Tree {
    fn children(&self) -> &[Self] {
        match self {
            Pool(_) | Null => &[],
            Failover { children, .. } | Fastest { children, .. } | Sync(children) | Split(children) => {
                children
            }
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
            Sync(_) => format!("{{ all_sync = [{list}], last = true }}"),
            Split(_) => format!("{{ split = [{list}] }}"),
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
            Sync(_) => format!("node(sync, {{ {list} }})"),
            Split(_) => format!("node(split, {{ {list} }})"),
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
local function split(rctx, r, h)
    rctx:enqueue(r, h[2])
    return rctx:enqueue_and_wait(r, h[1])
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
    write!(out, " }} end\n{FUNCTIONS}function mcp_config_routes(pools)\nlocal map = {{}}\n").unwrap();
    for (number, tree) in trees.iter().enumerate() {
        writeln!(out, "map.t{number} = {}", tree.lua()).unwrap();
    }
    out += "map.wait = node(failover, { pools[4], null(), hit = true, tries = 2, wait = 0.003 })\n";
    out + "mcp.attach(mcp.CMD_MG, mcp.router_new({ map = map, mode = 'prefix', stop = ':' }))\nend\n"
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

/// A reply: that of a pool, a miss, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Good(usize),
    Miss,
    Error,
}

use Reply::{Error, Good, Miss};

impl Reply {
    fn text(self) -> String {
        match self {
            Good(pool) => format!("VA 1\r\n{pool}\r\n"),
            Miss => "EN\r\n".into(),
            Error => "SERVER_ERROR no\r\n".into(),
        }
    }
}

/// The pools of a request, and the requests that reach them.
struct Model {
    /// The time and the reply of each pool.
    pools: Vec<(u64, Reply)>,
    /// Times and pools.
    sends: Vec<(u64, usize)>,
}

impl Model {
    /// Returns the time and the answer of a route that is asked at a time: the rules in a few
    /// words. `None` if it depends on which of two replies at the same time counts.
    fn ask(&mut self, tree: &Tree, now: u64) -> Option<(u64, Reply)> {
        match tree {
            Pool(pool) => {
                self.sends.push((now, *pool));
                let (time, reply) = self.pools[*pool];
                Some((now + time, reply))
            }
            Null => Some((now, Miss)),
            Failover { children, hit, tries, limited } => {
                let (mut time, mut best) = (now, Error);
                for child in &children[..*tries] {
                    let (mut end, mut reply) = self.ask(child, time)?;
                    if *limited && end > time + LIMIT {
                        (end, reply) = (time + LIMIT, Error);
                    }
                    time = end;
                    match reply {
                        Good(_) => return Some((time, reply)),
                        Miss if !hit => return Some((time, Miss)),
                        Miss => best = Miss,
                        Error => {}
                    }
                }
                Some((time, best))
            }
            Fastest { children, hit, limited } => {
                let mut all = self.ask_all(children, now)?;
                let last = all.iter().map(|(time, _)| *time).max()?;
                let end = if *limited { last.min(now + LIMIT) } else { last };
                all.retain(|(time, _)| *time <= end);
                all.sort_by_key(|(time, _)| *time);
                let stops = |reply: Reply| matches!(reply, Good(_)) || reply == Miss && !hit;
                let Some(first) = all.iter().copied().find(|(_, reply)| stops(*reply)) else {
                    let missed = all.iter().any(|(_, reply)| *reply == Miss);
                    return Some((end, if missed { Miss } else { Error }));
                };
                let is_open =
                    |other: &(u64, Reply)| other.0 == first.0 && other.1 != first.1 && stops(other.1);
                if all.iter().any(is_open) { None } else { Some(first) }
            }
            Sync(children) => {
                let all = self.ask_all(children, now)?;
                let end = all.iter().map(|(time, _)| *time).max()?;
                let failed = all.iter().any(|(_, reply)| *reply == Error);
                Some((end, if failed { Error } else { all.last()?.1 }))
            }
            Split(children) => self.ask_all(children, now)?.first().copied(),
        }
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
    /// For each backend, where the reply to each of its requests goes.
    open: Vec<VecDeque<TcpStream>>,
}

impl Side {
    fn new(name: &'static str, backends: Vec<Manual>, proxy: ProxyConfig) -> Self {
        let open = backends.iter().map(|_| VecDeque::new()).collect();
        let server = start(ServerConfig { proxy: Some(proxy), ..ServerConfig::default() });
        let client = Client::new(address(&server));
        Self { name, backends, server, client, open }
    }

    /// Waits for a request at a backend.
    fn expect(&mut self, pool: usize, request: &str, context: &str) {
        let asked = self.backends[pool].asked();
        let (line, reply_to) =
            asked.unwrap_or_else(|| panic!("{}: p{pool} gets nothing\n{context}", self.name));
        assert_eq!(line, request, "{}: p{pool}\n{context}", self.name);
        self.open[pool].push_back(reply_to);
    }

    /// Sends the reply to the first open request of a backend. Waits until the proxy has read it.
    fn reply(&mut self, pool: usize, reply: Reply) {
        let mut socket = self.open[pool].pop_front().unwrap();
        socket.write_all(reply.text().as_bytes()).unwrap();
        let mut other = Client::new(address(&self.server));
        for _ in 0..2 {
            other.asks("mn\r\n", "MN\r\n");
        }
    }

    /// Waits until all waits with a limit that have begun are over.
    fn pass_limits(&mut self, context: &str) {
        let mut other = Client::new(address(&self.server));
        other.send("mg wait:k v\r\n");
        self.expect(SLOW, "mg wait:k v", context);
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

    fn expect_answer(&mut self, answer: Reply, context: &str) {
        let mut got = self.client.line();
        if got.starts_with("VA ") {
            got += &self.client.line();
        }
        // The texts of a late reply and of an error line differ.
        let wanted = answer.text();
        let is_error = answer == Error && got.starts_with("SERVER_ERROR ");
        assert!(is_error || got == wanted, "{}: {got:?}, not {wanted:?}\n{context}", self.name);
    }
}

/// Sends a request through both proxies. Returns `false` if the model cannot tell what comes.
fn check(tree: &Tree, key: &str, pools: Vec<(u64, Reply)>, sides: &mut [Side]) -> bool {
    let mut model = Model { pools, sends: Vec::new() };
    let Some((end, answer)) = model.ask(tree, 0) else { return false };
    let Model { pools, mut sends } = model;
    sends.sort_unstable();
    let replies = sends.iter().filter(|(_, pool)| *pool != SLOW);
    let mut replies: Vec<(u64, usize)> = replies.map(|(time, pool)| (time + pools[*pool].0, *pool)).collect();
    replies.sort_unstable();
    // Replies of two backends at the same time come in any order.
    if replies.windows(2).any(|two| two[0].0 == two[1].0 && two[0].1 != two[1].1) {
        return false;
    }
    let context = format!("{key} {tree:?}\n{pools:?}\n{sends:?}");
    let request = format!("mg {key} v");
    let mut sends = sends.into_iter().peekable();
    let (mut is_answered, mut last) = (false, 0);
    for side in &mut *sides {
        side.client.send(&format!("{request}\r\n"));
    }
    for (time, pool) in replies.into_iter().map(|(time, pool)| (time, Some(pool))).chain([(u64::MAX, None)]) {
        // All that comes before this reply has come.
        while let Some((_, pool)) = sends.next_if(|(at, _)| *at < time) {
            sides.iter_mut().for_each(|side| side.expect(pool, &request, &context));
        }
        if tree.has_limits() && time > last {
            sides.iter_mut().for_each(|side| side.pass_limits(&context));
        }
        if !is_answered && end < time {
            sides.iter_mut().for_each(|side| side.expect_answer(answer, &context));
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
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut trees = Vec::new();
        while trees.len() < TREES {
            let tree = draw.inner(3);
            if tree.size() <= SIZE {
                trees.push(tree);
            }
        }
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
                let mut pools: Vec<(u64, Reply)> = (0..POOLS)
                    .map(|pool| {
                        let reply = [Good(pool), Miss, Error][draw.below(3)];
                        (1000 + draw.below(1_000_000) as u64, reply)
                    })
                    .collect();
                pools.push((NEVER, Good(SLOW)));
                let key = format!("t{number}:{seed}-{request}");
                if check(tree, &key, pools, &mut sides) { checked += 1 } else { skipped += 1 }
            }
        }
    }
    assert!(checked > 4 * skipped, "{checked} requests checked, {skipped} skipped");
}
