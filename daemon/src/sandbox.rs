//! The sandbox of `-o drop_privileges`: the process gives up what a cache does not need.
//!
//! It has two parts, both of Linux. They last until the process ends.
//!
//! - [`files`], by Landlock. It binds the calling thread and those that it starts, so it begins
//!   before the first thread. The daemon may then read the directories of its certificates and
//!   passwords. It may write those of its snapshot, pid file, port file and Unix socket.
//! - [`calls`], by seccomp. It binds all threads once the daemon listens. It refuses all system
//!   calls but those of a running server, with EPERM. So there is no other program, no debugger, no
//!   signal to another process, and no new socket but one for the service manager.
//!
//! A system that lacks a part runs the daemon with the other one, and a line says so.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use memcache_core::internal::base::stderr::write_line;
use memcache_core::{Listen, Passwords};

use crate::plan::Plan;

/// The directories that a running daemon uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directories {
    /// Files are read here.
    read: BTreeSet<PathBuf>,
    /// Files and sockets are made, written and removed here.
    write: BTreeSet<PathBuf>,
}

impl Directories {
    /// Returns the directories of the files that a plan names. Must run before the process changes
    /// its directory.
    ///
    /// A directory and not a file is allowed, because a file may be replaced before SIGHUP.
    pub fn of(plan: &Plan) -> Self {
        let config = &plan.config;
        let tls = config.tls.iter().flat_map(|tls| [&tls.chain_cert, &tls.key, &tls.ca_cert]);
        let passwords = config.auth.iter().filter_map(|auth| match &auth.passwords {
            Passwords::File(path) => Some(path),
            Passwords::List(_) => None,
        });
        let sockets = config.listen.iter().filter_map(|listen| match listen {
            Listen::Unix { path, .. } => Some(path),
            Listen::Tcp { .. } | Listen::Udp { .. } => None,
        });
        let written = [&config.persist, &config.memory_file, &plan.process.pid_file, &plan.process.port_file];
        let read = tls.chain([&config.rights_file]).flatten().chain(passwords);
        Self {
            read: read.flat_map(|path| directories(path)).collect(),
            write: written.into_iter().flatten().chain(sockets).flat_map(|path| directories(path)).collect(),
        }
    }
}

/// Returns the directory of `path`, and that of the file that a link there leads to.
fn directories(path: &Path) -> impl Iterator<Item = PathBuf> {
    let places = [std::path::absolute(path).ok(), std::fs::canonicalize(path).ok()];
    places.into_iter().flatten().filter_map(|path| Some(path.parent()?.to_owned()))
}

/// Restricts the files of this thread and of those that it starts. Prints what does not hold.
pub fn restrict_files(directories: &Directories) {
    #[cfg(target_os = "linux")]
    match files::restrict(&directories.read, &directories.write) {
        Ok(files::Extent::Whole) => {}
        Ok(files::Extent::Part) => {
            warn("the Landlock of this system is old, so some changes of files are not refused");
        }
        Ok(files::Extent::Nothing) => warn("this system has no Landlock, so files are not restricted"),
        Err(why) => warn(&format!("files are not restricted: {why}")),
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directories;
        warn("this system has no sandbox, so nothing is restricted");
    }
}

/// Restricts the system calls of the process. Prints what does not hold.
pub fn restrict_calls() {
    #[cfg(target_os = "linux")]
    if let Err(why) = calls::restrict(std::env::var_os("NOTIFY_SOCKET").is_some()) {
        warn(&format!("system calls are not restricted: {why}"));
    }
}

fn warn(text: &str) {
    write_line(&format!("WARNING: drop_privileges: {text}"));
}
