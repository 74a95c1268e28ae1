//! Runs memcached's own Perl suite, from a checkout given by path, against a server given by path.
//!
//! The suite takes its working directory for memcached's build directory. It gets a temporary one
//! with links to the checkout's tests. There, `memcached-debug` starts the server under test, and
//! `timedrun` only starts its arguments. Nothing is copied out of the checkout or written into it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of developers, which prints its results"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use memcache_compat::Outcome;

const USAGE: &str = "\
usage: suite [options] CHECKOUT SERVER [FILE.t ...]

Runs the tests of the memcached source tree CHECKOUT against the program SERVER: all but those listed in
compat/suite/not-applicable.txt, or the files named.

  --flags 'FLAGS'   flags for SERVER, after the test's own (default '-o debug_commands')
  --plain           the same as --flags '': for memcached's own memcached-debug
  --all             run the files that do not apply too
  --tls             every file over TLS, not only ssl_*.t
  --jobs N          files at the same time (default 2)
  --timeout N       seconds for a file (default 100)
  --json PATH       write the table as JSON
  --logs DIR        keep each file's output there
";

/// Files that are not run, and the reasons.
const NOT_APPLICABLE: &str = include_str!("../../suite/not-applicable.txt");

struct Options {
    checkout: PathBuf,
    server: PathBuf,
    files: Vec<String>,
    flags: String,
    all: bool,
    tls: bool,
    jobs: usize,
    timeout: Duration,
    json: Option<PathBuf>,
    logs: Option<PathBuf>,
}

/// A file that is not run, and the reason.
type Skipped = (String, String);

/// The result of a file.
#[derive(Debug, Default)]
struct Row {
    file: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    seconds: f64,
    /// Why it was skipped, or how it ended badly.
    note: String,
    /// The names of the asserts that failed.
    failures: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = parse(&arguments).map_err(|fault| {
        eprintln!("suite: {fault}\n\n{USAGE}");
        ExitCode::from(64)
    });
    let options = match outcome {
        Ok(options) => options,
        Err(code) => return code,
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("suite: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<bool> {
    let directory = std::env::temp_dir().join(format!("memcache-compat-suite-{}", std::process::id()));
    prepare(&directory, options)?;
    let (wanted, skipped) = choose(options)?;
    println!("{} files to run, {} that do not apply", wanted.len(), skipped.len());

    let queue = Mutex::new(wanted.into_iter());
    let (sender, finished) = channel();
    let mut rows: Vec<Row> = Vec::new();
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            let (sender, queue, directory) = (sender.clone(), &queue, &directory);
            scope.spawn(move || {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some(file) = next else { return };
                    if sender.send(run_file(&file, directory, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for row in finished {
            println!("{}", line(&row));
            rows.push(row);
        }
    });
    let _ = fs::remove_dir_all(&directory);

    rows.sort_by(|a, b| a.file.cmp(&b.file));
    report(&rows, &skipped, options)
}

fn report(rows: &[Row], skipped: &[Skipped], options: &Options) -> Outcome<bool> {
    let failing: Vec<&Row> = rows.iter().filter(|row| row.failed > 0).collect();
    println!("\nfiles that failed:{}", if failing.is_empty() { " none" } else { "" });
    for row in &failing {
        println!("{}", line(row));
        for name in row.failures.iter().take(12) {
            println!("      not ok: {name}");
        }
        if row.failures.len() > 12 {
            println!("      and {} more", row.failures.len() - 12);
        }
    }
    let sum = |pick: fn(&Row) -> usize| rows.iter().map(pick).sum::<usize>();
    let (passed, failed, skips) = (sum(|row| row.passed), sum(|row| row.failed), sum(|row| row.skipped));
    let whole = rows.iter().filter(|row| row.failed == 0 && row.passed > 0).count();
    println!("\nfiles: {whole} passed whole, {} failed, {} not applicable", failing.len(), skipped.len());
    if let Some(path) = &options.json {
        fs::write(path, json(rows, skipped)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!("{passed} passed, {failed} failed, {skips} skipped");
    Ok(failed == 0)
}

fn line(row: &Row) -> String {
    let note = if row.note.is_empty() { String::new() } else { format!("  ({})", row.note) };
    format!(
        "{:<28} {:>6} passed {:>4} failed {:>4} skipped {:>7.1} s{note}",
        row.file, row.passed, row.failed, row.skipped, row.seconds
    )
}

/// memcached's test program in C. A build of the checkout creates it.
const TESTAPP: &str = "testapp";

/// File of the passwords of the suite's SASL test, below the suite's directory.
const PASSWORDS: &str = "passwords";

/// Replaces the tool of Cyrus SASL, called as `saslpasswd2 -a memcached -u REALM -c -p USER`. The
/// passwords go to the file that the server under test reads.
const SASLPASSWD: &str = "#!/bin/sh\nread -r password\necho \"$7@$4:$password\" >>\"$MEMCACHED_SASL_PWDB\"\n";

/// Creates the directory that the suite takes for memcached's build directory.
fn prepare(directory: &Path, options: &Options) -> Outcome<()> {
    let fault = |error: std::io::Error| format!("{}: {error}", directory.display());
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).map_err(fault)?;
    for name in ["t", "doc", "scripts", TESTAPP] {
        symlink(options.checkout.join(name), directory.join(name)).map_err(fault)?;
    }
    fs::create_dir(directory.join("bin")).map_err(fault)?;
    fs::write(directory.join(PASSWORDS), "").map_err(fault)?;
    let server = quote(&options.server.to_string_lossy());
    let scripts = [
        ("memcached-debug", format!("#!/bin/sh\nexec {server} \"$@\" {}\n", options.flags)),
        // memcached's own gives up after a number of seconds. Here the whole file has a time limit.
        ("timedrun", "#!/bin/sh\nshift\nexec \"$@\"\n".to_owned()),
        ("bin/saslpasswd2", SASLPASSWD.to_owned()),
    ];
    for (name, text) in scripts {
        let path = directory.join(name);
        fs::write(&path, text).map_err(fault)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(fault)?;
    }
    Ok(())
}

/// Returns the files to run, and those that do not apply with the reason.
fn choose(options: &Options) -> Outcome<(Vec<String>, Vec<Skipped>)> {
    if !options.files.is_empty() {
        return Ok((options.files.clone(), Vec::new()));
    }
    let directory = options.checkout.join("t");
    let entries = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "t"))
        .collect();
    names.sort();
    if options.checkout.join(TESTAPP).exists() {
        names.push(TESTAPP.to_owned());
    }
    let mut skipped = Vec::new();
    if !options.all {
        names.retain(|name| match reason(name) {
            Some(reason) => {
                skipped.push((name.clone(), reason.to_owned()));
                false
            }
            None => true,
        });
    }
    Ok((names, skipped))
}

fn reason(file: &str) -> Option<&'static str> {
    NOT_APPLICABLE.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (pattern, reason) = line.split_once(char::is_whitespace)?;
        let matches = match pattern.strip_suffix('*') {
            Some(prefix) => file.starts_with(prefix),
            None => file == pattern,
        };
        matches.then_some(reason.trim())
    })
}

fn run_file(file: &str, directory: &Path, options: &Options) -> Row {
    let mut row = Row { file: file.to_owned(), ..Row::default() };
    let begin = Instant::now();
    let mut command = if file == TESTAPP {
        Command::new(directory.join(TESTAPP))
    } else {
        let mut perl = Command::new("perl");
        perl.arg(format!("t/{file}"));
        perl
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([directory.join("bin")].into_iter().chain(std::env::split_paths(&path)));
    command
        .current_dir(directory)
        .process_group(0)
        .env("PATH", path.unwrap_or_default())
        .env("RUN_SASL_TESTS", "1")
        .env("MEMCACHED_SASL_PWDB", directory.join(PASSWORDS));
    for name in
        ["T_MEMD_USE_DAEMON", "T_MEMD_EXTERNAL", "VALGRIND_TEST", "SSL_TEST", "MEMCACHED_PORT_FILENAME"]
    {
        command.env_remove(name);
    }
    if options.tls || file.starts_with("ssl_") {
        command.env("SSL_TEST", "1");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            row.failed = 1;
            row.note = format!("perl does not start: {error}");
            return row;
        }
    };
    let readers = [child.stdout.take().map(collect), child.stderr.take().map(collect)];
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begin.elapsed() < options.timeout => thread::sleep(Duration::from_millis(20)),
            _ => break None,
        }
    };
    // Processes that the test left behind end with its process group.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let [output, errors] =
        readers.map(|reader| reader.and_then(|reader| reader.join().ok()).unwrap_or_default());
    row.seconds = begin.elapsed().as_secs_f64();

    count(&output, &mut row);
    match status {
        None => {
            row.failed += 1;
            "did not finish in time".clone_into(&mut row.note);
        }
        Some(status) if !status.success() && row.failed == 0 => {
            row.failed += 1;
            row.note = format!("ended with {status}: {}", errors.lines().last().unwrap_or_default());
        }
        Some(_) => {}
    }
    if let Some(logs) = &options.logs {
        let _ = fs::create_dir_all(logs);
        let _ = fs::write(logs.join(format!("{file}.log")), format!("{output}\n--- errors\n{errors}"));
    }
    row
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Reads the lines of the Test Anything Protocol.
fn count(output: &str, row: &mut Row) {
    let mut planned = None;
    let mut seen = 0;
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("1..") {
            let (number, note) = rest.split_once('#').unwrap_or((rest, ""));
            planned = number.trim().parse::<usize>().ok();
            if planned == Some(0) {
                row.skipped += 1;
                note.trim().clone_into(&mut row.note);
            }
        } else if line.starts_with("ok ") {
            seen += 1;
            if line.contains("# skip") { row.skipped += 1 } else { row.passed += 1 }
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            seen += 1;
            if rest.contains("# TODO") {
                row.skipped += 1;
            } else {
                row.failed += 1;
                row.failures.push(rest.to_owned());
            }
        }
    }
    if let Some(missing) =
        planned.and_then(|planned| planned.checked_sub(seen)).filter(|&missing| missing > 0)
    {
        row.failed += missing;
        row.note = format!("{missing} asserts were not reached");
    }
}

fn json(rows: &[Row], skipped: &[Skipped]) -> String {
    let mut text = String::from("{\n  \"files\": [\n");
    for (at, row) in rows.iter().enumerate() {
        let failures: Vec<String> = row.failures.iter().map(|name| string(name)).collect();
        let _ = writeln!(
            text,
            "    {{\"file\": {}, \"passed\": {}, \"failed\": {}, \"skipped\": {}, \"seconds\": {:.1}, \"note\": {}, \
             \"failures\": [{}]}}{}",
            string(&row.file),
            row.passed,
            row.failed,
            row.skipped,
            row.seconds,
            string(&row.note),
            failures.join(", "),
            if at + 1 < rows.len() { "," } else { "" }
        );
    }
    text.push_str("  ],\n  \"not_applicable\": [\n");
    for (at, (file, reason)) in skipped.iter().enumerate() {
        let comma = if at + 1 < skipped.len() { "," } else { "" };
        let _ = writeln!(text, "    {{\"file\": {}, \"reason\": {}}}{comma}", string(file), string(reason));
    }
    text.push_str("  ]\n}\n");
    text
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Quotes a word for the shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let mut names = Vec::new();
    let mut options = Options {
        checkout: PathBuf::new(),
        server: PathBuf::new(),
        files: Vec::new(),
        flags: "-o debug_commands".to_owned(),
        all: false,
        tls: false,
        jobs: 2,
        timeout: Duration::from_secs(100),
        json: None,
        logs: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(String::as_str).ok_or(format!("{argument} needs a value"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match argument.as_str() {
            "--flags" => value()?.clone_into(&mut options.flags),
            "--plain" => options.flags.clear(),
            "--all" => options.all = true,
            "--tls" => options.tls = true,
            "--jobs" => options.jobs = number(value()?)?.max(1) as usize,
            "--timeout" => options.timeout = Duration::from_secs(number(value()?)?),
            "--json" => options.json = Some(PathBuf::from(value()?)),
            "--logs" => options.logs = Some(PathBuf::from(value()?)),
            other if other.starts_with('-') => return Err(format!("unknown option {other}")),
            name => names.push(name),
        }
    }
    let [checkout, server, files @ ..] = names.as_slice() else {
        return Err("a checkout and a server are needed".to_owned());
    };
    let absolute = |path: &str| fs::canonicalize(path).map_err(|error| format!("{path}: {error}"));
    options.checkout = absolute(checkout)?;
    options.server = absolute(server)?;
    options.files = files.iter().map(|file| file.trim_start_matches("t/").to_owned()).collect();
    Ok(options)
}
