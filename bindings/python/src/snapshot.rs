//! Saving a cache to a file, and loading it.
//!
//! The work is done without the interpreter's lock. The thread takes it back to call `progress` and
//! a file object, and to check for signals.

use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use memcache_core::internal::persist::OnProgress;
use memcache_core::{Loaded as CoreLoaded, SnapshotError, SnapshotProgress};
use memcache_embed::snapshot::{DamagedPlace, Loading, Saving, saved_at};
use pyo3::exceptions::{PyBlockingIOError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyString, PyTuple};

use crate::bytes_like::bytes_like;
use crate::cache::Cache;
use crate::errors;
use crate::number::Float;
use crate::watch::POLL;

/// Most bytes that a call of a file object transfers.
const PIECE: usize = 1 << 20;

/// The result of :meth:`Cache.save`.
///
/// Example:
///     >>> import io
///     >>> cache = Cache()
///     >>> cache.set("user:1", "Ada")
///     >>> saved = cache.save(io.BytesIO())
///     >>> saved.items, saved.bytes
///     (1, 9)
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct Saved {
    /// The number of items in the snapshot.
    items: u64,
    /// Bytes of their keys and values.
    bytes: u64,
    /// Bytes of the snapshot.
    file_bytes: u64,
    /// Items that were left out because there was no memory to copy them.
    skipped: u64,
    /// Seconds that it took.
    seconds: f64,
}

#[pymethods]
impl Saved {
    fn __repr__(&self) -> String {
        let Self { items, bytes, file_bytes, skipped, seconds } = self;
        format!(
            "Saved(items={items}, bytes={bytes}, file_bytes={file_bytes}, skipped={skipped}, seconds={seconds:.3})"
        )
    }
}

/// The result of :meth:`Cache.load`.
///
/// Example:
///     >>> import io
///     >>> file = io.BytesIO()
///     >>> Cache().save(file, note="empty").items
///     0
///     >>> _ = file.seek(0)
///     >>> loaded = Cache().load(file)
///     >>> loaded.items, loaded.damaged, loaded.note
///     (0, 0, 'empty')
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct Loaded {
    /// Items that were stored. Some may have been evicted again, if memory is full.
    items: u64,
    /// Bytes of the keys and values of those items.
    bytes: u64,
    /// Items that were left out because they have expired.
    expired: u64,
    /// Items that were left out because the cache had their keys.
    existing: u64,
    /// Items that were left out because they are larger than ``item_size_max``.
    too_large: u64,
    /// Items that were left out because memory is full.
    no_memory: u64,
    /// Items that are known to be lost by damage.
    damaged: u64,
    /// The first ten places of damage, in the order of the file.
    damage: Py<PyTuple>,
    /// Whether the end of the snapshot is missing.
    truncated: bool,
    /// Seconds that it took.
    seconds: f64,
    /// The Unix time of the save in seconds, by the clock of the saved cache.
    saved_at: f64,
    /// The note that was saved.
    note: String,
    /// Name and version of the program that saved it.
    program: String,
}

impl Loaded {
    fn new(py: Python<'_>, loaded: CoreLoaded) -> PyResult<Self> {
        let damage = loaded.damage.into_iter().map(|place| Damage(place.into()));
        Ok(Self {
            items: loaded.items,
            bytes: loaded.bytes,
            expired: loaded.expired,
            existing: loaded.existing,
            too_large: loaded.too_large,
            no_memory: loaded.no_memory,
            damaged: loaded.damaged,
            damage: PyTuple::new(py, damage.collect::<Vec<_>>())?.unbind(),
            truncated: loaded.truncated,
            seconds: loaded.time.as_secs_f64(),
            saved_at: saved_at(&loaded.info),
            note: loaded.info.note,
            program: loaded.info.program,
        })
    }
}

#[pymethods]
impl Loaded {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Self { items, bytes, expired, existing, too_large, no_memory, damaged, seconds, .. } = self;
        let damage = self.damage.bind(py).repr()?;
        let truncated = if self.truncated { "True" } else { "False" };
        Ok(format!(
            "Loaded(items={items}, bytes={bytes}, expired={expired}, existing={existing}, too_large={too_large}, \
             no_memory={no_memory}, damaged={damaged}, damage={damage}, truncated={truncated}, seconds={seconds:.3})"
        ))
    }
}

/// A place of damage in a snapshot.
///
/// ``kind`` is ``"data"`` for a block that differs from its checksum, and ``"lost"`` for bytes in
/// place of a block. It is ``"codec"`` for a block that this version cannot unpack, ``"no_memory"``
/// for one that did not fit in memory, and ``"truncated"`` for a missing end.
///
/// Example:
///     >>> import io
///     >>> cache, file = Cache(), io.BytesIO()
///     >>> cache.save(file).items
///     0
///     >>> loaded = cache.load(io.BytesIO(file.getvalue()[:-8]))
///     >>> loaded.damage[0].kind
///     'truncated'
#[pyclass(frozen, module = "memcache_rs")]
pub struct Damage(DamagedPlace);

#[pymethods]
impl Damage {
    /// The offset in the file.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The kind of the damage.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// Items that are known to be lost.
    #[getter]
    fn items(&self) -> u32 {
        self.0.items
    }

    /// Bytes in place of a block.
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    fn __repr__(&self) -> String {
        let DamagedPlace { offset, kind, items, bytes } = self.0;
        format!("Damage(offset={offset}, kind='{kind}', items={items}, bytes={bytes})")
    }
}

/// How far a save or a load is.
///
/// Example:
///     >>> import io
///     >>> cache = Cache()
///     >>> cache.set("user:1", "Ada")
///     >>> saved = cache.save(io.BytesIO(), progress=print)
///     Progress(items=1, bytes=9, all_items=1)
#[pyclass(frozen, get_all, module = "memcache_rs")]
pub struct Progress {
    /// Items so far.
    items: u64,
    /// Bytes of keys and values so far.
    bytes: u64,
    /// About how many items there are in all. 0 if that is not known.
    all_items: u64,
}

#[pymethods]
impl Progress {
    fn __repr__(&self) -> String {
        let Self { items, bytes, all_items } = self;
        format!("Progress(items={items}, bytes={bytes}, all_items={all_items})")
    }
}

impl From<&SnapshotProgress> for Progress {
    fn from(so_far: &SnapshotProgress) -> Self {
        Self { items: so_far.items, bytes: so_far.bytes, all_items: so_far.all_items }
    }
}

/// Saves the items of a cache to a path or a file object.
#[pyfunction]
#[pyo3(signature = (cache, file, *, codec, threads, rate, note, progress))]
pub fn save(
    cache: &Bound<'_, Cache>,
    file: &Bound<'_, PyAny>,
    codec: Option<&str>,
    threads: Option<Float>,
    rate: Option<Float>,
    note: Option<String>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Saved> {
    let (py, cache) = (cache.py(), cache.get().core()?);
    let (threads, rate) = (threads.map(|Float(n)| n), rate.map(|Float(n)| n));
    let options = Saving::new(codec, threads, rate, note).map_err(|error| errors::bad_option(&error))?;
    let saved = match Place::new(file, "write")? {
        Place::Path(path) => run(py, progress, |_, progress| cache.save(path, options.options(progress))),
        Place::Object(object) => run(py, progress, |raised, progress| {
            cache.save_to(FileObject { object: &object, raised }, options.options(progress))
        }),
    }?;
    Ok(Saved {
        items: saved.items,
        bytes: saved.bytes,
        file_bytes: saved.file_bytes,
        skipped: saved.skipped,
        seconds: saved.time.as_secs_f64(),
    })
}

/// Loads the items of a snapshot at a path or in a file object.
#[pyfunction]
#[pyo3(signature = (cache, file, *, replace, ttl, strict, threads, progress))]
pub fn load(
    cache: &Bound<'_, Cache>,
    file: &Bound<'_, PyAny>,
    replace: bool,
    ttl: Option<&str>,
    strict: bool,
    threads: Option<Float>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Loaded> {
    let (py, cache) = (cache.py(), cache.get().core()?);
    let options = Loading::new(replace, ttl, strict, threads.map(|Float(n)| n));
    let options = options.map_err(|error| errors::bad_option(&error))?;
    let loaded = match Place::new(file, "read")? {
        Place::Path(path) => run(py, progress, |_, progress| cache.load(path, options.options(progress))),
        Place::Object(object) => run(py, progress, |raised, progress| {
            // The core reads a few KiB at a time. Each call takes the interpreter's lock.
            let file = BufReader::with_capacity(PIECE, FileObject { object: &object, raised });
            cache.load_from(file, options.options(progress))
        }),
    }?;
    Loaded::new(py, loaded)
}

/// Where a snapshot is.
enum Place {
    Path(PathBuf),
    Object(Py<PyAny>),
}

impl Place {
    /// Reads the parameter `file`. `method` is the method that a file object needs.
    fn new(file: &Bound<'_, PyAny>, method: &str) -> PyResult<Self> {
        // Paths come first: objects of py.path have both.
        if file.is_instance_of::<PyString>() || file.hasattr(intern!(file.py(), "__fspath__"))? {
            return file.extract().map(Self::Path);
        }
        if file.hasattr(method)? {
            return Ok(Self::Object(file.clone().unbind()));
        }
        let kind = file.get_type().name()?;
        let text = format!("file must be a path, or a binary file with {method}(), got {kind}");
        Err(PyTypeError::new_err(text))
    }
}

/// The exception that ends an operation, if Python code has raised one.
#[derive(Default)]
struct Raised(RefCell<Option<PyErr>>);

impl Raised {
    /// Runs Python code. Keeps its exception, and returns an error in its place.
    fn keep<T>(&self, work: impl FnOnce(Python<'_>) -> PyResult<T>) -> io::Result<T> {
        Python::attach(work).map_err(|error| {
            self.0.replace(Some(error));
            io::Error::other("Python code has raised an exception")
        })
    }
}

/// Runs a save or a load without the interpreter's lock.
///
/// The operation ends early if `progress` returns `False` or raises an exception, or if the handler
/// of a signal raises one, as for Ctrl-C.
fn run<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Raised, &mut OnProgress<'_>) -> Result<T, SnapshotError> + Send,
) -> PyResult<T> {
    let (result, raised) = py.detach(|| {
        let (raised, mut checked) = (Raised::default(), Instant::now());
        let result = work(&raised, &mut |so_far| {
            // Another thread may hold the interpreter's lock for long.
            if progress.is_none() && checked.elapsed() < POLL {
                return ControlFlow::Continue(());
            }
            checked = Instant::now();
            match raised.keep(|py| tell(py, progress.as_ref(), so_far)) {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) | Err(_) => ControlFlow::Break(()),
            }
        });
        (result, raised.0.into_inner())
    });
    match raised {
        Some(error) => Err(error),
        None => result.map_err(|error| errors::not_transferred(&error)),
    }
}

/// Passes the progress on. Returns whether the operation goes on.
fn tell(py: Python<'_>, progress: Option<&Py<PyAny>>, so_far: &SnapshotProgress) -> PyResult<bool> {
    py.check_signals()?;
    let Some(progress) = progress else { return Ok(true) };
    let answer = progress.call1(py, (Progress::from(so_far),))?;
    Ok(!answer.bind(py).cast::<PyBool>().is_ok_and(|answer| !answer.is_true()))
}

/// A binary file object of Python.
struct FileObject<'a> {
    object: &'a Py<PyAny>,
    raised: &'a Raised,
}

impl Write for FileObject<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        self.raised.keep(|py| {
            let object = self.object.bind(py);
            let written = object.call_method1(intern!(py, "write"), (PyBytes::new(py, piece),))?;
            if written.is_none() {
                // An object that is not a file of Python need not return the number.
                return if is_raw(object)? { Err(not_ready()) } else { Ok(piece.len()) };
            }
            written.extract().ok().filter(|&count: &usize| count <= piece.len()).ok_or_else(|| {
                let most = piece.len();
                PyValueError::new_err(format!(
                    "write() must return a number of bytes from 0 to {most}, got {written}"
                ))
            })
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.raised.keep(|py| {
            let object = self.object.bind(py);
            if object.hasattr(intern!(py, "flush"))? {
                object.call_method0(intern!(py, "flush"))?;
            }
            Ok(())
        })
    }
}

impl Read for FileObject<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = to.len().min(PIECE);
        self.raised.keep(|py| {
            let read = self.object.bind(py).call_method1(intern!(py, "read"), (most,))?;
            if read.is_none() {
                return Err(not_ready());
            }
            if read.is_instance_of::<PyString>() {
                return Err(PyTypeError::new_err("file must be opened in binary mode: read() returned str"));
            }
            let bytes = bytes_like(&read, "the result of read()")?;
            let Some(to) = to.get_mut(..bytes.len()).filter(|to| to.len() <= most) else {
                let got = bytes.len();
                let text = format!("read() must return at most {most} bytes, got {got}");
                return Err(PyValueError::new_err(text));
            };
            to.copy_from_slice(&bytes);
            Ok(to.len())
        })
    }
}

/// Returns whether a file object returns `None` if it does not take a byte.
fn is_raw(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(&object.py().import("io")?.getattr("RawIOBase")?)
}

/// A file that does not block is not ready.
fn not_ready() -> PyErr {
    /// The number on every Linux.
    const EAGAIN: i32 = 11;
    PyBlockingIOError::new_err((EAGAIN, "file must be in blocking mode: it is not ready"))
}
