//! Proxies whose worker is late: it is busy while time limits pass. Replies that have come by then
//! count.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
#[allow(dead_code, reason = "the tests wait for replies alone")]
mod waiting;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use memcache_rs::internal::proxy::backend::Address;
use memcache_rs::internal::proxy::bounds::Bounds;
use memcache_rs::internal::proxy::engine::{Client as From, Engine, Host};
use memcache_rs::internal::proxy::hooks::Hooks;
use memcache_rs::internal::proxy::links::{Ask, Place};
use memcache_rs::internal::proxy::program::{AnyEngine, Program, Seat};
use memcache_rs::internal::proxy::reply::Meaning;
use memcache_rs::internal::proxy::request::Requests;
use memcache_rs::{Server, ServerConfig};
use proxying::{Client, start};
use waiting::PATIENCE;

/// The time limits of this test.
const LIMIT: Duration = Duration::from_secs(2);

/// A backend that replies to `mg` when the test or the engine asks for it, and the ways to it.
struct Backend {
    address: SocketAddr,
    /// Has the reply to the next request sent.
    go: Sender<()>,
    /// A request has come, or a reply was sent.
    done: Receiver<()>,
}

impl Backend {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((go, told), (tell, done)) = (channel(), channel());
        thread::spawn(move || {
            let mut socket = BufReader::new(listener.accept().unwrap().0);
            let mut line = String::new();
            while socket.read_line(&mut line).is_ok_and(|n| n > 0) {
                if line == "version\r\n" {
                    socket.get_mut().write_all(b"VERSION 1\r\n").unwrap();
                } else {
                    // Without the other ends, the test is over.
                    if tell.send(()).is_err() || told.recv().is_err() {
                        return;
                    }
                    socket.get_mut().write_all(b"EN\r\n").unwrap();
                    let _ = tell.send(());
                }
                line.clear();
            }
        });
        Self { address, go, done }
    }

    /// Waits for a request, or until a reply is sent.
    fn wait(&self) {
        self.done.recv_timeout(PATIENCE).unwrap();
    }
}

/// A proxy of this test: it sends `mg` to the backend.
struct Late {
    backend: Arc<Mutex<Backend>>,
    read_timeout: Duration,
}

struct LateEngine {
    backend: Arc<Mutex<Backend>>,
    link: usize,
    waiting: Option<From>,
    deadline: Option<Instant>,
}

impl Program for Late {
    fn engine(&self, _: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let backend = Arc::clone(&self.backend);
        let SocketAddr::V4(address) = backend.lock().unwrap().address else { panic!("not IPv4") };
        let place = Place {
            address: Address::Tcp(address.ip().to_string(), address.port()),
            label: None,
            bounds: Bounds { read_timeout: self.read_timeout, ..Bounds::default() },
            rules: None,
            server_name: None,
            ordinal: 0,
        };
        let link = host.links.acquire(&Arc::new(place));
        Ok(AnyEngine::Other(Box::new(LateEngine { backend, link, waiting: None, deadline: None })))
    }
}

impl Engine for LateEngine {
    fn hooks(&self) -> Hooks {
        let mut hooks = Hooks::default();
        assert!(hooks.common.add("mg"));
        hooks
    }

    /// The key says what the worker does.
    fn begin(&mut self, client: From, requests: Requests, host: &mut Host<'_>) {
        for request in &requests {
            let key = request.key();
            if key == b"busy" {
                // The reply comes while the worker is busy, and so does the end of the limit.
                let backend = self.backend.lock().unwrap();
                backend.go.send(()).unwrap();
                backend.wait();
                thread::sleep(LIMIT);
                host.answers.answer(client.slot, b"HD\r\n");
                continue;
            }
            let push = |out: &mut Vec<u8>| out.extend_from_slice(b"mg k\r\n");
            host.links.submit(self.link, Ask { id: 0, number: 0 }, host.now, push).unwrap();
            self.waiting = Some(client.clone());
            match key {
                b"limited" => self.deadline = Some(host.now + LIMIT),
                b"late" => thread::sleep(LIMIT + LIMIT / 10),
                _ => {}
            }
        }
    }

    fn reply(&mut self, _: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        self.deadline = None;
        if let Some(client) = self.waiting.take() {
            host.answers.answer(client.slot, reply.map_or(b"SERVER_ERROR lost\r\n", |(bytes, _)| bytes));
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.deadline
    }

    fn expire(&mut self, until: Instant, host: &mut Host<'_>) {
        if self.deadline.take_if(|deadline| *deadline <= until).is_some()
            && let Some(client) = self.waiting.take()
        {
            host.answers.answer(client.slot, b"SERVER_ERROR late\r\n");
        }
    }
}

/// A proxy whose connection to the backend is open, and a client.
fn bench(read_timeout: Duration) -> (Server, Arc<Mutex<Backend>>, Client) {
    let backend = Arc::new(Mutex::new(Backend::new()));
    let program: Arc<dyn Program> = Arc::new(Late { backend: Arc::clone(&backend), read_timeout });
    let server = start(ServerConfig { proxy: Some(program.into()), ..ServerConfig::default() });
    let mut client = Client::new(&server);
    client.send("mg first\r\n");
    let ends = backend.lock().unwrap();
    ends.wait();
    ends.go.send(()).unwrap();
    ends.wait();
    drop(ends);
    client.expect("EN\r\n");
    (server, backend, client)
}

/// The worker is busy from before the reply comes until after the limit.
#[track_caller]
fn check_reply_in_time(word: &str, read_timeout: Duration) {
    let (server, backend, mut client) = bench(read_timeout);
    client.send(&format!("mg {word}\r\n"));
    backend.lock().unwrap().wait();
    Client::new(&server).asks("mg busy\r\n", "HD\r\n");
    client.expect("EN\r\n");
}

#[test]
fn a_reply_counts_before_the_read_timeout() {
    check_reply_in_time("k", LIMIT);
}

#[test]
fn a_reply_counts_before_the_end_of_a_wait() {
    check_reply_in_time("limited", PATIENCE);
}

#[test]
fn the_time_of_a_reply_begins_with_the_write() {
    let (_server, backend, mut client) = bench(LIMIT);
    client.send("mg late\r\n");
    let backend = backend.lock().unwrap();
    backend.wait();
    backend.go.send(()).unwrap();
    client.expect("EN\r\n");
}
