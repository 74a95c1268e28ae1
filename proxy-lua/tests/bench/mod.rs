//! Servers, a proxy with a program, and clients.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use memcache_core::internal::proxy::program::Program as _;
use memcache_core::{BoundAddress, Listen, Protocol, Server, ServerConfig, TlsMode};
use memcache_proxy_lua::{LuaProxy, Sources};

/// Time after which a test gives up. It passes only if something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Functions for all programs: `pool(n)` is a pool with backend `n`, and `all()` one with all.
const PRELUDE: &str = r#"
local function backend(n) return mcp.backend("b" .. n, "127.0.0.1", ports[n]) end
function pool(n, options) return mcp.pool({ backend(n) }, options) end
function all() local list = {} for n = 1, #ports do list[n] = backend(n) end return mcp.pool(list) end
function attach_all(handle, f)
    local fgen = mcp.funcgen_new()
    local h = fgen:new_handle(handle)
    fgen:ready({ n = "all", f = function(rctx) return function(r) return f(rctx, r, h) end end })
    mcp.attach(mcp.CMD_ANY_STORAGE, fgen)
end
"#;

/// Starts a server on a free port.
pub fn start(config: ServerConfig) -> Server {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    Server::start(ServerConfig { listen, threads: 1, ..config }).unwrap()
}

/// Returns the address of a server.
pub fn address(server: &Server) -> SocketAddr {
    let BoundAddress::Tcp(address) = server.addresses()[0] else { panic!("no TCP address") };
    address
}

/// A file of this test, which is removed with it.
pub struct Program(pub PathBuf);

impl Program {
    /// Writes a program to a new file.
    pub fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("memcache-lua-{}-{}.lua", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let program = Self(std::env::temp_dir().join(name));
        program.write(text);
        program
    }

    /// Replaces the text of the program.
    pub fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Backends, and a proxy before them.
pub struct Bench {
    pub backends: Vec<Server>,
    pub proxy: Arc<LuaProxy>,
    pub server: Server,
    pub program: Program,
    ports: String,
}

impl Bench {
    /// Starts `count` backends and a proxy with a program.
    pub fn new(count: usize, program: &str) -> Self {
        Self::with(count, program, ServerConfig::default()).unwrap()
    }

    /// Like [`Bench::new`], with settings of the server. With those of TLS, clients use it.
    pub fn with(count: usize, program: &str, config: ServerConfig) -> Result<Self, String> {
        let backends: Vec<Server> = (0..count).map(|_| start(ServerConfig::default())).collect();
        let ports: Vec<String> = backends.iter().map(|backend| address(backend).port().to_string()).collect();
        let ports = format!("ports = {{ {} }}\n", ports.join(", "));
        let file = Program::new(&format!("{ports}{PRELUDE}{program}"));
        let proxy = LuaProxy::new(Sources { files: vec![file.0.display().to_string()], argument: None });
        let (addr, protocol) = (([127, 0, 0, 1], 0).into(), Protocol::Negotiating);
        let tls = if config.tls.is_some() { TlsMode::Default } else { TlsMode::Off };
        let listen = vec![Listen::Tcp { addr, protocol, tls, tag: None }];
        let config = ServerConfig { listen, proxy: Some(proxy.config()), threads: 2, ..config };
        let server = Server::start(config).map_err(|e| e.to_string())?;
        Ok(Self { backends, proxy, server, program: file, ports })
    }

    /// Replaces the program, and reloads it.
    pub fn reload(&self, program: &str) -> Result<(), String> {
        self.program.write(&format!("{}{PRELUDE}{program}", self.ports));
        self.proxy.reload()
    }

    /// Returns the port of a backend.
    pub fn port(&self, backend: usize) -> u16 {
        address(&self.backends[backend]).port()
    }

    /// Connects a client.
    pub fn client(&self) -> Client {
        Client::new(address(&self.server))
    }
}

/// A backend that answers when the test does.
pub struct Manual {
    pub port: u16,
    asks: Receiver<(String, TcpStream)>,
}

impl Manual {
    /// Starts it. It answers `version` by itself.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asks) = channel();
        thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || {
                    for line in BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok) {
                        if line == "version" {
                            let _ = socket.write_all(b"VERSION 1.6.45\r\n");
                        } else {
                            let _ = sender.send((line, socket.try_clone().unwrap()));
                        }
                    }
                });
            }
        });
        Self { port, asks }
    }

    /// Waits for a request. Returns its line, and where its reply goes.
    pub fn ask(&self) -> (String, TcpStream) {
        self.asked().unwrap()
    }

    /// Like [`Manual::ask`]. Returns `None` if no request comes.
    pub fn asked(&self) -> Option<(String, TcpStream)> {
        self.asks.recv_timeout(PATIENCE).ok()
    }
}

/// A client of a proxy.
pub struct Client(pub TcpStream);

impl Client {
    /// Connects to a server.
    pub fn new(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Sends bytes.
    pub fn send(&mut self, request: &str) {
        self.0.write_all(request.as_bytes()).unwrap();
    }

    /// Returns the next line with its end.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Sends requests, and expects these replies.
    #[track_caller]
    pub fn asks(&mut self, request: &str, reply: &str) {
        self.send(request);
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while got.len() < reply.len() {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => got.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("{e} after {:?}, not {reply:?}", String::from_utf8_lossy(&got)),
            }
        }
        assert_eq!(String::from_utf8_lossy(&got), reply);
    }
}
