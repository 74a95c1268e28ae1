//! What a command line asked for, ready to be carried out.

use std::path::PathBuf;

use memcache_core::ServerConfig;

use crate::listen::Endpoint;

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// `-h`
    Help,
    /// `-i`
    License,
    /// `-V`
    Version,
    /// Serve.
    Run(Box<Plan>),
}

/// How to serve. Nothing of the system was touched to make it.
#[derive(Debug)]
pub struct Plan {
    /// Settings of the server. Its `listen` holds the Unix socket if there is
    /// one; the other addresses join when [`Plan::endpoints`] and
    /// [`Plan::datagrams`] are resolved.
    pub config: ServerConfig,
    /// Where TCP is to listen.
    pub endpoints: Vec<Endpoint>,
    /// Where UDP is to listen; the protocol in it means nothing.
    pub datagrams: Vec<Endpoint>,
    /// Settings of the process.
    pub process: ProcessSettings,
    /// Lines to print in any case.
    pub warnings: Vec<String>,
    /// Lines to print at `-v`.
    pub notes: Vec<String>,
}

/// Settings that concern the process and not the server in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Leave the terminal (`-d`).
    pub daemonize: bool,
    /// Maximize the core file limit (`-r`).
    pub core_dumps: bool,
    /// Keep all memory out of swap (`-k`).
    pub lock_memory: bool,
    /// User to become if started by root (`-u`).
    pub user: Option<String>,
    /// Where to write the process id (`-P`).
    pub pid_file: Option<PathBuf>,
    /// Where to write the bound ports (`MEMCACHED_PORT_FILENAME`).
    pub port_file: Option<PathBuf>,
}

/// The environment variables that matter.
#[derive(Debug, Default)]
pub struct Environment {
    /// `T_MEMD_INITIAL_MALLOC`: bytes counted as allocated at start.
    pub initial_malloc: Option<String>,
    /// `MEMCACHED_PORT_FILENAME`: where to write the bound ports.
    pub port_file: Option<PathBuf>,
    /// `MEMCACHED_SASL_PWDB`: the passwords of `-S`.
    pub sasl_passwords: Option<PathBuf>,
}

impl Environment {
    /// As the process has it.
    pub fn of_process() -> Self {
        Self {
            initial_malloc: std::env::var("T_MEMD_INITIAL_MALLOC").ok(),
            port_file: std::env::var_os("MEMCACHED_PORT_FILENAME").map(PathBuf::from),
            sasl_passwords: std::env::var_os("MEMCACHED_SASL_PWDB").map(PathBuf::from),
        }
    }
}
