//! The ground floor: time, faults, threads, files, errors. Knows nothing of a cache.

#[macro_use]
mod debug;

pub mod clock;
#[cfg(feature = "server")]
pub mod counter;
#[cfg(feature = "server")]
pub mod durations;
pub mod error;
pub mod faults;
#[cfg(feature = "server")]
pub mod file;
pub mod flight;
pub mod fork;
pub mod histogram;
pub(crate) mod sampler;
pub(crate) mod scheduler;
pub(crate) mod signals;
#[cfg(feature = "server")]
pub mod stderr;
pub mod sync;
#[cfg(feature = "server")]
pub mod turn;
pub mod watch;
