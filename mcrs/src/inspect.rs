//! `mcrs inspect`: tells what is in a snapshot, and whether it is damaged.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::persist::{Damage, Decoder, Entry, Event, SnapshotInfo, Summary};
use serde_json::{Value, json};

use crate::failure::{Failure, INCOMPLETE};
use crate::load::open;
use crate::print;
use crate::snapshot::{describe, now_micros};
use crate::text::{json, key_json, url};

/// Tells what is in a snapshot, and whether it is damaged
#[derive(Args, Debug)]
pub struct InspectArguments {
    /// The snapshot, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a line for each item instead of the summary, in the form of memcached's metadump
    #[arg(long)]
    keys: bool,
    /// Print JSON: one object, or one a line with --keys
    #[arg(long)]
    json: bool,
}

/// Runs `mcrs inspect`.
///
/// # Errors
/// The file is not a snapshot, or is damaged.
pub fn run(arguments: &InspectArguments) -> Result<(), Failure> {
    let (name, reader) = open(&arguments.file)?;
    let mut decoder = Decoder::new(reader).map_err(|e| Failure::format(&name, &e))?;
    let mut report = Report { info: decoder.info().clone(), ..Report::default() };
    let now = now_micros() / 1_000_000;
    let mut buffer = Vec::new();
    let mut lines = String::new();
    while let Some(event) = decoder.next_event().map_err(|e| Failure::file("read", &name, &e))? {
        match event {
            Event::Damage(damage, offset) => report.note(damage, offset),
            Event::End(summary) => report.trailer = Some(summary),
            Event::Block(packed) => match packed.unpack(&mut buffer) {
                Err(damage) => report.note(damage, packed.offset()),
                Ok(mut entries) => {
                    report.block(packed.codec(), packed.stored_len(), packed.raw_len());
                    for entry in entries.by_ref() {
                        report.entry(&entry, now);
                        if arguments.keys {
                            lines += &if arguments.json { item_json(&entry) } else { item(&entry) };
                        }
                    }
                    if entries.left() > 0 {
                        report.note(Damage::Data { items: entries.left() }, packed.offset());
                    }
                    print(&lines)?;
                    lines.clear();
                }
            },
        }
    }
    report.length = decoder.position();
    if arguments.keys {
        for (offset, damage) in &report.damage {
            write_line(&format!("{name}: byte {offset}: {}", describe(*damage)));
        }
    } else if arguments.json {
        print(&format!("{:#}\n", report.json()))?;
    } else {
        print(&report.text(&name))?;
    }
    if report.damage.is_empty() { Ok(()) } else { Err(Failure::new(INCOMPLETE, "")) }
}

/// Names of the codecs by number.
const CODECS: [&str; 2] = ["plain", "lz4"];

/// Upper bounds of the histogram of value sizes; larger values come last.
const SIZES: [usize; 6] = [0, 63, 1023, 16_383, 262_143, 1_048_575];

/// The blocks of one codec.
#[derive(Clone, Copy, Debug, Default)]
struct Blocks {
    count: u64,
    stored: u64,
    raw: u64,
}

#[derive(Debug, Default)]
struct Report {
    info: SnapshotInfo,
    trailer: Option<Summary>,
    /// Bytes of the file.
    length: u64,
    items: u64,
    /// Bytes of keys and values.
    bytes: u64,
    never_expire: u64,
    expired: u64,
    stale: u64,
    highest_cas: u64,
    blocks: [Blocks; CODECS.len()],
    sizes: [u64; SIZES.len() + 1],
    damage: Vec<(u64, Damage)>,
}

impl Report {
    fn note(&mut self, damage: Damage, offset: u64) {
        self.damage.push((offset, damage));
    }

    fn block(&mut self, codec: u8, stored: usize, raw: usize) {
        // A block of another codec cannot be unpacked, and does not come here.
        if let Some(blocks) = self.blocks.get_mut(usize::from(codec)) {
            blocks.count += 1;
            blocks.stored += stored as u64;
            blocks.raw += raw as u64;
        }
    }

    fn entry(&mut self, entry: &Entry<'_>, now: i64) {
        self.items += 1;
        self.bytes += (entry.key.len() + entry.value.len()) as u64;
        self.never_expire += u64::from(entry.expires_at.is_none());
        self.expired += u64::from(entry.expires_at.is_some_and(|at| at <= now));
        self.stale += u64::from(entry.stale);
        self.highest_cas = self.highest_cas.max(entry.cas);
        let class = SIZES.iter().position(|&most| entry.value.len() <= most).unwrap_or(SIZES.len());
        if let Some(size) = self.sizes.get_mut(class) {
            *size += 1;
        }
    }

    fn text(&self, name: &str) -> String {
        let mut rows = vec![("file", format!("{name}, {} bytes", self.length))];
        rows.push(("written by", self.info.program.escape_debug().to_string()));
        if !self.info.note.is_empty() {
            rows.push(("note", self.info.note.escape_debug().to_string()));
        }
        rows.push(("begun", time(self.info.saved_at)));
        rows.push((
            "complete",
            self.trailer.map_or_else(|| "no".into(), |trailer| time(trailer.finished_at)),
        ));
        rows.push(("items", format!("{} with {} bytes of keys and values", self.items, self.bytes)));
        rows.push(("expired", self.expired.to_string()));
        rows.push(("never expire", self.never_expire.to_string()));
        rows.push(("stale", self.stale.to_string()));
        rows.push(("highest CAS", self.highest_cas.max(self.info.highest_cas).to_string()));
        for (codec, blocks) in CODECS.iter().zip(self.blocks) {
            if blocks.count > 0 {
                let Blocks { count, stored, raw } = blocks;
                rows.push(("blocks", format!("{count} {codec}, {raw} bytes stored in {stored}")));
            }
        }
        for (bounds, count) in size_names().iter().zip(self.sizes).filter(|(_, count)| *count > 0) {
            rows.push(("values of", format!("{bounds} bytes: {count}")));
        }
        if self.damage.is_empty() {
            rows.push(("damage", "none".into()));
        }
        for (offset, damage) in &self.damage {
            rows.push(("damage", format!("byte {offset}: {}", describe(*damage))));
        }
        rows.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<13} {value}");
            text
        })
    }

    fn json(&self) -> Value {
        let blocks = CODECS.iter().zip(self.blocks).map(|(codec, blocks)| {
            json!({ "codec": codec, "blocks": blocks.count, "stored": blocks.stored, "raw": blocks.raw })
        });
        let sizes = size_names()
            .into_iter()
            .zip(self.sizes)
            .map(|(bounds, count)| json!({ "bytes": bounds, "items": count }));
        let damage =
            self.damage.iter().map(|(offset, damage)| json!({ "offset": offset, "text": describe(*damage) }));
        json!({
            "program": self.info.program,
            "note": self.info.note,
            "saved_at": self.info.saved_at,
            "finished_at": self.trailer.map(|trailer| trailer.finished_at),
            "file_bytes": self.length,
            "items": self.items,
            "bytes": self.bytes,
            "expired": self.expired,
            "never_expire": self.never_expire,
            "stale": self.stale,
            "highest_cas": self.highest_cas.max(self.info.highest_cas),
            "blocks": blocks.collect::<Vec<_>>(),
            "value_sizes": sizes.collect::<Vec<_>>(),
            "damage": damage.collect::<Vec<_>>(),
        })
    }
}

/// Returns the ranges of the histogram.
fn size_names() -> Vec<String> {
    let mut from = 0;
    let mut names = Vec::new();
    for most in SIZES {
        names.push(if from == most { most.to_string() } else { format!("{from} to {most}") });
        from = most + 1;
    }
    names.push(format!("{from} or more"));
    names
}

/// Returns a time in microseconds since 1970 as in `2026-11-29T17:00:00Z`.
fn time(micros: i64) -> String {
    let since = Duration::from_micros(micros.try_into().unwrap_or_default());
    match SystemTime::UNIX_EPOCH.checked_add(since) {
        // The library refuses years after 9999 when it prints.
        Some(time) if since.as_secs() < 253_402_300_800 => {
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => format!("{micros} microseconds since 1970"),
    }
}

/// Returns a line in the form of `lru_crawler metadump`. `size` is the length of the value.
fn item(entry: &Entry<'_>) -> String {
    let mut line = format!("key={}", url(entry.key));
    let Entry { idle, cas, flags, .. } = entry;
    let fetch = if entry.fetched { "yes" } else { "no" };
    let _ = writeln!(
        line,
        " exp={} idle={idle} cas={cas} fetch={fetch} size={} flags={flags}",
        entry.expires_at.unwrap_or(-1),
        entry.value.len()
    );
    line
}

fn item_json(entry: &Entry<'_>) -> String {
    let (name, key) = key_json(entry.key);
    json(&json!({
        name: key,
        "size": entry.value.len(),
        "flags": entry.flags,
        "expires_at": entry.expires_at,
        "cas": entry.cas,
        "idle": entry.idle,
        "fetched": entry.fetched,
        "stale": entry.stale,
        "won": entry.won,
        "key_binary": entry.key_binary,
    }))
}
