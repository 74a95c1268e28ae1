//! Measures what an idle connection costs the server's process: the growth of its resident memory
//! over many connections.
//!
//! It does not include the kernel's memory for a socket, which is the same for every server.

use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

use super::table::mebibytes;
use crate::address::Address;
use crate::common::Common;
use crate::dialogue;
use crate::error::Result;
use crate::results::Results;
use crate::server::Settings;
use crate::stream::Blocking;

/// Connections opened and used before the first reading, so that one-time setup is not counted.
const FIRST: usize = 64;

/// Connections opened before waiting until the server has accepted them.
const GROUP: usize = 64;

/// Time for servers that release memory with a delay.
const SETTLE: Duration = Duration::from_millis(500);

/// The memory that one server needs. One line of the results file.
#[derive(Debug, Serialize)]
struct Idle {
    kind: &'static str,
    server: String,
    connections: usize,
    /// Growth of resident memory per connection that never sent anything.
    unused_bytes: f64,
    /// The same after one get on each connection.
    used_bytes: f64,
    resident_bytes: u64,
}

/// Connects to each server and prints a table.
pub fn run(common: &Common, count: usize, results: &mut Results) -> Result<()> {
    println!("| server | connections | bytes each, never used | bytes each, used once | RSS MiB |");
    println!("|---|--:|--:|--:|--:|");
    for spec in &common.servers {
        let server = spec.start(&Settings { connections: FIRST + count, ..common.settings(64) })?;
        let mut first = connect(&server.address, FIRST)?;
        use_once(&mut first)?;
        sleep(SETTLE);
        let before = server.resident()?;
        let mut connections = connect(&server.address, count)?;
        sleep(SETTLE);
        let unused = server.resident()?;
        use_once(&mut connections)?;
        sleep(SETTLE);
        let used = server.resident()?;
        let each = |after: u64| (after as f64 - before as f64) / count as f64;
        let idle = Idle {
            kind: "idle",
            server: spec.name.clone(),
            connections: count,
            unused_bytes: each(unused),
            used_bytes: each(used),
            resident_bytes: used,
        };
        println!(
            "| {} | {count} | {:.0} | {:.0} | {} |",
            spec.name,
            idle.unused_bytes,
            idle.used_bytes,
            mebibytes(used)
        );
        results.write(&idle)?;
    }
    Ok(())
}

/// Opens connections. Returns when the server has accepted the last one.
fn connect(address: &Address, count: usize) -> Result<Vec<Blocking>> {
    let mut connections = Vec::with_capacity(count);
    for index in 1..=count {
        connections.push(address.connect()?);
        if index % GROUP == 0 || index == count {
            dialogue::version(&mut address.connect()?)?;
        }
    }
    Ok(connections)
}

fn use_once(connections: &mut [Blocking]) -> Result<()> {
    connections.iter_mut().try_for_each(dialogue::get_nothing)
}
