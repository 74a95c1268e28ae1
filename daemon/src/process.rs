//! Prepares the process before it serves: limits, user, detachment, locked memory. All system calls
//! of the daemon are here.
//!
//! [`prepare`] must run while the process has one thread. It may fork, and a later change of the
//! user would apply to one thread only.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use memcache_core::ServerConfig;
use memcache_core::internal::base::stderr::write_line;

use crate::failure::{Failure, reason};
use crate::listen::DESCRIPTORS_A_LISTENER;
use crate::plan::{Plan, ProcessSettings};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

/// Descriptors for other uses than connections: standard streams, event queues, wakers, open files.
const SPARE_DESCRIPTORS: usize = 64;

/// Bytes that a server locks beside its items, at most: stacks, heaps, buffers.
#[cfg(target_os = "linux")]
const LOCKED_BESIDE_ITEMS: usize = 1 << 30;

/// The first descriptor that a program takes over from the one before: see `LISTEN_FDS`.
const FIRST_PASSED: RawFd = libc::STDERR_FILENO + 1;

/// Descriptors per worker.
const DESCRIPTORS_A_WORKER: usize = 4;

/// Applies [`ProcessSettings`], and adds to the plan's warnings and notes. Prints the warnings
/// before it detaches from the terminal. Services of HTTP need `descriptors` beside those of the
/// server. A process that `continues` as a newer version has detached already.
pub fn prepare(plan: &mut Plan, descriptors: usize, continues: bool) -> Result<(), Failure> {
    let Plan { config, process, notes, warnings, .. } = plan;
    if config.cache.large_pages {
        check_large_pages()?;
    }
    if process.core_dumps {
        allow_core_dumps()?;
    }
    allow_descriptors(config, descriptors)?;
    if is_root() {
        match &process.user {
            // As in memcached: a script with an empty variable must not keep root.
            Some(user) if user.is_empty() => {
                return Err(Failure::usage("must add '-u root' to start as root"));
            }
            Some(user) => warnings.extend(become_user(user)?),
            None => notes.push("running as root; add '-u <user>' to run as someone else".into()),
        }
    }
    for line in warnings.iter() {
        write_line(line);
    }
    if config.verbosity > 0 {
        for line in notes.iter() {
            write_line(&format!("memcached-rs: {line}"));
        }
    }
    if process.daemonize {
        detach(process, config.verbosity > 0, continues)
            .map_err(|_| Failure::system("failed to daemon() in order to daemonize"))?;
    }
    if process.lock_memory
        && let Err(e) = lock_memory(config.cache.memory_limit)
    {
        write_line(&format!("warning: -k invalid, mlockall() failed: {}", reason(&e)));
    }
    Ok(())
}

/// Takes a descriptor that another process passed to this one.
pub fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a plain number.
    checked(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: it is open. Only the code that reads LISTEN_FDS knows it, once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Keeps the descriptors from [`FIRST_PASSED`] on for `count` sockets, so that [`pass_on`] replaces
/// none that a thread of this process uses. Numbers that are in use already are not kept: they are
/// of sockets, or not of this process.
pub fn reserve(count: usize) -> io::Result<Vec<OwnedFd>> {
    let end = FIRST_PASSED.saturating_add(RawFd::try_from(count).unwrap_or(RawFd::MAX));
    // Without a file: the daemon may see none, such as in an image or behind chroot.
    let (pipe, other_end) = io::pipe()?;
    let (pipe, mut kept) = (OwnedFd::from(pipe), vec![OwnedFd::from(other_end)]);
    loop {
        let next = pipe.try_clone()?;
        if next.as_raw_fd() >= end {
            kept.push(pipe);
            return Ok(kept);
        }
        kept.push(next);
    }
}

/// Puts sockets where the next program of this process finds them: at [`FIRST_PASSED`] and on. Call
/// it last before the program starts: it replaces descriptors, those of [`reserve`].
///
/// Until the program handles signals, it ignores SIGHUP, SIGUSR2 and `ignored`. A signal that stops
/// the daemon ends it at once, because nothing is served.
pub fn pass_on(sockets: Vec<OwnedFd>, ignored: Option<i32>) -> io::Result<()> {
    let ignored = [libc::SIGHUP, libc::SIGUSR2].into_iter().chain(ignored);
    let stopping = [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1];
    let actions = ignored.map(|signal| (signal, libc::SIG_IGN));
    for (signal, action) in actions.chain(stopping.map(|signal| (signal, libc::SIG_DFL))) {
        // SAFETY: both actions are constants of the system, not functions.
        unsafe { libc::signal(signal, action) };
    }
    let above = FIRST_PASSED + sockets.len() as libc::c_int;
    let mut high = Vec::with_capacity(sockets.len());
    for socket in sockets {
        // SAFETY: plain numbers; the descriptor is open.
        high.push(checked(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) })?);
        // Its number may be one that a socket gets below, so that it must not be closed later.
        drop(socket);
    }
    for (socket, place) in high.into_iter().zip(FIRST_PASSED..) {
        // SAFETY: plain numbers. No code of this process uses the descriptors that are replaced.
        checked(unsafe { libc::dup2(socket, place) })?;
    }
    Ok(())
}

/// Returns whether a process with this id exists and may be signalled.
pub fn is_running(pid: i32) -> bool {
    // SAFETY: signal 0 sends nothing; any pid is a valid argument.
    pid > 0 && unsafe { libc::kill(pid, 0) } == 0
}

fn is_root() -> bool {
    // SAFETY: neither call has arguments or can fail.
    unsafe { libc::getuid() == 0 || libc::geteuid() == 0 }
}

/// Converts the -1 of a system call into an error.
fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Refuses `-L` if the system has no large pages, as memcached does.
fn check_large_pages() -> Result<(), Failure> {
    let refused = |why: &str| Failure::system(format!("Cannot enable large pages on this system: {why}"));
    if cfg!(not(target_os = "linux")) {
        return Err(refused("no support"));
    }
    let modes = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .map_err(|_| refused("transparent huge pages support not detected"))?;
    if modes.contains("[never]") {
        return Err(refused("transparent huge pages support disabled"));
    }
    Ok(())
}

fn limit(resource: Resource) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    checked(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(limit)
}

fn set_limit(resource: Resource, current: libc::rlim_t, most: libc::rlim_t) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: current, rlim_max: most };
    // SAFETY: `limit` is valid and only read.
    checked(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

/// Raises the core file limit as far as allowed. Fails only if no core file can be written at all.
fn allow_core_dumps() -> Result<(), Failure> {
    let refused = || Failure::system("failed to ensure corefile creation");
    let before = limit(libc::RLIMIT_CORE).map_err(|_| refused())?;
    if set_limit(libc::RLIMIT_CORE, libc::RLIM_INFINITY, libc::RLIM_INFINITY).is_err() {
        // This may be less than unlimited. The check below decides whether it is enough.
        let _ = set_limit(libc::RLIMIT_CORE, before.rlim_max, before.rlim_max);
    }
    match limit(libc::RLIMIT_CORE).map_err(|_| refused())?.rlim_cur {
        0 => Err(refused()),
        _ => Ok(()),
    }
}

/// Raises the limit of open descriptors to what `-c` and the services need, or as far as allowed.
/// It is never lowered. As in memcached, a limit below `-c` is an error.
fn allow_descriptors(config: &ServerConfig, of_services: usize) -> Result<(), Failure> {
    let before =
        limit(libc::RLIMIT_NOFILE).map_err(|_| Failure::system("failed to getrlimit number of files"))?;
    let connections = config.max_connections as libc::rlim_t;
    let of_workers = config.threads.saturating_mul(DESCRIPTORS_A_WORKER);
    let of_listeners = config.listen.len().saturating_mul(DESCRIPTORS_A_LISTENER);
    let others =
        [of_workers, of_listeners, of_services].into_iter().fold(SPARE_DESCRIPTORS, usize::saturating_add);
    let needed = connections.saturating_add(others as libc::rlim_t);
    if before.rlim_cur >= needed
        || set_limit(libc::RLIMIT_NOFILE, needed, before.rlim_max.max(needed)).is_ok()
    {
        return Ok(());
    }
    let most = before.rlim_max.min(needed);
    if most >= connections && set_limit(libc::RLIMIT_NOFILE, most, before.rlim_max).is_ok() {
        return Ok(());
    }
    Err(Failure::system(
        "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.",
    ))
}

/// Drops root privileges. Returns a warning if the supplementary groups could not be dropped.
fn become_user(name: &str) -> Result<Option<String>, Failure> {
    let (user, group) = look_up_user(name)
        .ok_or_else(|| Failure::no_user(format!("can't find the user {name} to switch to")))?;
    let mut warning = None;
    // SAFETY: with a count of 0 the list is not read.
    if let Err(e) = checked(unsafe { libc::setgroups(0, ptr::null()) }) {
        let line = format!("failed to drop supplementary groups: {}", reason(&e));
        // Without this privilege there is none to drop, so the daemon continues.
        if e.raw_os_error() != Some(libc::EPERM) {
            return Err(Failure::system(line));
        }
        warning = Some(line);
    }
    // SAFETY: both take plain numbers.
    let switched =
        checked(unsafe { libc::setgid(group) }).and_then(|_| checked(unsafe { libc::setuid(user) }));
    match switched {
        Ok(_) => Ok(warning),
        Err(_) => Err(Failure::system(format!("failed to assume identity of user {name}"))),
    }
}

fn look_up_user(name: &str) -> Option<(libc::uid_t, libc::gid_t)> {
    let name = CString::new(name).ok()?;
    let mut texts = vec![0 as libc::c_char; 1024];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: the name ends in NUL, and each buffer has the length that is passed.
        let answer = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                texts.as_mut_ptr(),
                texts.len(),
                &raw mut found,
            )
        };
        match answer {
            libc::ERANGE if texts.len() < 1 << 20 => texts.resize(texts.len() * 2, 0),
            0 if !found.is_null() => {
                // SAFETY: `found` is not null, so `entry` was filled.
                let entry = unsafe { entry.assume_init() };
                return Some((entry.pw_uid, entry.pw_gid));
            }
            _ => return None,
        }
    }
}

/// Detaches from the terminal: the parent exits, the child continues in a new session. With `-r` it
/// keeps its directory so that a core file can be written there. At `-v` it keeps its streams.
fn detach(process: &ProcessSettings, keep_streams: bool, continues: bool) -> io::Result<()> {
    if !continues {
        // SAFETY: the process has one thread (see the module), so the child finds
        // every lock free.
        match checked(unsafe { libc::fork() })? {
            0 => {}
            // SAFETY: exits the parent without running handlers that belong to the child.
            _ => unsafe { libc::_exit(0) },
        }
        // SAFETY: no arguments.
        checked(unsafe { libc::setsid() })?;
    }
    if !process.core_dumps {
        std::env::set_current_dir("/")?;
    }
    if !keep_streams {
        const NULL: &CStr = c"/dev/null";
        // SAFETY: the path ends in NUL.
        let null = checked(unsafe { libc::open(NULL.as_ptr(), libc::O_RDWR) })?;
        for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: plain numbers; `null` is open.
            checked(unsafe { libc::dup2(null, stream) })?;
        }
        if null > libc::STDERR_FILENO {
            // SAFETY: opened above, and not used anywhere else.
            checked(unsafe { libc::close(null) })?;
        }
    }
    Ok(())
}

/// Locks the memory of the process, and each further page as it is first written. A page that is
/// only reserved costs nothing: see `core/src/store/memory.rs`.
///
/// If the limit of locked memory is too low, nothing is locked. Otherwise the system would later
/// refuse memory to the running server.
fn lock_memory(items: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let everything = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
        // SAFETY: plain flags.
        checked(unsafe { libc::mlockall(everything) })?;
        let most = limit(libc::RLIMIT_MEMLOCK)?.rlim_cur;
        if most < (items.saturating_add(LOCKED_BESIDE_ITEMS)) as libc::rlim_t && !may_lock_beyond(most) {
            // SAFETY: no arguments.
            checked(unsafe { libc::munlockall() })?;
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = items;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns whether the limit of locked memory does not bind this process. Maps pages beyond the
/// limit to find out.
#[cfg(target_os = "linux")]
fn may_lock_beyond(limit: libc::rlim_t) -> bool {
    let Ok(length) = usize::try_from(limit.saturating_add(1 << 16)) else { return false };
    // SAFETY: a new mapping at an address that the system chooses. It is not used and is unmapped
    // again.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mapping = libc::mmap(ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0);
        mapping != libc::MAP_FAILED && libc::munmap(mapping, length) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found() {
        assert_eq!(look_up_user("root"), Some((0, 0)));
        assert_eq!(look_up_user("no-such-user-here"), None);
        assert_eq!(look_up_user("nul\0"), None);
    }

    #[test]
    fn unknown_user_has_memcacheds_words() {
        let line = "can't find the user no-such-user-here to switch to";
        assert_eq!(become_user("no-such-user-here"), Err(Failure::no_user(line)));
    }

    #[test]
    fn running_processes_are_seen() {
        assert!(is_running(std::process::id() as i32));
        assert!(!is_running(0));
        assert!(!is_running(i32::MAX));
    }

    #[test]
    fn descriptor_limit_is_never_lowered() {
        let current = || limit(libc::RLIMIT_NOFILE).map(|l| l.rlim_cur).unwrap_or_default();
        let before = current();
        let few = ServerConfig { max_connections: 1, ..ServerConfig::default() };
        assert_eq!(allow_descriptors(&few, 0), Ok(()));
        assert!(current() >= before);
    }
}
