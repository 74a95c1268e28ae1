//! UDP over real sockets: frames, requests with and without a reply, and that no state of a
//! datagram reaches the next. A missing reply is recognised because the reply to the next datagram
//! comes first: both use one socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod waiting;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use memcache_rs::internal::state::WorkerStats;
use memcache_rs::{BoundAddress, Fault, FaultRule, Listen, Server, ServerConfig, StartError, Stop};
use waiting::{PATIENCE, eventually};

/// Starts a server at a UDP address and, behind it, a TCP address.
fn start_at(addr: &str, change: impl FnOnce(&mut ServerConfig)) -> Server {
    let udp = Listen::Udp { addr: addr.parse().unwrap() };
    let tcp = Listen::tcp("127.0.0.1:0".parse().unwrap());
    let mut config = ServerConfig { listen: vec![udp, tcp], threads: 2, ..ServerConfig::default() };
    change(&mut config);
    Server::start(config).unwrap()
}

fn start() -> Server {
    start_at("127.0.0.1:0", |_| ())
}

fn address(server: &Server) -> SocketAddr {
    match server.addresses().first().unwrap() {
        BoundAddress::Udp(addr) => *addr,
        other => panic!("{other:?}"),
    }
}

fn sum(server: &Server, count: fn(&WorkerStats) -> u64) -> u64 {
    server.context().workers.iter().map(|worker| count(worker)).sum()
}

struct Client {
    socket: UdpSocket,
    id: u16,
}

impl Client {
    fn of(server: &Server) -> Self {
        let server = address(server);
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, id: 0xff00 }
    }

    fn send(&self, header: [u16; 4], payload: &[u8]) {
        let mut datagram: Vec<u8> = header.iter().flat_map(|part| part.to_be_bytes()).collect();
        datagram.extend_from_slice(payload);
        assert_eq!(self.socket.send(&datagram).unwrap(), datagram.len());
    }

    /// Sends a request that must have no reply.
    fn tell(&mut self, payload: &[u8]) {
        self.id = self.id.wrapping_add(1);
        self.send([self.id, 0, 1, 0], payload);
    }

    /// Sends a request and joins its reply. The frames must be complete.
    #[track_caller]
    fn ask(&mut self, payload: &[u8]) -> Vec<u8> {
        self.tell(payload);
        let (mut answer, mut next) = (Vec::new(), 0);
        loop {
            let mut datagram = [0; 2000];
            let n = self.socket.recv(&mut datagram).unwrap();
            assert!((9..=1400).contains(&n), "{n} bytes");
            let mut header = datagram[..8].chunks(2).map(|part| u16::from_be_bytes([part[0], part[1]]));
            let [id, sequence, total, zero] = std::array::from_fn(|_| header.next().unwrap());
            assert_eq!((id, sequence, zero), (self.id, next, 0));
            answer.extend_from_slice(&datagram[8..n]);
            next += 1;
            if next == total {
                return answer;
            }
            assert_eq!(n, 1400, "only the last may be short");
        }
    }

    #[track_caller]
    fn exchange(&mut self, payload: &[u8], answer: &[u8]) {
        let got = self.ask(payload);
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(answer));
    }
}

#[test]
fn a_datagram_is_answered_in_memcacheds_frame() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"set a 7 0 2\r\nxy\r\n", b"STORED\r\n");
    client.exchange(b"get a none a\r\n", b"VALUE a 7 2\r\nxy\r\nVALUE a 7 2\r\nxy\r\nEND\r\n");
    client.exchange(b"mg a v f\r\nmn\r\nversion\r\n", b"VA 2 f7\r\nxy\r\nMN\r\nVERSION 1.6.45\r\n");
    client.exchange(b"nonsense\r\n", b"ERROR\r\n");
    // The sequence number of a request and its reserved bytes are ignored.
    client.send([3, 9, 1, 9], b"incr none 1\r\n");
    let mut datagram = [0; 100];
    let n = client.socket.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..n], b"\x00\x03\x00\x00\x00\x01\x00\x00NOT_FOUND\r\n");
    assert_eq!(server.cache().get(b"a").as_deref(), Some(&b"xy"[..]));
}

#[test]
fn a_long_answer_comes_in_several_datagrams() {
    let server = start();
    let mut client = Client::of(&server);
    // Around the size of one datagram, with the bytes of header and END: copied, pinned, and in
    // pieces.
    for length in [1, 1360, 1365, 1370, 1371, 1372, 1373, 1374, 1375, 2760, 5000, 20_000, 100_000] {
        let value: Vec<u8> = (0..length).map(|i| b'a' + u8::try_from(i * 7 % 26).unwrap()).collect();
        server.cache().set(b"v", &value, Duration::from_secs(100)).unwrap();
        let mut expected = format!("VALUE v 0 {length}\r\n").into_bytes();
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\nEND\r\n");
        assert!(client.ask(b"get v\r\n") == expected, "{length}");
    }
}

#[test]
fn what_is_no_request_is_not_answered() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"set a 0 0 1\r\n1\r\n", b"STORED\r\n");
    for datagram in [&b""[..], b"x", b"1234567", b"12345678"] {
        client.socket.send(datagram).unwrap();
    }
    for total in [0, 2, 256, 257] {
        client.send([1, 0, total, 0], b"incr a 1\r\n");
    }
    client.tell(b"");
    // An incomplete line, and a reply of another server.
    client.tell(b"incr a 1");
    client.tell(b"ERROR\r\nincr a 1\r\n");
    client.tell(b"incr a 1 noreply\r\n");
    client.tell(b"GET / HTTP/1.1\r\nincr a 1\r\n");
    client.tell(b"quit\r\nincr a 1\r\n");
    client.exchange(b"get a\r\n", b"VALUE a 0 1\r\n2\r\nEND\r\n");
    client.exchange(b"get a\r\nquit\r\nget a\r\n", b"VALUE a 0 1\r\n2\r\nEND\r\n");
}

#[test]
fn nothing_is_left_for_the_next_datagram() {
    let server = start();
    let (mut one, mut other) = (Client::of(&server), Client::of(&server));
    for begun in [
        &b"set p 0 0 40\r\nabc"[..],
        b"set p 0 0 40\r\n",
        b"set p 0 0 8\r\nabcdefgh\r",
        b"ms p 40 T0\r\nabc",
        b"set p 0 0 900000\r\nabc",
        b"get ",
    ] {
        one.tell(begun);
        other.exchange(b"get p\r\n", b"END\r\n");
        one.exchange(b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    // The bytes to discard are not expected in the next datagram either.
    one.exchange(b"set p 0 0 9000000\r\nabc", b"SERVER_ERROR object too large for cache\r\n");
    other.exchange(b"get p\r\n", b"END\r\n");
    // Commands before the incomplete one are answered.
    one.exchange(b"version\r\nset p 0 0 4\r\nab", b"VERSION 1.6.45\r\n");
    assert_eq!(server.cache().get(b"p"), None);
}

#[test]
fn an_answer_is_bounded() {
    let server = start_at("127.0.0.1:0", |config| config.output_limit = 20_000);
    let mut client = Client::of(&server);
    let value = |length| vec![b'x'; length];
    let ttl = || Duration::from_secs(100);
    let too_large = b"SERVER_ERROR reply too large\r\n";
    server.cache().set(b"fits", value(19_900), ttl()).unwrap();
    server.cache().set(b"more", value(20_000), ttl()).unwrap();
    server.cache().set(b"copied", value(3000), ttl()).unwrap();
    assert_eq!(client.ask(b"get fits\r\n").len(), 19_900 + b"VALUE fits 0 19900\r\n\r\nEND\r\n".len());
    client.exchange(b"get more\r\n", too_large);
    client.exchange(b"mg more v\r\n", too_large);
    client.exchange(b"get copied copied copied copied copied copied copied\r\n", too_large);
    client.exchange(&b"get copied\r\n".repeat(7), too_large);
    client.exchange(&b"stats settings\r\n".repeat(20), too_large);
    for number in 0..1000 {
        server.cache().set(format!("key{number}").as_bytes(), b"x", ttl()).unwrap();
    }
    client.exchange(b"lru_crawler metadump all\r\n", too_large);
    client.exchange(b"version\r\n", b"VERSION 1.6.45\r\n");
}

#[test]
fn a_datagram_of_many_commands_gives_way() {
    let server = start_at("127.0.0.1:0", |config| {
        config.requests_per_event = 3;
        config.threads = 1;
    });
    let mut client = Client::of(&server);
    client.exchange(b"set n 0 0 1\r\n0\r\n", b"STORED\r\n");
    let expected: Vec<u8> = (1..=1000).flat_map(|n| format!("{n}\r\n").into_bytes()).collect();
    client.exchange(&b"incr n 1\r\n".repeat(1000), &expected);
    assert!(sum(&server, |w| w.conn_yields.get()) >= 300);
}

#[test]
fn a_long_answer_was_sent_in_one_visit() {
    let server = start_at("127.0.0.1:0", |config| config.threads = 1);
    server.cache().set(b"k", vec![b'x'; 900_000], Duration::from_secs(100)).unwrap();
    let client = Client::of(&server);
    client.send([1, 0, 1, 0], b"get k\r\n");
    // Unread replies are lost, and count as sent.
    eventually("all is sent", || sum(&server, |w| w.bytes_written.get()) > 900_000);
    assert!(sum(&server, |w| w.conn_yields.get()) >= 3);
}

#[test]
fn many_datagrams_at_once_are_all_answered() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"set n 0 0 1\r\n0\r\n", b"STORED\r\n");
    // Few enough for the buffers of both sockets.
    for id in 1..=100 {
        client.send([id, 0, 1, 0], b"incr n 1\r\n");
    }
    for id in 1..=100_u16 {
        let mut datagram = [0; 100];
        let n = client.socket.recv(&mut datagram).unwrap();
        assert_eq!(datagram[..2], id.to_be_bytes());
        assert_eq!(&datagram[8..n], format!("{id}\r\n").as_bytes());
    }
}

#[test]
fn watching_is_not_possible() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"watch fetchers\r\n", b"CLIENT_ERROR watch commands not allowed\r\n");
    client.exchange(b"watch\r\nmn\r\n", b"CLIENT_ERROR watch commands not allowed\r\nMN\r\n");
    client.exchange(b"get a\r\n", b"END\r\n");
}

#[test]
fn traffic_and_sockets_are_counted() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"get a\r\n", b"END\r\n");
    eventually("bytes are counted", || sum(&server, |w| w.bytes_written.get()) == 13);
    assert_eq!(sum(&server, |w| w.bytes_read.get()), 15);
    assert_eq!(sum(&server, |w| w.connections.get()), 1);

    let Some(BoundAddress::Tcp(tcp)) = server.addresses().get(1) else { panic!("{server:?}") };
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"stats conns\r\nquit\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    let line = format!(":addr udp:{}\r\n", address(&server));
    let (before, after) = told.split_once(&line).unwrap_or_else(|| panic!("{told}"));
    let fd = before.rsplit(' ').next().unwrap();
    assert!(before.ends_with(&format!("STAT {fd}:UDP UDP\r\nSTAT {fd}")), "{told}");
    assert!(after.starts_with(&format!("STAT {fd}:state conn_read\r\n")), "{told}");
    assert!(client.ask(b"stats conns\r\n").ends_with(b"END\r\n"));
}

#[test]
fn faults_are_injected() {
    let server = start();
    let mut client = Client::of(&server);
    let faults = server.cache().faults();
    let once = |fault| FaultRule { command: Some("get".into()), times: Some(1), ..FaultRule::new(fault) };
    faults.add(once(Fault::Error("broken".into())));
    client.exchange(b"get a\r\n", b"SERVER_ERROR broken\r\n");
    faults.add(once(Fault::Drop));
    client.tell(b"version\r\nget a\r\n");
    client.exchange(b"get a\r\n", b"END\r\n");
    // Later datagrams wait behind the delay.
    faults.add(once(Fault::Delay(Duration::from_millis(30))));
    client.send([1, 0, 1, 0], b"get a\r\n");
    client.send([2, 0, 1, 0], b"get a\r\n");
    for id in 1..=2_u16 {
        let mut datagram = [0; 100];
        let n = client.socket.recv(&mut datagram).unwrap();
        assert_eq!(datagram[..2], id.to_be_bytes());
        assert_eq!(&datagram[8..n], b"END\r\n");
    }
}

#[test]
fn addresses_are_bound_one_by_one() {
    let server = start_at("[::1]:0", |_| ());
    Client::of(&server).exchange(b"get a\r\n", b"END\r\n");
    drop(server);

    let server = start();
    let taken = address(&server);
    assert!(taken.ip().is_loopback() && taken.port() != 0);
    let config = ServerConfig { listen: vec![Listen::Udp { addr: taken }], ..ServerConfig::default() };
    match Server::start(config.clone()) {
        Err(StartError::Listen(what, _)) => assert_eq!(what, taken.to_string()),
        other => panic!("{other:?}"),
    }
    // A stopped server leaves nothing behind.
    drop(server);
    let again = Server::start(config).unwrap();
    assert_eq!(again.addresses(), [BoundAddress::Udp(taken)]);
}

#[test]
fn a_graceful_stop_ends() {
    let server = start();
    let mut client = Client::of(&server);
    client.exchange(b"get a\r\n", b"END\r\n");
    server.stop(Stop::Graceful, PATIENCE).unwrap();
    assert!(!server.is_running());

    let server = start_at("127.0.0.1:0", |config| config.shutdown_enabled = true);
    Client::of(&server).tell(b"shutdown\r\n");
    server.wait().unwrap();
    assert!(!server.is_running());
}
