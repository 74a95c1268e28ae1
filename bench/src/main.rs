//! `bench`: measures the cost of memcached servers side by side.
//!
//! - `load`: one load on one server, measured. Every reply is checked.
//! - `compare`: several servers under the same loads, in turns: CPU, throughput and latency as
//!   ratios to the first. With `--memory`, the cost of an item. With `--idle`, the cost of an idle
//!   connection.
//! - `proxy`: several proxies before the same backends, in turns, also with backends that fail.
//! - `replay`: traces against several servers: the miss ratio of each by memory.
//! - `synth`: writes traces with times to live, drawn from a table of production caches.
//! - `floor`: a server of canned replies, the least cost of this architecture.
//! - `neighbours`: how long a client waits while others keep the server busy.
//! - `inprocess`: the cache as a library, beside a hash map behind a mutex.
//! - `snapshots`: how fast caches are saved and loaded, beside servers with a file.
//! - `instructions`: one operation, repeated, for counting its instructions.
//!
//! Reading order: `items` (the stored items), `wire` (requests and replies), `checker` (whether the
//! replies are correct), `workload` and `driver` (the load), `server` (a server under test), then
//! the subcommands.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developers' tool, which prints its results"
)]

mod address;
mod checker;
mod clusters;
mod common;
mod compare;
mod dialogue;
mod directory;
mod driver;
mod error;
mod floor;
mod inprocess;
mod instructions;
mod items;
mod launch;
mod lengths;
mod load;
mod measurement;
mod neighbours;
mod proxy;
mod random;
mod replay;
mod results;
mod server;
mod snapshots;
mod stream;
mod summary;
mod synth;
mod trace;
mod usage;
mod wire;
mod workload;
mod zipf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use error::{Error, Result};

/// Measure the cost of memcached servers side by side.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(load::Load),
    Compare(compare::Compare),
    Proxy(proxy::Proxy),
    Replay(replay::Replay),
    Synth(synth::Synth),
    Floor(floor::Floor),
    Neighbours(neighbours::Neighbours),
    Inprocess(inprocess::Inprocess),
    Instructions(instructions::Instructions),
    Snapshots(snapshots::Snapshots),
    #[command(hide = true)]
    Launch(launch::Launch),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Load(load) => load::run(&load),
        Command::Compare(compare) => compare::run(&compare),
        Command::Proxy(proxy) => proxy::run(&proxy),
        Command::Replay(replay) => replay::run(&replay),
        Command::Synth(synth) => synth::run(&synth),
        Command::Floor(floor) => floor::run(&floor),
        Command::Neighbours(neighbours) => neighbours::run(&neighbours),
        Command::Inprocess(inprocess) => inprocess::run(&inprocess),
        Command::Instructions(instructions) => instructions::run(&instructions),
        Command::Snapshots(snapshots) => snapshots::run(&snapshots),
        Command::Launch(launch) => launch::run(&launch),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one line of JSON.
fn print_json(line: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(line).map_err(|error| Error::Malformed(error.to_string()))?;
    println!("{text}");
    Ok(())
}
