//! `mcrs watch`: the log lines of servers, as they come.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::proxy::command::Command;
use serde_json::{Map, Value};

use crate::client::{Patience, Server};
use crate::failure::{Failure, SERVER, USAGE};
use crate::metadump::decode;
use crate::print;
use crate::reply::value;
use crate::servers::{self, Reach};
use crate::text::{json, key_json, printable};

/// The kinds of lines. A word of the command line that is none of them is a server.
const KINDS: [&str; 10] = [
    "fetchers",
    "mutations",
    "evictions",
    "deletions",
    "connevents",
    "rawcmds",
    "sysevents",
    "proxyreqs",
    "proxyevents",
    "proxyuser",
];

/// Lines of servers that wait to be printed.
const AHEAD: usize = 1024;

/// Time between two attempts to connect again.
const RETRY: Duration = Duration::from_secs(1);

/// Prints the log lines of servers as they come
///
/// The server is 127.0.0.1:11211 if none is named. The kinds are fetchers, mutations, evictions,
/// deletions, connevents, rawcmds, sysevents, proxyreqs, proxyevents and proxyuser. Not every
/// server has each of them. Ctrl-C ends the program.
#[derive(Args, Debug)]
#[command(override_usage = "mcrs watch [OPTIONS] [SERVER]... <KIND>...")]
pub struct WatchArguments {
    /// The servers, and behind them the kinds of lines
    #[arg(value_name = "KIND", required = true)]
    words: Vec<String>,
    /// Print an object of JSON for each line
    #[arg(long)]
    json: bool,
    /// Connect again, each second, to a server that is lost
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs `mcrs watch`.
///
/// # Errors
/// A server is lost, or does not have this log.
pub fn run(arguments: WatchArguments) -> Result<(), Failure> {
    let (addresses, kinds) = servers::split(&arguments.words, &KINDS);
    if kinds.is_empty() {
        let (kinds, last) = (KINDS.join(", "), arguments.words.last().map_or("", |word| word));
        return Err(Failure::new(USAGE, format!("KIND must be one or more of {kinds}, got {last:?}")));
    }
    let servers = arguments.reach.open(addresses, Patience::Whole)?;
    let form = Form { json: arguments.json, named: servers.len() > 1 };
    let request = format!("watch {}\r\n", kinds.join(" "));
    let (send, lines) = sync_channel(AHEAD);
    for server in servers {
        let (send, request, again) = (send.clone(), request.clone(), arguments.reconnect);
        thread::Builder::new()
            .name("mcrs-watch".into())
            .spawn(move || follow(&server, &request, form, again, &send))
            .map_err(|e| Failure::new(SERVER, format!("failed to start a thread: {e}")))?;
    }
    drop(send);
    let mut end = Ok(());
    while let Ok(line) = lines.recv() {
        match line {
            Ok(line) => print(&line)?,
            Err(failure) if end.is_ok() => end = Err(failure),
            Err(Failure { line, .. }) => write_line(&format!("mcrs: {line}")),
        }
    }
    end
}

/// The form of the output.
#[derive(Clone, Copy, Debug)]
struct Form {
    json: bool,
    /// Whether each line begins with its server.
    named: bool,
}

type Lines = SyncSender<Result<String, Failure>>;

/// Passes on the lines of a server until it is lost, or `again` and again.
fn follow(server: &Server, request: &str, form: Form, again: bool, send: &Lines) {
    loop {
        let Err(failure) = read(server, request, form, send) else { return };
        // A server that answers with an error will do so again.
        if !again || failure.status != SERVER {
            let _ = send.send(Err(failure));
            return;
        }
        write_line(&format!("mcrs: {}; connecting again", failure.line));
        thread::sleep(RETRY);
    }
}

/// Passes on the lines of one connection. Returns if the program ends.
fn read(server: &Server, request: &str, form: Form, send: &Lines) -> Result<(), Failure> {
    let mut connection = server.connect()?;
    if connection.ask(request.as_bytes())? != b"OK" {
        return Err(connection.refusal(request));
    }
    connection.wait_always()?;
    loop {
        let line = form.line(&server.name(), connection.line()?);
        if send.send(Ok(line)).is_err() {
            return Ok(());
        }
    }
}

impl Form {
    fn line(self, server: &str, line: &[u8]) -> String {
        if self.json {
            return object(server, line);
        }
        let line = printable(line);
        if self.named { format!("{server}  {line}\n") } else { format!("{line}\n") }
    }
}

/// Returns a line of words `NAME=VALUE` as an object. `msg` and `req` have the rest of the line: a
/// message, and the line of a client. `detail` is any text before `req`. Other words are in `text`.
fn object(server: &str, line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let mut object = Map::new();
    object.insert("server".into(), server.into());
    let mut text = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (word, others) = rest.split_once(' ').unwrap_or((rest, ""));
        let whole = std::mem::replace(&mut rest, others.trim_ascii_start());
        let Some((name, token)) = word.split_once('=') else {
            text.push(word);
            continue;
        };
        match name {
            "msg" | "req" => {
                object.insert(name.into(), whole.get(name.len() + 1..).into());
                rest = "";
            }
            "detail" => {
                let (detail, others) = whole.split_at(end_of_detail(whole));
                object.insert(name.into(), detail.get(name.len() + 1..).into());
                rest = others.trim_ascii_start();
            }
            // `proxy_req` has its own type first, and then that of the reply.
            "type" if object.contains_key(name) => {
                object.insert("reply_type".into(), value(name, token));
            }
            "key" => match decode(token.as_bytes()) {
                Some(key) => {
                    let (name, key) = key_json(&key);
                    object.insert(name.into(), key.into());
                }
                None => {
                    object.insert("key".into(), token.into());
                }
            },
            "ts" => {
                object.insert("ts".into(), time(token).unwrap_or_else(|| token.into()));
            }
            name => {
                object.insert(name.into(), value(name, token));
            }
        }
    }
    if !text.is_empty() {
        object.insert("text".into(), text.join(" ").into());
    }
    json(&Value::Object(object))
}

/// Returns the end of the text that `line` begins with: the last ` req=` before a command, because
/// the text may have one, too, and so may the request.
fn end_of_detail(line: &str) -> usize {
    const REQUEST: &str = " req=";
    let is_request = |at: &usize| {
        let request = line.get(at + REQUEST.len()..).unwrap_or_default();
        request.split_once(' ').is_some_and(|(word, _)| Command::named(word).is_some())
    };
    let mut ends = line.match_indices(REQUEST).map(|(at, _)| at);
    let end = ends.clone().filter(is_request).last().or_else(|| ends.next());
    end.or_else(|| line.find(' ')).unwrap_or(line.len())
}

/// Returns seconds since 1970. The microseconds behind the point are a number of their own: `1.5`
/// is five microseconds after one second.
fn time(token: &str) -> Option<Value> {
    let (seconds, micros) = token.split_once('.')?;
    let (seconds, micros) = (seconds.parse::<u32>().ok()?, micros.parse::<u32>().ok()?);
    Some((f64::from(seconds) + f64::from(micros) / 1e6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object() {
        let line = b"ts=1795997062.250000 gid=4 type=item_get key=a%20%1b status=not_found cfd=23 size=0";
        let expected = "{\"server\":\"a:1\",\"ts\":1795997062.25,\"gid\":4,\"type\":\"item_get\",\
                        \"key\":\"a \\u001b\",\"status\":\"not_found\",\"cfd\":23,\"size\":0}\n";
        let sorted = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(sorted(&object("a:1", line)), sorted(expected));
        assert!(object("a:1", line).contains("\\u001b"));
        assert_eq!(object("s", b"key=%4"), "{\"key\":\"%4\",\"server\":\"s\"}\n");
        assert_eq!(object("s", b"skipped 3"), "{\"server\":\"s\",\"text\":\"skipped 3\"}\n");
        let line = b"ts=1.5 gid=1 type=proxy_req elapsed=9 type=105 res=ok be=: detail= req=get  key=b ts=x";
        let expected = "{\"be\":\":\",\"detail\":\"\",\"elapsed\":9,\"gid\":1,\"reply_type\":105,\
                        \"req\":\"get  key=b ts=x\",\"res\":\"ok\",\"server\":\"s\",\"ts\":1.000005,\"type\":\"proxy_req\"}\n";
        assert_eq!(object("s", line), expected);
        for (detail, req) in [
            ("a b", "get b"),
            ("type=x", "get b"),
            ("a req=b ts=x", "get b"),
            ("7", "get req=b"),
            ("", "mg req=b req="),
            ("a", "other b"),
            ("a b", ""),
        ] {
            let line = format!("type=proxy_req type=105 detail={detail} req={req}");
            let expected = serde_json::json!({ "server": "s", "type": "proxy_req", "reply_type": 105, "detail": detail, "req": req });
            assert_eq!(object("s", line.as_bytes()), json(&expected), "{line}");
        }
        assert_eq!(object("s", b"detail=a b=1"), "{\"b\":1,\"detail\":\"a\",\"server\":\"s\"}\n");
        let expected = "{\"fd\":7,\"msg\":\"no more type=x\",\"server\":\"s\",\"type\":\"connerr\"}\n";
        assert_eq!(object("s", b"type=connerr  fd=7 msg=no more type=x"), expected);
        assert_eq!(time("1.5"), Some(1.000_005.into()));
    }

    #[test]
    fn a_terminal_never_gets_what_a_key_says() {
        let form = Form { json: false, named: true };
        assert_eq!(form.line("a:1", b"key=\x1b[2J"), "a:1  key=\\u{1b}[2J\n");
    }
}
