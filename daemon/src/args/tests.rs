//! Every flag with the settings that it makes, and every message about a wrong one.

use super::*;
use crate::failure::USAGE;
use memcache_core::EvictionPolicy;
use memcache_core::internal::config::{MIB, PAGE_SIZE};

type Check = fn(&Plan) -> bool;

#[expect(clippy::needless_pass_by_value, reason = "each case makes its own")]
fn action(flags: &[&str], environment: Environment) -> Result<Action, Failure> {
    let line = std::iter::once("memcached-rs").chain(flags.iter().copied()).map(OsString::from);
    read(line, &environment)
}

fn plan(flags: &[&str]) -> Plan {
    match action(flags, Environment::default()) {
        Ok(Action::Run(plan)) => *plan,
        other => panic!("{flags:?}: {other:?}"),
    }
}

fn hosts(plan: &Plan) -> Vec<(Host, u16)> {
    plan.endpoints.iter().map(|e| (e.host.clone(), e.port)).collect()
}

fn datagrams(plan: &Plan) -> Vec<(Host, u16)> {
    plan.datagrams.iter().map(|e| (e.host.clone(), e.port)).collect()
}

fn loopback(plan: &Plan, port: u16) -> bool {
    hosts(plan) == [(Host::Loopback, port)]
}

fn unix(plan: &Plan) -> Option<(&str, u32, Protocol)> {
    match &plan.config.listen[..] {
        [Listen::Unix { path, mask, protocol }] if plan.endpoints.is_empty() => {
            Some((path.to_str()?, *mask, *protocol))
        }
        _ => None,
    }
}

fn control(plan: &Plan, address: &str, token_file: Option<&str>) -> bool {
    let address = http::Address::parse(address).unwrap_or_else(|| panic!("{address}"));
    plan.control == Some(ControlSettings { address, token_file: token_file.map(PathBuf::from) })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of cases")]
fn flags_become_settings() {
    let cases: &[(&[&str], Check)] = &[
        (&[], |p| loopback(p, 11211) && p.config.reported.tcp_port == 11211 && p.notes.is_empty()),
        (&[], |p| {
            p.config.threads == 4 && p.config.verbosity == 0 && p.process == ProcessSettings::default()
        }),
        (&["-p", "7"], |p| loopback(p, 7) && p.config.reported.tcp_port == 7),
        (&["-p7"], |p| loopback(p, 7)),
        (&["--port=7"], |p| loopback(p, 7)),
        (&["--port", "7"], |p| loopback(p, 7)),
        (&["--po=7"], |p| loopback(p, 7)),
        (&["-p", " 7"], |p| loopback(p, 7)),
        (&["-p", "7", "-p", "8"], |p| loopback(p, 8)),
        (&[], |p| p.control.is_none()),
        (&["--control", "7"], |p| control(p, "7", None)),
        (&["--control=[::1]:7", "--control-token-file", "/t"], |p| control(p, "[::1]:7", Some("/t"))),
        (&["-p", "-1"], |p| loopback(p, 0)),
        (&["-p", "0"], |p| p.endpoints.is_empty() && p.config.listen.is_empty()),
        (&["-p", "0", "-l", "a:7"], |p| p.endpoints.is_empty()),
        (&["-U", "0"], |p| loopback(p, 11211) && p.notes.is_empty()),
        (&["-U", "0"], |p| p.datagrams.is_empty()),
        // Alone, `-U` moves TCP as well.
        (&["-U", "7"], |p| loopback(p, 7) && datagrams(p) == [(Host::Loopback, 7)]),
        (&["-U", "7"], |p| p.config.reported.udp_port == 7 && p.notes.is_empty()),
        (&["-U", "-1"], |p| loopback(p, 0) && datagrams(p) == [(Host::Loopback, 0)]),
        (&["--udp-port=7", "-p", "8"], |p| loopback(p, 8) && datagrams(p) == [(Host::Loopback, 7)]),
        (&["-p", "8", "-U", "-1"], |p| loopback(p, 8) && datagrams(p) == [(Host::Loopback, 0)]),
        (&["-p", "0", "-U", "7"], |p| p.endpoints.is_empty() && datagrams(p) == [(Host::Loopback, 7)]),
        (&["-U", "7", "-s", "/tmp/s"], |p| unix(p).is_some() && p.datagrams.is_empty()),
        (&["-U", "7", "-p", "8", "-l", "*,tag_b_:a:9"], |p| {
            hosts(p) == [(Host::Any, 8), (Host::Name("a".into()), 9)]
                && datagrams(p) == [(Host::Any, 7), (Host::Name("a".into()), 9)]
                && p.endpoints[0].tag.is_none()
                && p.endpoints[1].tag.is_some_and(|tag| tag.to_string() == "b")
        }),
        (&["-p", "0", "-U", "7", "-l", "tag_b_:a"], |p| p.endpoints.is_empty() && p.datagrams.len() == 1),
        (&[], |p| p.config.cluster.is_empty()),
        (&["--cluster-nodes", "a.example|10.0.0.1|7,[::1]:8"], |p| {
            p.config.cluster.iter().map(ToString::to_string).eq(["a.example|10.0.0.1|7", "::1|::1|8"])
        }),
        (&["-o", "sock_cookie_id=7"], |p| p.config.socket_mark == 7),
        (&["-s", "/tmp/s"], |p| unix(p) == Some(("/tmp/s", 0o700, Protocol::Negotiating))),
        (&["-s", "/tmp/s", "-a", "0755"], |p| unix(p).is_some_and(|u| u.1 == 0o755)),
        (&["--unix-socket=/tmp/s", "--unix-mask=7007"], |p| unix(p).is_some_and(|u| u.1 == 0o007)),
        (&["-s", "/tmp/s", "-B", "binary"], |p| unix(p).is_some_and(|u| u.2 == Protocol::Binary)),
        (&["-s", "/tmp/s", "-l", "::bad::["], |p| unix(p).is_some()),
        (&["-l", "10.0.0.1"], |p| hosts(p) == [(Host::Name("10.0.0.1".into()), 11211)]),
        (&["-l", "a:1,b", "-l", "*", "--listen=b", "-p", "9"], |p| {
            p.config.reported.inter.as_deref() == Some("a:1,b,*")
                && hosts(p) == [(Host::Name("a".into()), 1), (Host::Name("b".into()), 9), (Host::Any, 9)]
        }),
        (&["-l", "tag_b_:a"], |p| p.endpoints[0].tag.is_some()),
        (&["-Z", "-o", "ssl_chain_cert=/c"], |p| {
            p.endpoints.iter().all(|e| e.tls == TlsMode::Default)
                && p.config.tls.as_ref().is_some_and(|tls| tls.chain_cert == Some("/c".into()))
        }),
        (&["-o", "ssl_chain_cert=/c"], |p| {
            p.endpoints.iter().all(|e| e.tls == TlsMode::Off) && p.config.tls.is_none()
        }),
        (&["--enable-ssl", "-o", "ssl_chain_cert=/c", "-l", "a,notls:b"], |p| {
            p.endpoints.iter().map(|e| e.tls).eq([TlsMode::Default, TlsMode::Off])
        }),
        (&["-B", "auto"], |p| p.endpoints.iter().all(|e| e.protocol == Protocol::Negotiating)),
        (&["-B", "ascii"], |p| p.endpoints.iter().all(|e| e.protocol == Protocol::Ascii)),
        (&["--protocol=binary"], |p| p.endpoints.iter().all(|e| e.protocol == Protocol::Binary)),
        (&["-m", "128"], |p| p.config.cache.memory_limit == 128 * MIB),
        (&["--memory-limit=2"], |p| p.config.cache.memory_limit == 2 * MIB),
        (&["-m", "4098", "-M"], |p| p.config.cache.memory_limit == 4098 * MIB && !p.config.cache.evictions),
        (&["--disable-evictions"], |p| !p.config.cache.evictions),
        (&["-c", "5"], |p| p.config.max_connections == 5),
        (&["--conn-limit=5"], |p| p.config.max_connections == 5),
        (&["-k"], |p| p.process.lock_memory),
        (&["--lock-memory"], |p| p.process.lock_memory),
        (&["-r"], |p| p.process.core_dumps),
        (&["--enable-coredumps"], |p| p.process.core_dumps),
        (&["-d"], |p| p.process.daemonize),
        (&["--daemon"], |p| p.process.daemonize),
        (&["-u", "root"], |p| p.process.user.as_deref() == Some("root")),
        (&["--user=nobody"], |p| p.process.user.as_deref() == Some("nobody")),
        (&["-u", ""], |p| p.process.user.as_deref() == Some("")),
        (&["-P", "/tmp/p"], |p| p.process.pid_file.as_deref() == Some("/tmp/p".as_ref())),
        (&["--pidfile=/tmp/p"], |p| p.process.pid_file.is_some()),
        (&["-v"], |p| p.config.verbosity == 1),
        (&["-vv"], |p| p.config.verbosity == 2),
        (&["-vvv"], |p| p.config.verbosity == 3),
        (&["-vvvv"], |p| p.config.verbosity == 3),
        (&["-v", "-v"], |p| p.config.verbosity == 2),
        (&["-vvA", "-dv"], |p| p.config.verbosity == 3 && p.config.shutdown_enabled && p.process.daemonize),
        (&["-vp7"], |p| p.config.verbosity == 1 && loopback(p, 7)),
        (&["-v", "-p", "7"], |p| p.config.verbosity == 1 && loopback(p, 7) && p.notes.is_empty()),
        (&["--verbose"], |p| p.config.verbosity == 1),
        (&["--verbose=9", "--verb"], |p| p.config.verbosity == 2),
        (&["-f", "1.5"], |p| p.config.cache.growth_factor.to_bits() == 1.5f64.to_bits()),
        (&["--slab-growth-factor=2"], |p| p.config.cache.growth_factor.to_bits() == 2f64.to_bits()),
        (&["-n", "96"], |p| p.config.cache.chunk_size == 96),
        (&["--slab-min-size=96"], |p| p.config.cache.chunk_size == 96),
        (&["-t", "2"], |p| p.config.threads == 2 && p.config.cache.concurrency == 2),
        (&["--threads=64"], |p| p.config.threads == 64 && p.warnings.is_empty()),
        (&["-t", "65"], |p| p.config.threads == 65 && p.warnings.len() == 1),
        (&["-D", "|"], |p| p.config.cache.prefix_delimiter == b'|' && p.config.cache.detail_enabled),
        (&["-D-"], |p| p.config.cache.prefix_delimiter == b'-'),
        (&["-D="], |p| p.config.cache.prefix_delimiter == b'='),
        (&["-L"], |p| p.config.cache.large_pages),
        (&["--enable-largepages"], |p| p.config.cache.large_pages),
        (&["-R", "1"], |p| p.config.requests_per_event == 1),
        (&["--max-reqs-per-event=7"], |p| p.config.requests_per_event == 7),
        (&["-C"], |p| !p.config.cache.use_cas),
        (&["--disable-cas"], |p| !p.config.cache.use_cas),
        (&["-b", "8675"], |p| p.config.backlog == 8675),
        (&["--listen-backlog=-1"], |p| p.config.backlog == -1),
        (&["-I", "512k", "-o", "slab_chunk_max=16"], |p| p.config.cache.item_size_max == 512 * 1024),
        (&["-I", "2097152"], |p| p.config.cache.item_size_max == 2 * MIB),
        (&["--max-item-size=32m", "-m", "256"], |p| p.config.cache.item_size_max == 32 * MIB),
        (&["-I", "2m", "-o", "no_modern"], |p| p.config.cache.slab_chunk_max == PAGE_SIZE / 2),
        (&["-o", "no_chunked_items"], |p| p.config.cache.slab_chunk_max == PAGE_SIZE),
        (&["-I", "1024", "-o", "slab_chunk_max=1,no_lru_crawler"], |p| {
            p.config.cache.item_size_max == 1024 && p.config.cache.slab_chunk_max == 1024
        }),
        (&["-F"], |p| !p.config.flush_enabled),
        (&["--disable-flush-all"], |p| !p.config.flush_enabled),
        (&["-X"], |p| !p.config.dump_enabled),
        (&["--disable-dumping"], |p| !p.config.dump_enabled),
        (&["-W"], |p| !p.config.watch_enabled),
        (&["--disable-watch"], |p| !p.config.watch_enabled),
        (&["-A"], |p| p.config.shutdown_enabled),
        (&["--enable-sh"], |p| p.config.shutdown_enabled),
        (&["-N", "4"], |p| p.config.reported.napi_ids == 4 && p.notes.len() == 1),
        (&["--napi-ids=1"], |p| p.config.reported.napi_ids == 1),
        (&["-o", "idle_timeout=3,no_maxconns_fast"], |p| {
            p.config.idle_timeout == 3 && !p.config.maxconns_fast
        }),
        (&["-o", "no_modern", "--extended=lru_crawler", "-omaxconns_fast"], |p| {
            p.config.cache.lru_crawler
                && p.config.maxconns_fast
                && p.config.cache.eviction_policy == EvictionPolicy::Flat
        }),
        (&["-n", "200", "-o", "slab_sizes=250-500"], |p| p.config.cache.slab_sizes.is_some()),
        (&["-F", "-F", "-C"], |p| !p.config.flush_enabled && !p.config.cache.use_cas),
        (&["memcached", "-m", "128", "x"], |p| {
            p.config.cache.memory_limit == 128 * MIB && p.warnings.len() == 2
        }),
        (&["-F", "--", "-C"], |p| !p.config.flush_enabled && p.config.cache.use_cas),
    ];
    for (flags, check) in cases {
        let plan = plan(flags);
        assert!(check(&plan), "{flags:?}: {plan:?}");
    }
}

#[test]
fn some_flags_only_tell() {
    let tell = |flags: &[&str]| action(flags, Environment::default());
    for flags in [&["-h"][..], &["--help"], &["-vh"], &["-V", "--he"]] {
        assert!(matches!(tell(flags), Ok(Action::Help)), "{flags:?}");
    }
    for flags in [&["-i"][..], &["--license"], &["-Vi"]] {
        assert!(matches!(tell(flags), Ok(Action::License)), "{flags:?}");
    }
    for flags in [&["-V"][..], &["--version"], &["-vV"]] {
        assert!(matches!(tell(flags), Ok(Action::Version)), "{flags:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of cases")]
fn wrong_flags_say_what_is_wrong() {
    let item_size = "Cannot set item size limit higher than 1/2 of memory max.";
    let cases: &[(&[&str], &str)] = &[
        (&["-z"], "Illegal argument \"-z\""),
        (&["-Fz"], "Illegal argument \"-z\""),
        (&["--foo"], "Illegal argument \"--foo\""),
        (&["--foo=1"], "Illegal argument \"--foo\""),
        (&["--enable-s"], "Illegal argument \"--enable-s\""),
        (&["-p"], "option '--port' requires an argument"),
        (&["--port"], "option '--port' requires an argument"),
        (&["-D"], "option '-D' requires an argument"),
        (&["--daemon=1"], "option '--daemon' doesn't allow an argument"),
        (&["-p", "65536"], "ERROR: Invalid port number 65536."),
        (&["-p", "-2"], "ERROR: Invalid port number -2."),
        (&["-p", "abc"], "ERROR: Invalid port number abc."),
        (&["-U", "abc"], "ERROR: Invalid port number abc."),
        (&["-U", "65536"], "ERROR: Invalid port number 65536."),
        (&["--control", "host"], "--control must be PORT, HOST:PORT or [IPV6]:PORT, got \"host\""),
        (&["--control-token-file", "/t"], "--control-token-file has no effect without --control"),
        (&["--cluster-nodes="], "Invalid cluster node: \"\" (host|ip|port or host:port)"),
        (&["--cluster-nodes=a:7,b"], "Invalid cluster node: \"b\" (host|ip|port or host:port)"),
        (&["--cluster-nodes=a|x|7"], "Invalid cluster node: \"a|x|7\" (host|ip|port or host:port)"),
        (&["-o", "sock_cookie_id"], "Missing sock_cookie_id argument"),
        (&["-o", "sock_cookie_id=x"], "could not parse argument to sock_cookie_id"),
        (&["-s", "/x", "-a", "9"], "Invalid access mask: 9 (an octal number)"),
        (&["-m", "4g"], "Invalid memory limit: 4g (a number of megabytes)"),
        (&["-m", "-1"], "Invalid memory limit: -1 (a number of megabytes)"),
        (&["-m", "0"], item_size),
        (&["-m", "1"], item_size),
        (&["-c", "0"], "Maximum connections must be greater than 0"),
        (&["-c", "-1"], "Maximum connections must be greater than 0"),
        (&["-c", "x"], "Maximum connections must be greater than 0"),
        (&["-R", "0"], "Number of requests per event must be greater than 0"),
        (&["-f", "1"], "Factor must be greater than 1"),
        (&["-f", "x"], "Factor must be greater than 1"),
        (&["-n", "0"], "Chunk size must be greater than 0"),
        (&["-t", "0"], "Number of threads must be greater than 0"),
        (&["-t", "1025"], "Number of threads must be at most 1024"),
        (&["-D", ""], "No delimiter specified"),
        (&["-b", "x"], "Invalid listen backlog: x"),
        (
            &["-B", "http"],
            "Invalid value for binding protocol: http -- should be one of auto, binary, or ascii",
        ),
        (&["-I", "1000"], "Item max size cannot be less than 1024 bytes."),
        (&["-I", "x"], "Invalid max item size: x"),
        (&["-I", "256m"], item_size),
        (&["-I", "2048m", "-m", "8192"], "Cannot set item size limit higher than a gigabyte."),
        (&["-I", "1024"], "slab_chunk_max (bytes: 524288) cannot be larger than -I (item_size_max 1024)"),
        (
            &["-I", "1500k", "-m", "64"],
            "-I (item_size_max: 1536000) must be evenly divisible by slab_chunk_max (bytes: 524288)",
        ),
        (
            &["-I", "999k", "-o", "slab_chunk_max=3"],
            "slab_chunk_max (bytes: 3072) must divide evenly into 1048576 (slab_page_size)",
        ),
        (&["-N", "0"], "Maximum number of NAPI IDs must be greater than 0"),
        (&["-N", "5"], "Number of napi_ids(5) cannot be greater than number of threads(4)"),
        (&["-l", "a:x"], "Invalid port number: \"x\""),
        (&["-l", "notls:a"], "'notls' option is valid only when SSL is enabled"),
        (&["-o", "foo"], "Illegal suboption \"foo\""),
        (&["-o", "hot_lru_pct=50"], "hot_lru_pct + warm_lru_pct cannot be more than 80% combined"),
        (
            &["-o", "no_lru_maintainer,temporary_ttl=61"],
            "temporary_ttl requires lru_maintainer to be enabled",
        ),
        (&["-n", "200", "-o", "slab_sizes=100"], "slab size 100 is out of valid range"),
        (&["-Z"], "Error loading the certificate chain: (null) : ssl_chain_cert is not given"),
        (&["-Z", "-p", "0"], "ERROR: You cannot enable SSL without a TCP port."),
        (
            &["--enable-ssl", "-o", "ssl_min_version=9"],
            "Invalid ssl_min_version. Use help to see valid options.",
        ),
        (
            &["-S"],
            "-S: set MEMCACHED_SASL_PWDB to a file of lines user:password (other databases are not supported)",
        ),
        (&["--enable-sasl", "-Y", "/x"], "-S and -Y cannot be used together"),
        (&["--auth-file=/x", "-B", "auto"], "ERROR: -B auto cannot be used with authentication"),
        (
            &["-Y", "/x", "-s", "/y", "-B", "binary"],
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ),
        (&["-e", "/x", "--persist", "/y"], "persist and memory_file cannot be used together"),
        (&["--persist-keep=2"], "persist_keep has no effect without persist"),
        (&["--persist=/x", "--persist-codec=zip"], "persist_codec must be none or lz4, got \"zip\""),
        (
            &["--persist=/x", "--persist-lazy", "--persist-strict"],
            "persist_lazy and persist_strict cannot be used together",
        ),
    ];
    for (flags, line) in cases {
        match action(flags, Environment::default()) {
            Err(failure) => {
                assert_eq!(failure, Failure { line: (*line).into(), status: USAGE }, "{flags:?}");
                assert!(!failure.line.contains('\n'));
            }
            other => panic!("{flags:?}: {other:?}"),
        }
    }
}

#[test]
fn the_environment_is_heard() {
    let environment = Environment {
        initial_malloc: Some("4294967328".into()),
        port_file: Some("/tmp/ports".into()),
        sasl_passwords: Some("/tmp/passwords".into()),
    };
    match action(&["-S"], environment) {
        Ok(Action::Run(plan)) => {
            assert_eq!(plan.config.cache.initial_malloced, 4_294_967_328);
            assert_eq!(plan.process.port_file.as_deref(), Some("/tmp/ports".as_ref()));
            let passwords = Passwords::File("/tmp/passwords".into());
            assert_eq!(plan.config.auth, Some(AuthConfig { method: AuthMethod::Sasl, passwords }));
            assert!(plan.endpoints.iter().all(|endpoint| endpoint.protocol == Protocol::Binary));
        }
        other => panic!("{other:?}"),
    }
    let environment = Environment { initial_malloc: Some("x".into()), ..Environment::default() };
    assert!(
        matches!(action(&[], environment), Ok(Action::Run(plan)) if plan.config.cache.initial_malloced == 0)
    );
}

#[test]
fn every_value_is_answered_as_the_cases_of_the_core_say() {
    let cases = include_str!("../../../core/tests/settings.txt");
    let mut seen = 0;
    for line in cases.lines().filter_map(|line| line.strip_prefix("[daemon] ")) {
        let [name, value, answer] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let pair = format!("{name}={value}");
        let flags = if name.starts_with('-') { [name, value] } else { ["-o", &pair] };
        let done = action(&flags, Environment::default());
        match answer {
            "ok" => assert!(done.is_ok(), "{line}: {done:?}"),
            _ => assert_eq!(done.map(|_| ()), Err(Failure::usage(answer)), "{line}"),
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

/// Returns a file of this text, whose name is used by one test only.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mcrs-args-{}-{name}", std::process::id()));
    assert!(std::fs::write(&path, text).is_ok());
    path
}

#[test]
fn flags_count_more_than_the_file() {
    let path = file(
        "settings.toml",
        "threads = 2\nmemory_limit = '1g'\nverbosity = 2\npersist = '/p'\nevictions = false\n\
         slab_chunk_max = 262144\n[auth]\nmethod = 'text'\nfile = '/u'\n[[listen]]\ntcp = '10.0.0.1:7'\n\
         [control]\naddress = '7'\n[process]\nuser = 'memcache'\npid_file = '/p'\n",
    );
    let with = |flags: &[&str]| {
        let path = path.to_str().unwrap_or_default();
        plan(&[&["--config", path], flags].concat())
    };
    let all = with(&[]);
    assert_eq!((all.config.threads, all.config.verbosity, all.config.cache.evictions), (2, 2, false));
    assert_eq!((all.config.cache.slab_chunk_max, all.config.cache.concurrency), (262_144, 2));
    assert_eq!(hosts(&all), [(Host::Name("10.0.0.1".into()), 7)]);
    assert_eq!(all.process.user.as_deref(), Some("memcache"));
    let changed = with(&["-t", "3", "-v", "-u", "root", "--persist=/q", "-C"]);
    assert_eq!((changed.config.threads, changed.config.verbosity), (3, 1));
    assert_eq!(changed.config.persist.as_deref(), Some("/q".as_ref()));
    assert_eq!((changed.process.user.as_deref(), changed.config.cache.use_cas), (Some("root"), false));
    assert_eq!(hosts(&changed), [(Host::Name("10.0.0.1".into()), 7)]);
    assert!(control(&changed, "7", None));
    assert!(control(&with(&["--control-token-file", "/t"]), "7", Some("/t")));
    assert!(control(&with(&["--control", "8"]), "8", None));
    let moved = with(&["-p", "8"]);
    assert!(loopback(&moved, 8) && moved.config.auth.is_some());
    assert!(std::fs::remove_file(path).is_ok());
}

#[test]
fn a_rule_between_settings_names_the_line_of_the_file() {
    let path = file("rule.toml", "\npersist_keep = 2\n");
    let failed = action(&["--config", path.to_str().unwrap_or_default()], Environment::default());
    let line = format!("{}:2: persist_keep has no effect without persist", path.display());
    assert_eq!(failed.err(), Some(Failure::usage(line)));
    assert!(std::fs::remove_file(path).is_ok());
    let line = "/nonexistent: cannot be read: No such file or directory";
    for flag in ["--config", "--options-file"] {
        assert_eq!(
            action(&[flag, "/nonexistent"], Environment::default()).err(),
            Some(Failure::usage(line)),
            "{flag}"
        );
    }
}

#[test]
fn options_of_a_file_come_before_those_of_the_line() {
    let path = file("options.conf", "-d\n-m 64\n-p 7 # port\n-t 2\n");
    let name = path.to_str().unwrap_or_default();
    let both = plan(&["--options-file", name, "-t", "3"]);
    assert!(loopback(&both, 7) && both.config.threads == 3 && !both.process.daemonize);
    let failed = |flags: &[&str]| action(flags, Environment::default()).err().map(|failure| failure.line);
    assert!(std::fs::write(&path, "-m 64\n\n-c 0\n").is_ok());
    let line = "Maximum connections must be greater than 0";
    assert_eq!(failed(&["--options-file", name]), Some(format!("{name}:3: {line}")));
    assert_eq!(failed(&["--options-file", name, "-c", "0"]), Some(line.into()));
    assert!(std::fs::write(&path, "-m 64\n-z\n").is_ok());
    assert_eq!(failed(&["--options-file", name]), Some(format!("{name}:2: Illegal argument \"-z\"")));
    assert!(std::fs::write(&path, "-l 'x\n").is_ok());
    let line = format!("{name}:1: a quote is not closed on this line");
    assert_eq!(failed(&["--options-file", name]), Some(line));
    assert!(std::fs::remove_file(path).is_ok());
}
