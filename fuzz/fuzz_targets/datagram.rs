//! Datagrams to a server's UDP socket. For each input, the reply is complete datagrams in order,
//! and the next client is served.

#![no_main]

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::config::MIB;
use memcache_core::{BoundAddress, CacheConfig, Listen, Server, ServerConfig};
use memcache_fuzz::is_loud;

struct World {
    server: Server,
    client: UdpSocket,
    /// Asks for the version behind each datagram. Its reply comes last.
    other: UdpSocket,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let cache = CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() };
    let listen = vec![Listen::Udp { addr: ([127, 0, 0, 1], 0).into() }];
    // A complete reply fits the buffer of a socket.
    let config = ServerConfig { listen, cache, threads: 1, output_limit: 30_000, ..ServerConfig::default() };
    let server = Server::start(config).expect("a server");
    let [BoundAddress::Udp(address)] = server.addresses() else { panic!("no UDP") };
    let connect = || {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.connect(address).expect("a server");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        client
    };
    let (client, other) = (connect(), connect());
    client.set_nonblocking(true).expect("a mode");
    World { server, client, other }
});

fuzz_target!(|input: &[u8]| {
    let World { server, client, other } = &*WORLD;
    if input.len() > 60_000 || is_loud(input) {
        return;
    }
    client.send(input).expect("sent");
    other.send(b"\x12\x34\0\0\0\x01\0\0version\r\n").expect("sent");
    let mut datagram = [0; 2000];
    // The fuzzer's own timer interrupts it.
    let n = loop {
        match other.recv(&mut datagram) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => break result.expect("the next client is served"),
        }
    };
    assert_eq!(&datagram[..n], b"\x12\x34\0\0\0\x01\0\0VERSION 1.6.45\r\n");
    let mut expected = None;
    let mut sequence = 0_u16;
    while let Ok(n) = client.recv(&mut datagram) {
        assert!((9..=1400).contains(&n) && input.len() > 8 && input[4..6] == [0, 1]);
        let [i0, i1, s0, s1, t0, t1, 0, 0] = datagram[..8] else { panic!("reserved bytes") };
        assert_eq!([i0, i1], input[..2]);
        assert_eq!(u16::from_be_bytes([s0, s1]), sequence);
        assert_eq!(*expected.get_or_insert([t0, t1]), [t0, t1]);
        sequence += 1;
        assert!(n == 1400 || sequence == u16::from_be_bytes([t0, t1]));
    }
    assert_eq!(expected.map_or(0, u16::from_be_bytes), sequence, "a part is missing");
    assert!(server.is_running());
});
