//! The options of all side-by-side runs.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::launch;
use crate::server::{Settings, Spec};

/// The options of all side-by-side runs.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// A server, name=path[:extra arguments], or floor. Can be repeated. The first is the base of
    /// all ratios.
    #[arg(long = "server", required_unless_present = "list")]
    pub servers: Vec<Spec>,
    /// Memory of each server, in MiB. The default is that of the scenario (mostly 1024), and 64 for
    /// --memory and replays. Replays accept several, separated by commas.
    #[arg(short = 'm', long = "limit", value_delimiter = ',')]
    pub limits: Vec<u32>,
    /// Threads of each server.
    #[arg(short, long, default_value_t = 1)]
    threads: u32,
    /// Core of the servers and core of the load.
    #[arg(long, default_value = "0,1")]
    pub cores: Cores,
    /// Scheduling priority of the servers and the load, -20 (highest) to 19, for a machine that
    /// also does other work.
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// Use Unix sockets instead of loopback TCP.
    #[arg(long)]
    unix: bool,
    /// File to append turns and results to, one line of JSON each.
    #[arg(long)]
    pub results: Option<PathBuf>,
    /// Show the output of the servers.
    #[arg(short, long)]
    verbose: bool,
}

/// The cores of the servers and of the load.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl FromStr for Cores {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(',').and_then(|(server, load)| {
            Some(Self { server: server.trim().parse().ok()?, load: load.trim().parse().ok()? })
        });
        parsed.ok_or_else(|| Error::Usage(format!("--cores must be two numbers, SERVER,LOAD, got {text}")))
    }
}

impl Common {
    /// Prepares this process as the load: sets its core, its priority and its limit of open files.
    pub fn prepare(&self) -> Result<()> {
        launch::raise_open_files()?;
        launch::pin(self.cores.load)?;
        self.nice.map_or(Ok(()), launch::set_nice)
    }

    /// Returns the memory limits to try, in MiB. The default is `limit` alone.
    pub fn limits(&self, limit: u32) -> Vec<u32> {
        if self.limits.is_empty() { vec![limit] } else { self.limits.clone() }
    }

    /// Returns the settings of every server. The default memory limit is `limit` MiB.
    pub fn settings(&self, limit: u32) -> Settings {
        Settings {
            memory: self.limits.first().copied().unwrap_or(limit),
            threads: self.threads,
            connections: 1000,
            core: Some(self.cores.server),
            nice: self.nice,
            unix: self.unix,
            value_size: 100,
            verbose: self.verbose,
        }
    }
}
