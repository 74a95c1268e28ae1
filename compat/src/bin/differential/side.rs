//! One of the two servers under test. It may be a proxy, whose backends belong to it.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use memcache_compat::Outcome;
use memcache_compat::link::{Link, Received};
use memcache_compat::rng::Rng;
use memcache_compat::server::{Server, Target, lasting_port};

use crate::proxy::{BACKENDS, Config};

/// Time in which a proxy must notice that a backend has died or come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a side is started.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The server, or the proxy.
    pub target: Target,
    /// The configuration of the proxy, the program of its backends, and their flags.
    pub behind: Option<(Config, PathBuf, Vec<String>)>,
}

/// A server, or a proxy and its backends.
#[derive(Debug)]
pub struct Side {
    /// The server that gets the commands.
    pub server: Server,
    /// The backends of a proxy.
    pub backends: Vec<Server>,
    _config: Option<File>,
}

/// A file that is removed at the end.
#[derive(Debug)]
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Side {
    /// Starts the backends and the server. `name` is of this side alone.
    pub fn start(subject: &Subject, name: &str) -> Outcome<Self> {
        let Some((config, program, flags)) = &subject.behind else {
            return Ok(Self { server: Server::start(&subject.target)?, backends: Vec::new(), _config: None });
        };
        let mut rng = Rng::new(u64::from(process::id()));
        let mut ports = Vec::new();
        let mut backends = Vec::new();
        for _ in 0..BACKENDS {
            let port = lasting_port(&mut rng)?;
            ports.push(port);
            backends.push(Server::start_at(port, program, flags)?);
        }
        let (text, extension) = config.text(&ports);
        let file = File(env::temp_dir().join(format!("differential-{}-{name}.{extension}", process::id())));
        fs::write(&file.0, text).map_err(|error| format!("{}: {error}", file.0.display()))?;
        let path = file.0.display().to_string();
        let Target::Program(proxy, arguments) = &subject.target else {
            return Err("a proxy must be a program".to_owned());
        };
        let arguments = [&arguments[..], &config.flags(&path)].concat();
        let server = Server::start(&Target::Program(proxy.clone(), arguments))?;
        Ok(Self { server, backends, _config: Some(file) })
    }

    /// Kills a backend. Returns when the proxy reports it.
    pub fn kill(&mut self, backend: usize) -> Outcome<()> {
        self.backends.get_mut(backend).ok_or("there is no such backend")?.kill();
        self.await_backend(backend, b"SERVER_ERROR")
    }

    /// Starts a backend again. Returns when the proxy uses it.
    pub fn revive(&mut self, backend: usize) -> Outcome<()> {
        self.backends.get_mut(backend).ok_or("there is no such backend")?.revive()?;
        self.await_backend(backend, b"EN")
    }

    /// Asks for a key of the backend until the reply begins with `reply`.
    fn await_backend(&self, backend: usize, reply: &[u8]) -> Outcome<()> {
        let begin = Instant::now();
        let mut link: Link = self.server.connect()?;
        loop {
            link.send(format!("mg b{backend}/probe\r\nmn\r\n").as_bytes(), &[], Duration::ZERO);
            match link.read_until(b"MN\r\n", PATIENCE) {
                Received::Reply(bytes) if bytes.starts_with(reply) => return Ok(()),
                Received::Reply(_) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
                other => return Err(format!("the proxy does not notice its backend {backend}: {other:?}")),
            }
        }
    }
}
