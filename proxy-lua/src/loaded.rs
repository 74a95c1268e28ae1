//! A configuration that is loaded: its files, and the result of its function `mcp_config_pools`.

use std::sync::Arc;

use crate::api::config::Settings;
use crate::counters::Counters;
use crate::functions::Functions;
use crate::tree::Tree;

/// The place of a configuration: its files, and the argument for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Paths of files, which are loaded in this order.
    pub files: Vec<String>,
    /// `mcp.start_arg`.
    pub argument: Option<String>,
}

/// A file: its path and its text.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The name of the file in errors.
    pub name: String,
    /// The program.
    pub text: Vec<u8>,
}

/// A configuration that workers can load.
#[derive(Clone, Default)]
pub struct Loaded {
    /// The files.
    pub chunks: Vec<Chunk>,
    /// `mcp.start_arg`.
    pub argument: Option<String>,
    /// The result of `mcp_config_pools`.
    pub pools: Tree,
    /// The settings of the configuration.
    pub settings: Settings,
    /// Number of workers.
    pub workers: usize,
    /// The counters of the program's own.
    pub counters: Counters,
    /// Counts the functions of all workers.
    pub functions: Arc<Functions>,
}

impl Loaded {
    /// Returns the most requests under way in a worker. 0 for no limit. As in memcached, a small
    /// limit counts for each worker.
    pub fn active_limit(&self) -> u64 {
        let (limit, workers) = (self.settings.active_limit, self.workers.max(1) as u64);
        if limit > 2 * workers { limit / workers } else { limit }
    }

    /// Returns the most bytes that requests and replies of a worker hold. 0 for no limit.
    pub fn memory_limit(&self) -> u64 {
        self.settings.memory_limit / self.workers.max(1) as u64
    }
}
