//! Attacks that need a socket: datagrams, names of sockets, clients that do not read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::state::ConnState;
use memcache_rs::{BoundAddress, Listen, Protocol, Server, ServerConfig, Ttl};

use super::{PATIENCE, connect, eventually, exchange, others_are_served, packet, reply, start};

fn buffered(server: &Server) -> usize {
    server.context().workers.iter().map(|worker| worker.buffered.get()).sum::<u64>() as usize
}

/// Starts a server with a UDP socket, and returns a client of it.
fn start_udp() -> (Server, UdpSocket) {
    let server = start(|config| config.listen.push(Listen::Udp { addr: ([127, 0, 0, 1], 0).into() }));
    let udp = server.addresses().iter().find_map(|address| match address {
        BoundAddress::Udp(addr) => Some(*addr),
        _ => None,
    });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(udp.expect("a UDP socket")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (server, client)
}

/// UDP was open to all networks by default. A short request caused a reply of any size to the
/// address that it gave as its sender.
#[test]
fn cve_2018_1000115() {
    let listens = |config: &ServerConfig| config.listen.iter().any(|l| matches!(l, Listen::Udp { .. }));
    assert!(!listens(&ServerConfig::default()));
    let server = start(|_| ());
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.connect(super::address(&server)).unwrap();
    nobody.set_read_timeout(Some(PATIENCE)).unwrap();
    nobody.send(b"\0\x01\0\0\0\x01\0\0stats\r\n").unwrap();
    // Refused by the system: no such socket.
    assert!(nobody.recv(&mut [0; 100]).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused));

    // Where UDP is enabled, a reply has a maximum size.
    let (server, client) = start_udp();
    server.cache().set(b"a", vec![b'x'; MIB - 1000], Ttl::Never).unwrap();
    let request = [b"\0\x01\0\0\0\x01\0\0get", b" a".repeat(600).as_slice(), b"\r\n"].concat();
    client.send(&request).unwrap();
    let mut datagram = [0; 2000];
    let n = client.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..n], b"\0\x01\0\0\0\x01\0\0SERVER_ERROR reply too large\r\n");
    client.send(b"\0\x02\0\0\0\x01\0\0version\r\n").unwrap();
    let n = client.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..n], b"\0\x02\0\0\0\x01\0\0VERSION 1.6.45\r\n");
}

/// `stats conns` copied the name of a Unix socket, which may fill its field without a NUL, and the
/// bytes behind it. `net.rs` tests a client with such a name.
#[test]
fn cve_2019_15026() {
    let longest = 107_usize;
    let start_of_name = format!("{}/mcrs-cve-{}-", std::env::temp_dir().display(), std::process::id());
    for length in [longest - 1, longest] {
        let fill = "n".repeat(length.checked_sub(start_of_name.len()).expect("a short directory"));
        let path = PathBuf::from(format!("{start_of_name}{fill}"));
        let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
        let server = start(|config| config.listen = vec![unix]);
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"stats conns\r\nquit\r\n").unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        let name = format!("unix:{}", path.display());
        let told = String::from_utf8(told).unwrap();
        let addresses: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("addr "))
            .map(|line| line.split_once("addr ").unwrap().1)
            .collect();
        // The listener and both ends of the connection. Their order is by descriptor.
        assert_eq!(addresses.iter().filter(|&&address| address == name).count(), 2, "{told}");
        assert!(
            addresses.iter().all(|&address| address == name || address.starts_with("unix:<AF ")),
            "{told}"
        );
        drop(server);
    }
}

/// A `set` in several datagrams caused an error reply before there was a place for it.
#[test]
fn cve_2022_48571() {
    let (server, client) = start_udp();
    let value = "x".repeat(1000);
    for (sequence, total) in [(0_u16, 2_u16), (1, 2), (0, 0), (7, 3), (0, 256), (65_535, 65_535)] {
        let mut datagram = vec![0, 1];
        datagram.extend(sequence.to_be_bytes());
        datagram.extend(total.to_be_bytes());
        datagram.extend([0, 0]);
        for payload in [format!("set k 0 0 2000\r\n{value}"), "set k 0 0 1\r\nx\r\n".into(), String::new()] {
            client.send(&[datagram.as_slice(), payload.as_bytes()].concat()).unwrap();
        }
    }
    // The first reply is to this request, because the others have none.
    client.send(b"\0\x09\0\0\0\x01\0\0get k\r\n").unwrap();
    let mut datagram = [0; 2000];
    let n = client.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..n], b"\0\x09\0\0\0\x01\0\0END\r\n");
    others_are_served(&server);
}

/// 2026: a client that began a dump and did not read made it write past its buffer.
#[test]
fn a_dump_that_nobody_read_overflowed() {
    const KEYS: usize = 60_000;
    let server = start(|config| config.cache.lru_crawler = true);
    let key = |n: usize| format!("{n:08}{}", "k".repeat(240));
    for n in 0..KEYS {
        server.cache().set(key(n).as_bytes(), b"x", Ttl::Never).unwrap();
    }
    for dump in ["metadump", "mgdump"] {
        let mut client = connect(&server);
        client.write_all(format!("lru_crawler {dump} all\r\n").as_bytes()).unwrap();
        eventually("the dump waits", || {
            server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Mwrite)
        });
        others_are_served(&server);
        let limit = server.context().config.output_limit;
        assert!(buffered(&server) <= 2 * limit, "{} bytes buffered", buffered(&server));
        // No key is lost, doubled or damaged.
        let mut seen = vec![false; KEYS];
        for line in BufReader::new(&client).lines() {
            let line = line.unwrap();
            match line.as_str() {
                "OK" => continue,
                "END" | "EN" => break,
                _ => {}
            }
            let name = line.strip_prefix("key=").or_else(|| line.strip_prefix("mg ")).expect("a key");
            let name = &name[..248];
            let n: usize = name[..8].parse().unwrap();
            assert_eq!(name, key(n));
            assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
        }
        assert!(seen.iter().all(|&seen| seen));
        exchange(&client, b"mn\r\n", b"MN\r\n");
        // A client closes in the middle of a dump.
        let mut client = connect(&server);
        client.write_all(format!("lru_crawler {dump} all\r\n").as_bytes()).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        drop(client);
        others_are_served(&server);
    }
}

/// 2026: a watcher that was closed because it did not read was still written to.
#[test]
fn a_watcher_was_used_after_it_was_freed() {
    let server = start(|_| ());
    let hub = server.cache().watch_hub();
    for round in 0..3 {
        let watchers: Vec<_> = (0..5)
            .map(|_| {
                let client = connect(&server);
                exchange(&client, b"watch fetchers mutations connevents\r\n", b"OK\r\n");
                client
            })
            .collect();
        let before = hub.skipped.load(std::sync::atomic::Ordering::Relaxed);
        // They do not read, so lines are lost. Two of them close at the same time.
        let mut watchers = watchers.into_iter();
        let mut n = 0;
        eventually("lines are lost", || {
            for _ in 0..2000 {
                n += 1;
                server.cache().set(format!("{n:0200}").as_bytes(), b"x", Ttl::Never).unwrap();
            }
            if n % 20_000 == 0 && watchers.len() > 3 {
                watchers.next();
            }
            hub.skipped.load(std::sync::atomic::Ordering::Relaxed) > before
        });
        drop(watchers);
        eventually("all are gone", || {
            server.cache().set(b"more", b"x", Ttl::Never).unwrap();
            hub.count() == 0
        });
        others_are_served(&server);
        assert!(server.is_running(), "round {round}");
    }
}

/// 2026: a failed binary `set` was logged to a watcher of mutations with an item that did not
/// exist.
#[test]
fn a_failed_binary_set_was_logged_with_no_item() {
    let server = start(|_| ());
    let mut watcher = connect(&server);
    exchange(&watcher, b"watch mutations\r\n", b"OK\r\n");
    let client = connect(&server);
    let value = vec![b'x'; 2 * MIB];
    for opcode in [0x01, 0x02, 0x03] {
        let set = packet(opcode, &[0; 8], b"k", &value);
        exchange(&client, &set, &reply(opcode, 0x03, b"Too large."));
    }
    for opcode in [0x0e, 0x0f] {
        exchange(&client, &packet(opcode, &[], b"k", &value), &reply(opcode, 0x03, b"Too large."));
    }
    exchange(&client, &packet(0x0a, &[], b"", b""), &reply(0x0a, 0, b""));
    let mut line = [0; 400];
    let n = watcher.read(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..n]).into_owned();
    assert!(line.contains("type=item_store key=k status=too_large cmd=set ttl=0 clsid=0 "), "{line}");
    others_are_served(&server);
}

/// 2026: an endless `get` took all memory, and then there was no buffer for the error.
#[test]
fn a_get_without_an_end_took_all_memory() {
    let server = start(|_| ());
    let mut client = connect(&server);
    client.write_all(b"get").unwrap();
    let part = b" key".repeat(64 * 1024);
    for _ in 0..32 {
        client.write_all(&part).unwrap();
        assert!(buffered(&server) <= MIB, "{} bytes buffered", buffered(&server));
    }
    others_are_served(&server);
    exchange(&client, b"\r\nmn\r\n", b"END\r\nMN\r\n");
    eventually("buffers are given back", || buffered(&server) == 0);
    // Only a get may have no end.
    let mut client = connect(&server);
    let _ = client.write_all(&b"mg key".repeat(1000));
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}
