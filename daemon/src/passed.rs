//! The sockets that another process opened for this one. That is the service manager (socket
//! activation), or the daemon whose newer version this is.
//!
//! Both pass descriptors from 3 on, and say so in `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`,
//! as systemd does. A name of [`named`] marks a socket that a daemon opened, and its file, or one
//! of its services.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use memcache_core::Listen;
use memcache_core::internal::server::{FileId, Opener, PassedSocket};
use socket2::SockRef;

use crate::failure::{Failure, reason};
use crate::http::Named;
use crate::plan::Plan;
use crate::process;

/// The name of a socket that a daemon opened. That of a Unix socket goes on with the numbers of its
/// file: `memcached-rs.own.DEVICE.INODE`.
const OWN: &str = "memcached-rs.own";

/// The start of the name of a socket of a service that a daemon opened.
const HTTP: &str = "memcached-rs.http.";

/// The name of a socket that the service manager opened.
const MANAGED: &str = "memcached-rs.managed";

/// The sockets that were passed to this process.
pub struct Passed {
    /// Those of the server.
    pub server: Vec<PassedSocket>,
    /// Those of the services of HTTP.
    pub http: Vec<Named>,
}

impl Passed {
    /// Returns whether a daemon passed its sockets to this one, which continues its process.
    pub fn continues(&self) -> bool {
        self.server.iter().any(PassedSocket::is_owned) || !self.http.is_empty()
    }
}

/// Takes the sockets that were passed to this process.
pub fn take() -> Result<Passed, Failure> {
    let refused = |what: String, e: &std::io::Error| {
        Failure::system(format!("cannot use {what} of LISTEN_FDS: {}", reason(e)))
    };
    let passed = sd_notify::listen_fds_with_names().map_err(|e| refused("the sockets".into(), &e))?;
    let mut all = Passed { server: Vec::new(), http: Vec::new() };
    for (number, name) in passed {
        let refused = |e| refused(format!("descriptor {number}"), &e);
        let socket = process::own(number).map_err(refused)?;
        if let Some(service) = name.strip_prefix(HTTP) {
            let socket = TcpListener::from(socket);
            SockRef::from(&socket).set_cloexec(true).map_err(refused)?;
            all.http.push((service.to_owned(), socket));
        } else {
            all.server.push(PassedSocket::new(socket, opener(&name)).map_err(refused)?);
        }
    }
    Ok(all)
}

/// Names sockets for the next program of this process: those of the server, and those of the
/// services.
pub fn named(server: Vec<(OwnedFd, Opener)>, http: Vec<Named>) -> Vec<(OwnedFd, String)> {
    let server = server.into_iter().map(|(fd, opener)| (fd, name(&opener)));
    server.chain(http.into_iter().map(|(name, socket)| (socket.into(), format!("{HTTP}{name}")))).collect()
}

/// Returns the name under which a daemon passes a socket on.
fn name(opener: &Opener) -> String {
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
