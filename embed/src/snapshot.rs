//! Snapshots: checked options, kinds of failures, and damage in words.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use memcache_core::internal::config::THREADS_MOST;
use memcache_core::internal::persist::OnProgress;
use memcache_core::{
    LoadOptions, SaveOptions, SnapshotCodec, SnapshotDamage, SnapshotError, SnapshotInfo, SnapshotTtl,
};

/// Highest limit of bytes in a second: up to it, a float is exact.
const RATE_MAX: u64 = 1 << 53;

/// Most bytes of a note.
const NOTE_MAX: usize = 4096;

/// The values of `codec`.
const CODECS: [(&str, SnapshotCodec); 2] = [("lz4", SnapshotCodec::Lz4), ("none", SnapshotCodec::None)];

/// The values of `ttl`.
const TTLS: [(&str, SnapshotTtl); 2] = [("wall", SnapshotTtl::WallTime), ("paused", SnapshotTtl::Paused)];

/// An option that is not allowed. The text names the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// The option has no such value.
    Value(String),
    /// A number is out of its range.
    Range(String),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Value(text) | Self::Range(text)) = self;
        f.write_str(text)
    }
}

impl Error for OptionError {}

/// Checked options of a save.
#[derive(Clone, Debug, Default)]
pub struct Saving {
    codec: SnapshotCodec,
    threads: usize,
    rate: u64,
    note: String,
}

impl Saving {
    /// Checks options. `None` stands for the default.
    ///
    /// # Errors
    /// An option is not allowed.
    pub fn new(
        codec: Option<&str>,
        threads: Option<f64>,
        rate: Option<f64>,
        note: Option<String>,
    ) -> Result<Self, OptionError> {
        let note = note.unwrap_or_default();
        if note.len() > NOTE_MAX {
            let text = format!("note must have at most {NOTE_MAX} bytes, got {}", note.len());
            return Err(OptionError::Value(text));
        }
        Ok(Self {
            codec: word("codec", &CODECS, codec)?,
            threads: number("threads", THREADS_MOST as u64, threads)? as usize,
            rate: number("rate", RATE_MAX, rate)?,
            note,
        })
    }

    /// Returns the options for the core.
    pub fn options<'a>(&'a self, progress: &'a mut OnProgress<'a>) -> SaveOptions<'a> {
        let Self { codec, threads, rate, ref note } = *self;
        SaveOptions { codec, threads, rate, note, progress: Some(progress), ..SaveOptions::default() }
    }
}

/// Checked options of a load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loading {
    replace: bool,
    ttl: SnapshotTtl,
    strict: bool,
    threads: usize,
}

impl Loading {
    /// Checks options. `None` stands for the default.
    ///
    /// # Errors
    /// An option is not allowed.
    pub fn new(
        replace: bool,
        ttl: Option<&str>,
        strict: bool,
        threads: Option<f64>,
    ) -> Result<Self, OptionError> {
        let threads = number("threads", THREADS_MOST as u64, threads)? as usize;
        Ok(Self { replace, ttl: word("ttl", &TTLS, ttl)?, strict, threads })
    }

    /// Returns the options for the core.
    pub fn options<'a>(&self, progress: &'a mut OnProgress<'a>) -> LoadOptions<'a> {
        let Self { replace, ttl, strict, threads } = *self;
        LoadOptions { replace, ttl, strict, threads, progress: Some(progress) }
    }
}

/// Returns the value of a word. Without one, returns the first of `known`.
fn word<T: Copy + Default>(option: &str, known: &[(&str, T)], given: Option<&str>) -> Result<T, OptionError> {
    let Some(given) = given else { return Ok(T::default()) };
    known.iter().find(|(name, _)| *name == given).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
        OptionError::Value(format!("{option} must be {}, got {given:?}", names.join(" or ")))
    })
}

/// Returns a whole number. Without one, returns 0, the default of the core.
fn number(option: &str, most: u64, given: Option<f64>) -> Result<u64, OptionError> {
    match given {
        None => Ok(0),
        Some(given) if given.fract() == 0.0 && (1.0..=most as f64).contains(&given) => Ok(given as u64),
        Some(given) => {
            Err(OptionError::Range(format!("{option} must be a whole number from 1 to {most}, got {given}")))
        }
    }
}

/// Why a save or a load failed.
#[derive(Debug)]
pub enum SnapshotFault<'e> {
    /// The snapshot is damaged, or not one that this version can read.
    Bad,
    /// Another save to the file is under way, or flushes have interrupted the save.
    Busy,
    /// The progress callback has ended it.
    Cancelled,
    /// The system refused something, or the caller's reader or writer failed.
    System {
        /// The file or directory, if it has a name.
        path: Option<&'e Path>,
        /// The error. `None` for kinds that a later version of the core may add.
        source: Option<&'e io::Error>,
    },
}

impl<'e> SnapshotFault<'e> {
    /// Finds the kind of an error.
    pub fn of(error: &'e SnapshotError) -> Self {
        match error {
            SnapshotError::Format(_) | SnapshotError::Damaged { .. } => Self::Bad,
            SnapshotError::Busy(_) | SnapshotError::Flushed => Self::Busy,
            SnapshotError::Cancelled => Self::Cancelled,
            SnapshotError::File { path, source, .. } => {
                Self::System { path: Some(path), source: Some(source) }
            }
            SnapshotError::Io(source) => Self::System { path: None, source: Some(source) },
            _ => Self::System { path: None, source: None },
        }
    }
}

/// A place in a snapshot that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The offset in the file.
    pub offset: u64,
    /// `data`, `lost`, `codec`, `no_memory` or `truncated`.
    pub kind: &'static str,
    /// Items that are known to be lost.
    pub items: u32,
    /// Bytes in place of a block.
    pub bytes: u64,
}

impl From<(u64, SnapshotDamage)> for DamagedPlace {
    fn from((offset, damage): (u64, SnapshotDamage)) -> Self {
        let (kind, items, bytes) = match damage {
            SnapshotDamage::Data { items } => ("data", items, 0),
            SnapshotDamage::Lost { bytes } => ("lost", 0, bytes),
            SnapshotDamage::Codec { items, .. } => ("codec", items, 0),
            SnapshotDamage::NoMemory { items } => ("no_memory", items, 0),
            SnapshotDamage::Truncated => ("truncated", 0, 0),
            // Kinds that a later version of the core may add.
            _ => ("other", 0, 0),
        };
        Self { offset, kind, items, bytes }
    }
}

/// Returns the time of a snapshot, in seconds since 1970.
pub fn saved_at(info: &SnapshotInfo) -> f64 {
    info.saved_at as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use memcache_core::{Cache, CacheConfig, Ttl};

    use super::*;
    use crate::ttl::unix_time;

    #[test]
    fn options_reach_the_core() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        cache.set("key", "value", Ttl::Never).unwrap();
        let mut file = Vec::new();
        let saving = Saving::new(Some("none"), Some(1.0), Some(1e9), Some("a note".into())).unwrap();
        cache.save_to(&mut file, saving.options(&mut |_| ControlFlow::Continue(()))).unwrap();
        // The file is not compressed.
        assert!(file.windows(8).any(|part| part == b"keyvalue"));

        let loading = Loading::new(true, Some("paused"), true, Some(2.0)).unwrap();
        let mut calls = 0;
        let mut count = |_: &_| {
            calls += 1;
            ControlFlow::Continue(())
        };
        let loaded = cache.load_from(&*file, loading.options(&mut count)).unwrap();
        assert_eq!((loaded.items, loaded.existing, &*loaded.info.note), (1, 0, "a note"));
        assert!(calls > 0);
        assert!((saved_at(&loaded.info) - unix_time(&cache) as f64).abs() < 3600.0);
    }

    #[test]
    fn options_that_are_not_allowed_are_named() {
        let text = |error: OptionError| error.to_string();
        let codec = Saving::new(Some("zip"), None, None, None).unwrap_err();
        assert_eq!(text(codec), r#"codec must be "lz4" or "none", got "zip""#);
        let ttl = Loading::new(false, Some(""), false, None).unwrap_err();
        assert_eq!(ttl, OptionError::Value(r#"ttl must be "wall" or "paused", got """#.into()));
        for threads in [0.0, -1.0, 1.5, 257.0, f64::NAN, f64::INFINITY] {
            let error = Loading::new(false, None, false, Some(threads)).unwrap_err();
            let expected = format!("threads must be a whole number from 1 to 256, got {threads}");
            assert_eq!(error, OptionError::Range(expected));
        }
        assert!(matches!(Saving::new(None, None, Some(0.0), None), Err(OptionError::Range(_))));
        let note = Saving::new(None, None, None, Some("é".repeat(2049))).unwrap_err();
        assert_eq!(text(note), "note must have at most 4096 bytes, got 4098");
    }

    #[test]
    fn each_error_has_a_kind() {
        let refused = SnapshotError::Io(io::Error::from_raw_os_error(28));
        let SnapshotFault::System { path: None, source: Some(source) } = SnapshotFault::of(&refused) else {
            panic!("it is an error of the system")
        };
        assert_eq!(source.raw_os_error(), Some(28));
        assert!(matches!(SnapshotFault::of(&SnapshotError::Flushed), SnapshotFault::Busy));
        assert!(matches!(SnapshotFault::of(&SnapshotError::Damaged { offset: 5 }), SnapshotFault::Bad));
        assert!(matches!(SnapshotFault::of(&SnapshotError::Cancelled), SnapshotFault::Cancelled));
    }

    #[test]
    fn damage_has_a_kind_and_what_it_lost() {
        let place = DamagedPlace::from((64, SnapshotDamage::Data { items: 7 }));
        assert_eq!(place, DamagedPlace { offset: 64, kind: "data", items: 7, bytes: 0 });
        assert_eq!(DamagedPlace::from((8, SnapshotDamage::Lost { bytes: 9 })).bytes, 9);
    }
}
