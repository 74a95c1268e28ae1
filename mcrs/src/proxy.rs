//! `mcrs proxy`: checks the configuration of a proxy, and explains where a request goes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use memcache_core::ProxyError;
use memcache_core::internal::base::error::reason;
use memcache_core::internal::base::file;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::config::is_toml;
use memcache_core::internal::proxy::backend::Backend;
use memcache_core::internal::proxy::command::{Command, Kind};
use memcache_core::internal::proxy::config::{self, MAX_TEXT};
use memcache_core::internal::proxy::distribution::POINTS;
use memcache_core::internal::proxy::explain::{Event, Pretence, explain};
use memcache_core::internal::proxy::health::Eject;
use memcache_core::internal::proxy::pool::{Member, Pool};
use memcache_core::internal::proxy::route::{NodeId, Route, Routes};
use memcache_core::internal::proxy::run::{Choice, Mark, Outcome, Request, Send, Source, Work};
use memcache_core::internal::proxy::ttl::TtlRule;
use memcache_proxy_lua::routelib;

use crate::failure::{DATA, FILE, Failure, USAGE};
use crate::print;

/// Endings of the files of other proxies.
const FOREIGN: [&str; 4] = ["json", "yml", "yaml", "conf"];

/// Checks the configuration of a proxy, or explains where a request goes
#[derive(Args, Debug)]
pub struct ProxyArguments {
    #[command(subcommand)]
    command: ProxyCommand,
}

#[derive(Debug, Subcommand)]
enum ProxyCommand {
    Check(CheckArguments),
    Explain(ExplainArguments),
}

/// Checks a configuration and prints its pools and routes
///
/// Lines on standard error that begin with "warning:" name parts that have no effect.
#[derive(Args, Debug)]
struct CheckArguments {
    /// The configuration: TOML if its name ends in .toml or is - (standard input), else routelib
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not open the certificates and keys that the configuration names
    #[arg(long)]
    no_certificates: bool,
}

/// Prints the backends that a request reaches, and why, if the others are up and have the item
#[derive(Args, Debug)]
struct ExplainArguments {
    /// The configuration, as of check
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The key of the request
    #[arg(value_name = "KEY")]
    key: String,
    /// The command of the request
    #[arg(long, value_name = "WORD", default_value = "get")]
    command: String,
    /// A backend or a pool that is down
    #[arg(long, value_name = "NAME")]
    down: Vec<String>,
    /// A backend or a pool that does not have the item
    #[arg(long, value_name = "NAME")]
    missing: Vec<String>,
    /// The tag of the listener that the client uses
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// The time, in Unix seconds [default: now]
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    /// The number that random choices follow
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    draw: u64,
}

/// Runs `mcrs proxy`.
///
/// # Errors
/// The configuration cannot be read, or is wrong.
pub fn run(arguments: ProxyArguments) -> Result<(), Failure> {
    match arguments.command {
        ProxyCommand::Check(arguments) => check(&arguments),
        ProxyCommand::Explain(arguments) => print(&explained(arguments)?),
    }
}

fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let (name, mut routes) = read(&arguments.file)?;
    if !arguments.no_certificates {
        let directory = arguments.file.parent().unwrap_or(Path::new(""));
        let wrong = |fault| Failure::new(DATA, format!("{name}:{fault}"));
        routes.read_certificates(directory).map_err(wrong)?;
    }
    for warning in warnings(&routes) {
        write_line(&format!("warning: {name}: {warning}"));
    }
    print(&tree(&routes))
}

/// Reads a configuration. Returns its name for messages, too.
fn read(path: &Path) -> Result<(String, Routes), Failure> {
    let is_input = path.as_os_str() == "-";
    let name = if is_input { "standard input".into() } else { path.display().to_string() };
    let unread = |why| Failure::new(FILE, format!("{name}: cannot be read: {why}"));
    let bytes = if is_input { read_input() } else { file::read(path, MAX_TEXT as u64) };
    let bytes = bytes.map_err(unread)?;
    if !is_input && !is_toml(path) {
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let is_foreign = FOREIGN.contains(&ending);
        let hint = if is_foreign { "; a configuration is TOML: see docs/proxy-from.md" } else { "" };
        let wrong = |mistake| Failure::new(DATA, format!("{mistake}{hint}"));
        return Ok((name, read_routelib(path, &bytes).map_err(wrong)?));
    }
    let text = String::from_utf8(bytes).map_err(|_| unread("it must be UTF-8".into()))?;
    let routes = config::parse(&text).map_err(|fault| Failure::new(DATA, format!("{name}:{fault}")))?;
    Ok((name, routes))
}

/// Reads standard input, as [`file::read`] reads a file.
fn read_input() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| reason(&error))?;
    if bytes.len() > MAX_TEXT {
        return Err(format!("it has more than {MAX_TEXT} bytes"));
    }
    Ok(bytes)
}

/// Returns what has no effect, one line each.
fn warnings(routes: &Routes) -> Vec<String> {
    let mut used = vec![false; routes.nodes.len()];
    let mut nodes: Vec<NodeId> = routes.listeners.iter().map(|(_, node)| *node).collect();
    nodes.push(routes.root);
    while let Some(node) = nodes.pop() {
        if let Some(used @ false) = used.get_mut(node) {
            *used = true;
            nodes.extend(routes.nodes.get(node).map(Route::children).unwrap_or_default());
        }
    }
    let used = |node: NodeId| used.get(node).is_some_and(|used| *used);
    let mut lines = Vec::new();
    for (node, route) in routes.nodes.iter().enumerate() {
        match route {
            Route::Pool(pool) if !used(node) => {
                let name = routes.pools.get(*pool).map(|pool| pool.name.as_str()).unwrap_or_default();
                lines.push(format!("nothing uses the pool {name}"));
            }
            Route::ByPrefix { prefixes, .. } => {
                let never = prefixes.iter().filter(|(prefix, _)| has_end(prefix));
                lines.extend(never.map(|(prefix, _)| format!("by_prefix: no key begins with {prefix:?}")));
            }
            Route::ByPart { start, stop, parts, .. } => {
                let is_never =
                    |part: &str| has_end(start) || has_end(stop) || has_end(part) || part.contains(stop);
                let never = parts.iter().filter(|(part, _)| is_never(part));
                lines.extend(never.map(|(part, _)| format!("by_part: no key has the part {part:?}")));
            }
            _ => {}
        }
    }
    let unused = routes.names.iter().filter(|(_, node)| !used(*node));
    lines.extend(unused.map(|(name, _)| format!("nothing uses the route {name}")));
    lines
}

/// Returns whether a text has a character that ends a key.
fn has_end(text: &str) -> bool {
    text.contains([' ', '\n'])
}

/// Reads the text of a configuration of routelib.
fn read_routelib(path: &Path, text: &[u8]) -> Result<Routes, ProxyError> {
    let made = routelib::run(path, text)?;
    config::parse(&made.text).map_err(|fault| {
        let line = fault.line.checked_sub(1).and_then(|at| made.lines.get(at)).copied();
        ProxyError::new(path.to_owned(), line, fault.message)
    })
}

/// Prints pools and routes. A route with a name is printed once.
fn tree(routes: &Routes) -> String {
    let mut out = String::from("pools\n");
    for pool in &routes.pools {
        let _ = writeln!(out, "  {}: {}", pool.name, describe(pool));
        let backends = || pool.backends.iter().map(backend);
        let members = pool.members.as_ref().map(|members| {
            let member = |member: &Member| match member {
                Member::Backend(one) => backend(one),
                Member::Source(source) => source.to_string(),
            };
            members.iter().map(member).collect()
        });
        for line in members.unwrap_or_else(|| backends().collect::<Vec<_>>()) {
            let _ = writeln!(out, "    {line}");
        }
    }
    if !routes.names.is_empty() {
        out += "routes\n";
    }
    for (name, node) in &routes.names {
        let _ = writeln!(out, "  {name}: {}", title(routes, *node));
        branches(&mut out, routes, *node, 2);
    }
    out += "route\n";
    branch(&mut out, routes, "", routes.root, 1);
    for (tag, node) in &routes.listeners {
        let _ = writeln!(out, "listeners with tag {tag}");
        branch(&mut out, routes, "", *node, 1);
    }
    let most = routes.most_sends();
    let _ = writeln!(out, "A request causes at most {most} request{}.", if most == 1 { "" } else { "s" });
    out
}

/// Returns the line of a backend.
fn backend(backend: &Backend) -> String {
    let weight = if backend.weight == 1 { String::new() } else { format!(", weight {}", backend.weight) };
    let address = backend.name.as_ref().map_or_else(String::new, |_| format!(" at {}", backend.address));
    format!("{backend}{address}{weight}")
}

fn describe(pool: &Pool) -> String {
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{count} {word}s")),
    };
    let counts = [counted(pool.backends.len(), "backend"), counted(pool.sources().count(), "source")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let mut out = format!("{counts}, {}", pool.distribution.name);
    if let Some(hash) = pool.key_hash {
        let _ = write!(out, ", {}", hash.name);
    }
    if pool.points != POINTS {
        let _ = write!(out, ", {} points each", pool.points);
    }
    if pool.bounds.connections > 1 {
        let _ = write!(out, ", {} connections each", pool.bounds.connections);
    }
    if pool.bounds.shared {
        out += ", shared by all workers";
    }
    if let Some(health) = &pool.health {
        let _ = write!(out, ", probed, eject {}", health.rules.eject.name());
    }
    if let Some(tls) = &pool.bounds.tls {
        out += if tls.ca.is_some() { ", TLS" } else { ", TLS without verification" };
    }
    out
}

/// Prints a child with its label, and what is below it unless it has a name.
fn branch(out: &mut String, routes: &Routes, label: &str, node: NodeId, depth: usize) {
    let indent = "  ".repeat(depth);
    match named(routes, node) {
        Some(name) => {
            let _ = writeln!(out, "{indent}{label}{name}");
        }
        None => {
            let _ = writeln!(out, "{indent}{label}{}", title(routes, node));
            branches(out, routes, node, depth + 1);
        }
    }
}

fn branches(out: &mut String, routes: &Routes, node: NodeId, depth: usize) {
    let Some(route) = routes.nodes.get(node) else { return };
    for (index, child) in route.children().into_iter().enumerate() {
        branch(out, routes, &label(route, index), child, depth);
    }
}

/// Returns what a child is to its node.
fn label(route: &Route, child: usize) -> String {
    let pair = |first: &str, second: &str| format!("{}: ", if child == 0 { first } else { second });
    match route {
        Route::ByPrefix { prefixes: list, .. }
        | Route::ByPart { parts: list, .. }
        | Route::ByCommand { groups: list, .. } => match list.get(child) {
            Some((text, _)) if !matches!(route, Route::ByCommand { .. }) => format!("{text:?}: "),
            Some((text, _)) => format!("{text}: "),
            None => "default: ".into(),
        },
        Route::Shadow { .. } => pair("answers", "gets copies"),
        Route::WarmUp { .. } => pair("new", "old"),
        Route::Migrate { .. } => pair("from", "to"),
        Route::RateLimit { .. } => pair("within", "over"),
        _ => String::new(),
    }
}

/// Returns the name of a pool or of a route with a name.
fn named(routes: &Routes, node: NodeId) -> Option<&str> {
    match routes.nodes.get(node)? {
        Route::Pool(pool) => routes.pools.get(*pool).map(|pool| pool.name.as_str()),
        _ => routes.names.iter().find(|(_, named)| *named == node).map(|(name, _)| name.as_str()),
    }
}

/// Returns the kind of a node and its numbers.
fn title(routes: &Routes, node: NodeId) -> String {
    let until = |until_hit: &bool| if *until_hit { " until a hit" } else { "" };
    let in_time = |wait: &Option<Duration>| {
        wait.map_or_else(String::new, |wait| format!(", wait {} ms", wait.as_millis()))
    };
    let counted = |counter: &Option<usize>| {
        let counter = counter.and_then(|index| routes.counters.get(index));
        counter.map_or_else(String::new, |counter| format!(", counter {}", counter.name))
    };
    match routes.nodes.get(node) {
        Some(Route::Failover { children, until_hit, tries, wait, counter }) => {
            let tries = if *tries < children.len() { format!(", {tries} tries") } else { String::new() };
            format!("failover{}{tries}{}{}", until(until_hit), in_time(wait), counted(counter))
        }
        Some(Route::AllSync { last, .. }) => {
            if *last {
                "all_sync, the last one answers".into()
            } else {
                "all_sync".into()
            }
        }
        Some(Route::AllFastest { until_hit, wait, .. }) => {
            format!("all_fastest{}{}", until(until_hit), in_time(wait))
        }
        Some(Route::Random(_)) => "random".into(),
        Some(Route::Ttl(_, rule)) => format!("ttl {rule}"),
        Some(Route::Shadow { percent, .. }) => format!("shadow {percent}%"),
        Some(Route::WarmUp { .. }) => "warm_up".into(),
        Some(Route::Migrate { start, interval, .. }) => format!("migrate at {start}, {interval} s"),
        Some(Route::RateLimit { tokens, every_ms, burst, limit, counter, .. }) => {
            let rate =
                if *every_ms == 1000 { format!("{tokens}/s") } else { format!("{tokens} in {every_ms} ms") };
            let is_shared = routes.limits.get(*limit).is_some_and(|limit| limit.shared.is_some());
            let shared = if is_shared { ", shared" } else { "" };
            format!("rate_limit {rate}, burst {burst}{shared}{}", counted(counter))
        }
        Some(Route::Hot(_, cache)) => {
            format!("hot {} ms, from {} requests/s", cache.rules.ttl.as_millis(), cache.rules.at_least)
        }
        Some(Route::ByPrefix { .. }) => "by_prefix".into(),
        Some(Route::ByPart { start, stop, .. }) if start.is_empty() => format!("by_part before {stop:?}"),
        Some(Route::ByPart { start, stop, .. }) => format!("by_part from {start:?} to {stop:?}"),
        Some(Route::ByCommand { .. }) => "by_command".into(),
        Some(Route::Local) => "local".into(),
        Some(Route::Null) => "null".into(),
        Some(Route::Error(text)) => format!("error {text:?}"),
        Some(Route::Pool(_)) | None => named(routes, node).unwrap_or_default().into(),
    }
}

fn explained(arguments: ExplainArguments) -> Result<String, Failure> {
    let (_, routes) = read(&arguments.file)?;
    let Some(command) = Command::named(&arguments.command) else {
        return Err(Failure::new(
            USAGE,
            format!("--command: a proxy does not route {:?}", arguments.command),
        ));
    };
    let valid = |c: char| !c.is_control() && c != ' ';
    if arguments.key.is_empty() || arguments.key.len() > 250 || !arguments.key.chars().all(valid) {
        return Err(Failure::new(USAGE, "KEY must have 1 to 250 bytes without spaces"));
    }
    let known = |name: &String| {
        let backends = || routes.pools.iter().flat_map(|pool| &pool.backends);
        routes.pools.iter().any(|pool| pool.name == *name) || backends().any(|one| one.to_string() == *name)
    };
    if let Some(name) = arguments.down.iter().chain(&arguments.missing).find(|name| !known(name)) {
        return Err(Failure::new(USAGE, format!("there is no backend or pool {name:?}")));
    }
    let root = match &arguments.tag {
        None => routes.root,
        Some(tag) => {
            let found = routes.listeners.iter().find(|(own, _)| own.to_string() == *tag);
            let none = || Failure::new(USAGE, format!("there is no route of listeners with tag {tag:?}"));
            found.ok_or_else(none)?.1
        }
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let pretence = Pretence {
        down: HashSet::from_iter(arguments.down),
        missing: HashSet::from_iter(arguments.missing),
        time: arguments.at.unwrap_or_else(now),
    };
    let request = Request { key: arguments.key.as_bytes(), command, draw: arguments.draw };
    let events = explain(&routes, root, request, &pretence);
    let mut explanation = Explanation { routes: &routes, command, sends: Vec::new() };
    let lines = events.iter().map(|event| explanation.line(event));
    Ok(lines.fold(format!("{} {}\n", command.word, arguments.key), |out, line| out + "  " + &line + "\n"))
}

/// Words for events.
struct Explanation<'a> {
    routes: &'a Routes,
    command: &'static Command,
    /// The backend that each send reached.
    sends: Vec<(usize, String)>,
}

impl Explanation<'_> {
    fn line(&mut self, event: &Event) -> String {
        match event {
            Event::Decided(note) => {
                let own = title(self.routes, note.node);
                let title = match named(self.routes, note.node) {
                    Some(name) => format!("{name} ({own})"),
                    None => own,
                };
                format!("{title}: {}", self.choice(note.node, note.choice))
            }
            Event::Ejected(send, backend, found) => self.ejected(send, *backend, *found),
            Event::Replied(send, backend, mark) => self.reply(send, *backend, *mark),
            Event::Answered(outcome) => format!("the client gets {}", self.answer(outcome)),
        }
    }

    fn ejected(&mut self, send: &Send, backend: usize, found: Result<usize, Eject>) -> String {
        let Some(pool) = self.routes.pools.get(send.pool) else { return String::new() };
        let name = |index: usize| pool.backends.get(index).map(ToString::to_string).unwrap_or_default();
        let then = match found {
            Ok(other) => format!("{} has its keys", name(other)),
            Err(Eject::Miss) => "reads miss and writes fail".into(),
            Err(Eject::No) => "its requests fail".into(),
            Err(Eject::Rehash) => "as are all others".into(),
        };
        let line = format!("{}: {} is down, {then}", pool.name, name(backend));
        self.sends.push((send.number, name(backend)));
        line
    }

    fn reply(&mut self, send: &Send, backend: usize, mark: Mark) -> String {
        let pool = self.routes.pools.get(send.pool);
        let place = pool.map_or("local", |pool| &pool.name);
        let name = match pool {
            None => "the cache of the proxy".into(),
            Some(pool) if pool.members.is_some() => "a backend of its sources".into(),
            Some(pool) => pool.backends.get(backend).map(ToString::to_string).unwrap_or_default(),
        };
        let work = match send.work {
            Work::Client => "gets the request",
            Work::Item => "is asked for the item with its TTL",
            Work::Fill(_) => "gets an add of the item",
            Work::Delete => "gets a delete",
        };
        let ttl = send.ttl.filter(|_| send.work.command(self.command).takes_ttl());
        let ttl = ttl.map(|rule| format!(" with TTL {rule}")).unwrap_or_default();
        let mark = match mark {
            Mark::Good => "and replies",
            Mark::Miss => "and does not have it",
            Mark::Error => "and is down",
        };
        let line = format!("{place}: {name} {work}{ttl} {mark}");
        self.sends.push((send.number, name));
        line
    }

    fn answer(&self, outcome: &Outcome) -> String {
        match outcome.source {
            Source::Reply(number) => {
                let sent = self.sends.iter().rfind(|(sent, _)| *sent == number);
                let name = sent.map(|(_, name)| name.as_str()).unwrap_or_default();
                match outcome.mark {
                    Mark::Good => format!("the reply of {name}"),
                    Mark::Miss => format!("the miss of {name}"),
                    Mark::Error => format!("an error, because {name} is down"),
                }
            }
            Source::Null if self.command.kind == Kind::Read => "a miss".into(),
            Source::Null => String::from_utf8_lossy(self.command.miss()).trim_end().into(),
            Source::Late => "an error, because no reply came in time".into(),
            Source::Error(node) => match self.routes.nodes.get(node) {
                Some(Route::Error(text)) => format!("SERVER_ERROR {text}"),
                _ => "an error".into(),
            },
        }
    }

    fn choice(&self, node: NodeId, choice: Choice) -> String {
        let route = self.routes.nodes.get(node);
        let child = |index: usize| {
            let child = route.and_then(|route| route.children().get(index).copied());
            child.map(|child| {
                named(self.routes, child).map_or_else(|| title(self.routes, child), str::to_owned)
            })
        };
        let child = |index: usize| child(index).unwrap_or_default();
        let matched = |index: usize| route.map(|route| label(route, index)).unwrap_or_default();
        match choice {
            Choice::Ask(index, None) | Choice::Phase(index, false) => format!("asks {}", child(index)),
            Choice::Ask(index, Some(Mark::Error)) => format!("asks {} after the error", child(index)),
            Choice::Ask(index, Some(_)) => format!("asks {} after the miss", child(index)),
            Choice::AskAll => "asks all".into(),
            Choice::Match(Some(index)) => format!("{}{}", matched(index), child(index)),
            Choice::Match(None) => {
                let last = route.map_or(0, |route| route.children().len().saturating_sub(1));
                format!("nothing matches, asks {}", child(last))
            }
            Choice::Drew(index) => format!("draws {}", child(index)),
            Choice::Copy(true) => format!("asks {}, sends a copy to {}", child(0), child(1)),
            Choice::Copy(false) => format!("asks {}, sends no copy this time", child(0)),
            Choice::Ttl => match route {
                Some(Route::Ttl(_, TtlRule::AtMost(_))) => "limits the TTL".into(),
                _ => "replaces the TTL".into(),
            },
            Choice::Token(true) => format!("within the limit, asks {}", child(0)),
            Choice::Token(false) => format!("over the limit, asks {}", child(1)),
            Choice::Phase(index, true) => {
                format!("asks {}, also deletes from {}", child(index), child(1 - index))
            }
            Choice::DeleteOld => format!("asks {}, also deletes from {}", child(0), child(1)),
            Choice::Fill => format!("adds the item to {}", child(0)),
            Choice::Fetch => format!("not in the local cache, fetches the item from {}", child(0)),
            Choice::Remove => format!("removes the key from the local cache, asks {}", child(0)),
            Choice::Answer => "answers".into(),
            Choice::Done(Mark::Good) => "has its answer".into(),
            Choice::Done(Mark::Miss) => "answers with a miss".into(),
            Choice::Done(Mark::Error) => "fails".into(),
        }
    }
}
