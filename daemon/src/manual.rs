//! The manual page and the completions of shells, made from the tables of the help.
//!
//! `MANUAL=DIRECTORY cargo test manual` writes them into that directory; `make man` does so. The
//! program itself does not need them, so this module is a test.

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use memcache_core::internal::config::Kind;

use crate::args::{self, row_flags};
use crate::help::{EXTENDED, OWN_VERSION, SECTIONS, suboptions};

const ABOUT: &str = "a memcached server that keeps its items exactly within its memory";

const DESCRIPTION: &str = "memcached-rs serves the protocols of memcached 1.6.45 and takes its \
    options. It listens on loopback unless -l says otherwise. Standard error is its log.";

const SIGNALS: &[(&str, &str)] = &[
    ("SIGINT, SIGTERM", "stop at once; with --persist after a save, which a second signal interrupts"),
    ("SIGUSR1", "send the replies that are under way, for at most ten seconds, then stop"),
    ("SIGHUP", "read certificates, password files and the configuration of a proxy again"),
    ("SIGUSR2", "save the file of --persist"),
    ("RTMIN+1", "start the installed version in this process, with the same sockets"),
];

const STATUS: &[(&str, &str)] = &[
    ("0", "stopped by a signal or by the command shutdown"),
    ("64", "a flag, a value or a file that the flags name is wrong"),
    ("67", "the user of -u does not exist"),
    ("70", "a thread died, or did not end within five seconds of the stop"),
    ("71", "the system refused something, such as an address or memory"),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("MEMCACHED_SASL_PWDB", "file of the passwords of -S"),
    ("MEMCACHED_PORT_FILENAME", "file to write the bound ports to"),
    ("LISTEN_FDS", "number of sockets that the service manager passes, as systemd sets it"),
    ("NOTIFY_SOCKET", "socket of the service manager that is told of start, progress and stop"),
];

/// Returns the flags as the tables describe them.
fn documented() -> Command {
    let mut command = Command::new("memcached-rs")
        .about(ABOUT)
        .version(OWN_VERSION)
        .disable_help_flag(true)
        .disable_version_flag(true);
    for (title, flags) in SECTIONS {
        let args = flags.iter().filter_map(|(flag, help)| with_help(flag, help));
        command = command.args(args.map(|arg| arg.help_heading(*title)));
    }
    let last = SECTIONS.last().map(|(title, _)| *title);
    for (row, flag) in row_flags() {
        let value = (row.kind != Kind::Bool).then_some("value");
        let arg = with_names(None, Some(flag), value, row.help).help_heading(last);
        command = command.arg(match row.kind {
            Kind::Word(words) => arg.value_parser(words.to_vec()),
            Kind::Path => arg.value_hint(ValueHint::FilePath),
            _ => arg,
        });
    }
    command.args(with_help(EXTENDED.0, EXTENDED.1).map(|arg| arg.help_heading(last)))
}

/// Returns the flag that a table writes as `-s, --long=<value>`. The second and third line of `-v`
/// do not count.
fn with_help(flag: &'static str, help: &str) -> Option<Arg> {
    let (names, value) = match flag.split_once(['=', '<']) {
        Some((names, value)) => (names, Some(value.trim_matches(['<', '>']))),
        None => (flag, None),
    };
    let names = || names.split(", ").map(str::trim);
    let long = names().find_map(|name| name.strip_prefix("--"));
    let short = names().find(|name| !name.starts_with("--")).and_then(|name| name.strip_prefix('-'));
    let mut letters = short.unwrap_or_default().chars();
    let letter = letters.next();
    if letters.next().is_some() {
        return None;
    }
    let arg = with_names(letter, long, value, help);
    Some(match (value, long) {
        (Some("file"), _) => arg.value_hint(ValueHint::FilePath),
        (Some("user"), _) => arg.value_hint(ValueHint::Username),
        (_, Some("protocol")) => arg.value_parser(["auto", "ascii", "binary"]),
        (_, Some("log-format")) => arg.value_parser(["text", "json"]),
        _ => arg,
    })
}

fn with_names(
    short: Option<char>,
    long: Option<&'static str>,
    value: Option<&'static str>,
    help: &str,
) -> Arg {
    let help = help.replace('\n', " ");
    let mut arg = Arg::new(long.unwrap_or("delimiter")).help(help);
    if let Some(short) = short {
        arg = arg.short(short);
    }
    if let Some(long) = long {
        arg = arg.long(long);
    }
    match value {
        // The help has the words of a flag already.
        Some(value) => arg.value_name(value).hide_possible_values(true),
        None => arg.action(ArgAction::SetTrue),
    }
}

/// Returns the manual page.
fn page() -> String {
    let man = Man::new(documented())
        .title("MEMCACHED-RS")
        .date("")
        .source(format!("memcached-rs {OWN_VERSION}"))
        .manual("User Commands");
    let (mut title, mut name, mut options) = (Vec::new(), Vec::new(), Vec::new());
    assert!(man.render_title(&mut title).is_ok());
    assert!(man.render_name_section(&mut name).is_ok());
    assert!(man.render_options_section(&mut options).is_ok());
    // An empty date needs quotes.
    let mut page = String::from_utf8_lossy(&title).replace(" 1  ", " 1 \"\" ");
    page += &without_preamble(&String::from_utf8_lossy(&name));
    let mut start = Roff::new();
    start.control("SH", ["SYNOPSIS"]).text([
        bold("memcached-rs"),
        roman(" ["),
        italic("option"),
        roman("]..."),
    ]);
    start.control("SH", ["DESCRIPTION"]).text([roman(DESCRIPTION)]);
    start.control("SH", ["OPTIONS"]);
    page += &start.to_roff();
    page += &without_preamble(&String::from_utf8_lossy(&options)).replace(".SH ", ".SS ");
    let owned = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let lists = [
        ("SUBOPTIONS OF -o", suboptions().collect()),
        ("SIGNALS", owned(SIGNALS)),
        ("EXIT STATUS", owned(STATUS)),
        ("ENVIRONMENT", owned(ENVIRONMENT)),
    ];
    let mut end = Roff::new();
    for (title, list) in lists {
        end.control("SH", [title]);
        for (name, text) in list {
            end.control("TP", []).text([bold(name)]).text([roman(text.replace('\n', " "))]);
        }
    }
    end.control("SH", ["SEE ALSO"]).text([bold("mcrs"), roman("(1), "), bold("memcached"), roman("(1)")]);
    page + &end.to_roff()
}

/// Removes the lines that begin each text of roff. The title has them once.
fn without_preamble(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the directory that `MANUAL` names, relative to the repository.
fn place() -> Option<PathBuf> {
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(env::var_os("MANUAL")?))
}

#[test]
fn the_tables_have_the_flags_of_the_program() {
    let flags = |command: &Command| {
        let mut flags: Vec<_> = command
            .get_arguments()
            .filter(|arg| !arg.is_positional())
            .map(|arg| {
                let optional = arg.get_long() == Some("verbose");
                let takes_value = arg.get_action().takes_values() && !optional;
                (arg.get_long().map(str::to_owned), arg.get_short(), takes_value)
            })
            .collect();
        flags.sort();
        flags
    };
    assert_eq!(flags(&documented()), flags(&args::command()));
}

#[test]
fn manual_and_completions_are_made() {
    let page = page();
    for part in ["\\-\\-persist", "idle_timeout", "RTMIN+1", "MEMCACHED_SASL_PWDB"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let Some(place) = place() else { return };
    let write = |name: &str, text: &[u8]| {
        let file = place.join(name);
        let written = file.parent().map(fs::create_dir_all).and_then(|_| fs::write(&file, text).ok());
        assert!(written.is_some(), "{}", file.display());
    };
    write("man/memcached-rs.1", page.as_bytes());
    for (shell, name) in [
        (Shell::Bash, "bash/memcached-rs"),
        (Shell::Zsh, "zsh/_memcached-rs"),
        (Shell::Fish, "fish/memcached-rs.fish"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut documented(), "memcached-rs", &mut text);
        write(&format!("completions/{name}"), &text);
    }
}
