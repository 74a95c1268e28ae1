//! Kills of a process that saves, at any moment. The file must always be that of a whole save.
//!
//! The process gives all items the number of the next save, saves them, and repeats. It writes a
//! line before and after each save.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use memcache_core::{Cache, CacheConfig, LoadOptions, SaveOptions, SnapshotCodec, Ttl};

use super::value::{Stamp, name, size};
use super::{Directory, Length};
use crate::Outcome;
use crate::rng::Rng;

/// Number of items.
const KEYS: u64 = 2000;

/// Longest time before a kill, in microseconds: that of a few saves.
const LIFE: usize = 100_000;

/// How to run the check.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The program that calls [`save_until_killed`] for `save-until-killed FILE --from N`.
    pub program: &'a Path,
    /// Where the snapshot is.
    pub directory: &'a Path,
    /// When it ends.
    pub length: Length,
    /// Seed of all decisions.
    pub seed: u64,
}

/// Saves to `file` until the process is killed. The first save has the number `from`.
///
/// # Errors
/// A save fails, or the reader of standard output has gone.
pub fn save_until_killed(file: &Path, from: u64) -> Outcome<()> {
    let cache = Cache::new(CacheConfig { memory_limit: 256 << 20, ..CacheConfig::default() });
    let cache = cache.map_err(|error| format!("a cache: {error}"))?;
    let mut rng = Rng::new(from);
    let mut out = std::io::stdout();
    let mut say = |what: &str, number| {
        writeln!(out, "{what} {number}").and_then(|()| out.flush()).map_err(|error| error.to_string())
    };
    for number in from.. {
        for key in 0..KEYS {
            let value = Stamp { key, version: 2 * number, expires: 0 }.value(size(&mut rng));
            cache.set(name(key), value, Ttl::Never).map_err(|error| format!("set: {error}"))?;
        }
        let codec = if rng.chance(1, 2) { SnapshotCodec::None } else { SnapshotCodec::Lz4 };
        let note = number.to_string();
        let options = SaveOptions { codec, threads: 1 + rng.below(3), note: &note, ..SaveOptions::default() };
        say("begin", number)?;
        cache.save(file, options).map_err(|error| format!("save: {error}"))?;
        say("end", number)?;
    }
    Ok(())
}

/// Runs the check. Returns what was checked.
///
/// # Errors
/// A file that is not that of a whole save, or of an earlier one than the last that ended.
pub fn run(settings: &Settings<'_>) -> Outcome<String> {
    let directory = Directory::create(settings.directory, "kill-save")?;
    let file = directory.file("killed.mcrs");
    let mut rng = Rng::new(settings.seed);
    let (mut rounds, mut during, mut saves, start) = (0, 0, 0, Instant::now());
    // The last saves that began and ended in all processes.
    let (mut begun, mut ended) = (0, 0);
    while settings.length.goes_on(rounds, start) {
        rounds += 1;
        let mut child = Command::new(settings.program)
            .arg("save-until-killed")
            .arg(&file)
            .args(["--from", &(begun + 1).to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", settings.program.display()))?;
        let mut lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let mut note = |line: String| match line.split_once(' ').map(|(what, number)| (what, number.parse()))
        {
            Some(("begin", Ok(number))) => begun = number,
            Some(("end", Ok(number))) => {
                saves += 1;
                ended = number;
            }
            _ => {}
        };
        // The first save begins after the start of the process.
        if let Some(Ok(line)) = lines.next() {
            note(line);
        }
        thread::sleep(Duration::from_micros(rng.below(LIFE) as u64));
        child.kill().and_then(|()| child.wait()).map_err(|error| format!("kill: {error}"))?;
        lines.map_while(Result::ok).for_each(note);
        during += u64::from(begun > ended);
        check(&file, ended, begun).map_err(|fault| format!("round {rounds}: {fault}"))?;
    }
    Ok(format!(
        "{rounds} kills, {during} of them during a save, after {saves} saves: the file was always whole"
    ))
}

/// Checks that the file is that of a whole save between these two.
fn check(file: &Path, ended: u64, begun: u64) -> Outcome<()> {
    if !file.exists() {
        return if ended == 0 { Ok(()) } else { Err(format!("the file of save {ended} is missing")) };
    }
    let cache = Cache::new(CacheConfig { memory_limit: 256 << 20, ..CacheConfig::default() });
    let cache = cache.map_err(|error| format!("a cache: {error}"))?;
    let options = LoadOptions { strict: true, ..LoadOptions::default() };
    let loaded = cache.load(file, options).map_err(|error| format!("load: {error}"))?;
    let number: u64 = loaded.info.note.parse().map_err(|error| format!("the note: {error}"))?;
    if loaded.truncated || loaded.items != KEYS || !(ended.max(1)..=begun).contains(&number) {
        return Err(format!("after the saves {ended} to {begun}: {loaded:?}"));
    }
    for key in 0..KEYS {
        let value = cache.get(name(key)).ok_or_else(|| format!("key {key} is missing"))?;
        let stamp = Stamp::read(key, &value)?;
        if stamp.version != 2 * number {
            return Err(format!("{stamp:?} in save {number}"));
        }
    }
    Ok(())
}
