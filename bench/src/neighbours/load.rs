//! The neighbours: clients that keep a server busy in one way.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use memcache_core::internal::tls::{ClientFiles, client_rules};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::error::{Doing, Error, Result};

/// Size of a read buffer.
const READ: usize = 1 << 20;

/// Silence after which a neighbour checks whether it must stop.
const LOOK: Duration = Duration::from_millis(50);

/// Number of different prefixes of the stored keys. memcached counts no more.
const PREFIXES: u64 = 1 << 16;

/// The items stored before the neighbours start.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    /// Only the probe's item.
    Nothing,
    /// As many small items as `--items` says.
    Many,
    /// This many values of this many bytes.
    Values(u64, usize),
}

/// The addresses of the server in a scenario.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    pub(super) tcp: SocketAddr,
    /// The UDP or TLS address, in scenarios that use it.
    pub(super) other: SocketAddr,
}

/// The work of the neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    None,
    /// Connections, and gets outstanding on each.
    Pipelines(usize, usize),
    /// Clients that request much data and read it late.
    Unread(usize),
    /// One client that reads this many large values in turn.
    Huge(usize),
    /// Datagrams sent at a time.
    Datagrams(usize),
    /// Clients that make a TLS handshake and disconnect.
    Handshakes(usize),
    /// Clients that dump all keys.
    Dumps(usize),
    /// One client that sends a command this many times at once.
    Commands(&'static str, usize),
}

type Done<'scope> = ScopedJoinHandle<'scope, Result<()>>;

impl Load {
    /// Placeholder for a get of 1000 keys that are not stored.
    pub(super) const MISSES: &'static str = "get <1000 keys>";
    /// Appends nothing to a large value, which the server copies even so.
    pub(super) const APPEND: &'static str = "append k0 0 0 0\r\n";

    /// Starts the neighbours. They end when `stop` is set, and count their work in `work`.
    pub(super) fn start<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        ports: &Ports,
        stop: &'scope AtomicBool,
        work: &'scope AtomicU64,
    ) -> Vec<Done<'scope>> {
        let (tcp, other) = (ports.tcp, ports.other);
        let spawn =
            |count: usize, run: fn(SocketAddr, usize, &AtomicBool, &AtomicU64) -> Result<()>, size| {
                (0..count).map(|_| scope.spawn(move || run(tcp, size, stop, work))).collect::<Vec<_>>()
            };
        match self {
            Self::None => Vec::new(),
            // Use few threads, because the machine has few cores.
            Self::Pipelines(count, depth) => {
                (0..2).map(|_| scope.spawn(move || pipelines(tcp, count / 2, depth, stop, work))).collect()
            }
            Self::Unread(count) => vec![scope.spawn(move || unread(tcp, count, stop, work))],
            Self::Huge(values) => spawn(1, huge, values),
            Self::Dumps(count) => spawn(count, dump, 0),
            Self::Datagrams(count) => vec![scope.spawn(move || datagrams(other, count, stop, work))],
            Self::Handshakes(count) => {
                (0..count).map(|_| scope.spawn(move || handshakes(other, stop, work))).collect()
            }
            Self::Commands(command, count) => {
                vec![scope.spawn(move || commands(tcp, command, count, stop, work))]
            }
        }
    }
}

/// Returns a port on which nothing listens.
pub(super) fn free_port() -> Result<SocketAddr> {
    let doing = || "looking for a free port".to_owned();
    TcpListener::bind(("127.0.0.1", 0)).doing(doing)?.local_addr().doing(doing)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let doing = || format!("connecting to {address}");
    let stream = TcpStream::connect(address).doing(doing)?;
    stream.set_nodelay(true).doing(doing)?;
    Ok(stream)
}

/// Stores the items that a scenario needs.
pub(super) fn fill(address: SocketAddr, fill: Fill, items: u64) -> Result<()> {
    let mut stream = connect(address)?;
    let value = |length: usize| vec![b'x'; length];
    let mut batch = Vec::new();
    let mut flush = |batch: &mut Vec<u8>| -> Result<()> {
        batch.extend_from_slice(b"mn\r\n");
        stream.write_all(batch).doing(|| "storing items".to_owned())?;
        batch.clear();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).doing(|| "storing items".to_owned())?;
        if &reply == b"MN\r\n" { Ok(()) } else { Err(Error::Refused(1)) }
    };
    let (count, length) = match fill {
        Fill::Nothing => (0, 0),
        Fill::Many => (items, 20),
        Fill::Values(count, length) => (count, length),
    };
    let value = value(length);
    for number in 0..count {
        let key = match fill {
            Fill::Many => format!("{}:k{number}", number % PREFIXES),
            _ => format!("k{number}"),
        };
        // A server reports errors in spite of `noreply`.
        let _ = write!(batch, "set {key} 0 0 {length} noreply\r\n");
        batch.extend_from_slice(&value);
        batch.extend_from_slice(b"\r\n");
        if batch.len() > 1 << 16 {
            flush(&mut batch)?;
        }
    }
    flush(&mut batch)
}

/// Reads at most `most` bytes. Returns `None` if `stop` is set.
fn read(stream: &mut TcpStream, buffer: &mut [u8], stop: &AtomicBool) -> Result<Option<usize>> {
    loop {
        if stop.load(Relaxed) {
            return Ok(None);
        }
        match stream.read(buffer) {
            Ok(0) => return Err(Error::Closed),
            Ok(n) => return Ok(Some(n)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).doing(|| "reading replies".to_owned()),
        }
    }
}

/// Reads until `end` has arrived `count` times, or `stop` is set.
fn read_until(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    end: &[u8],
    mut count: usize,
    stop: &AtomicBool,
) -> Result<bool> {
    let finder = memchr::memmem::Finder::new(end);
    let mut held = 0;
    while count > 0 {
        let Some(n) = read(stream, buffer.get_mut(held..).unwrap_or_default(), stop)? else {
            return Ok(false);
        };
        let whole = held + n;
        let bytes = buffer.get(..whole).unwrap_or_default();
        let mut used = 0;
        for at in finder.find_iter(bytes) {
            count = count.saturating_sub(1);
            used = at + end.len();
        }
        // The buffer may end in the beginning of `end`.
        let keep = used.max(whole.saturating_sub(end.len() - 1));
        buffer.copy_within(keep..whole, 0);
        held = whole - keep;
    }
    Ok(true)
}

fn patient(address: SocketAddr) -> Result<TcpStream> {
    let stream = connect(address)?;
    stream.set_read_timeout(Some(LOOK)).doing(|| "setting a timeout".to_owned())?;
    Ok(stream)
}

fn pipelines(
    address: SocketAddr,
    count: usize,
    depth: usize,
    stop: &AtomicBool,
    work: &AtomicU64,
) -> Result<()> {
    let mut streams = (0..count).map(|_| patient(address)).collect::<Result<Vec<_>>>()?;
    let request: Vec<u8> = (0..depth).flat_map(|n| format!("get k{n}\r\n").into_bytes()).collect();
    let mut buffer = vec![0; READ];
    let send = |stream: &mut TcpStream| stream.write_all(&request).doing(|| "sending gets".to_owned());
    streams.iter_mut().try_for_each(send)?;
    loop {
        for stream in &mut streams {
            if !read_until(stream, &mut buffer, b"END\r\n", depth, stop)? {
                return Ok(());
            }
            work.fetch_add(depth as u64, Relaxed);
            send(stream)?;
        }
    }
}

/// Each client requests 4000 values of 4000 bytes. Then they read their replies one after the
/// other.
fn unread(address: SocketAddr, count: usize, stop: &AtomicBool, work: &AtomicU64) -> Result<()> {
    let mut streams = (0..count).map(|_| patient(address)).collect::<Result<Vec<_>>>()?;
    let request: Vec<u8> = (0..4000).flat_map(|n| format!("get k{}\r\n", n % 64).into_bytes()).collect();
    let mut buffer = vec![0; READ];
    loop {
        for stream in &mut streams {
            stream.write_all(&request).doing(|| "sending gets".to_owned())?;
        }
        for stream in &mut streams {
            if !read_until(stream, &mut buffer, b"END\r\n", 4000, stop)? {
                return Ok(());
            }
            work.fetch_add(4000, Relaxed);
        }
    }
}

fn huge(address: SocketAddr, values: usize, stop: &AtomicBool, work: &AtomicU64) -> Result<()> {
    let mut stream = patient(address)?;
    let request: Vec<u8> = (0..values).flat_map(|n| format!("get k{n}\r\n").into_bytes()).collect();
    let mut buffer = vec![0; READ];
    loop {
        stream.write_all(&request).doing(|| "sending gets".to_owned())?;
        if !read_until(&mut stream, &mut buffer, b"END\r\n", values, stop)? {
            return Ok(());
        }
        work.fetch_add(values as u64 * 30, Relaxed);
    }
}

fn dump(address: SocketAddr, _: usize, stop: &AtomicBool, work: &AtomicU64) -> Result<()> {
    let mut stream = patient(address)?;
    let mut buffer = vec![0; READ];
    loop {
        stream.write_all(b"lru_crawler metadump all\r\n").doing(|| "requesting a dump".to_owned())?;
        let mut last = Vec::new();
        loop {
            let Some(n) = read(&mut stream, &mut buffer, stop)? else { return Ok(()) };
            work.fetch_add(n as u64 >> 10, Relaxed);
            last.extend_from_slice(buffer.get(n.saturating_sub(8)..n).unwrap_or_default());
            if last.ends_with(b"END\r\n") || last.starts_with(b"BUSY") {
                break;
            }
            last.clear();
        }
        // memcached makes one dump at a time.
        if last.starts_with(b"BUSY") {
            std::thread::sleep(LOOK);
        }
    }
}

fn datagrams(address: SocketAddr, count: usize, stop: &AtomicBool, work: &AtomicU64) -> Result<()> {
    let doing = || "sending datagrams".to_owned();
    let socket = UdpSocket::bind(("127.0.0.1", 0)).doing(doing)?;
    socket.connect(address).doing(doing)?;
    socket.set_nonblocking(true).doing(doing)?;
    let request = b"\0\x01\0\0\0\x01\0\0get k0\r\n";
    let mut buffer = [0; 2048];
    while !stop.load(Relaxed) {
        for _ in 0..count {
            // Datagrams that the server cannot take are lost.
            let _ = socket.send(request);
        }
        let until = std::time::Instant::now() + LOOK;
        while std::time::Instant::now() < until {
            match socket.recv(&mut buffer) {
                Ok(_) => drop(work.fetch_add(1, Relaxed)),
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }
    Ok(())
}

fn handshakes(address: SocketAddr, stop: &AtomicBool, work: &AtomicU64) -> Result<()> {
    // Only the cost of a handshake is measured, so that any certificate is accepted.
    let files = ClientFiles { ca: None, identity: None, server_name: None };
    let config = client_rules(&files, Path::new("")).map_err(Error::Malformed)?;
    let name = ServerName::try_from("localhost").map_err(|error| Error::Malformed(error.to_string()))?;
    while !stop.load(Relaxed) {
        let mut stream = connect(address)?;
        let mut session = ClientConnection::new(Arc::clone(&config), name.clone())
            .map_err(|error| Error::Malformed(error.to_string()))?;
        session.complete_io(&mut stream).doing(|| "shaking hands".to_owned())?;
        work.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn commands(
    address: SocketAddr,
    command: &str,
    count: usize,
    stop: &AtomicBool,
    work: &AtomicU64,
) -> Result<()> {
    let one = match command {
        Load::MISSES => {
            let keys: Vec<_> = (0..1000).map(|n| format!(" missing{n}")).collect();
            format!("get{}\r\n", keys.concat())
        }
        command => format!("{command}\r\n"),
    };
    // The replies to every command end in this line.
    let end = b"MN\r\n";
    let mut stream = patient(address)?;
    let mut sender = stream.try_clone().doing(|| "sending commands".to_owned())?;
    let mut buffer = vec![0; READ];
    let request = one.repeat(count) + "mn\r\n";
    loop {
        let sent = sender.write_all(request.as_bytes());
        sent.doing(|| "sending commands".to_owned())?;
        if !read_until(&mut stream, &mut buffer, end, 1, stop)? {
            return Ok(());
        }
        work.fetch_add(count as u64, Relaxed);
    }
}

/// A file with the certificate of a server.
pub(super) struct Certificate {
    path: PathBuf,
    /// Whether this program made the file and must remove it.
    made: bool,
}

impl Certificate {
    /// Uses the certificate at `given`, or makes one.
    pub(super) fn make(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_path_buf(), made: false });
        }
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| Error::Malformed(error.to_string()))?;
        let path = std::env::temp_dir().join(format!("bench-{}.pem", std::process::id()));
        std::fs::write(&path, cert.pem() + &signing_key.serialize_pem())
            .doing(|| format!("writing {}", path.display()))?;
        Ok(Self { path, made: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
