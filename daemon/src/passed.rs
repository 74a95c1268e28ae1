//! The sockets that another process opened for this one. That is the service manager (socket
//! activation), or the daemon whose newer version this is.
//!
//! Both pass descriptors from 3 on, and say so in `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`,
//! as systemd does. A name from [`name`] marks a socket that a daemon opened, and its file.

use memcache_core::Listen;
use memcache_core::internal::server::{FileId, Opener, PassedSocket};

use crate::failure::{Failure, reason};
use crate::plan::Plan;
use crate::process;

/// The name of a socket that a daemon opened. That of a Unix socket goes on with the numbers of its
/// file: `memcached-rs.own.DEVICE.INODE`.
const OWN: &str = "memcached-rs.own";

/// The name of a socket that the service manager opened.
const MANAGED: &str = "memcached-rs.managed";

/// Returns the name under which a daemon passes a socket on.
pub fn name(opener: &Opener) -> String {
    match opener {
        Opener::Manager => MANAGED.into(),
        Opener::Server(None) => OWN.into(),
        Opener::Server(Some(FileId { device, inode })) => format!("{OWN}.{device}.{inode}"),
    }
}

/// Returns the opener that a name states. Names of the service manager are not ours.
fn opener(name: &str) -> Opener {
    let file = |numbers: &str| {
        let (device, inode) = numbers.strip_prefix('.')?.split_once('.')?;
        Some(FileId { device: device.parse().ok()?, inode: inode.parse().ok()? })
    };
    name.strip_prefix(OWN).map_or(Opener::Manager, |numbers| Opener::Server(file(numbers)))
}

/// Takes the sockets that were passed to this process.
pub fn take() -> Result<Vec<PassedSocket>, Failure> {
    let refused = |what: String, e: &std::io::Error| {
        Failure::system(format!("cannot use {what} of LISTEN_FDS: {}", reason(e)))
    };
    let passed = sd_notify::listen_fds_with_names().map_err(|e| refused("the sockets".into(), &e))?;
    passed
        .map(|(fd, name)| {
            let socket = process::own(fd).and_then(|fd| PassedSocket::new(fd, opener(&name)));
            socket.map_err(|e| refused(format!("descriptor {fd}"), &e))
        })
        .collect()
}

/// Adds a listener for each socket of the service manager that the plan does not name. If the plan
/// names no listener, those are all.
pub fn add_listeners(plan: &mut Plan, passed: &[PassedSocket]) {
    let managed = || passed.iter().filter(|socket| !socket.is_owned());
    if plan.is_default_listen && managed().next().is_some() {
        plan.config.listen.clear();
    }
    let missing: Vec<Listen> = managed()
        .filter(|socket| !plan.config.listen.iter().any(|listen| socket.is_for(listen)))
        .map(PassedSocket::listen)
        .collect();
    plan.config.listen.extend(missing);
}

/// Returns whether a daemon passed its sockets to this one, which continues its process.
pub fn continues(passed: &[PassedSocket]) -> bool {
    passed.iter().any(PassedSocket::is_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_states_the_opener() {
        let file = FileId { device: 2, inode: u64::MAX };
        for passed in [Opener::Manager, Opener::Server(None), Opener::Server(Some(file))] {
            assert_eq!(opener(&name(&passed)), passed);
        }
        for foreign in ["", "unknown", "memcached-rs.socket", "own"] {
            assert_eq!(opener(foreign), Opener::Manager, "{foreign}");
        }
    }
}
