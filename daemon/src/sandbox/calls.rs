//! Restricts the system calls of a process by seccomp: a list of those that a running server makes.
//! All others fail with EPERM.
//!
//! The list has the calls of glibc and musl for the same purpose. It was found by running the tests
//! under it.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Calls that are allowed with any arguments.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Memory. `mmap` and `mprotect` have rules below.
    libc::SYS_brk, libc::SYS_madvise, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_mremap,
    libc::SYS_munlock, libc::SYS_munmap,
    // Threads: those of saves and handshakes begin and end.
    libc::SYS_clone, libc::SYS_clone3, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_futex,
    libc::SYS_get_robust_list, libc::SYS_getpid, libc::SYS_gettid, libc::SYS_membarrier, libc::SYS_rseq,
    libc::SYS_sched_getaffinity, libc::SYS_sched_yield, libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // Signals to this process.
    libc::SYS_restart_syscall, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Descriptors.
    libc::SYS_close, libc::SYS_dup, libc::SYS_fcntl, libc::SYS_fstat, libc::SYS_lseek, libc::SYS_pread64,
    libc::SYS_pwrite64, libc::SYS_read, libc::SYS_readv, libc::SYS_write, libc::SYS_writev,
    // Files. Landlock says which.
    libc::SYS_copy_file_range, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fadvise64,
    libc::SYS_fallocate, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fdatasync,
    libc::SYS_flock, libc::SYS_fsync, libc::SYS_ftruncate, libc::SYS_getcwd, libc::SYS_getdents64,
    libc::SYS_linkat, libc::SYS_newfstatat, libc::SYS_openat, libc::SYS_readlinkat, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_statx, libc::SYS_sync_file_range, libc::SYS_unlinkat,
    // Sockets that are open, and those that they accept.
    libc::SYS_accept, libc::SYS_accept4, libc::SYS_getpeername, libc::SYS_getsockname,
    libc::SYS_getsockopt, libc::SYS_recvfrom, libc::SYS_recvmmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg,
    libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_setsockopt, libc::SYS_shutdown,
    // Events.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_eventfd2,
    libc::SYS_ppoll, libc::SYS_pselect6,
    // Time, chance, and facts about the process.
    libc::SYS_clock_getres, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_getegid,
    libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getrandom, libc::SYS_getrusage, libc::SYS_gettimeofday,
    libc::SYS_getuid, libc::SYS_nanosleep, libc::SYS_sysinfo, libc::SYS_uname,
];

/// Older names that only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_access, libc::SYS_chmod, libc::SYS_dup2, libc::SYS_epoll_wait, libc::SYS_getrlimit,
    libc::SYS_link, libc::SYS_lstat, libc::SYS_open, libc::SYS_poll, libc::SYS_readlink,
    libc::SYS_rename, libc::SYS_select, libc::SYS_stat, libc::SYS_time, libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Requests of `ioctl` about descriptors. None of them writes to a terminal.
const REQUESTS: [libc::Ioctl; 5] =
    [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TIOCOUTQ, libc::TCGETS];

/// Commands of `fcntl` about descriptors, their flags and locks. `F_SETFL` has a rule of its own.
const COMMANDS: [libc::c_int; 8] = [
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_SETLK,
];

/// Options of `prctl` about the names of threads and of memory.
const OPTIONS: [libc::c_int; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Restricts all threads of the process. With `notifies`, the process may connect to the socket of
/// a service manager.
///
/// # Errors
/// The system or the architecture has no filters.
pub fn restrict(notifies: bool) -> Result<(), String> {
    let program = program(notifies).map_err(|e| e.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|e| e.to_string())
}

fn program(notifies: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|&call| (call, Vec::new())).collect();
    // No memory becomes code.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let no_code = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
        rules.insert(call, vec![when(2, no_code, 0)?]);
    }
    rules.insert(libc::SYS_ioctl, one_of(1, &REQUESTS.map(|request| request as u32))?);
    rules.insert(libc::SYS_prctl, one_of(0, &OPTIONS.map(|option| option as u32))?);
    // An abort is a signal to a thread of the own process.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, own)?]);
    rules.insert(libc::SYS_kill, vec![when(0, SeccompCmpOp::Eq, own)?]);
    // The limits of the own process are read: the pointer to new ones is null.
    let null = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    let reads = [condition(0, SeccompCmpOp::Eq, 0)?, null];
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(reads.to_vec())?]);
    // No signal to the owner of a descriptor, which may be another process.
    let mut commands = one_of(1, &COMMANDS.map(|command| command as u32))?;
    let asynchronous = SeccompCmpOp::MaskedEq(libc::O_ASYNC as u64);
    let set_flags = [condition(1, SeccompCmpOp::Eq, libc::F_SETFL as u64)?, condition(2, asynchronous, 0)?];
    commands.push(SeccompRule::new(set_flags.to_vec())?);
    rules.insert(libc::SYS_fcntl, commands);
    if notifies {
        rules.insert(libc::SYS_socket, vec![when(0, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?]);
        rules.insert(libc::SYS_connect, Vec::new());
    }
    let (others, listed) = (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    SeccompFilter::new(rules, others, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// Returns a rule that holds if argument `index` compares with `value`, as 32 bits.
fn when(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(index, operator, value)?])
}

fn condition(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

/// Returns rules of which one holds if argument `index` is one of `values`.
fn one_of(index: u8, values: &[u32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.iter().map(|&value| when(index, SeccompCmpOp::Eq, value.into())).collect()
}
