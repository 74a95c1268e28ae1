//! A server that keeps its items in a file over a restart.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod waiting;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use memcache_rs::internal::state::Status;
use memcache_rs::{
    BoundAddress, Cache, CacheConfig, ClientCommand, Hooks, Listen, SaveOptions, Server, ServerConfig,
    SnapshotWork, StartError, Stop, StoreOptions, Ttl,
};
use waiting::eventually;

/// A directory that ends with the test, and the log of its servers.
struct Place {
    path: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcrs-persist-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self { path, log: Arc::default() }
    }

    fn file(&self) -> PathBuf {
        self.path.join("cache.mcrs")
    }

    fn named(&self, suffix: &str) -> PathBuf {
        self.path.join(format!("cache.mcrs{suffix}"))
    }

    /// Returns settings of a server that keeps its items here.
    fn config(&self) -> ServerConfig {
        ServerConfig { persist: Some(self.file()), ..self.plain() }
    }

    /// Returns settings of a server that logs here.
    fn plain(&self) -> ServerConfig {
        let log = Arc::clone(&self.log);
        let log = move |_: u8, line: &str| log.lock().unwrap().push(line.to_owned());
        ServerConfig {
            threads: 2,
            verbosity: 1,
            listen: vec![Listen::tcp(([127, 0, 0, 1], 0).into())],
            hooks: Hooks { log: Some(Arc::new(log)), ..Hooks::default() },
            ..ServerConfig::default()
        }
    }

    fn start(&self) -> Server {
        Server::start(self.config()).unwrap()
    }

    fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Returns why a server does not start, without the directory.
    fn refusal(&self, config: ServerConfig) -> String {
        match Server::start(config) {
            Err(StartError::File(text)) => text.replace(&self.path.display().to_string(), "DIR"),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

fn stop(server: &Server) {
    assert_eq!(server.stop(Stop::Now, Duration::ZERO), Ok(()));
}

fn status(server: &Server) -> Status {
    server.context().persistence.as_ref().unwrap().status()
}

fn request(server: &Server) -> bool {
    server.context().persistence.as_ref().unwrap().request()
}

fn connect(server: &Server) -> BufReader<TcpStream> {
    let Some(BoundAddress::Tcp(address)) = server.addresses().first() else { panic!() };
    BufReader::new(TcpStream::connect(address).unwrap())
}

/// Sends a line, and returns the first line of the reply, or an empty text if there is none.
fn ask(client: &mut BufReader<TcpStream>, line: &str) -> String {
    client.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut reply = String::new();
    let _ = client.read_line(&mut reply);
    reply.trim_end().to_owned()
}

#[test]
fn items_are_there_after_each_kind_of_stop() {
    type Stopping = fn(&Server);
    let place = Place::new("stops");
    let stops: [(&str, Stopping); 4] = [
        ("now", |server| stop(server)),
        ("graceful", |server| assert_eq!(server.stop(Stop::Graceful, Duration::from_secs(9)), Ok(()))),
        ("command", |server| {
            assert_eq!(ask(&mut connect(server), "shutdown"), "");
            assert_eq!(server.wait(), Ok(()));
        }),
        ("drop", |_| {}),
    ];
    for (name, stop) in stops {
        let server = Server::start(ServerConfig { shutdown_enabled: true, ..place.config() }).unwrap();
        let options =
            StoreOptions { flags: 7, ttl: Ttl::After(Duration::from_secs(1000)), ..StoreOptions::default() };
        assert!(server.cache().set_with(name, "value", options).unwrap().is_stored());
        stop(&server);
        drop(server);
        let server = place.start();
        let info = server.cache().info(name).unwrap();
        assert_eq!(info.flags, 7, "{name}");
        assert!((990..=1000).contains(&info.ttl.unwrap()), "{name}: {info:?}");
    }
    let server = place.start();
    assert_eq!(server.cache().keys().count(), 4);
}

#[test]
fn what_was_answered_before_a_stop_is_saved() {
    let place = Place::new("load");
    let server = place.start();
    let answered: Vec<_> = (0..4).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for (client, answered) in answered.iter().enumerate() {
            let mut connection = connect(&server);
            scope.spawn(move || {
                for number in 1..u64::MAX {
                    let set = format!("set {client}-{} 0 0 20\r\n{number:020}", number % 1000);
                    match ask(&mut connection, &set).as_str() {
                        "STORED" => answered.store(number, SeqCst),
                        _ => break,
                    }
                }
            });
        }
        eventually("some sets", || answered.iter().all(|answered| answered.load(SeqCst) > 2000));
        stop(&server);
    });
    let server = place.start();
    let cache = server.cache();
    for (client, answered) in answered.iter().enumerate() {
        let answered = answered.load(SeqCst);
        for number in answered - 999..=answered {
            let value = cache.get(format!("{client}-{}", number % 1000)).unwrap();
            let found: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
            // One more may have been carried out without an answer that arrived.
            assert!(found == number || found == answered + 1, "{client}: {found}, not {number}");
        }
    }
}

#[test]
fn files_that_are_no_snapshots_stay_as_they_are() {
    let place = Place::new("foreign");
    let cache = Cache::new(CacheConfig::default()).unwrap();
    cache.set("key", "value", Ttl::Never).unwrap();
    cache.save(place.file(), SaveOptions::default()).unwrap();
    let mut next = fs::read(place.file()).unwrap();
    next[8] = 2;
    let cases: [(&[u8], &str); 2] = [
        (
            b"#!/bin/sh\necho not a cache\n",
            "persist: DIR/cache.mcrs: the file is not a snapshot of memcache-rs",
        ),
        (
            &next,
            "persist: DIR/cache.mcrs: the snapshot has format version 2, and this program reads version 1",
        ),
    ];
    for (bytes, text) in cases {
        fs::write(place.file(), bytes).unwrap();
        assert_eq!(place.refusal(place.config()), text);
        assert_eq!(fs::read(place.file()).unwrap(), bytes);
    }
    let at = |path: &Path| ServerConfig { persist: Some(path.into()), ..place.config() };
    assert_eq!(place.refusal(at(&place.path)), "persist: failed to save DIR: Is a directory");
    let nowhere = place.path.join("nowhere/cache.mcrs");
    let text = "persist: failed to create DIR/nowhere/cache.mcrs.tmp: No such file or directory";
    assert_eq!(place.refusal(at(&nowhere)), text);
    let device = place.refusal(at(Path::new("/dev/null")));
    assert_eq!(device, "persist: failed to save /dev/null: not a regular file");
    assert_eq!(fs::read_dir(&place.path).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_loaded_as_far_as_possible_and_kept() {
    let place = Place::new("damage");
    let server = place.start();
    // Blocks of a MiB each. The codec is lz4, so the values do not repeat.
    let mut state = 1_u64;
    for number in 0..60 {
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let value: Vec<u8> = noise.take(100_000).collect();
        server.cache().set(format!("key{number}"), value, Ttl::Never).unwrap();
    }
    drop(server);
    let whole = fs::read(place.file()).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(place.file(), &damaged).unwrap();
    assert!(
        place
            .refusal(ServerConfig { persist_strict: true, ..place.config() })
            .starts_with("persist: DIR/cache.mcrs: the snapshot is damaged at byte ")
    );
    let server = place.start();
    let items = server.cache().keys().count();
    assert!((40..60).contains(&items), "{items}");
    assert!(place.has_logged("cache.mcrs is damaged at byte "));
    assert_eq!(status(&server).loaded.unwrap().damaged, 60 - items as u64);
    drop(server);
    assert_eq!(fs::read(place.named(".damaged")).unwrap(), damaged);
    assert_eq!(place.start().cache().keys().count(), items);

    // Without its header nothing can be read, and nothing is thrown away.
    let mut headless = whole;
    headless[30] ^= 1;
    fs::write(place.file(), &headless).unwrap();
    let text = "persist: DIR/cache.mcrs: the header of the snapshot is damaged";
    assert_eq!(place.refusal(ServerConfig { persist_strict: true, ..place.config() }), text);
    assert_eq!(place.start().cache().keys().count(), 0);
    assert_eq!(fs::read(place.named(".damaged")).unwrap(), headless);

    fs::write(place.file(), "").unwrap();
    drop(place.start());
    assert!(place.has_logged("cache.mcrs is empty"));
}

#[test]
fn saves_in_the_background_keep_older_files() {
    let place = Place::new("keep");
    let config = ServerConfig { persist_keep: 2, shutdown_enabled: true, ..place.config() };
    let server = Server::start(config).unwrap();
    let mut client = connect(&server);
    for number in 1..=4 {
        server.cache().set("number", number.to_string(), Ttl::Never).unwrap();
        assert_eq!(ask(&mut client, "persist save"), "OK");
        eventually("a save", || status(&server).saves == number);
    }
    assert_eq!(ask(&mut client, "persist"), "CLIENT_ERROR usage: persist save|status");
    let stats = server.stats("").unwrap();
    let stat = |name: &str| stats.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!((stat("persist_saves"), stat("persist_state")), ("4".into(), "idle".into()));
    assert_eq!(
        (stat("persist_last_save_items"), stat("persist_last_save_result")),
        ("1".into(), "ok".into())
    );
    let number = |suffix: &str| {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        cache.load(place.named(suffix), memcache_rs::LoadOptions::default()).unwrap();
        String::from_utf8(cache.get("number").unwrap()).unwrap()
    };
    assert_eq!([number(""), number(".1"), number(".2")], ["4", "3", "2"]);
    assert!(!place.named(".3").exists());
}

#[test]
fn a_client_may_save_only_if_it_may_stop_the_server() {
    let place = Place::new("rights");
    let server = place.start();
    assert_eq!(ask(&mut connect(&server), "persist save"), "CLIENT_ERROR persist save not allowed");
    assert_eq!(ask(&mut connect(&server), "persist status"), "STAT persist_state idle");
    let plain = Server::start(place.plain()).unwrap();
    assert_eq!(ask(&mut connect(&plain), "persist status"), "ERROR");
    assert!(plain.stats("").unwrap().iter().all(|(name, _)| !name.starts_with("persist")));
}

#[test]
fn an_interval_saves_without_a_request() {
    let place = Place::new("interval");
    let server = Server::start(ServerConfig { persist_interval: 1, ..place.config() }).unwrap();
    server.cache().set("key", "value", Ttl::Never).unwrap();
    eventually("two saves", || status(&server).saves >= 2);
    assert!(place.file().exists());
}

#[test]
fn a_save_that_fails_leaves_the_old_file_and_the_server() {
    let place = Place::new("fails");
    let server = place.start();
    server.cache().set("key", "old", Ttl::Never).unwrap();
    assert!(request(&server));
    eventually("a save", || status(&server).saves == 1);
    let old = fs::read(place.file()).unwrap();

    let aside = place.path.with_extension("aside");
    fs::rename(&place.path, &aside).unwrap();
    assert!(request(&server));
    eventually("a failure", || status(&server).failures == 1);
    fs::rename(&aside, &place.path).unwrap();
    assert!(place.has_logged("No such file or directory; "));
    assert_eq!(fs::read(place.file()).unwrap(), old);
    assert_eq!(ask(&mut connect(&server), "mn"), "MN");
    assert!(request(&server));
    eventually("another save", || status(&server).saves == 2);
}

/// A gate in the hook of a snapshot: the work waits at its first step until the test opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Gate {
    fn hooks(&self, work: SnapshotWork, hooks: Hooks) -> Hooks {
        let gate = self.clone();
        let hold = move |now: SnapshotWork, _: u64, _: u64| {
            if now == work {
                let (state, changed) = &*gate.0;
                let mut state = state.lock().unwrap();
                state.0 = true;
                while !state.1 {
                    changed.notify_all();
                    state = changed.wait(state).unwrap();
                }
            }
        };
        Hooks { snapshot: Some(Arc::new(hold)), ..hooks }
    }

    fn wait(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        while !state.0 {
            state = changed.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

/// Stores items that fill some blocks.
fn fill(cache: &Cache, value: &str) {
    for number in 0..50 {
        cache.set(format!("key{number}"), value.repeat(30_000), Ttl::Never).unwrap();
    }
}

#[test]
fn clients_are_served_while_a_lazy_server_loads() {
    let place = Place::new("lazy");
    fill(place.start().cache(), "old");
    let gate = Gate::default();
    let config = place.config();
    let hooks = gate.hooks(SnapshotWork::Load, config.hooks.clone());
    let lazy = ServerConfig { persist_lazy: true, persist_threads: 1, settles: false, hooks, ..config };
    let server = Server::start(lazy).unwrap();
    gate.wait();
    assert_eq!(ask(&mut connect(&server), "persist status"), "STAT persist_state loading");
    assert!(!request(&server));
    // Some of these are loaded already, some are not. The newer value stays in both cases.
    for number in (0..50).step_by(2) {
        server.cache().set(format!("key{number}"), "new", Ttl::Never).unwrap();
    }
    gate.open();
    eventually("the load", || status(&server).loaded.is_some());
    for number in 0..50 {
        let value = server.cache().get(format!("key{number}")).unwrap();
        assert_eq!(&value[..3], if number % 2 == 0 { b"new" } else { b"old" }, "{number}");
    }
}

#[test]
fn a_stop_while_loading_leaves_the_file() {
    let place = Place::new("lazy-stop");
    fill(place.start().cache(), "old");
    let before = fs::read(place.file()).unwrap();
    let gate = Gate::default();
    let config = place.config();
    let hooks = gate.hooks(SnapshotWork::Load, config.hooks.clone());
    let lazy = ServerConfig { persist_lazy: true, persist_threads: 1, hooks, ..config };
    let server = Server::start(lazy).unwrap();
    gate.wait();
    server.context().control.request_stop(Stop::Now);
    gate.open();
    assert_eq!(server.wait(), Ok(()));
    assert!(place.has_logged("cache.mcrs stays as it is, and nothing is saved to it"));
    assert_eq!(fs::read(place.file()).unwrap(), before);
}

#[test]
fn the_last_save_takes_its_time_and_can_be_interrupted() {
    let place = Place::new("abort");
    fill(place.start().cache(), "old");
    let before = fs::read(place.file()).unwrap();
    for aborted in [true, false] {
        let gate = Gate::default();
        let config = place.config();
        let hooks = gate.hooks(SnapshotWork::Save, config.hooks.clone());
        let server = Server::start(ServerConfig { hooks, ..config }).unwrap();
        server.cache().set("key", "new", Ttl::Never).unwrap();
        server.context().control.request_stop(Stop::Now);
        gate.wait();
        // The limit of time of other threads does not count for this one.
        assert_eq!(server.wait_for(Duration::from_millis(10)), Ok(false));
        assert!(server.is_running());
        if aborted {
            server.context().persistence.as_ref().unwrap().abort();
        }
        gate.open();
        assert_eq!(server.wait(), Ok(()));
        assert_eq!(fs::read(place.file()).unwrap() == before, aborted);
        assert!(place.has_logged("the operation was cancelled; "));
    }
}

#[test]
fn a_hook_that_panics_does_not_prevent_the_last_save() {
    let place = Place::new("hook");
    drop(place.start());
    let before = fs::read(place.file()).unwrap();
    let config = place.config();
    let panics = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&panics);
    let command = move |_: &ClientCommand<'_>| assert!(!armed.load(SeqCst), "the test says so here");
    let hooks = Hooks { command: Some(Arc::new(command)), ..config.hooks.clone() };
    let server = Server::start(ServerConfig { hooks, ..config }).unwrap();
    server.cache().set("key", "value", Ttl::Never).unwrap();
    panics.store(true, SeqCst);
    // The panic closes one connection.
    assert_eq!(ask(&mut connect(&server), "mn"), "");
    panics.store(false, SeqCst);
    assert_eq!(server.context().control.failure(), None);
    drop(server);
    assert_ne!(fs::read(place.file()).unwrap(), before);
}

#[test]
fn a_memory_file_belongs_to_a_server_that_was_stopped() {
    let place = Place::new("memory");
    let config = || ServerConfig { memory_file: Some(place.file()), ..place.plain() };
    let server = Server::start(config()).unwrap();
    assert!(place.has_logged("[restart] no metadata save file, starting with a clean cache"));
    server.cache().set("key", "value", Ttl::Never).unwrap();
    let settings = server.stats("settings").unwrap();
    assert!(settings.contains(&("memory_file".into(), place.file().display().to_string())));
    drop(server);
    assert_eq!(fs::read_to_string(place.named(".meta")).unwrap(), "Tmain\nKhashpower 16\n");

    fs::write(place.named(".meta"), "Tmain\nKhashpower 17\nKmine 1\n").unwrap();
    let server = Server::start(config()).unwrap();
    assert!(place.has_logged("[restart] unknown/unhandled key: mine"));
    assert_eq!(server.cache().get("key").as_deref(), Some(&b"value"[..]));
    let stats = server.stats("").unwrap();
    assert!(stats.contains(&("hash_power_level".into(), "17".into())));
    // While the server runs, its file is old.
    assert!(!place.named(".meta").exists());
    let killed = fs::read(place.file()).unwrap();
    drop(server);
    fs::write(place.file(), killed).unwrap();
    fs::remove_file(place.named(".meta")).unwrap();
    assert_eq!(Server::start(config()).unwrap().cache().keys().count(), 0);

    fs::write(place.named(".meta"), "").unwrap();
    assert_eq!(place.refusal(config()), "[restart] Failed to read a tag from metadata file");
    fs::write(place.named(".meta"), "Tmain\n").unwrap();
    fs::write(place.file(), "memory of another program").unwrap();
    drop(Server::start(config()).unwrap());
    assert!(place.has_logged("[restart] failed to validate metadata, starting with a clean cache"));
}
