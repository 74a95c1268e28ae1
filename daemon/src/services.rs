//! The services of HTTP that a command line asks for. Each has a field of its own here.
//!
//! [`Services::read`] checks settings and files, as `--check` does. [`Services::bind`] opens
//! sockets, and [`Bound::start`] serves.

use std::net::SocketAddr;

use memcache_core::{Hooks, Server};
use memcache_embed::commands::CommandLog;

use crate::control::{self, Guard, Token};
use crate::failure::Failure;
use crate::http::{Http, Named, Sockets};
use crate::listen::System;
use crate::metrics::{self, Watched};
use crate::plan::{ControlSettings, Plan};

/// Services whose addresses and files are known.
#[derive(Debug)]
pub struct Services {
    control: Option<(Vec<SocketAddr>, Guard)>,
    metrics: Option<Vec<SocketAddr>>,
}

impl Services {
    /// Resolves addresses, and reads files.
    pub fn read(plan: &Plan, system: &impl System) -> Result<Self, Failure> {
        let control = plan.control.as_ref().map(|settings| read_control(settings, system));
        let metrics = plan.metrics.as_ref().map(|address| address.resolve(system));
        Ok(Self { control: control.transpose()?, metrics: metrics.transpose()? })
    }

    /// Opens the sockets, or takes those that were passed to this process.
    pub fn bind(self, passed: &mut Vec<Named>) -> Result<Bound, Failure> {
        let control = match self.control {
            Some((addresses, guard)) => {
                let sockets = Sockets::bind("control", &addresses, passed)?;
                Some((sockets, guard, CommandLog::default()))
            }
            None => None,
        };
        let metrics = self.metrics.map(|addresses| Sockets::bind("metrics", &addresses, passed));
        Ok(Bound { control, metrics: metrics.transpose()? })
    }
}

fn read_control(
    settings: &ControlSettings,
    system: &impl System,
) -> Result<(Vec<SocketAddr>, Guard), Failure> {
    let addresses = settings.address.resolve(system)?;
    let token = settings.token_file.as_deref().map(Token::read).transpose()?;
    match addresses.iter().find(|at| !at.ip().is_loopback()) {
        Some(open) if token.is_none() => Err(Failure::usage(format!(
            "control: {open} is not loopback, so it needs a token (--control-token-file)"
        ))),
        _ => Ok((addresses, Guard { token })),
    }
}

/// Services with sockets.
#[derive(Debug)]
pub struct Bound {
    control: Option<(Sockets, Guard, CommandLog)>,
    metrics: Option<Sockets>,
}

impl Bound {
    /// Returns the number of descriptors that the services use at most.
    pub fn descriptors(&self) -> usize {
        self.services().map(Sockets::descriptors).sum()
    }

    /// Returns the number of sockets.
    pub fn sockets(&self) -> usize {
        self.services().map(|sockets| sockets.addresses().count()).sum()
    }

    fn services(&self) -> impl Iterator<Item = &Sockets> {
        self.control.iter().map(|(sockets, ..)| sockets).chain(&self.metrics)
    }

    /// Adds the hooks that the services need.
    pub fn hook(&self, hooks: &mut Hooks) {
        if let Some((.., commands)) = &self.control {
            commands.record(hooks);
        }
    }

    /// Serves those that say whether the server has started.
    pub fn start_early(self) -> Result<Early, Failure> {
        let watched = Watched::default();
        let metrics = self.metrics.map(|sockets| (sockets, metrics::router(watched.clone())));
        Ok(Early { http: Http::start(metrics.into_iter().collect())?, watched, control: self.control })
    }
}

/// Services of which some are served.
pub struct Early {
    http: Http,
    watched: Watched,
    control: Option<(Sockets, Guard, CommandLog)>,
}

impl Early {
    /// Serves all of them for a server.
    pub fn start(mut self, server: &Server) -> Result<Http, Failure> {
        self.watched.set(server.context());
        let control = self
            .control
            .map(|(sockets, guard, commands)| (sockets, control::router(server, commands, guard)));
        self.http.add(Http::start(control.into_iter().collect())?);
        Ok(self.http)
    }
}
