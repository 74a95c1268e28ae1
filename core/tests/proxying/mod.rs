//! Servers and clients for tests of the proxy.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use memcache_rs::{BoundAddress, Listen, Server, ServerConfig};

use crate::waiting::PATIENCE;

pub fn start(config: ServerConfig) -> Server {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    Server::start(ServerConfig { listen, threads: 1, ..config }).unwrap()
}

pub fn address(server: &Server) -> SocketAddr {
    let BoundAddress::Tcp(address) = server.addresses()[0] else { panic!("no TCP address") };
    address
}

/// An address at which nothing listens.
pub fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub struct Client(pub TcpStream);

impl Client {
    pub fn new(server: &Server) -> Self {
        let socket = TcpStream::connect(address(server)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub fn send(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).unwrap();
    }

    #[track_caller]
    pub fn expect(&mut self, reply: &str) {
        let mut got = vec![0; reply.len()];
        if let Err(e) = self.0.read_exact(&mut got) {
            panic!("{e}, got {:?}, wanted {reply:?}", String::from_utf8_lossy(&got));
        }
        assert_eq!(String::from_utf8_lossy(&got), reply);
    }

    /// Returns the next line with its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.extend_from_slice(&byte);
        }
        String::from_utf8(line).unwrap()
    }

    #[track_caller]
    pub fn asks(&mut self, request: &str, reply: &str) {
        self.send(request);
        self.expect(reply);
    }
}
