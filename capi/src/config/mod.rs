//! The settings of caches and servers: a builder, one function a setting.
//!
//! The table of the core checks each setting. `mcrs_config_set` sets any by its name, and the
//! functions of one setting pass typed values. `mcrs_config_check` and the starts check the
//! settings against each other. This file has the handle, `mcrs_config_set` and the callbacks. The
//! settings of caches, servers, listeners, TLS and authentication have a file each.

mod auth;
mod cache;
mod listen;
pub(crate) mod server;
mod tls;

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use memcache_core::ServerConfig;
use memcache_core::internal::config::Log;

use crate::guard::{self, Handle, LOCKED, Outcome, SERVER, inside, not_inside};
use crate::status::mcrs_status;

/// Holds the settings of caches and servers.
///
/// A start copies the settings, so the program may change or free them afterwards. Only one thread
/// at a time may use a handle. A child of fork() may go on using it.
pub struct mcrs_config {
    pub(crate) settings: ServerConfig,
}

impl Handle for mcrs_config {
    fn check(&self) -> Outcome {
        not_inside(LOCKED)
    }
}

/// Takes a line of a server's log, without its line end.
///
/// `level` is 0 for lines that are always logged, else the verbosity from which they are. `line` is
/// valid until the callback returns.
///
/// Any thread of the server may call it, several at once, and so does the thread that starts the
/// server. It may call the library, except mcrs_server_start(), mcrs_server_start_with_cache(),
/// mcrs_server_stop(), mcrs_server_wait() and mcrs_server_settle(). They return MCRS_IN_CALLBACK,
/// and mcrs_server_free() does nothing. To stop the server, call mcrs_server_request_stop().
///
/// ```c
/// static void log_line(void *userdata, int level, const char *line) {
///     FILE *to = userdata;
///     fprintf(to, "[%d] %s\n", level, line);
/// }
/// ```
pub type mcrs_log_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, level: c_int, line: *const c_char)>;

/// Takes the news that a server has stopped.
///
/// The server's last thread calls it once, when no connection and no listener is left, before
/// mcrs_server_wait() and mcrs_server_stop() return. It is not called for a server that did not
/// start. It may call the functions that an mcrs_log_fn may call.
///
/// ```c
/// static void note_stop(void *userdata) {
///     *(bool *)userdata = true;
/// }
/// ```
pub type mcrs_stopped_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// A pointer of the caller's, passed on to its callbacks.
#[derive(Clone, Copy)]
struct Userdata(*mut c_void);

// SAFETY: this library never dereferences it. The header says that callbacks use
// it from other threads.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Userdata {
    fn get(self) -> *mut c_void {
        self.0
    }
}

/// Creates settings with memcached's defaults, except that there is no listener.
///
/// ```c
/// mcrs_config *small = NULL;
/// mcrs_cache *made = NULL;
/// assert(mcrs_config_new(&small) == MCRS_OK);
/// assert(mcrs_config_set_memory_limit(small, 8u << 20) == MCRS_OK);
/// assert(mcrs_cache_new(small, &made) == MCRS_OK);
/// mcrs_config_free(small);    // the cache has a copy
/// mcrs_cache_free(made);
/// ```
///
/// @param config  Receives the handle. Free it with mcrs_config_free().
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_new(config: *mut *mut mcrs_config) -> mcrs_status {
    entry!({ place: out_handle(config) }, {
        place.give(mcrs_config { settings: ServerConfig::default() });
        Ok(())
    })
}

/// Copies settings into a handle of their own.
///
/// @param config  Settings to copy.
/// @param copy  Receives the handle. Free it with mcrs_config_free().
/// @return MCRS_OK, or a common status.
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

/// Frees settings.
///
/// @param config  Settings to free; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_free(config: *mut mcrs_config) {
    // SAFETY: the caller passes NULL or a handle that lives, which no other call uses.
    unsafe { guard::free(config) }
}

/// Sets a setting by its name.
///
/// docs/settings.md lists the names. mcrs_config_check() checks the rules between settings.
/// mcrs_error_message() says which values the setting takes.
///
/// ```c
/// assert(mcrs_config_set(config, "memory_limit", "64m") == MCRS_OK);
/// assert(mcrs_config_set(config, "evictions", "off") == MCRS_OK);
/// assert(mcrs_config_set(config, "threads", "none") == MCRS_INVALID_ARGUMENT);
/// ```
///
/// @param config  Settings to change.
/// @param name  Name of the setting.
/// @param value  Value as a text: a number, "on" or "off", or a word. A number of bytes may end in
///     k, m or g. "none" takes the value away from a setting that needs none.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if there is no such setting, or if it does not take that
///     value; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_set(
    config: *mut mcrs_config,
    name: *const c_char,
    value: *const c_char,
) -> mcrs_status {
    entry!(mut config, { name: text(name), value: text(value) }, { Ok(config.settings.set(name, value)?) })
}

/// Checks all settings, also against each other, as a start does.
///
/// It reads no files. mcrs_error_message() says which rule is broken.
///
/// @param config  Settings to check.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if a rule is broken; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_check(config: *const mcrs_config) -> mcrs_status {
    entry!(config, {}, { Ok(config.settings.validate()?) })
}

/// Sets the callback that takes a server's log.
///
/// ```c
/// assert(mcrs_config_set_log(config, log_line, stderr) == MCRS_OK);    // see mcrs_log_fn
/// assert(mcrs_config_set_verbosity(config, 1) == MCRS_OK);
/// ```
///
/// @param config  Settings to change.
/// @param log  Callback; NULL logs to standard error, the default.
/// @param userdata  Pointer passed to `log`; may be NULL. It must stay valid as long as the server.
/// @return MCRS_OK, or a common status.
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

/// Sets the callback that runs when a server has stopped.
///
/// ```c
/// bool stopped = false;
/// mcrs_server *noted = NULL;
/// // note_stop: see mcrs_stopped_fn
/// assert(mcrs_config_set_stopped(config, note_stop, &stopped) == MCRS_OK);
/// assert(mcrs_server_start(config, &noted) == MCRS_OK);
/// assert(mcrs_server_stop(noted, 0) == MCRS_OK);
/// assert(stopped);
/// mcrs_server_free(noted);
/// ```
///
/// @param config  Settings to change.
/// @param stopped  Callback; NULL, the default, calls none.
/// @param userdata  Pointer passed to `stopped`; may be NULL. It must stay valid as long as the
///     server.
/// @return MCRS_OK, or a common status.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::mcrs_error_message;
    use std::ffi::CStr;

    #[test]
    fn every_value_is_answered_as_the_cases_of_the_core_say() {
        let cases = include_str!("../../../core/tests/settings.txt");
        let mut config = std::ptr::null_mut();
        // SAFETY: there is room for the handle.
        assert_eq!(unsafe { mcrs_config_new(&raw mut config) }, mcrs_status::MCRS_OK);
        for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
            let [name, value, answer] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (name, value) = (format!("{name}\0"), format!("{value}\0"));
            // SAFETY: the handle lives, and the texts end with a NUL.
            let status = unsafe { mcrs_config_set(config, name.as_ptr().cast(), value.as_ptr().cast()) };
            if answer == "ok" {
                assert_eq!(status, mcrs_status::MCRS_OK, "{line}");
                continue;
            }
            assert_eq!(status, mcrs_status::MCRS_INVALID_ARGUMENT, "{line}");
            // SAFETY: the message is valid until the next call of this thread.
            let message = unsafe { CStr::from_ptr(mcrs_error_message()) };
            assert_eq!(message.to_str(), Ok(answer), "{line}");
        }
        // SAFETY: the handle lives, and is not used again.
        unsafe { mcrs_config_free(config) };
    }
}
