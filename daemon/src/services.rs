//! The services of HTTP that a command line asks for. Each has a field of its own here.
//!
//! [`Services::read`] checks settings and files, as `--check` does. [`Services::bind`] opens
//! sockets, and [`Bound::start`] serves.

use std::net::{SocketAddr, TcpListener};

use memcache_core::{Hooks, Server};
use memcache_embed::commands::CommandLog;

use crate::control::{self, Guard, Token};
use crate::failure::Failure;
use crate::http::{Http, Sockets};
use crate::listen::System;
use crate::plan::{ControlSettings, Plan};

/// Services whose addresses and files are known.
#[derive(Debug)]
pub struct Services {
    control: Option<(Vec<SocketAddr>, Guard)>,
}

impl Services {
    /// Resolves addresses, and reads files.
    pub fn read(plan: &Plan, system: &impl System) -> Result<Self, Failure> {
        let control = plan.control.as_ref().map(|settings| read_control(settings, system));
        Ok(Self { control: control.transpose()? })
    }

    /// Opens the sockets, or takes those that were passed to this process.
    pub fn bind(self, passed: &mut Vec<TcpListener>) -> Result<Bound, Failure> {
        let control = match self.control {
            Some((addresses, guard)) => {
                let sockets = Sockets::bind("control", &addresses, passed)?;
                Some((sockets, guard, CommandLog::default()))
            }
            None => None,
        };
        Ok(Bound { control })
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
}

impl Bound {
    /// Adds the hooks that the services need.
    pub fn hook(&self, hooks: &mut Hooks) {
        if let Some((.., commands)) = &self.control {
            commands.record(hooks);
        }
    }

    /// Serves them for a server.
    pub fn start(self, server: &Server) -> Result<Http, Failure> {
        let control = self
            .control
            .map(|(sockets, guard, commands)| (sockets, control::router(server, commands, guard)));
        Http::start(control.into_iter().collect())
    }
}
