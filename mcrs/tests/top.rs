//! `mcrs top`: its output for scripts, and its screen in tmux, with a server of ours and with a
//! real memcached.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Directory, hostile, mcrs, memcached, ours, proxy_of, run};
use memcache_core::{Listen, Server, ServerConfig};
use serde_json::Value;

/// Time in which the screen must show what a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A terminal of tmux in which a shell runs. Each has a server of tmux of its own.
struct Terminal {
    directory: Directory,
}

impl Terminal {
    /// Starts a shell in a terminal of a size. Returns `None`, and says so, if there is no tmux.
    #[expect(clippy::print_stderr, reason = "the reason why a test is skipped belongs into its output")]
    fn new(width: u16, height: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: tmux is not installed (make setup does that)");
            return None;
        }
        let terminal = Self { directory: Directory::new() };
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "env PS1='ready> ' sh",
        ]);
        terminal.wait_for("ready>");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env_remove("NO_COLOR").env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        let output =
            command.args(["-u", "-S", &self.directory.path("tmux")]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Presses keys, by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn start(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    fn top(&self, arguments: &str) {
        self.start(&format!("{} top --interval 0.1 {arguments}; echo status $?", env!("CARGO_BIN_EXE_mcrs")));
    }

    fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Waits until the screen is as it should be, and returns it.
    fn wait(&self, what: &str, right: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if right(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "no {what} on the screen:\n{screen}");
            // Each look at the screen starts a process. The program needs the processor, too.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits until a program has left the terminal as it was.
    fn wait_for_shell(&self, status: &str) {
        self.wait_for(status);
        assert_eq!(self.tmux(&["display-message", "-p", "#{alternate_on}"]).stdout, b"0\n");
        // A line that is typed is seen, and is read as a whole.
        self.start("stty -a | tr ' ;' '\\n\\n' | grep -xE 'echo|icanon' | sort | xargs echo modes");
        self.wait_for("modes echo icanon");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.directory.path("tmux");
        let _ = Command::new("tmux").args(["-S", &socket, "kill-server"]).status();
    }
}

/// A client that reads and writes until it is dropped.
struct Load(Option<(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>)>);

impl Load {
    fn new(address: &str) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut client = Client::new(address);
        let body = move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let _ = client.ask("ms hot 3\r\nAda\r\nmg hot v\r\nmg hot v\r\nmg hot v\r\nmg cold v\r\n");
                // Leaves the processors to the programs under test.
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Self(Some((stop, std::thread::spawn(body))))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

#[test]
fn a_proxy_shows_the_requests_of_its_clients() {
    let (_backend, backend) = ours(ServerConfig::default());
    let (_proxy, proxy) = proxy_of(&backend);
    let _load = Load::new(&proxy);
    let begun = Instant::now();
    loop {
        let (status, out, said) = run(&["top", &proxy, "--once", "--json", "--interval", "0.2"]);
        assert_eq!((status, said.as_str()), (0, ""));
        let object: Value = serde_json::from_str(&out).unwrap();
        let rate = |name: &str| object["rates"][name].as_f64().unwrap();
        if rate("gets") > 0.0 && rate("sets") > 0.0 {
            assert_eq!((&object["rates"]["hits"], &object["hit_ratio"]), (&Value::Null, &Value::Null));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{out}");
    }
}

/// Returns the words of the line that begins with `name`.
fn words<'a>(screen: &'a str, name: &str) -> Vec<&'a str> {
    let line = screen.lines().find(|line| line.starts_with(name));
    line.unwrap_or_default().split_whitespace().collect()
}

/// Returns whether the row of a server has rates of gets and sets, and a hit ratio of about 75%.
fn has_rates(screen: &str, server: &str) -> bool {
    let words = words(screen, server);
    let [_, "up", gets, ratio, sets, ..] = words[..] else { return false };
    // A sample may come in the middle of the load's requests.
    let near = ratio.parse::<f64>().is_ok_and(|ratio| (70.0..80.0).contains(&ratio));
    near && !["-", "0"].contains(&gets) && !["-", "0"].contains(&sets)
}

#[test]
fn the_screen_shows_servers_and_obeys_keys() {
    let Some(terminal) = Terminal::new(80, 24) else { return };
    let (_server, address) = ours(ServerConfig::default());
    let real = memcached(&[]);
    let mut addresses = vec![address.as_str()];
    addresses.extend(real.as_ref().map(memcache_compat::server::Server::address));
    let loads: Vec<_> = addresses.iter().map(|address| Load::new(address)).collect();
    terminal.top(&addresses.join(" "));
    let screen = terminal.wait("rates", |screen| addresses.iter().all(|server| has_rates(screen, server)));
    assert_eq!(screen.lines().count(), 24);
    assert!(screen.contains(&format!("{} up, every 100.0ms", addresses.len())), "{screen}");
    assert!(words(&screen, "gets").contains(&"75.0%"), "{screen}");
    assert!(screen.contains("operations/s, peak"), "{screen}");

    terminal.press(&["Tab"]);
    terminal.wait_for("[Hot keys]");
    // The server counts samples of requests.
    let screen = terminal.wait("hot key", |screen| {
        let [_, reads, writes, server] = words(screen, "hot")[..] else { return false };
        ![reads, writes].contains(&"0") && server == address
    });
    if let Some(real) = &real {
        assert!(screen.contains(&format!("{} does not offer stats hotkeys", real.address())), "{screen}");
    }
    terminal.press(&["3"]);
    let screen = terminal.wait_for("[Latency]");
    assert!(screen.contains("version (from here)"), "{screen}");
    terminal.wait("latency of gets", |screen| {
        screen.lines().any(|line| line.contains(" get ") && line.contains("us"))
    });
    terminal.press(&["BTab", "4"]);
    let screen = terminal.wait_for("[Slabs]");
    addresses.iter().for_each(|server| assert_eq!(words(&screen, server)[1..3], ["1", "96"], "{screen}"));
    terminal.press(&["1", "s", "s"]);
    terminal.wait_for("sort: GET/s");
    terminal.press(&["S", "r"]);
    terminal.wait_for("STATE^");
    terminal.press(&["?"]);
    terminal.wait_for("sort by the next column");
    terminal.press(&["?", "p"]);
    terminal.wait_for("PAUSED");
    terminal.press(&["p"]);
    terminal.wait("end of the pause", |screen| !screen.contains("PAUSED"));

    terminal.resize(160, 30);
    let screen = terminal.wait_for("VERSION");
    assert_eq!(screen.lines().count(), 30);
    terminal.resize(30, 8);
    terminal.wait("small screen", |screen| screen.lines().count() == 8 && screen.contains("SERVER"));
    terminal.resize(80, 24);
    terminal.wait("rates", |screen| addresses.iter().all(|server| has_rates(screen, server)));
    // The load ends: no gets, and no hit ratio.
    drop(loads);
    terminal.wait("quiet servers", |screen| {
        addresses.iter().all(|server| words(screen, server).get(1..4) == Some(&["up", "0", "-"][..]))
    });
    terminal.press(&["q"]);
    terminal.wait_for_shell("status 0");
}

/// The characters of the graph.
const BARS: &str = "▁▂▃▄▅▆▇█";

/// Returns the words of a screen that say what it shows: those without digits.
fn labels(screen: &str) -> Vec<&str> {
    let is_label =
        |word: &&str| *word != "-" && !word.contains(|one: char| one.is_ascii_digit() || BARS.contains(one));
    screen.split_whitespace().filter(is_label).collect()
}

#[test]
fn readme_shows_the_screen() {
    let Some(terminal) = Terminal::new(80, 12) else { return };
    let Some(real) = memcached(&[]) else { return };
    let (server, address) = ours(ServerConfig::default());
    let _loads = [Load::new(&address), Load::new(real.address())];
    terminal.top(&format!("{address} {} 127.0.0.1:1", real.address()));
    let screen = terminal.wait("rates", |screen| {
        let graph = screen
            .lines()
            .nth(4)
            .is_some_and(|line| line.chars().filter(|one| BARS.contains(*one)).count() > 30);
        graph && has_rates(screen, &address) && has_rates(screen, real.address()) && screen.contains("1 not")
    });
    drop(server);
    terminal.press(&["q"]);
    terminal.wait_for_shell("status 0");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let begin = readme.find("```text\nmcrs top").unwrap() + "```text\n".len();
    let end = begin + readme[begin..].find("```").unwrap();
    if std::env::var_os("WRITE_SCREEN").is_some() {
        let lines = screen.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
        std::fs::write(path, format!("{}{lines}{}", &readme[..begin], &readme[end..])).unwrap();
    } else {
        let hint = "WRITE_SCREEN=1 cargo test -p memcache-rs-tool --test top readme writes it";
        assert_eq!(labels(&readme[begin..end]), labels(&screen), "the screen in README.md is old; {hint}");
    }
}

#[test]
fn a_server_goes_and_comes_back() {
    let Some(terminal) = Terminal::new(80, 24) else { return };
    let (_other, other) = ours(ServerConfig::default());
    let (server, address) = ours(ServerConfig::default());
    let _load = Load::new(&other);
    terminal.top(&format!("{other} {address}"));
    terminal.wait_for("2 up, every");
    drop(server);
    let screen = terminal.wait_for("1 up, 1 not");
    assert_eq!(words(&screen, &address)[..3], [&address[..], "DOWN", "-"], "{screen}");
    assert!(screen.contains("DOWN: "), "{screen}");
    terminal.wait("rates of the other", |screen| has_rates(screen, &other));
    let listen = vec![Listen::tcp(address.parse().unwrap())];
    let _again = Server::start(ServerConfig { listen, ..ServerConfig::default() }).unwrap();
    let screen = terminal.wait_for("2 up, every");
    assert_eq!(words(&screen, &address)[1], "up", "{screen}");
    terminal.press(&["C-c"]);
    terminal.wait_for_shell("status 0");
}

#[test]
fn a_stalled_server_stops_no_other() {
    let Some(terminal) = Terminal::new(80, 24) else { return };
    let (_server, address) = ours(ServerConfig::default());
    let _load = Load::new(&address);
    let stalled = hostile(b"", false);
    let endless = hostile(b"STAT name value\r\n", true);
    terminal.top(&format!("--timeout 0.3 {address} {stalled} {endless}"));
    terminal.wait("faults", |screen| {
        let is_down = |server| words(screen, server).get(1) == Some(&"DOWN");
        has_rates(screen, &address) && is_down(&stalled) && is_down(&endless)
    });
    terminal.wait_for("did not answer within 0.3 seconds");
    terminal.press(&["q"]);
    terminal.wait_for_shell("status 0");
}

#[test]
fn signals_give_the_terminal_back() {
    let Some(terminal) = Terminal::new(80, 24) else { return };
    let (_server, address) = ours(ServerConfig::default());
    let (pid, script) = (terminal.directory.path("pid"), terminal.directory.path("script"));
    let program = env!("CARGO_BIN_EXE_mcrs");
    std::fs::write(
        &script,
        format!("sh -c 'echo $$ >{pid}; exec {program} top {address}'; echo status $?\n"),
    )
    .unwrap();
    for (signal, status) in [("TERM", "status 143"), ("INT", "status 130"), ("HUP", "status 129")] {
        terminal.start(&format!("sh {script}"));
        terminal.wait_for("1 up, every");
        let pid = std::fs::read_to_string(&pid).unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap();
        assert!(sent.success());
        terminal.wait_for_shell(status);
    }
}

#[test]
fn scripts_get_a_page_or_objects() {
    let (_server, address) = ours(ServerConfig::default());
    let real = memcached(&[]);
    let mut servers = vec![address.as_str()];
    servers.extend(real.as_ref().map(memcache_compat::server::Server::address));
    let _loads: Vec<_> = servers.iter().map(|server| Load::new(server)).collect();
    let top = |options: &[&str]| {
        let (status, out, said) = run(&[&["top", "--interval", "0.2"], options, &servers[..]].concat());
        assert_eq!((status, &said[..]), (0, ""));
        out
    };
    let page = top(&["--once"]);
    servers.iter().for_each(|server| assert!(has_rates(&page, server), "{page}"));
    assert!(page.starts_with("gets ") && page.contains("\nSERVER ") && page.contains(" VERSION\n"), "{page}");
    assert!(top(&["--once", "--page", "slabs"]).starts_with("SERVER "));
    assert!(top(&["--once", "--page", "latency"]).contains("version (from here)"));
    assert!(top(&["--once", "--page", "keys"]).starts_with("KEY "));
    let objects = top(&["--once", "--json"]);
    let objects: Vec<Value> = objects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), servers.len());
    for (object, server) in objects.iter().zip(&servers) {
        assert_eq!((&object["server"], &object["up"]), (&(*server).into(), &true.into()));
        assert!(object["rates"]["gets"].as_f64().unwrap() > 0.0 && object["version"].is_string(), "{object}");
        assert!((object["hit_ratio"].as_f64().unwrap() - 0.75).abs() < 0.05, "{object}");
        assert!(object["round_trip_seconds"].as_f64().unwrap() > 0.0, "{object}");
    }

    let (status, out, said) =
        run(&["top", "--once", "--interval", "0.1", &address, "127.0.0.1:1", "127.0.0.1:2"]);
    assert_eq!((status, said.lines().count()), (69, 2), "{said}");
    assert_eq!((words(&out, "127.0.0.1:1")[1], words(&out, &address)[1]), ("DOWN", "up"), "{out}");
    let (status, out, _) = run(&["top", "--once", "--json", "127.0.0.1:1"]);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &object["up"]), (69, &false.into()));
    assert!(object["error"].as_str().unwrap().contains("refused"), "{object}");
}

#[test]
fn objects_come_until_the_reader_has_enough() {
    let (_server, address) = ours(ServerConfig::default());
    let mut child = mcrs(&["top", "--json", "--interval", "0.05", &address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for _ in 0..3 {
        let object: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(object["rates"]["gets"].is_f64(), "{object}");
    }
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_screen_needs_a_terminal() {
    let expected = "mcrs: standard output is not a terminal: use --once or --json\n";
    assert_eq!(run(&["top", "127.0.0.1:1"]), (64, String::new(), expected.into()));
    assert_eq!(run(&["top", "--interval", "0"]).0, 64);
    assert_eq!(run(&["top", "--page", "none"]).0, 64);
}
