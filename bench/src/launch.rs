//! `bench launch`: becomes a server.
//!
//! This program starts itself as `launch`. The new process pins itself to a core, asks to be killed
//! when its parent ends, and executes the server. So no server outlives a run, however the run
//! ends, and every thread of the server inherits the core.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{
    Resource, Signal, getpid, getrlimit, getsid, set_parent_process_death_signal, setpriority_process,
    setrlimit, setsid,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::error::{Doing, Error, Result};

/// Execute another program, pinned to a core (used by this program on itself).
#[derive(Debug, clap::Args)]
pub struct Launch {
    /// Core to run on.
    #[arg(long)]
    core: Option<usize>,
    /// Scheduling priority.
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// Program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<PathBuf>,
}

/// Executes the program. Returns only if it fails.
pub fn run(launch: &Launch) -> Result<()> {
    if let Some(core) = launch.core {
        pin(core)?;
    }
    if let Some(nice) = launch.nice {
        set_nice(nice)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Into::into)
        .doing(|| "tying the server's lifetime to this process".into())?;
    let Some((program, arguments)) = launch.command.split_first() else {
        return Err(Error::Usage("nothing to launch".into()));
    };
    let error = Command::new(program).args(arguments).exec();
    Err(error).doing(|| format!("starting {}", program.display()))
}

/// Pins this thread, and the threads it starts, to one core.
pub fn pin(core: usize) -> Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(Error::Usage(format!("this machine has no core {core}")));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(Into::into).doing(|| format!("moving to core {core}"))
}

/// Sets the scheduling priority of this process.
///
/// If the kernel groups tasks by session (autogroups), a priority counts only within its session,
/// and the session has a priority of its own. That is set too if this process leads its session. It
/// starts a new session if it may, or the caller has started one with `setsid`.
pub fn set_nice(nice: i32) -> Result<()> {
    let doing = || format!("setting the priority to {nice}");
    setpriority_process(None, nice).map_err(Into::into).doing(doing)?;
    // The kernel refuses this to the leader of a process group, such as a command typed into a
    // shell.
    let _ = setsid();
    let group = Path::new("/proc/self/autogroup");
    if getsid(None).is_ok_and(|session| session == getpid()) && group.exists() {
        fs::write(group, nice.to_string()).doing(doing)?;
    }
    Ok(())
}

/// Raises the limit of open files as far as the system allows.
pub fn raise_open_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(Into::into).doing(|| "raising the limit of open files".into())
}
