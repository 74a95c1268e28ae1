//! The texts that `-h`, `-i` and `-V` print.
//!
//! Test suites and packages search the help for feature words. Therefore it names only features
//! that work.

use memcache_core::internal::config::{Kind, Row};
use memcache_core::{ServerConfig, Value};

use crate::args::row_flags;

/// The version of this program.
pub const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The text of `-V`. Scripts read the first line: the version of memcached whose behaviour this
/// program has, which clients see as well.
pub const VERSION: &str = concat!("memcached 1.6.45\nmemcached-rs ", env!("CARGO_PKG_VERSION"), "\n");

/// The start of the text of `-h` after [`VERSION`].
const START: &str = "
Words that are not flags have no effect, as in memcached.
";

/// A section of the help: its title, and its flags with their lines.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// The flags that have no row in the table of settings.
///
/// A flag is written `-s, --long=<value>`. The help, the manual page and the completions of shells
/// come from this table. A test compares it with the flags that the program takes.
pub const SECTIONS: &[Section] = &[
    (
        "Files",
        &[
            ("--config=<file>", "settings as TOML; flags count more than the file"),
            (
                "--options-file=<file>",
                "options in the form of Debian's /etc/memcached.conf, which come\nbefore those of the command line",
            ),
            ("--check", "check the flags and the files that they name, and exit"),
        ],
    ),
    (
        "Network",
        &[
            ("-p, --port=<num>", "TCP port to listen on (default: 11211; 0: off, -1: any free port)"),
            ("-U, --udp-port=<num>", "UDP port to listen on (default: 0, off; -1: any free port)"),
            ("-s, --unix-socket=<file>", "UNIX socket to listen on (disables network support)"),
            ("-a, --unix-mask=<mask>", "access mask for UNIX socket, in octal (default: 700)"),
            (
                "-l, --listen=<addr>",
                "interface to listen on (default: loopback; 0.0.0.0 or * opens it)\ncan specify multiple comma separated listeners\nconfigured with different protocols\nformat: proto[<protocol>]:tag[<name>]:ip:port\ni.e. -l proto[binary]:127.0.0.1:11211,proto[ascii]:[::1]:11212\nwith TLS, 'notls', 'btls' or 'mtls' before one means no TLS, TLS,\nor TLS with client certificates (i.e. -l mtls:127.0.0.1:11213)",
            ),
            ("-b, --listen-backlog=<num>", "set the backlog queue limit (default: 1024)"),
            ("-B, --protocol=<name>", "protocol - one of ascii, binary, or auto (default: auto)"),
            ("-c, --conn-limit=<num>", "max simultaneous connections (default: 1024)"),
            (
                "-R, --max-reqs-per-event=<num>",
                "maximum number of requests per event, limits the requests\nprocessed per connection to prevent starvation (default: 256)",
            ),
            ("-t, --threads=<num>", "number of threads to use (default: 4)"),
            ("-N, --napi-ids=<num>", "accepted, has no effect"),
            (
                "-S, --enable-sasl",
                "turn on SASL authentication (PLAIN); the environment variable\nMEMCACHED_SASL_PWDB names a file of lines user:password",
            ),
            (
                "-Y, --auth-file=<file>",
                "enable ASCII protocol authentication, format:\nuser:pass\\nuser2:pass2\\n",
            ),
            (
                "--cluster-nodes=<list>",
                "nodes that \"config get cluster\" returns to auto discovery\nclients, as host|ip|port or host:port, comma separated",
            ),
            ("-Z, --enable-ssl", "enable TLS/SSL"),
        ],
    ),
    (
        "Memory",
        &[
            ("-m, --memory-limit=<num>", "item memory in megabytes (default: 64)"),
            ("-M, --disable-evictions", "return error on memory exhausted instead of evicting"),
            ("-I, --max-item-size=<num>", "adjusts max item size (default: 1m, min: 1k, max: 1024m)"),
            ("-f, --slab-growth-factor=<num>", "chunk size growth factor (default: 1.25)"),
            ("-n, --slab-min-size=<bytes>", "min space used for key+value+flags (default: 48)"),
            ("-L, --enable-largepages", "try to use large memory pages (if available)"),
            ("-k, --lock-memory", "lock down all paged memory"),
            ("-C, --disable-cas", "disable use of CAS"),
        ],
    ),
    (
        "Commands",
        &[
            ("-A, --enable-shutdown", "enable ascii \"shutdown\" command"),
            ("-F, --disable-flush-all", "disable flush_all command"),
            ("-X, --disable-dumping", "disable stats cachedump, stats detail, and lru_crawler metadump"),
            ("-W, --disable-watch", "disable watch commands (live logging)"),
            (
                "-D <char>",
                "use <char> as the delimiter between key prefixes and IDs\n(default: \":\"), and collect statistics for each prefix from\nthe start; otherwise \"stats detail on\" turns that on",
            ),
        ],
    ),
    (
        "Process",
        &[
            ("-d, --daemon", "run as a daemon"),
            ("-u, --user=<user>", "assume identity of <username> (only when run as root)"),
            ("-P, --pidfile=<file>", "save PID in <file>"),
            ("-r, --enable-coredumps", "maximize core file limit"),
            ("-v, --verbose", "verbose (print errors/warnings while in event loop)"),
            ("-vv", "very verbose (also print client commands/responses)"),
            ("-vvv", "extremely verbose (internal state transitions)"),
            ("--log-format=<name>", "form of the lines on standard error - text or json (default: text)"),
            ("-h, --help", "print this help and exit"),
            ("-i, --license", "print the license and exit"),
            ("-V, --version", "print version and exit"),
        ],
    ),
    (
        "Watching",
        &[(
            "--metrics=<addr>",
            "serve metrics for Prometheus at /metrics by HTTP, /healthz and\n/readyz; PORT is one of 127.0.0.1; [IPV6]:PORT, HOST:PORT",
        )],
    ),
    (
        "Control",
        &[
            (
                "--control=<addr>",
                "serve HTTP that moves the clock and injects faults, for tests;\nPORT is one of 127.0.0.1; [IPV6]:PORT, HOST:PORT",
            ),
            (
                "--control-token-file=<file>",
                "require the token of this file from each request of --control;\nneeded unless its address is loopback",
            ),
        ],
    ),
    (
        "Restart",
        &[(
            "-e, --memory-file=<file>",
            "load <file> at start, save all items to it when the server is\nstopped, as memcached does with its memory file",
        )],
    ),
];

/// The flag of the suboptions, which stands before them.
pub const EXTENDED: (&str, &str) = (
    "-o, --extended=<list>",
    "comma separated list of extended options;\nmost options have a 'no_' prefix to disable",
);

/// The suboptions of `-o` that have no row, or whose values the daemon writes in another way.
const SUBOPTIONS: &[(&str, &str)] = &[
    (
        "quota",
        "most bytes of the items whose keys begin with a prefix,\nas PREFIX:SIZE, i.e. site1::64m; may be repeated",
    ),
    ("modern", "enables options which will be default in future (currently: nothing)"),
    ("no_modern", "uses defaults of previous major version (1.4.x)"),
    ("ssl_chain_cert", "certificate chain file in PEM format"),
    ("ssl_key", "private key, if not part of ssl_chain_cert"),
    ("ssl_keyformat", "private key format, 1 or PEM, 2 or DER (default: PEM)"),
    (
        "ssl_verify_mode",
        "peer certificate verification mode: 0 (none), 1 (request),\n2 (require) or 3 (once) (default: 0)",
    ),
    ("ssl_ciphers", "cipher list to be used, as OpenSSL writes it"),
    ("ssl_ca_cert", "PEM format file of acceptable client CAs"),
    (
        "ssl_user",
        "part of client certificates that names the user in rights_file:\nnone, cn or san (default: none)",
    ),
    ("ssl_wbuf_size", "size in kilobytes of SSL output buffer (default: 16)"),
    ("ssl_session_cache", "enable SSL session cache, to support session resumption"),
    ("ssl_kernel_tls", "accepted, has no effect"),
    ("ssl_min_version", "minimum protocol version to accept: 2 (tlsv1.2) or 3 (tlsv1.3)\n(default: 2)"),
    (
        "drop_privileges",
        "enter a sandbox: no files but its own, no programs, no new sockets\n(Linux; default: off)",
    ),
    ("relaxed_privileges", "accepted, has no effect"),
    ("hash_algorithm, no_hashexpand", "accepted, have no effect"),
    #[cfg(feature = "lua")]
    (
        "proxy_config",
        "makes the server a proxy: a file that ends in .toml,\nor files of a program in Lua, separated by ':'",
    ),
    #[cfg(feature = "lua")]
    ("proxy_arg", "a text for the program of proxy_config"),
];

/// Returns the text of `-h` after [`VERSION`].
pub fn help() -> String {
    let mut text = START.to_owned();
    for (title, flags) in SECTIONS {
        text.extend(["\n", title, "\n"]);
        flags.iter().for_each(|(flag, help)| push_entry(&mut text, format!("  {flag}"), help));
    }
    for (row, flag) in row_flags() {
        let value = if row.kind == Kind::Bool { "" } else { "=<value>" };
        push_entry(&mut text, format!("  --{flag}{value}"), row.help);
    }
    text.push('\n');
    push_entry(&mut text, format!("  {}", EXTENDED.0), EXTENDED.1);
    for (name, help) in suboptions() {
        push_entry(&mut text, format!("    {name}"), &help);
    }
    text
}

/// Returns the suboptions of `-o`, with their lines.
pub fn suboptions() -> impl Iterator<Item = (String, String)> {
    let defaults = ServerConfig::default();
    let rows = ServerConfig::rows().filter(|row| !row.help.is_empty() && !is_flag(row));
    let rows = rows.map(move |row| {
        let default = match defaults.get(row.name) {
            Some(Value::Float(number)) => format!("{number:.2}"),
            Some(Value::Integer(number)) => (number / row.unit).to_string(),
            Some(Value::Bool(true)) => "enabled".into(),
            Some(Value::Text(word)) => word,
            _ => String::new(),
        };
        let off = if row.help.starts_with("disable ") { "no_" } else { "" };
        (format!("{off}{}", row.option.unwrap_or(row.name)), row.help.replace("{}", &default))
    });
    rows.chain(SUBOPTIONS.iter().map(|(name, help)| ((*name).to_owned(), (*help).to_owned())))
}

/// Adds the lines of an option. The name, with its indent, stands before the first one, or above it
/// if it is long.
fn push_entry(text: &mut String, mut name: String, help: &str) {
    if name.len() > 30 {
        text.push_str(&name);
        text.push('\n');
        name.clear();
    }
    for line in help.lines() {
        text.push_str(format!("{name:<30} {line}\n").as_str());
        name.clear();
    }
}

/// Returns whether the option of a row is a flag, not a suboption of `-o`.
fn is_flag(row: &Row) -> bool {
    row.option.is_some_and(|option| option.starts_with('-'))
}

/// The text of `-i`.
pub const LICENSE: &str = "\
memcached 1.6.45

memcached-rs contains no code of memcached. It is licensed under either of
the Apache License, Version 2.0 <https://www.apache.org/licenses/LICENSE-2.0>
or the MIT license, at your option:

Copyright (c) The memcache-rs authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the \"Software\"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in
all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
";

#[cfg(test)]
mod tests {
    use super::*;
    use memcache_core::TlsConfig;
    use memcache_core::internal::config::MIB;

    #[test]
    fn feature_words_name_what_works() {
        assert!(help().contains("unix-socket"));
        assert!(help().contains("enable-ssl"));
        assert_eq!(help().contains("proxy_config"), cfg!(feature = "lua"));
        let lower = help().to_lowercase();
        for absent in ["ext_path", "no_drop_privileges"] {
            assert!(!lower.contains(absent), "{absent}");
        }
        assert!(help().lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn defaults_are_those_of_the_settings() {
        let (help, server) = (help(), ServerConfig::default());
        let cache = &server.cache;
        let expected = [
            ("--listen-backlog", server.backlog.to_string()),
            ("--conn-limit", server.max_connections.to_string()),
            ("starvation", server.requests_per_event.to_string()),
            ("--threads", server.threads.to_string()),
            ("--memory-limit", (cache.memory_limit / MIB).to_string()),
            ("growth factor", format!("{:.2}", cache.growth_factor)),
            ("--slab-min-size", cache.chunk_size.to_string()),
            (" hot_lru_pct", server.reported.hot_lru_pct.to_string()),
            (" warm_lru_pct", server.reported.warm_lru_pct.to_string()),
            (" hot_max_factor", format!("{:.2}", server.reported.hot_max_factor)),
            (" warm_max_factor", format!("{:.2}", server.reported.warm_max_factor)),
            (" lru_crawler_sleep", cache.lru_crawler_sleep.to_string()),
            (" slab_automove ", server.reported.slab_automove.to_string()),
            (" slab_automove_ratio", format!("{:.2}", server.reported.slab_automove_ratio)),
            (" slab_automove_window", server.reported.slab_automove_window.to_string()),
            (" slab_chunk_max", "512".into()),
            (" ssl_wbuf_size", (TlsConfig::default().wbuf_size / 1024).to_string()),
            (" watcher_logbuf_size", (server.watcher_buffer / 1024).to_string()),
        ];
        for (name, value) in expected {
            let line = help.lines().find(|line| line.contains(name) && line.contains("(default"));
            assert!(line.is_some_and(|line| line.contains(&format!("(default: {value}"))), "{name} {value}");
        }
    }
}
