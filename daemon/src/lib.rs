//! `memcached-rs`: the command line of memcached around the library.
//!
//! This crate turns flags into settings and prepares the process. The server itself is in
//! `memcache_core`. It is a library so that packages of other languages can run the same program.

#![deny(unsafe_code)]

mod args;
mod config_file;
mod failure;
mod help;
mod json;
mod listen;
#[cfg(test)]
mod manual;
mod notify;
mod number;
mod options;
mod options_file;
mod passed;
mod pidfile;
mod plan;
mod ports;
#[expect(unsafe_code, reason = "limits, users, fork and locked memory are system calls")]
mod process;
#[cfg_attr(test, expect(unsafe_code, reason = "a test makes system calls that the sandbox forbids"))]
mod sandbox;
mod signals;
mod upgrade;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::sync::Arc;

use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::server::PassedSocket;
use memcache_core::internal::state::Users;
use memcache_core::internal::tls::Tls;
use memcache_core::{BoundAddress, Listen, Server, StartError};

use crate::failure::Failure;
use crate::pidfile::PidFile;
use crate::plan::{Action, Environment, LogFormat, Plan};
use crate::sandbox::Directories;
use crate::signals::{Farewell, Served, Signals};
use crate::upgrade::Upgrade;

/// Runs the program with `args`, its name and its arguments, and returns its exit status.
///
/// It expects a process of its own with one thread, because it may fork, drop privileges and catch
/// signals for the rest of the process. It writes to standard output and standard error.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let line: Vec<OsString> = args.into_iter().collect();
    let upgrade = Upgrade::new(&line);
    let done = args::read(line, &Environment::of_process()).and_then(|action| match action {
        Action::Run(plan) => run(*plan, upgrade),
        Action::Check(plan) => check(*plan),
        Action::Help => print(help::VERSION).and_then(|()| print(&help::help())),
        Action::License => print(help::LICENSE),
        Action::Version => print(help::VERSION),
    });
    match done {
        Ok(()) => 0,
        Err(Failure { line, status }) => {
            write_line(&line);
            status
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A closed pipe is not an error: its reader wants no more.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("failed to write: {}", failure::reason(&e))))
        }
        _ => Ok(()),
    }
}

/// Does what [`run`] does before it changes the process.
fn check(mut plan: Plan) -> Result<(), Failure> {
    load(&mut plan, &[])?;
    Ok(Users::of(&plan.config).map(drop)?)
}

/// Resolves the addresses, and reads the files of TLS.
fn load(plan: &mut Plan, passed: &[PassedSocket]) -> Result<Option<Tls>, Failure> {
    plan.config.listen.extend(listen::resolve_tcp(&plan.endpoints, &listen::ThisMachine)?);
    plan.config.listen.extend(listen::resolve_udp(&plan.datagrams, &listen::ThisMachine)?);
    passed::add_listeners(plan, passed);
    // Some limits depend on the addresses, which are known only now.
    plan.config.validate().map_err(StartError::from)?;
    let tls = plan.config.tls.as_ref().map(Tls::load).transpose()?;
    for note in tls.iter().flat_map(Tls::notes) {
        plan.warnings.push(format!("WARNING: {note}"));
    }
    Ok(tls)
}

fn run(mut plan: Plan, upgrade: Upgrade) -> Result<(), Failure> {
    if plan.process.log_format == LogFormat::Json {
        json::log_as_json();
    }
    // From here on, order matters. Keys are read before the right to read them is dropped. The fork
    // comes before any thread. Signal handlers are installed before the pid file and the ports tell
    // other programs of the server.
    let passed = passed::take()?;
    let tls = load(&mut plan, &passed)?;
    // Detaching from the terminal changes the directory.
    let config = &mut plan.config;
    let files = [&mut config.persist, &mut config.memory_file, &mut config.rights_file];
    for file in files.into_iter().flatten() {
        if let Ok(absolute) = std::path::absolute(&*file) {
            *file = absolute;
        }
    }
    let sandbox = plan.process.sandbox.then(|| Directories::of(&plan));
    process::prepare(&mut plan, passed::continues(&passed))?;
    if let Some(directories) = &sandbox {
        sandbox::restrict_files(directories);
    }
    let farewell = Farewell::new();
    let signals = Signals::handle(farewell.clone())?;

    plan.config.hooks.snapshot = Some(notify::snapshot());
    let on_tcp = !plan.config.listen.iter().any(is_unix);
    let server = Server::start_process(plan.config, tls, passed)?;
    let (context, handover) = (Arc::clone(server.context()), Arc::clone(server.handover()));
    let upgrade = Arc::new(if sandbox.is_some() { upgrade.forbidden() } else { upgrade });
    signals.are_for(Served {
        context: Arc::clone(&context),
        handover: Arc::clone(&handover),
        upgrade: Arc::clone(&upgrade),
    });

    if let Some(path) = plan.process.port_file.filter(|_| on_tcp) {
        ports::write(&path, server.addresses());
    }
    let pid_file = plan.process.pid_file.as_deref().and_then(PidFile::write);
    if sandbox.is_some() {
        sandbox::restrict_calls();
    }
    write_line(&listening(server.addresses()));
    notify::ready();
    let stopped = server.wait();
    if let (Ok(()), Some(sockets)) = (&stopped, handover.take()) {
        pid_file.into_iter().for_each(PidFile::leave);
        return Err(upgrade.run(sockets));
    }
    drop(pid_file);
    stopped.map_err(|e| Failure::software(format!("memcached-rs: {e}; exiting")))?;
    if context.control.failure().is_some() {
        return Err(Failure::software("Exiting on error"));
    }
    farewell.ended(context.control.stopping(), context.config.verbosity);
    Ok(())
}

/// Returns the line that names the addresses of the server. memcached logs no such line, so no
/// script expects one. It goes to standard error like every message.
fn listening(addresses: &[BoundAddress]) -> String {
    let version = help::OWN_VERSION;
    if addresses.is_empty() {
        return format!("memcached-rs {version} does not listen on any address");
    }
    let name = |address: &BoundAddress| match address {
        BoundAddress::Tcp(_) => address.to_string(),
        BoundAddress::Unix(_) => format!("unix:{address}"),
        BoundAddress::Udp(_) => format!("udp:{address}"),
    };
    let names: Vec<String> = addresses.iter().map(name).collect();
    format!("memcached-rs {version} listens on {}", names.join(", "))
}

fn is_unix(listen: &Listen) -> bool {
    matches!(listen, Listen::Unix { .. })
}
