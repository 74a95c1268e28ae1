//! Proxies that other crates make, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use memcache_rs::internal::protocol::output::SlotId;
use memcache_rs::internal::proxy::engine::{Client as Sender, Engine, Host};
use memcache_rs::internal::proxy::hooks::Hooks;
use memcache_rs::internal::proxy::links::Ask;
use memcache_rs::internal::proxy::program::{AnyEngine, Program, Seat};
use memcache_rs::internal::proxy::reply::Meaning;
use memcache_rs::internal::proxy::request::ClientRequest;
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
}

type Wake = Arc<dyn Fn() + Send + Sync>;

struct LocalEngine {
    hooks: Hooks,
    is_wide: Arc<AtomicBool>,
    answers: Vec<(SlotId, Vec<u8>)>,
}

impl Program for Local {
    fn engine(&self, seat: Seat, _: &mut Host<'_>) -> Result<AnyEngine, String> {
        if self.refuses {
            return Err(format!("worker {} refuses", seat.worker));
        }
        *self.wake.lock().unwrap() = Some(seat.wake);
        let mut hooks = Hooks::default();
        assert!(hooks.common.add("mg"));
        let is_wide = Arc::clone(&self.is_wide);
        Ok(AnyEngine::Other(Box::new(LocalEngine { hooks, is_wide, answers: Vec::new() })))
    }
}

impl Engine for LocalEngine {
    fn hooks(&self) -> Hooks {
        self.hooks.clone()
    }

    fn begin(&mut self, client: Sender, requests: Vec<ClientRequest>, host: &mut Host<'_>) {
        let mut answer = b"CLIENT_ERROR routed ".to_vec();
        for request in &requests {
            let line = [request.line(), b"\r\n"].concat();
            answer.extend_from_slice(&host.server.carry_out(&line, client.fd));
        }
        self.answers.push((client.slot, answer));
    }

    fn reply(&mut self, _: Ask, _: Option<(&[u8], Meaning)>, _: &mut Host<'_>) {}

    fn take_answer(&mut self) -> Option<(SlotId, Vec<u8>)> {
        self.answers.pop()
    }

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
