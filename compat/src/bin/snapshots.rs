//! Checks snapshots: while threads disturb the cache, and while processes are killed.
//!
//! ```text
//! snapshots stress --seconds 1800              saves and loads under evictions and flushes
//! snapshots kill-save --rounds 1000            kill -9 of a process that saves
//! snapshots kill-server --rounds 1000 DAEMON   kill -9 of a server that saves
//! snapshots stop-server --rounds 100 DAEMON    SIGTERM of a server under load
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers, which prints its results"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use memcache_compat::Outcome;
use memcache_compat::snapshots::kill_server::{self, End};
use memcache_compat::snapshots::{Length, kill_save, stress};

/// Check snapshots.
#[derive(Debug, Parser)]
#[command(name = "snapshots", version)]
struct Arguments {
    /// Directory of the snapshots.
    #[arg(long, global = true, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Seed of all decisions. Two runs with the same seed differ, because threads and signals do.
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Save and load a cache that threads use, while it evicts, is flushed and has its limit moved.
    Stress {
        #[command(flatten)]
        length: Limits,
        /// Number of keys.
        #[arg(long, default_value_t = 8000)]
        keys: u64,
    },
    /// Kill processes that save a cache.
    KillSave {
        #[command(flatten)]
        length: Limits,
    },
    /// Kill a daemon that saves, under load.
    KillServer {
        #[command(flatten)]
        length: Limits,
        /// The daemon.
        daemon: PathBuf,
        /// More of its arguments.
        arguments: Vec<String>,
    },
    /// Stop a daemon that saves, under load.
    StopServer {
        #[command(flatten)]
        length: Limits,
        /// The daemon.
        daemon: PathBuf,
        /// More of its arguments.
        arguments: Vec<String>,
    },
    /// Save to a file again and again: the process that `kill-save` kills.
    #[command(hide = true)]
    SaveUntilKilled {
        file: PathBuf,
        /// Number of the first save.
        #[arg(long)]
        from: u64,
    },
}

#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = false)]
struct Limits {
    /// Number of rounds.
    #[arg(long)]
    rounds: Option<u64>,
    /// Time in seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

impl Limits {
    fn length(self) -> Length {
        match (self.rounds, self.seconds) {
            (Some(rounds), _) => Length::Rounds(rounds),
            (None, seconds) => Length::Time(Duration::from_secs(seconds.unwrap_or_default())),
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("snapshots: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<String> {
    let (directory, seed) = (arguments.directory.as_path(), arguments.seed);
    let kill = |end, length: Limits, daemon, arguments| {
        let length = length.length();
        kill_server::run(&kill_server::Settings { daemon, arguments, directory, length, end, seed })
            .map(|report| report.to_string())
    };
    match &arguments.command {
        &Command::Stress { length, keys } => {
            stress::run(&stress::Settings { directory, length: length.length(), keys, seed })
                .map(|report| report.to_string())
        }
        Command::KillSave { length } => {
            let program = &std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
            kill_save::run(&kill_save::Settings { program, directory, length: length.length(), seed })
        }
        Command::KillServer { length, daemon, arguments } => kill(End::Killed, *length, daemon, arguments),
        Command::StopServer { length, daemon, arguments } => kill(End::Stopped, *length, daemon, arguments),
        Command::SaveUntilKilled { file, from } => {
            kill_save::save_until_killed(file, *from).map(|()| String::new())
        }
    }
}
