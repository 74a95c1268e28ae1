//! `mcrs load`: stores the items of a snapshot in a running server.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::persist::{Damage, Decoder, Entry, Event};

use crate::client::{Connection, ServerArguments};
use crate::failure::{Failure, INCOMPLETE};
use crate::snapshot::{describe, now_micros};
use crate::{meta, print, progress};

/// Requests and bytes of requests that are sent together, with a barrier behind them. Two such
/// batches are on their way. The replies to their requests fit into the buffers of the sockets. So
/// the server goes on to read, also if this program does not read while it writes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// Longest TTL that is relative; memcached takes a larger number for a second since 1970.
const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// Most places of damage that are reported.
const DAMAGE_MAX: usize = 10;

/// Stores the items of a snapshot in a running server
///
/// The server may be memcache-rs or memcached 1.6. An item that the server has stays as it is,
/// because it is newer. Items keep their client flags and CAS, and expire when they were to expire.
#[derive(Args, Debug)]
pub struct LoadArguments {
    /// The snapshot, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
    /// Replace items that the server has
    #[arg(long)]
    replace: bool,
}

/// Runs `mcrs load`.
///
/// # Errors
/// The snapshot or the server cannot be used, or an item was not stored and has not expired.
pub fn run(arguments: LoadArguments) -> Result<(), Failure> {
    let (name, reader) = open(&arguments.file)?;
    let mut decoder = Decoder::new(reader).map_err(|e| Failure::format(&name, &e))?;
    let mut connection = arguments.server.server()?.connect()?;
    let evictions = connection.stat("evictions")?;
    let bar = progress::bar(decoder.info().items);
    let mut load = Load {
        takes_cas: connection.takes_cas()?,
        connection,
        replace: arguments.replace,
        // If the clock was set back since the dump, no time has passed: that loses no item.
        set_back: (decoder.info().saved_at - now_micros()).max(0),
        pending: 0,
        barriers: 0,
        counts: Counts::default(),
        damage: Vec::new(),
    };
    load.read(&mut decoder, &name, &bar)?;
    bar.finish_and_clear();
    for (offset, damage) in &load.damage {
        write_line(&format!("{name}: byte {offset}: {}", describe(*damage)));
    }
    let evicted = load.connection.stat("evictions")?.saturating_sub(evictions);
    if evicted > 0 {
        write_line(&format!("the server has evicted {evicted} items since the load began"));
    }
    print(&load.counts.line())?;
    if load.counts.is_complete() { Ok(()) } else { Err(Failure::new(INCOMPLETE, "")) }
}

/// Opens a file, or standard input for `-`. Returns its name for messages.
pub fn open(path: &std::path::Path) -> Result<(String, Box<dyn Read>), Failure> {
    if path.as_os_str() == "-" {
        return Ok(("standard input".into(), Box::new(io::stdin().lock())));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Failure::file("open", &name, &e))?;
    Ok((name, Box::new(file)))
}

/// The items by their fate.
#[derive(Default)]
struct Counts {
    sent: u64,
    existing: u64,
    expired: u64,
    invalid: u64,
    too_large: u64,
    no_memory: u64,
    unnamable: u64,
    damaged: u64,
    damaged_places: u64,
}

impl Counts {
    fn stored(&self) -> u64 {
        self.sent.saturating_sub(self.existing + self.too_large + self.no_memory)
    }

    /// Returns whether nothing is missing in the server that clients could still use.
    fn is_complete(&self) -> bool {
        self.existing + self.too_large + self.no_memory + self.unnamable + self.damaged_places == 0
    }

    fn line(&self) -> String {
        use std::fmt::Write as _;
        let mut line = format!("stored {} items", self.stored());
        for (count, fate) in [
            (self.existing, "exist"),
            (self.expired, "have expired"),
            (self.invalid, "are invalid"),
            (self.too_large, "are too large"),
            (self.no_memory, "find no memory"),
            (self.unnamable, "have keys that the text protocol cannot name"),
            (self.damaged, "are lost by damage"),
            (self.damaged_places, "places of damage"),
        ] {
            if count > 0 {
                // Writing to a String cannot fail.
                let _ = write!(line, ", {count} {fate}");
            }
        }
        line + "\n"
    }
}

struct Load {
    connection: Connection,
    replace: bool,
    takes_cas: bool,
    /// Microseconds by which the clock was set back.
    set_back: i64,
    /// Requests that are not sent yet.
    pending: usize,
    /// Barriers whose replies are to come.
    barriers: usize,
    counts: Counts,
    damage: Vec<(u64, Damage)>,
}

impl Load {
    fn read(
        &mut self,
        decoder: &mut Decoder<Box<dyn Read>>,
        name: &str,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut buffer = Vec::new();
        while let Some(event) = decoder.next_event().map_err(|e| Failure::file("read", name, &e))? {
            match event {
                Event::Damage(damage, offset) => self.note(damage, offset),
                Event::Block(packed) => match packed.unpack(&mut buffer) {
                    Err(damage) => self.note(damage, packed.offset()),
                    Ok(mut entries) => {
                        for entry in entries.by_ref() {
                            self.store(&entry)?;
                        }
                        if entries.left() > 0 {
                            self.note(Damage::Data { items: entries.left() }, packed.offset());
                        }
                        bar.inc(u64::from(packed.items()));
                    }
                },
                Event::End(_) => {}
            }
        }
        self.send()?;
        self.receive(0)
    }

    fn note(&mut self, damage: Damage, offset: u64) {
        self.counts.damaged_places += 1;
        if let Damage::Data { items } | Damage::Codec { items, .. } | Damage::NoMemory { items } = damage {
            self.counts.damaged += u64::from(items);
        }
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push((offset, damage));
        }
    }

    /// Requests that an item is stored, unless it should not be.
    fn store(&mut self, entry: &Entry<'_>) -> Result<(), Failure> {
        let now = (now_micros() + self.set_back) / 1_000_000;
        let left = entry.expires_at.map(|at| at.saturating_sub(now));
        if left.is_some_and(|left| left <= 0) {
            self.counts.expired += 1;
            return Ok(());
        }
        // An empty item that a client has promised to fill is worth no more than a miss. An item
        // that was invalidated would be taken for a valid one, if nothing can mark it.
        let marks = entry.stale.then_some(entry.cas).filter(|&cas| self.takes_cas && cas != 0);
        if entry.stale && marks.is_none() || entry.won && !entry.stale && entry.value.is_empty() {
            self.counts.invalid += 1;
            return Ok(());
        }
        let out = self.connection.output();
        let length = format!(" {}", entry.value.len());
        if !meta::push_key(out, "ms", entry.key, entry.key_binary, &length) {
            self.counts.unnamable += 1;
            return Ok(());
        }
        // Writing to a Vec cannot fail.
        let _ = write!(out, " q F{}", entry.flags);
        if !self.replace {
            out.extend_from_slice(b" ME");
        }
        if let Some(left) = left {
            let _ = write!(out, " T{}", exptime(left, now_micros() / 1_000_000));
        }
        if self.takes_cas && entry.cas != 0 {
            let _ = write!(out, " E{}", entry.cas);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(entry.value);
        out.extend_from_slice(b"\r\n");
        if let Some(cas) = marks {
            // Only if the server has stored this very item.
            meta::push_key(out, "md", entry.key, entry.key_binary, "");
            let _ = write!(out, " q I C{cas} E{cas}\r\n");
            if entry.won {
                // The first to read it wins the right to recache it. A client had won that.
                meta::push_key(out, "mg", entry.key, entry.key_binary, "");
                out.extend_from_slice(b" q u\r\n");
            }
        }
        self.counts.sent += 1;
        self.pending += 1;
        if self.pending >= BATCH || self.connection.output().len() >= BATCH_BYTES {
            self.send()?;
            self.receive(1)?;
        }
        Ok(())
    }

    /// Sends the pending requests with a barrier.
    fn send(&mut self) -> Result<(), Failure> {
        self.pending = 0;
        self.barriers += 1;
        self.connection.output().extend_from_slice(b"mn\r\n");
        self.connection.send()
    }

    /// Reads replies until at most `barriers` barriers are to come.
    fn receive(&mut self, barriers: usize) -> Result<(), Failure> {
        while self.barriers > barriers {
            match self.connection.line()? {
                b"MN" => self.barriers -= 1,
                b"NS" => self.counts.existing += 1,
                b"SERVER_ERROR object too large for cache" => self.counts.too_large += 1,
                line if is_no_memory(line) => self.counts.no_memory += 1,
                // Those of `md` and `mg` for an item that was not stored, or has changed since.
                line if line.starts_with(b"EX") || line.starts_with(b"HD") => {}
                _ => return Err(self.connection.unexpected()),
            }
        }
        Ok(())
    }
}

/// Returns whether a reply says that the server has no memory for an item. There are several.
fn is_no_memory(line: &[u8]) -> bool {
    const START: &[u8] = b"SERVER_ERROR out of memory";
    line.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// Returns the TTL of a request for an item that has `left` seconds.
fn exptime(left: i64, now: i64) -> i64 {
    // memcached takes at most 31 bits: an item lives to 2038 at most.
    if left <= RELATIVE_MAX { left } else { now.saturating_add(left).min(i64::from(i32::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_memory_says_so_in_several_ways() {
        assert!(is_no_memory(b"SERVER_ERROR out of memory storing object"));
        assert!(is_no_memory(b"SERVER_ERROR Out of memory during read"));
        assert!(!is_no_memory(b"SERVER_ERROR out"));
    }

    #[test]
    fn long_lives_are_sent_as_a_time() {
        let now = 1_800_000_000;
        assert_eq!(exptime(1, now), 1);
        assert_eq!(exptime(2_592_000, now), 2_592_000);
        assert_eq!(exptime(2_592_001, now), 1_802_592_001);
        assert_eq!(exptime(i64::MAX, now), 2_147_483_647);
    }
}
