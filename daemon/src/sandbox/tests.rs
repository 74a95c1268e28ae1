//! Tries what the sandbox forbids, from the inside. A process cannot leave the sandbox, so the test
//! runs its own program once more, which enters it and reports each attempt on a line.

#![expect(clippy::print_stdout, reason = "the program in the sandbox reports on standard output")]

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{calls, files};

/// Set for the program that enters the sandbox: its directory.
const INSIDE: &str = "MCRS_SANDBOX_TEST";

/// Returns the attempts of a process in the sandbox, and whether each must succeed.
fn attempts(own: &Path, socket: &TcpListener) -> Vec<(&'static str, bool, io::Result<()>)> {
    let write = own.join("write");
    let read = own.join("read");
    let call = |number: libc::c_long, arguments: [libc::c_long; 4]| {
        let [a, b, c, d] = arguments;
        // SAFETY: every call below has plain numbers or null pointers as arguments, which the
        // system checks.
        let answer = unsafe { libc::syscall(number, a, b, c, d) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    let socket_of = |domain: i32, kind: i32| call(libc::SYS_socket, [domain.into(), kind.into(), 0, 0]);
    let code = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    let private = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let parent = i64::from(std::os::unix::process::parent_id());
    vec![
        ("read a file of the list", true, fs::read(read.join("file")).map(drop)),
        ("read another file", false, fs::read("/etc/passwd").map(drop)),
        ("read the shadow file", false, fs::read("/etc/shadow").map(drop)),
        ("read the own memory", false, fs::read("/proc/self/maps").map(drop)),
        ("list the root", false, fs::read_dir("/").map(drop)),
        ("write where only reading is allowed", false, fs::write(read.join("new"), "x")),
        ("remove where only reading is allowed", false, fs::remove_file(read.join("file"))),
        ("write", true, fs::write(write.join("new"), "x")),
        ("rename", true, fs::rename(write.join("new"), write.join("newer"))),
        ("remove", true, fs::remove_file(write.join("newer"))),
        ("write elsewhere", false, fs::write(own.join("new"), "x")),
        ("make a directory", false, fs::create_dir(write.join("directory"))),
        ("make a link to a file", false, std::os::unix::fs::symlink("/etc/passwd", write.join("link"))),
        ("start a program", false, Command::new("/bin/true").status().map(drop)),
        ("become a program", false, call(libc::SYS_execve, [0; 4])),
        ("become a program by a descriptor", false, call(libc::SYS_execveat, [0; 4])),
        ("debug itself", false, call(libc::SYS_ptrace, [0; 4])),
        ("read another process", false, call(libc::SYS_process_vm_readv, [parent, 0, 0, 0])),
        ("signal another process", false, call(libc::SYS_kill, [parent, 0, 0, 0])),
        ("signal all processes", false, call(libc::SYS_kill, [-1, 0, 0, 0])),
        ("signal itself", true, call(libc::SYS_kill, [i64::from(std::process::id()), 0, 0, 0])),
        ("a netlink socket", false, socket_of(libc::AF_NETLINK, libc::SOCK_RAW)),
        ("a packet socket", false, socket_of(libc::AF_PACKET, libc::SOCK_RAW)),
        ("a vsock socket", false, socket_of(libc::AF_VSOCK, libc::SOCK_STREAM)),
        ("a TCP connection", false, TcpStream::connect(socket.local_addr().unwrap_or(BAD)).map(drop)),
        ("a TCP listener", false, TcpListener::bind("127.0.0.1:0").map(drop)),
        ("a UDP socket", false, UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("a Unix listener", false, UnixListener::bind(write.join("socket")).map(drop)),
        ("a Unix datagram socket", false, UnixDatagram::unbound().map(drop)),
        ("bind a socket", false, call(libc::SYS_bind, [0; 4])),
        ("memory with code", false, call(libc::SYS_mmap, [0, 4096, code, private])),
        ("io_uring", false, call(libc::SYS_io_uring_setup, [1, 0, 0, 0])),
        ("user namespace", false, call(libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0])),
        ("mount", false, call(libc::SYS_mount, [0; 4])),
        ("change the root", false, call(libc::SYS_chroot, [0; 4])),
        ("change the user", false, call(libc::SYS_setuid, [0; 4])),
        ("bpf", false, call(libc::SYS_bpf, [0; 4])),
        ("keys of the kernel", false, call(libc::SYS_keyctl, [0; 4])),
        ("performance counters", false, call(libc::SYS_perf_event_open, [0; 4])),
        ("load a module", false, call(libc::SYS_init_module, [0; 4])),
        ("make it dumpable", false, call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0])),
        ("raise a limit", false, call(libc::SYS_prlimit64, [0, i64::from(libc::RLIMIT_NOFILE), 1, 0])),
        ("type into the terminal", false, call(libc::SYS_ioctl, [0, libc::TIOCSTI as i64, 0, 0])),
        ("start a thread", true, thread::Builder::new().spawn(|| ()).map(drop)),
        ("wait", true, call(libc::SYS_sched_yield, [0; 4])),
    ]
}

/// An address that is not in use.
const BAD: std::net::SocketAddr =
    std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 1));

/// Runs in the sandbox, as the process that the test below starts.
#[test]
fn inside() {
    let Some(own) = std::env::var_os(INSIDE) else { return };
    let own = Path::new(&own);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| unreachable!("{e}"));
    let extent = files::restrict(&[own.join("read")].into(), &[own.join("write")].into());
    println!("files {extent:?}");
    println!("calls {:?}", calls::restrict(false));
    for (what, succeeds, answer) in attempts(own, &socket) {
        let holds = match &answer {
            Ok(()) => succeeds,
            Err(e) => !succeeds && e.kind() == io::ErrorKind::PermissionDenied,
        };
        println!("{} {what}: {answer:?}", if holds { "ok" } else { "WRONG" });
    }
    println!("the end");
}

#[test]
fn forbidden_things_fail() {
    let own = std::env::temp_dir().join(format!("mcrs-sandbox-{}", std::process::id()));
    for name in ["read", "write"] {
        assert!(fs::create_dir_all(own.join(name)).is_ok());
    }
    assert!(fs::write(own.join("read/file"), "x").is_ok());
    let program = std::env::current_exe().unwrap_or_else(|e| unreachable!("{e}"));
    let done = Command::new(program)
        .args(["--exact", "sandbox::tests::inside", "--nocapture"])
        .env(INSIDE, &own)
        .output()
        .unwrap_or_else(|e| unreachable!("{e}"));
    assert!(fs::remove_dir_all(&own).is_ok());
    let said = String::from_utf8_lossy(&done.stdout);
    if said.contains("files Ok(Nothing)") {
        println!("skipped: this system has no Landlock");
        return;
    }
    assert!(done.status.success() && said.contains("the end"), "{said}");
    assert!(said.contains("calls Ok(())"), "{said}");
    let wrong: Vec<_> = said.lines().filter(|line| line.contains("WRONG")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 40, "{said}");
}
