//! Proxies that other crates make, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use memcache_rs::internal::proxy::command::COMMANDS;
use memcache_rs::internal::proxy::engine::{Client as Sender, Engine, Host};
use memcache_rs::internal::proxy::hooks::Hooks;
use memcache_rs::internal::proxy::links::Ask;
use memcache_rs::internal::proxy::program::{AnyEngine, Program, Seat};
use memcache_rs::internal::proxy::reply::Meaning;
use memcache_rs::internal::proxy::request::Requests;
use memcache_rs::{Listen, ProxyConfig, Server, ServerConfig};
use proxying::{Client, start};
use waiting::eventually;

/// A proxy of this test: it answers `mg`, and after a wake-up also `get`, with the reply of the
/// server's own cache. `wake` wakes its only worker.
#[derive(Default)]
struct Local {
    is_wide: Arc<AtomicBool>,
    wake: Arc<std::sync::Mutex<Option<Wake>>>,
    refuses: bool,
    /// Commands that it routes beside `mg`, if it is lenient.
    lenient: Option<&'static [&'static str]>,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

struct LocalEngine {
    hooks: Hooks,
    is_wide: Arc<AtomicBool>,
}

impl Program for Local {
    fn engine(&self, seat: Seat, _: &mut Host<'_>) -> Result<AnyEngine, String> {
        if self.refuses {
            return Err(format!("worker {} refuses", seat.worker));
        }
        *self.wake.lock().unwrap() = Some(seat.wake);
        let mut hooks = Hooks::default();
        assert!(hooks.common.add("mg"));
        if let Some(words) = self.lenient {
            hooks.is_lenient = true;
            assert!(words.iter().all(|word| hooks.common.add(word)));
        }
        let is_wide = Arc::clone(&self.is_wide);
        Ok(AnyEngine::Other(Box::new(LocalEngine { hooks, is_wide })))
    }
}

impl Engine for LocalEngine {
    fn hooks(&self) -> Hooks {
        self.hooks.clone()
    }

    fn begin(&mut self, client: Sender, requests: Requests, host: &mut Host<'_>) {
        let mut answer = b"CLIENT_ERROR routed ".to_vec();
        for request in &requests {
            answer.extend_from_slice(&host.server.carry_out(request.bytes(), client.fd));
        }
        host.answers.answer(client.slot, &answer);
    }

    fn reply(&mut self, _: Ask, _: Option<(&[u8], Meaning)>, _: &mut Host<'_>) {}

    fn woken(&mut self, _: &mut Host<'_>) {
        if self.is_wide.load(SeqCst) {
            self.hooks.common.add("get");
        }
    }
}

#[test]
fn a_program_routes_what_it_hooks_and_the_cache_answers_the_rest() {
    let program = Arc::new(Local::default());
    let (is_wide, wake) = (Arc::clone(&program.is_wide), Arc::clone(&program.wake));
    let config = ProxyConfig::from(program as Arc<dyn Program>);
    let server = start(ServerConfig { proxy: Some(config), ..ServerConfig::default() });
    let mut client = Client::new(&server);
    let big = "x".repeat(900_000);
    client.asks(&format!("set big 0 0 {}\r\n{big}\r\n", big.len()), "STORED\r\n");
    client.asks("set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    client.asks("mg k v\r\n", "CLIENT_ERROR routed VA 1\r\nx\r\n");
    client.asks("mg none v\r\nmn\r\n", "CLIENT_ERROR routed EN\r\nMN\r\n");
    client.asks("mg big v\r\n", &format!("CLIENT_ERROR routed VA {}\r\n{big}\r\n", big.len()));
    is_wide.store(true, SeqCst);
    let wake = wake.lock().unwrap().clone().unwrap();
    wake();
    eventually("the get is routed", || {
        client.send("get k\r\nmn\r\n");
        let mut reply = Vec::new();
        while !reply.ends_with(b"MN\r\n") {
            let mut byte = [0];
            client.0.read_exact(&mut byte).unwrap();
            reply.push(byte[0]);
        }
        reply.starts_with(b"CLIENT_ERROR routed VALUE k 0 1")
    });
}

#[test]
fn a_server_does_not_start_if_a_worker_refuses() {
    let program: Arc<dyn Program> = Arc::new(Local { refuses: true, ..Local::default() });
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let config = ServerConfig { listen, threads: 2, proxy: Some(program.into()), ..ServerConfig::default() };
    let error = Server::start(config).unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
}

fn lenient(words: &'static [&'static str]) -> Server {
    let program: Arc<dyn Program> = Arc::new(Local { lenient: Some(words), ..Local::default() });
    start(ServerConfig { proxy: Some(program.into()), ..ServerConfig::default() })
}

#[test]
fn a_lenient_program_gets_what_a_server_would_refuse() {
    let server = lenient(&["get", "gat", "set", "touch"]);
    let mut client = Client::new(&server);
    let bad = "CLIENT_ERROR parsing request\r\n";
    for line in ["set k", "set with wrong tokens here", "mg", "get", "gat 1", "touch k", "ms k x", "x"] {
        client.asks(&format!("{line}\r\n"), bad);
    }
    // The cache refuses these, and the program gets them. So each has one answer.
    client.asks("mg k !\r\n", bad);
    client.asks("mg k s s\r\n", "CLIENT_ERROR routed CLIENT_ERROR duplicate flag\r\n");
    client.asks("touch k x\r\n", "CLIENT_ERROR routed CLIENT_ERROR invalid exptime argument\r\n");
    client.asks(
        "set k x 0 2\r\nhi\r\nmn\r\n",
        "CLIENT_ERROR routed CLIENT_ERROR bad command line format\r\nMN\r\n",
    );
    // It does not route these, so the server refuses them.
    client.asks("incr k x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n");
    client.asks(&format!("get{} k l\r\n", " ".repeat(20)), "CLIENT_ERROR malformed request\r\n");
    client.asks(&format!("get{} k\r\n", " ".repeat(20)), "CLIENT_ERROR routed END\r\n");
    client.asks("verbosity 0\r\n", "OK\r\n");
    let fits = "s".repeat(499 - "mg k O\r\n".len());
    client.asks(&format!("mg k O{fits}\r\n"), "CLIENT_ERROR routed CLIENT_ERROR opaque token too long\r\n");
    client.asks(&format!("mg k O{fits}s\r\n"), "CLIENT_ERROR request too long\r\n");
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "it is disconnected");
    let mut client = Client::new(&server);
    client.asks("nonsense\r\n", bad);
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "it is disconnected");
}

/// Once a lenient program that routed all commands refused `version`.
#[test]
fn a_lenient_program_that_routes_all_commands_leaves_those_about_the_server() {
    let words: Vec<&'static str> = COMMANDS.iter().map(|command| command.word).collect();
    let server = lenient(words.leak());
    let mut client = Client::new(&server);
    client.asks("mg k\r\n", "CLIENT_ERROR routed EN\r\n");
    client.send("version\r\n");
    assert!(client.line().starts_with("VERSION "));
    client.asks("verbosity 0\r\nmn\r\n", "OK\r\nMN\r\n");
}
