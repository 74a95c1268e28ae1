//! `memcached-rs`: the command line of memcached around the library.
//!
//! This crate turns flags into settings and prepares the process. The server itself is in
//! `memcache_core`. It is a library so that packages of other languages can run the same program.

#![deny(unsafe_code)]

mod args;
mod config_file;
mod control;
mod failure;
mod file;
mod help;
mod http;
mod json;
mod listen;
#[cfg_attr(not(feature = "lua"), path = "lua_off.rs")]
mod lua;
#[cfg(test)]
mod manual;
mod metrics;
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
#[cfg_attr(
    all(test, target_os = "linux"),
    expect(unsafe_code, reason = "a test makes system calls that the sandbox forbids")
)]
mod sandbox;
mod services;
mod signals;
mod upgrade;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::sync::Arc;

use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::server::{PassedSocket, check_persistence};
use memcache_core::internal::state::{Users, check_proxy};
use memcache_core::internal::tls::Tls;
use memcache_core::{BoundAddress, Listen, ProxyConfig, Server, StartError};

use crate::failure::{Failure, reason};
use crate::http::Sockets;
use crate::pidfile::PidFile;
use crate::plan::{Action, Environment, LogFormat, Plan};
use crate::sandbox::Directories;
use crate::services::Services;
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
            Err(Failure::system(format!("failed to write: {}", reason(&e))))
        }
        _ => Ok(()),
    }
}

/// Does what [`run`] does before it changes the process.
fn check(mut plan: Plan) -> Result<(), Failure> {
    load(&mut plan, &[])?;
    Services::read(&plan, &listen::ThisMachine)?;
    Users::of(&plan.config)?;
    check_persistence(&plan.config)?;
    Ok(check_proxy(&plan.config)?)
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
    let mut passed = passed::take()?;
    let continues = passed.continues();
    let tls = load(&mut plan, &passed.server)?;
    let services = Services::read(&plan, &listen::ThisMachine)?.bind(&mut passed.http)?;
    // Detaching from the terminal changes the directory.
    let config = &mut plan.config;
    let files = [&mut config.persist, &mut config.memory_file, &mut config.rights_file];
    let proxy = match &mut config.proxy {
        Some(ProxyConfig::File(file)) => Some(file),
        Some(ProxyConfig::Text(_) | ProxyConfig::Source(_) | ProxyConfig::Program(_)) | None => None,
    };
    for file in files.into_iter().flatten().chain(proxy) {
        if let Ok(absolute) = std::path::absolute(&*file) {
            *file = absolute;
        }
    }
    let sandbox = plan.process.sandbox.then(|| Directories::of(&plan));
    process::prepare(&mut plan, services.descriptors(), continues)?;
    if let Some(directories) = &sandbox {
        sandbox::restrict_files(directories);
    }
    // Threads open descriptors from here on. Those of the sockets that an upgrade passes on come
    // before them. With the sandbox there are no upgrades.
    let count = plan.config.listen.len() + services.sockets();
    let upgrades = upgrade::SIGNAL.filter(|_| sandbox.is_none());
    let reserved = upgrades.map(|_| process::reserve(count)).transpose();
    let _reserved = reserved.map_err(|e| Failure::system(format!("failed to start: {}", reason(&e))))?;
    let farewell = Farewell::new();
    let signals = Signals::handle(farewell.clone())?;

    plan.config.hooks.snapshot = Some(notify::snapshot());
    #[cfg(feature = "dns")]
    {
        plan.config.hooks.resolver = Some(Arc::new(memcache_proxy_dns::Dns));
    }
    services.hook(&mut plan.config.hooks);
    let on_tcp = !plan.config.listen.iter().any(is_unix);
    let services = services.start_early()?;
    let server = Server::start_process(plan.config, tls, passed.server)?;
    let (context, handover) = (Arc::clone(server.context()), Arc::clone(server.handover()));
    let upgrade = Arc::new(if sandbox.is_some() { upgrade.forbidden() } else { upgrade });
    let http = services.start(&server)?;
    signals.are_for(Served {
        context: Arc::clone(&context),
        handover: Arc::clone(&handover),
        upgrade: Arc::clone(&upgrade),
    });

    if let Some(path) = plan.process.port_file.filter(|_| on_tcp) {
        ports::write(&path, server.addresses(), http.services());
    }
    let pid_file = plan.process.pid_file.as_deref().and_then(PidFile::write);
    if sandbox.is_some() {
        sandbox::restrict_calls();
    }
    if let Some(proxy) = &context.proxy {
        write_line(&format!("memcached-rs {} is a proxy: {}", help::OWN_VERSION, proxy.name()));
    }
    write_line(&listening(server.addresses(), http.services()));
    notify::ready();
    let stopped = server.wait();
    let http = http.stop();
    if let (Ok(()), Some(sockets)) = (&stopped, handover.take()) {
        pid_file.into_iter().for_each(PidFile::leave);
        return Err(upgrade.run(passed::named(sockets, http)));
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
fn listening(addresses: &[BoundAddress], services: &[Sockets]) -> String {
    let version = help::OWN_VERSION;
    if addresses.is_empty() && services.is_empty() {
        return format!("memcached-rs {version} does not listen on any address");
    }
    let name = |address: &BoundAddress| match address {
        BoundAddress::Tcp(_) => address.to_string(),
        BoundAddress::Unix(_) => format!("unix:{address}"),
        BoundAddress::Udp(_) => format!("udp:{address}"),
    };
    let of_services = services
        .iter()
        .flat_map(|service| service.addresses().map(|address| format!("{}:{address}", service.name)));
    let names: Vec<String> = addresses.iter().map(name).chain(of_services).collect();
    format!("memcached-rs {version} listens on {}", names.join(", "))
}

fn is_unix(listen: &Listen) -> bool {
    matches!(listen, Listen::Unix { .. })
}
