//! Replies that come later, over sockets: what a server does while reply slots are open.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod waiting;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use memcache_rs::internal::state::ConnState;
use memcache_rs::{BoundAddress, Fault, FaultRule, Listen, Server, ServerConfig, Stop, Ttl};
use waiting::{PATIENCE, eventually};

/// Longer than any test.
const HOUR: Duration = Duration::from_hours(1);

fn start(config: ServerConfig) -> Server {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    Server::start(ServerConfig { listen, threads: 1, ..config }).unwrap()
}

/// Delays replies for keys that begin with `late`.
fn delay(server: &Server, time: Duration) {
    let key = Some(b"late*".to_vec());
    server.cache().faults().add(FaultRule { key, ..FaultRule::new(Fault::DelayReply(time)) });
}

fn connect(server: &Server) -> TcpStream {
    let BoundAddress::Tcp(address) = server.addresses()[0] else { panic!("no TCP address") };
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn send(mut client: &TcpStream, request: &str) {
    client.write_all(request.as_bytes()).unwrap();
}

#[track_caller]
fn expect(mut client: &TcpStream, reply: &str) {
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), reply);
}

fn read_to_end(mut client: &TcpStream) -> String {
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    got
}

fn pending(server: &Server) -> usize {
    let states = server.context().connections.iter(0);
    states.filter(|(_, state, _)| *state == ConnState::IoPending).count()
}

fn buffered(server: &Server) -> u64 {
    server.context().workers.iter().map(|worker| worker.buffered.get()).sum()
}

#[test]
fn later_commands_of_a_connection_are_carried_out_before_a_late_reply() {
    let server = start(ServerConfig::default());
    delay(&server, HOUR);
    let (late, other) = (connect(&server), connect(&server));
    send(&late, "set a 0 0 1\r\nx\r\nmd late\r\nset b 0 0 1\r\ny\r\nget b\r\n");
    expect(&late, "STORED\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    send(&other, "get b\r\nstats conns\r\n");
    expect(&other, "VALUE b 0 1\r\ny\r\nEND\r\n");
    // This input is not read before the late reply.
    send(&late, "set c 0 0 1\r\nz\r\n");
    server.stop(Stop::Now, Duration::ZERO).unwrap();
    let mut rest = Vec::new();
    // A socket that is closed with unread input is reset.
    let _ = (&late).read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn replies_leave_in_the_order_of_the_commands() {
    let server = start(ServerConfig::default());
    let cache = server.cache();
    for (key, time) in [("late-a", 40), ("late-b", 1), ("late-c", 20)] {
        let fault = Fault::DelayReply(Duration::from_millis(time));
        cache.faults().add(FaultRule { key: Some(key.into()), ..FaultRule::new(fault) });
    }
    let large = "x".repeat(100_000);
    cache.set(b"late-b", &large, Ttl::Never).unwrap();
    let client = connect(&server);
    send(&client, "md late-a\r\nget late-b\r\nmn\r\nmd late-c\r\nmd none\r\nquit\r\nmn\r\n");
    let value = format!("VALUE late-b 0 100000\r\n{large}\r\n");
    assert_eq!(read_to_end(&client), format!("NF\r\n{value}END\r\nMN\r\nNF\r\nNF\r\n"));
    eventually("the memory is freed", || buffered(&server) == 0);
}

#[test]
fn a_hundred_thousand_replies_come_late() {
    const CLIENTS: usize = 20;
    const REPLIES: usize = 5000;
    let server = start(ServerConfig::default());
    delay(&server, Duration::from_millis(5));
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect(&server)).collect();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| send(client, &"md late\r\n".repeat(REPLIES)));
            scope.spawn(|| expect(client, &"NF\r\n".repeat(REPLIES)));
        }
    });
    eventually("the memory is freed", || buffered(&server) == 0);
    assert_eq!(pending(&server), 0);
}

#[test]
fn a_graceful_stop_waits_for_late_replies() {
    let server = start(ServerConfig::default());
    delay(&server, Duration::from_millis(200));
    let client = connect(&server);
    send(&client, "md late\r\nmn\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    server.stop(Stop::Graceful, PATIENCE).unwrap();
    assert_eq!(read_to_end(&client), "NF\r\nMN\r\n");
}

#[test]
fn a_graceful_stop_ends_at_its_deadline_in_spite_of_late_replies() {
    let server = start(ServerConfig::default());
    delay(&server, HOUR);
    let client = connect(&server);
    send(&client, "mn\r\nmd late\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    server.stop(Stop::Graceful, Duration::from_millis(50)).unwrap();
    assert_eq!(read_to_end(&client), "MN\r\n");
}

#[test]
fn a_client_that_waits_for_a_reply_is_not_idle() {
    let server = start(ServerConfig { idle_timeout: 10, ..ServerConfig::default() });
    delay(&server, HOUR);
    let clock = server.cache().clock();
    clock.freeze();
    let (waiting, idle) = (connect(&server), connect(&server));
    send(&waiting, "md late\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    send(&idle, "mn\r\n");
    expect(&idle, "MN\r\n");
    clock.advance(100).unwrap();
    // The check for idle connections looks at the older one first.
    assert_eq!(read_to_end(&idle), "");
    assert_eq!(pending(&server), 1);
}

#[test]
fn the_idle_time_begins_with_a_late_reply() {
    let server = start(ServerConfig { idle_timeout: 10, ..ServerConfig::default() });
    delay(&server, Duration::from_millis(50));
    let clock = server.cache().clock();
    clock.freeze();
    let client = connect(&server);
    send(&client, "md late\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    clock.advance(100).unwrap();
    expect(&client, "NF\r\n");
    let now = clock.now();
    eventually("the time of the reply is known", || {
        server.context().connections.iter(0).any(|(_, state, last)| state == ConnState::Read && last == now)
    });
    send(&client, "mn\r\n");
    expect(&client, "MN\r\n");
}

#[test]
fn a_connection_that_waits_for_a_reply_is_not_settled() {
    let server = start(ServerConfig::default());
    delay(&server, Duration::from_millis(200));
    let client = connect(&server);
    send(&client, "md late\r\n");
    eventually("the reply is awaited", || pending(&server) == 1);
    // This command is carried out after the late reply.
    send(&client, "set a 0 0 1 noreply\r\nx\r\n");
    assert!(server.settle(PATIENCE));
    assert_eq!(server.cache().get(b"a").unwrap(), b"x");
    expect(&client, "NF\r\n");

    let server = start(ServerConfig::default());
    delay(&server, HOUR);
    let client = connect(&server);
    send(&client, "md late\r\n");
    assert!(!server.settle(Duration::from_millis(20)));
    drop(client);
}

#[test]
fn a_dropped_connection_loses_its_late_replies() {
    let server = start(ServerConfig::default());
    delay(&server, HOUR);
    let key = Some(b"drop".to_vec());
    server.cache().faults().add(FaultRule { key, ..FaultRule::new(Fault::Drop) });
    let client = connect(&server);
    send(&client, "md late\r\nmd none\r\nmd drop\r\n");
    assert_eq!(read_to_end(&client), "");
    eventually("the memory is freed", || buffered(&server) == 0);
    // The next connection has the same number.
    let next = connect(&server);
    send(&next, "mn\r\n");
    expect(&next, "MN\r\n");
}

#[test]
fn a_client_that_ends_its_input_gets_its_late_replies() {
    let server = start(ServerConfig::default());
    delay(&server, Duration::from_millis(20));
    let client = connect(&server);
    send(&client, "md late\r\nmn\r\n");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), "NF\r\nMN\r\n");
}

#[test]
fn a_client_that_reads_slowly_gets_all_late_replies() {
    let server = start(ServerConfig::default());
    delay(&server, Duration::from_millis(1));
    let large = "x".repeat(900_000);
    server.cache().set(b"late", &large, Ttl::Never).unwrap();
    let client = connect(&server);
    send(&client, &"get late\r\n".repeat(20));
    send(&client, "quit\r\n");
    eventually("the socket is full", || {
        server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Mwrite)
    });
    let value = format!("VALUE late 0 900000\r\n{large}\r\nEND\r\n");
    assert!(read_to_end(&client) == value.repeat(20));
}
