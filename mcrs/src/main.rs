//! `mcrs`: a command line tool for memcached servers and for snapshots.
//!
//! A subcommand is a file: its arguments, and `run`. `top` is a folder. All of them use a blocking
//! client (`client`, `stream`, `address`), which `servers` asks for several servers at once. Below
//! are the meta commands (`meta`), statistics (`reply`), the list of a server's items (`metadump`),
//! a writer of snapshots (`snapshot`), progress bars (`progress`), and text for terminals (`text`).

#![deny(unsafe_code)]

mod address;
mod client;
mod dump;
mod failure;
mod inspect;
mod keys;
mod load;
#[cfg(test)]
mod manual;
mod meta;
mod metadump;
mod progress;
mod proxy;
mod reply;
mod servers;
mod slabs;
mod snapshot;
mod stats;
mod stream;
mod text;
mod top;
mod watch;

use std::env;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind as Mistake;
use clap::{CommandFactory as _, Parser, Subcommand};
use memcache_core::internal::base::stderr::write_line;

use crate::failure::{Failure, USAGE};

/// Name and version of this program.
const PROGRAM: &str = concat!("mcrs ", env!("CARGO_PKG_VERSION"));

/// A tool for memcached servers and snapshots of memcache-rs
#[derive(Debug, Parser)]
#[command(name = "mcrs", version, after_help = AFTER, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Examples:
  mcrs dump cache1:11211 --out cache1.mcrs        save the items of a running server
  mcrs inspect cache1.mcrs                        see what is in the file
  mcrs load cache1.mcrs cache2:11211              store them in another server
  mcrs dump cache1:11211 | mcrs load - cache2     move them without a file
  mcrs top cache1 cache2                          watch two servers live
  mcrs stats cache1 cache2                        compare their statistics
  mcrs keys cache1 --sort size --limit 10         find the largest items
  mcrs proxy check proxy.toml                     check the configuration of a proxy

Exit status: 0 if everything is done; 1 if an item was not stored, a snapshot is damaged, or a
server answers with an error; 64 wrong usage; 65 not a snapshot, or a wrong configuration of a
proxy; 69 no usable server; 74 file error; 75 server busy; 77 not permitted.";

#[derive(Debug, Subcommand)]
enum Command {
    Dump(dump::DumpArguments),
    Load(load::LoadArguments),
    Inspect(inspect::InspectArguments),
    Proxy(proxy::ProxyArguments),
    Stats(stats::StatsArguments),
    Settings(stats::SettingsArguments),
    Slabs(slabs::SlabsArguments),
    Keys(keys::KeysArguments),
    Watch(watch::WatchArguments),
    Top(top::TopArguments),
}

fn main() -> ExitCode {
    let done = match Arguments::try_parse() {
        Ok(arguments) => match arguments.command {
            Command::Dump(arguments) => dump::run(arguments),
            Command::Load(arguments) => load::run(arguments),
            Command::Inspect(arguments) => inspect::run(&arguments),
            Command::Proxy(arguments) => proxy::run(arguments),
            Command::Stats(arguments) => stats::run(arguments),
            Command::Settings(arguments) => stats::settings(arguments),
            Command::Slabs(arguments) => slabs::run(arguments),
            Command::Keys(arguments) => keys::run(arguments),
            Command::Watch(arguments) => watch::run(arguments),
            Command::Top(arguments) => top::run(arguments),
        },
        Err(error) if error.use_stderr() => Err(usage(&error)),
        // The help or the version.
        Err(text) => print(&text.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { line, status }) => {
            if !line.is_empty() {
                write_line(&format!("mcrs: {line}"));
            }
            ExitCode::from(status)
        }
    }
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        // The reader wants no more.
        ErrorKind::BrokenPipe => Failure::new(0, ""),
        _ => Failure::file("write to", "standard output", &error),
    })
}

/// Returns the failure of a wrong command line in one line: the first paragraph of clap's message,
/// and the command whose help tells more.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let line = match error.kind() {
        // The text is the help.
        Mistake::DisplayHelpOnMissingArgumentOrSubcommand | Mistake::MissingSubcommand => {
            "a command is missing".into()
        }
        _ => {
            let first = text.split("\n\n").next().unwrap_or_default();
            let words = first.strip_prefix("error: ").unwrap_or(first).split_whitespace();
            words.collect::<Vec<_>>().join(" ")
        }
    };
    Failure::new(USAGE, format!("{line}; {} --help tells more", command()))
}

/// Returns the words of the command line that name a command. clap's messages have them only for
/// some mistakes.
fn command() -> String {
    let (mut words, mut command) = ("mcrs".to_owned(), Arguments::command());
    for word in env::args_os().skip(1) {
        let Some(found) = command.find_subcommand(&word) else { break };
        words = format!("{words} {}", found.get_name());
        command = found.clone();
    }
    words
}
