//! Listeners of a proxy: tags choose routes, and a protocol of its own chooses the cache.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
#[allow(dead_code, reason = "the tests wait for replies alone")]
mod waiting;

use std::net::TcpStream;

use memcache_rs::{BoundAddress, Listen, Protocol, ProxyConfig, Server, ServerConfig, Tag, TlsMode, Ttl};
use proxying::{Client, address, start};
use waiting::PATIENCE;

fn connect(server: &Server, listener: usize) -> Client {
    let BoundAddress::Tcp(address) = server.addresses()[listener] else { panic!("no TCP address") };
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Client(socket)
}

#[test]
fn each_listener_has_its_route() {
    let backends: Vec<Server> = (0..3).map(|_| start(ServerConfig::default())).collect();
    for (name, backend) in ["main", "b", "both"].iter().zip(&backends) {
        backend.cache().set("where", *name, Ttl::Never).unwrap();
    }
    let addresses: Vec<String> = backends.iter().map(|backend| address(backend).to_string()).collect();
    let text = format!(
        "route = 'main'\n[listeners]\nb = 'b'\nservices = {{ failover = [{{ error = 'down' }}, 'both'] }}\n\
         [pools]\nmain.backends = ['{}']\nb.backends = ['{}']\nboth.backends = ['{}']\n",
        addresses[0], addresses[1], addresses[2]
    );
    let addr = "127.0.0.1:0".parse().unwrap();
    let listen = |tag: Option<&str>, protocol| Listen::Tcp {
        addr,
        protocol,
        tls: TlsMode::Off,
        tag: tag.map(|text| Tag::new(text).unwrap()),
    };
    let proxy = Server::start(ServerConfig {
        listen: vec![
            listen(None, Protocol::Negotiating),
            listen(Some("b"), Protocol::Negotiating),
            listen(Some("services"), Protocol::Negotiating),
            listen(Some("unknown"), Protocol::Negotiating),
            listen(Some("b"), Protocol::Ascii),
        ],
        proxy: Some(ProxyConfig::Text(text)),
        ..ServerConfig::default()
    })
    .unwrap();
    proxy.cache().set("where", "here", Ttl::Never).unwrap();
    for (listener, found) in ["main", "b", "both", "main", "here"].into_iter().enumerate() {
        let mut client = connect(&proxy, listener);
        client.asks("get where\r\n", &format!("VALUE where 0 {}\r\n{found}\r\nEND\r\n", found.len()));
        client.asks("mg where v\r\n", &format!("VA {}\r\n{found}\r\n", found.len()));
        client.asks(&format!("set k{listener} 0 0 1\r\nx\r\n"), "STORED\r\n");
    }
    assert!(backends[1].cache().get("k1").is_some() && proxy.cache().get("k4").is_some());
    assert!(backends[1].cache().get("k0").is_none() && proxy.cache().get("k1").is_none());
}
