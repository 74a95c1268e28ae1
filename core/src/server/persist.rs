//! Keeping the items of a server in a file: loading it at start, saving it in the background and at
//! the end.
//!
//! One thread, which ends after all others of the server, saves. So the last save has every change
//! that the server has answered.

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::threads::Others;
use crate::base::error::{StartError, reason};
use crate::config::{ServerConfig, SnapshotWork};
use crate::persist::meta::{self, Meta};
use crate::persist::{
    FormatError, LoadOptions, Loaded, Progress, SaveOptions, SnapshotError, check, check_header, check_place,
    keep_as, suffixed,
};
use crate::state::{Next, Persistence, ServerState};

/// Loads the file, if there is one, before clients are served.
///
/// # Errors
/// The file cannot be read or written, or is not a snapshot that this version reads. Nothing was
/// written over.
pub(super) fn load_at_start(context: &ServerState) -> Result<(), StartError> {
    let Some(persistence) = &context.persistence else { return Ok(()) };
    let refused = |e| refused(&context.config, persistence.file(), &e);
    check(persistence.file()).map_err(refused)?;
    if context.config.memory_file.is_some() {
        return load_memory_file(context, persistence);
    }
    if !context.config.persist_lazy {
        load(context, persistence).map_err(refused)?;
    }
    Ok(())
}

/// Checks the file of a server, without a change: its place, and the header that a start reads.
///
/// # Errors
/// Those of a start.
pub fn check_persistence(config: &ServerConfig) -> Result<(), StartError> {
    let Some(file) = config.persist.as_ref().or(config.memory_file.as_ref()) else { return Ok(()) };
    let refused = |e| refused(config, file, &e);
    check_place(file).map_err(refused)?;
    // Otherwise a start goes on without the items of a wrong file.
    let is_needed = config.persist.is_some() && !config.persist_lazy;
    if is_needed { check_header(file).map_err(refused) } else { Ok(()) }
}

/// Returns the error for a file that a server cannot use.
fn refused(config: &ServerConfig, file: &Path, error: &SnapshotError) -> StartError {
    let place = match error {
        SnapshotError::File { .. } => String::new(),
        _ => format!("{}: ", file.display()),
    };
    let setting = if config.persist.is_some() { "persist" } else { "memory_file" };
    StartError::File(format!("{setting}: {place}{error}"))
}

/// Loads the memory file if it is whole, and says what memcached says. Until the next stop there is
/// no whole one: the items of a server that was killed are not known.
fn load_memory_file(context: &ServerState, persistence: &Persistence) -> Result<(), StartError> {
    let file = persistence.file();
    let Some(meta) = Meta::read(file).map_err(StartError::File)? else {
        context.log(0, || "[restart] no metadata save file, starting with a clean cache".into());
        return Ok(());
    };
    for key in &meta.unknown {
        context.log(0, || format!("[restart] unknown/unhandled key: {key}"));
    }
    if let Err(e) = load(context, persistence) {
        context.log(0, || format!("[restart] {}: {e}", file.display()));
        context.log(0, || "[restart] failed to validate metadata, starting with a clean cache".into());
    }
    meta::remove(file).map_err(StartError::File)
}

/// Returns the least level of the index: with a memory file, the level at the last stop, or that of
/// a new memcached.
pub(super) fn level_of_index(config: &ServerConfig) -> u32 {
    let Some(file) = &config.memory_file else { return 0 };
    // An error is reported when the file is loaded.
    Meta::read(file).ok().flatten().map_or(HASHPOWER, |meta| meta.hashpower)
}

/// The level of memcached's index at start.
const HASHPOWER: u32 = 16;

/// Saves when a save is due, until the server stops, then once more.
pub(super) fn run(context: &ServerState, persistence: &Persistence, others: &Others) {
    let file = persistence.file().display();
    if context.config.persist_lazy
        && let Err(e) = load(context, persistence)
    {
        // A later save would replace what is not loaded.
        context.log(0, || format!("{e}; {file} stays as it is, and nothing is saved to it"));
        return;
    }
    while persistence.next(pause(context)) == Next::Save {
        save(context, persistence, false);
    }
    if !others.wait() || context.control.failure().is_some() {
        context.log(0, || format!("the server did not stop as it should; {file} stays as it is"));
    } else {
        save(context, persistence, true);
    }
}

/// Returns the time until the next save in the background. Servers that start together spread their
/// saves.
fn pause(context: &ServerState) -> Option<Duration> {
    let interval = Duration::from_secs(u64::from(context.config.persist_interval));
    let spread = RandomState::new().hash_one(0) % 201;
    (!interval.is_zero()).then(|| interval.mul_f64(0.9 + spread as f64 / 1000.0))
}

/// Loads the file, if there is one. Damage is logged, and the damaged file is kept.
fn load(context: &ServerState, persistence: &Persistence) -> Result<(), SnapshotError> {
    persistence.begin(SnapshotWork::Load);
    let file = persistence.file();
    let mut progress = |so_far: &Progress| report(context, SnapshotWork::Load, so_far);
    let options = LoadOptions {
        strict: context.config.persist_strict,
        threads: context.config.persist_threads,
        progress: Some(&mut progress),
        ..LoadOptions::default()
    };
    let is_empty = file.metadata().is_ok_and(|found| found.len() == 0);
    let done = if is_empty {
        context.log(0, || format!("{} is empty", file.display()));
        Ok(None)
    } else {
        match context.cache.load(file, options) {
            Ok(loaded) => {
                log_load(context, file, &loaded);
                Ok(Some(loaded))
            }
            Err(SnapshotError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                context.log(1, || format!("{} does not exist yet", file.display()));
                Ok(None)
            }
            // The file is ours, but nothing of it can be read.
            Err(SnapshotError::Format(e @ FormatError::DamagedHeader)) if !context.config.persist_strict => {
                let kept = keep_damaged(file);
                context.log(0, || format!("{}: {e}{kept}", file.display()));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    };
    persistence.has_loaded(done.as_ref().ok().cloned().flatten());
    done.map(drop)
}

/// Calls the hook. Ends the work if the server stops; only the last save goes on, until it is
/// aborted.
fn report(context: &ServerState, work: SnapshotWork, so_far: &Progress) -> ControlFlow<()> {
    context.config.hooks.snapshot(work, so_far.items, so_far.all_items);
    if context.control.stopping().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Logs what is not as it should be, and at -v how much was loaded.
fn log_load(context: &ServerState, file: &Path, loaded: &Loaded) {
    let file_name = file.display();
    let now = context.cache.clock().unix();
    if !loaded.damage.is_empty() || loaded.truncated {
        let kept = keep_damaged(file);
        let places: Vec<String> = loaded.damage.iter().map(|(at, _)| at.to_string()).collect();
        let lost = loaded.damaged;
        context.log(0, || {
            format!(
                "{file_name} is damaged at byte {}: at least {lost} items are lost{kept}",
                places.join(", ")
            )
        });
    }
    if loaded.info.saved_at / 1_000_000 > now {
        context.log(0, || format!("the clock was set back since {file_name} was saved"));
    }
    if loaded.no_memory > 0 {
        let (left, limit) = (loaded.no_memory, context.config.cache.memory_limit);
        context.log(0, || format!("{left} items of {file_name} do not fit into {limit} bytes of memory"));
    }
    let (items, bytes, time) = (loaded.items, loaded.bytes, loaded.time.as_secs_f64());
    context.log(1, || format!("loaded {items} items, {bytes} bytes from {file_name} in {time:.3} s"));
}

/// Keeps a damaged file before a save replaces it. Returns the end of the message.
fn keep_damaged(file: &Path) -> String {
    let kept = suffixed(file, ".damaged");
    match keep_as(file, &kept) {
        Ok(()) => format!("; the file is kept as {}", kept.display()),
        Err(e) => format!("; the file could not be kept as {}: {}", kept.display(), reason(&e)),
    }
}

/// Saves the file. `last` is the save at the end.
fn save(context: &ServerState, persistence: &Persistence, last: bool) {
    persistence.begin(SnapshotWork::Save);
    let (file, config) = (persistence.file(), &context.config);
    let mut progress = |so_far: &Progress| match report(context, SnapshotWork::Save, so_far) {
        _ if persistence.is_aborted() => ControlFlow::Break(()),
        _ if last => ControlFlow::Continue(()),
        goes_on => goes_on,
    };
    let options = SaveOptions {
        codec: config.persist_codec,
        threads: config.persist_threads,
        rate: if last { 0 } else { config.persist_rate as u64 },
        keep: config.persist_keep,
        progress: Some(&mut progress),
        ..SaveOptions::default()
    };
    let saved = context.cache.save(file, options).and_then(|saved| {
        if last && config.memory_file.is_some() {
            let hashpower = context.cache.store().totals().index_peak.ilog2();
            Meta { hashpower, ..Meta::default() }.write(file)?;
        }
        Ok(saved)
    });
    persistence.has_saved(context.cache.clock().unix(), saved.as_ref().ok().copied());
    let file = file.display();
    match saved {
        Ok(saved) => context.log(1, || {
            let (items, bytes, time) = (saved.items, saved.bytes, saved.time.as_secs_f64());
            format!("saved {items} items, {bytes} bytes to {file} in {time:.3} s")
        }),
        // The last save comes next.
        Err(SnapshotError::Cancelled) if !last => {}
        Err(e) => context.log(0, || format!("{e}; {file} stays as it is")),
    }
}
