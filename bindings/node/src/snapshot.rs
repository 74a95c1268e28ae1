//! Saving a cache and loading it, each on a thread of its own.
//!
//! It is not a thread of Node's pool: such an operation may take minutes, and Node waits for the
//! pool when an environment ends. The thread reports to a JavaScript function, which does not keep
//! its environment alive.
//!
//! A snapshot in a stream passes in pieces. The thread reports a piece that it has saved, or that
//! it wants one to load. Then it waits for the reply of the stream.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use memcache_core::internal::persist::OnProgress;
use memcache_core::{Loaded as CoreLoaded, Saved as CoreSaved, SnapshotError, SnapshotProgress};
use memcache_embed::snapshot::{DamagedPlace, Loading, Saving, saved_at};
use napi::Status;
use napi::bindgen_prelude::{Buffer, BufferSlice};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::cache::Cache;
use crate::errors::{self, Failure};
use crate::raw::guarded;

/// Longest Buffer of Node 20.
const BUFFER_MAX: usize = 1 << 32;

/// The JavaScript function that receives the reports of an operation.
type OnReport = ThreadsafeFunction<Report, (), Report, Status, false, true>;

/// A report of an operation. All but the last report have only `progress`, `piece` or `wants`.
#[napi(object, object_from_js = false)]
#[derive(Default)]
pub struct Report {
    pub progress: Option<Progress>,
    /// The next bytes for a stream. The thread waits for a reply.
    pub piece: Option<Buffer>,
    /// Set if the thread waits for the next bytes of a stream.
    pub wants: Option<bool>,
    pub saved: Option<Saved>,
    /// The snapshot that was saved, if it has no path.
    pub snapshot: Option<Buffer>,
    pub loaded: Option<Loaded>,
    pub failure: Option<Refusal>,
}

/// How far an operation is.
#[napi(object, object_from_js = false)]
pub struct Progress {
    pub items: f64,
    pub bytes: f64,
    pub all_items: f64,
}

impl From<&SnapshotProgress> for Progress {
    fn from(so_far: &SnapshotProgress) -> Self {
        Self { items: so_far.items as f64, bytes: so_far.bytes as f64, all_items: so_far.all_items as f64 }
    }
}

/// The result of a save.
#[napi(object, object_from_js = false)]
pub struct Saved {
    pub items: f64,
    pub bytes: f64,
    pub file_bytes: f64,
    pub skipped: f64,
    pub seconds: f64,
}

impl From<CoreSaved> for Saved {
    fn from(saved: CoreSaved) -> Self {
        Self {
            items: saved.items as f64,
            bytes: saved.bytes as f64,
            file_bytes: saved.file_bytes as f64,
            skipped: saved.skipped as f64,
            seconds: saved.time.as_secs_f64(),
        }
    }
}

/// The result of a load.
#[napi(object, object_from_js = false)]
pub struct Loaded {
    pub items: f64,
    pub bytes: f64,
    pub expired: f64,
    pub existing: f64,
    pub too_large: f64,
    pub no_memory: f64,
    pub damaged: f64,
    pub damage: Vec<Damage>,
    pub truncated: bool,
    pub seconds: f64,
    /// Seconds since 1970.
    pub saved_at: f64,
    pub note: String,
    pub program: String,
}

impl From<CoreLoaded> for Loaded {
    fn from(loaded: CoreLoaded) -> Self {
        Self {
            items: loaded.items as f64,
            bytes: loaded.bytes as f64,
            expired: loaded.expired as f64,
            existing: loaded.existing as f64,
            too_large: loaded.too_large as f64,
            no_memory: loaded.no_memory as f64,
            damaged: loaded.damaged as f64,
            damage: loaded.damage.into_iter().map(|place| DamagedPlace::from(place).into()).collect(),
            truncated: loaded.truncated,
            seconds: loaded.time.as_secs_f64(),
            saved_at: saved_at(&loaded.info),
            note: loaded.info.note,
            program: loaded.info.program,
        }
    }
}

/// A place of damage.
#[napi(object, object_from_js = false)]
pub struct Damage {
    pub offset: f64,
    pub kind: String,
    pub items: u32,
    pub bytes: f64,
}

impl From<DamagedPlace> for Damage {
    fn from(place: DamagedPlace) -> Self {
        let DamagedPlace { offset, kind, items, bytes } = place;
        Self { offset: offset as f64, kind: kind.into(), items, bytes: bytes as f64 }
    }
}

/// An error, of which `node/errors.js` makes a public one.
#[napi(object, object_from_js = false)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    /// Negative, as in Node.
    pub errno: Option<i32>,
    pub path: Option<String>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let code = failure.status;
        Self {
            code: code.as_ref().into(),
            errno: code.errno.map(|errno| -errno),
            path: code.path,
            message: failure.reason,
        }
    }
}

/// The options of a save. `node/snapshot.js` checks their types.
#[napi(object)]
pub struct SaveSettings {
    /// Without a path the snapshot goes to a stream, or the result is a Buffer.
    pub path: Option<String>,
    /// Whether the snapshot goes to a stream.
    pub stream: bool,
    pub codec: Option<String>,
    pub threads: Option<f64>,
    pub rate: Option<f64>,
    pub note: Option<String>,
    /// Whether progress is reported.
    pub progress: bool,
}

/// The options of a load. `node/snapshot.js` checks their types.
#[napi(object)]
pub struct LoadSettings {
    /// Without a path the snapshot comes from a stream, or its bytes come beside the settings.
    pub path: Option<String>,
    /// Whether the snapshot comes from a stream.
    pub stream: bool,
    pub replace: bool,
    pub ttl: Option<String>,
    pub strict: bool,
    pub threads: Option<f64>,
    /// Whether progress is reported.
    pub progress: bool,
}

/// An operation that is under way. It ends early if it is dropped, with its environment.
#[napi]
pub struct SnapshotJob {
    is_cancelled: Arc<AtomicBool>,
    /// The replies of the stream. `None` once the operation is cancelled.
    replies: Option<Sender<Vec<u8>>>,
}

#[napi]
impl SnapshotJob {
    /// Ends the operation before its next MiB, or before the next reply of its stream.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self) {
        self.is_cancelled.store(true, Relaxed);
        self.replies = None;
    }

    /// Answers a report for a stream: it has taken a piece, it has these bytes, or it has ended.
    #[napi(catch_unwind)]
    pub fn reply(&self, bytes: Option<BufferSlice>) {
        if let Some(replies) = &self.replies {
            // Fails if the thread has ended.
            drop(replies.send(bytes.map(|bytes| bytes.to_vec()).unwrap_or_default()));
        }
    }
}

impl Drop for SnapshotJob {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[napi]
impl Cache {
    /// Starts to save the cache.
    #[napi(catch_unwind)]
    pub fn start_save(&self, settings: SaveSettings, on_report: OnReport) -> Result<SnapshotJob, Failure> {
        let shared = self.shared()?;
        let SaveSettings { path, stream, codec, threads, rate, note, progress } = settings;
        let options = Saving::new(codec.as_deref(), threads, rate, note);
        let options = options.map_err(|error| errors::bad_option(&error))?;
        start(on_report, progress, move |mut peer, progress| {
            shared.core.settle();
            let options = options.options(progress);
            let mut snapshot = Memory::default();
            let saved = match &path {
                Some(path) => shared.core.save(path, options),
                None if stream => shared.core.save_to(&mut peer, options),
                None => shared.core.save_to(&mut snapshot, options),
            }?;
            let snapshot = (path.is_none() && !stream).then(|| snapshot.0.into());
            Ok(Report { saved: Some(saved.into()), snapshot, ..Report::default() })
        })
    }

    /// Starts to load a snapshot, which is at a path, in a stream or in `bytes`.
    #[napi(catch_unwind)]
    pub fn start_load(
        &self,
        settings: LoadSettings,
        bytes: Option<BufferSlice>,
        on_report: OnReport,
    ) -> Result<SnapshotJob, Failure> {
        let shared = self.shared()?;
        let LoadSettings { path, stream, replace, ttl, strict, threads, progress } = settings;
        let options = Loading::new(replace, ttl.as_deref(), strict, threads);
        let options = options.map_err(|error| errors::bad_option(&error))?;
        // A copy, because JavaScript may write to its bytes.
        let bytes = bytes.map(|bytes| bytes.to_vec()).unwrap_or_default();
        start(on_report, progress, move |peer, progress| {
            shared.core.settle();
            let options = options.options(progress);
            let loaded = match path {
                Some(path) => shared.core.load(path, options),
                None if stream => shared.core.load_from(peer, options),
                None => shared.core.load_from(&*bytes, options),
            }?;
            Ok(Report { loaded: Some(loaded.into()), ..Report::default() })
        })
    }
}

/// Runs an operation on a new thread, and reports to JavaScript.
fn start(
    on_report: OnReport,
    wants_progress: bool,
    work: impl FnOnce(Peer<'_>, &mut OnProgress<'_>) -> Result<Report, SnapshotError> + Send + 'static,
) -> Result<SnapshotJob, Failure> {
    let (sender, replies) = mpsc::channel();
    let job = SnapshotJob { is_cancelled: Arc::default(), replies: Some(sender) };
    let is_cancelled = Arc::clone(&job.is_cancelled);
    let body = move || {
        let mut on_progress = |so_far: &SnapshotProgress| {
            if is_cancelled.load(Relaxed) {
                return ControlFlow::Break(());
            }
            if wants_progress {
                report(&on_report, Report { progress: Some(so_far.into()), ..Report::default() });
            }
            ControlFlow::Continue(())
        };
        let peer = Peer { on_report: &on_report, replies, piece: Vec::new(), at: 0 };
        let ended = match guarded(|| work(peer, &mut on_progress)) {
            Some(Ok(report)) => Ok(report),
            // The end of a stream that gets no reply because of that does not count.
            Some(Err(_)) if is_cancelled.load(Relaxed) => {
                Err(errors::not_transferred(&SnapshotError::Cancelled))
            }
            Some(Err(error)) => Err(errors::not_transferred(&error)),
            None => Err(errors::internal("memcache-rs panicked, which is a bug: please report it")),
        };
        let failed = |failure: Failure| Report { failure: Some(failure.into()), ..Report::default() };
        report(&on_report, ended.unwrap_or_else(failed));
    };
    let started = thread::Builder::new().name("mcrs-snapshot".into()).spawn(body);
    started.map_err(|error| errors::refused(&error, format!("failed to start a thread: {error}")))?;
    Ok(job)
}

fn report(on_report: &OnReport, report: Report) {
    // A call fails only if the environment has ended, and then nothing waits there.
    on_report.call(report, ThreadsafeFunctionCallMode::NonBlocking);
}

/// The stream behind the reports, as the thread sees it.
struct Peer<'a> {
    on_report: &'a OnReport,
    replies: Receiver<Vec<u8>>,
    /// The last bytes of a stream that is read, and the number of those that were taken.
    piece: Vec<u8>,
    at: usize,
}

impl Peer<'_> {
    /// Reports, and waits for the reply.
    fn ask(&self, question: Report) -> io::Result<Vec<u8>> {
        report(self.on_report, question);
        let ended = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the stream was closed");
        self.replies.recv().map_err(ended)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ask(Report { piece: Some(bytes.to_vec().into()), ..Report::default() })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Peer<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece = self.ask(Report { wants: Some(true), ..Report::default() })?;
            self.at = 0;
        }
        let taken = self.piece.get(self.at..).unwrap_or_default().read(to)?;
        self.at += taken;
        Ok(taken)
    }
}

/// A snapshot in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BUFFER_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the snapshot does not fit in a Buffer: save it to a path",
            ));
        }
        self.0.try_reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
