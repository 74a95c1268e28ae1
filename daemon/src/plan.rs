//! The result of parsing a command line.

use std::path::PathBuf;

use memcache_core::ServerConfig;

use crate::http;
use crate::listen::Endpoint;

/// The action that a command line asks for.
#[derive(Debug)]
pub enum Action {
    /// `-h`: print the help.
    Help,
    /// `-i`: print the license.
    License,
    /// `-V`: print the version.
    Version,
    /// Run the server.
    Run(Box<Plan>),
    /// `--check`: see whether the server would start.
    Check(Box<Plan>),
}

/// Settings of a server and its process. Making it needs no system calls.
#[derive(Debug)]
pub struct Plan {
    /// Settings of the server. `listen` holds the Unix socket if there is one. [`Plan::endpoints`]
    /// and [`Plan::datagrams`] are added when they are resolved.
    pub config: ServerConfig,
    /// Endpoints of TCP.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints of UDP. Their protocol is not used.
    pub datagrams: Vec<Endpoint>,
    /// Whether neither a flag nor a file names a listener.
    pub is_default_listen: bool,
    /// The service of `--control`.
    pub control: Option<ControlSettings>,
    /// The address of the metrics (`--metrics`).
    pub metrics: Option<http::Address>,
    /// Settings of the process.
    pub process: ProcessSettings,
    /// Lines that are always printed.
    pub warnings: Vec<String>,
    /// Lines that are printed at `-v`.
    pub notes: Vec<String>,
}

/// Settings of the service that controls the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Its address (`--control`).
    pub address: http::Address,
    /// The file of its token (`--control-token-file`).
    pub token_file: Option<PathBuf>,
}

/// Settings of the process.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Detach from the terminal (`-d`).
    pub daemonize: bool,
    /// Maximize the core file limit (`-r`).
    pub core_dumps: bool,
    /// Lock all memory, so that it is not swapped (`-k`).
    pub lock_memory: bool,
    /// Enter the sandbox (`-o drop_privileges`).
    pub sandbox: bool,
    /// User to switch to when started by root (`-u`).
    pub user: Option<String>,
    /// File for the process id (`-P`).
    pub pid_file: Option<PathBuf>,
    /// File for the bound ports (`MEMCACHED_PORT_FILENAME`).
    pub port_file: Option<PathBuf>,
    /// Form of the log (`--log-format`).
    pub log_format: LogFormat,
}

/// The form of the lines on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// memcached's lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Returns the form of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The environment variables that the program reads.
#[derive(Debug, Default)]
pub struct Environment {
    /// `T_MEMD_INITIAL_MALLOC`: bytes counted as allocated at start.
    pub initial_malloc: Option<String>,
    /// `MEMCACHED_PORT_FILENAME`: file for the bound ports.
    pub port_file: Option<PathBuf>,
    /// `MEMCACHED_SASL_PWDB`: file of the passwords of `-S`.
    pub sasl_passwords: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of the process.
    pub fn of_process() -> Self {
        Self {
            initial_malloc: std::env::var("T_MEMD_INITIAL_MALLOC").ok(),
            port_file: std::env::var_os("MEMCACHED_PORT_FILENAME").map(PathBuf::from),
            sasl_passwords: std::env::var_os("MEMCACHED_SASL_PWDB").map(PathBuf::from),
        }
    }
}
