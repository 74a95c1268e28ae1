//! The settings of caches and servers: a builder, one function a setting.
//!
//! A function checks its own setting; what settings demand of each other is
//! checked by `mcrs_config_check` and by whoever starts. Here: the handle, and
//! what the application is told. The settings of the cache, of the server, of
//! its listeners, of TLS and of authentication have a file each.

mod auth;
mod cache;
mod listen;
mod server;
mod tls;

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use memcache_core::ServerConfig;
use memcache_core::internal::hooks::Log;

use crate::guard::{self, Handle, LOCKED, Outcome, SERVER, inside, not_inside};
use crate::status::mcrs_status;

pub(crate) use self::server::node;

/// Settings. They are copied when something is started with them, so they can be
/// changed or freed at any time after. One thread at a time may use such a
/// handle; a child of fork() may go on using it.
pub struct mcrs_config {
    pub(crate) settings: ServerConfig,
}

impl Handle for mcrs_config {
    fn check(&self) -> Outcome {
        not_inside(LOCKED)
    }
}

/// Takes a line of a server's log, without a line end. `level` is 0 for what is
/// always logged, else the verbosity that it takes. `line` is good until the
/// function returns.
///
/// It runs on any thread of the server, on several at once, and on the thread
/// that starts the server. It may call this library, but for
/// mcrs_server_start(), mcrs_server_stop(), mcrs_server_wait() and
/// mcrs_server_free(): these return MCRS_IN_CALLBACK (the last one does nothing).
/// To stop the server, use mcrs_server_request_stop().
pub type mcrs_log_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, level: c_int, line: *const c_char)>;

/// Learns that a server has stopped: called once, on the server's last thread,
/// when it holds no connection and no listener any more, before
/// mcrs_server_wait() and mcrs_server_stop() return. Not called for a server that
/// did not start. What it may call is what mcrs_log_fn may.
pub type mcrs_stopped_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// A number of the caller's, handed back to it.
#[derive(Clone, Copy)]
struct Userdata(*mut c_void);

// SAFETY: it is never followed here; that the caller's functions use it from
// other threads is what the caller agreed to.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Userdata {
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// New settings, all at their defaults: those of memcached, but that nothing is
/// listened at. Free them with mcrs_config_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_new(config: *mut *mut mcrs_config) -> mcrs_status {
    entry!({ place: out_handle(config) }, {
        place.give(mcrs_config { settings: ServerConfig::default() });
        Ok(())
    })
}

/// A copy of settings, to be freed by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_copy(
    config: *const mcrs_config,
    copy: *mut *mut mcrs_config,
) -> mcrs_status {
    entry!(config, { place: out_handle(copy) }, {
        place.give(mcrs_config { settings: config.settings.clone() });
        Ok(())
    })
}

/// Frees settings; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_free(config: *mut mcrs_config) {
    // SAFETY: the caller passes NULL or a handle that lives and nobody else uses.
    unsafe { guard::free(config) }
}

/// Checks all settings, also against each other, as starting does. What is wrong
/// says mcrs_error_message(). Files are not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_check(config: *const mcrs_config) -> mcrs_status {
    entry!(config, {}, { Ok(config.settings.validate()?) })
}

/// Takes the log in place of standard error; NULL: standard error again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_log(
    config: *mut mcrs_config,
    log: mcrs_log_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(mut config, {}, {
        let userdata = Userdata(userdata);
        config.settings.hooks.log = log.map(|log| -> Arc<Log> {
            Arc::new(move |level, line| {
                let line = CString::new(line.replace('\0', " ")).unwrap_or_default();
                // SAFETY: the caller's function gets what it is declared to take.
                inside(SERVER, || unsafe { log(userdata.get(), c_int::from(level), line.as_ptr()) });
            })
        });
        Ok(())
    })
}

/// Learns that the server has stopped; NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set_stopped(
    config: *mut mcrs_config,
    stopped: mcrs_stopped_fn,
    userdata: *mut c_void,
) -> mcrs_status {
    entry!(mut config, {}, {
        let userdata = Userdata(userdata);
        config.settings.hooks.stopped = stopped.map(|stopped| {
            let hook: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
                // SAFETY: the caller's function gets what it is declared to take.
                inside(SERVER, || unsafe { stopped(userdata.get()) });
            });
            hook
        });
        Ok(())
    })
}
