//! Every suboption with the settings that it makes, and every message about a wrong one.

use memcache_core::{EvictionGoal, QuotaConfig};

use super::*;
use crate::config_file::Start;

type Check = fn(&ServerConfig) -> bool;
type TlsCheck = fn(&TlsConfig) -> bool;

fn apply(lists: &[&str]) -> Result<(ServerConfig, Vec<String>), Failure> {
    apply_with(lists, false).map(|(config, notes, _)| (config, notes))
}

/// Returns the settings, the notes and the warnings.
fn apply_with(
    lists: &[&str],
    tls_enabled: bool,
) -> Result<(ServerConfig, Vec<String>, Vec<String>), Failure> {
    let mut config = Start::default().config;
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    let mut options = Options::new(&mut config, &mut notes, &mut warnings, tls_enabled, false);
    for list in lists {
        options.apply(list)?;
    }
    options.finish()?;
    Ok((config, notes, warnings))
}

#[test]
fn options_of_tls_become_settings() {
    let tls = |list: &str| {
        let (config, notes, warnings) = apply_with(&[list], true).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(notes.len(), 0, "{list}");
        (config.tls.unwrap_or_else(|| panic!("{list}")), warnings)
    };
    let cases: &[(&str, TlsCheck)] = &[
        ("", |t| *t == TlsConfig::default()),
        ("ssl_chain_cert=/c,ssl_key=/k", |t| {
            t.chain_cert.as_deref().and_then(|c| c.to_str()) == Some("/c")
                && t.key.as_deref().and_then(|k| k.to_str()) == Some("/k")
        }),
        ("ssl_keyformat=1", |t| t.key_format == KeyFormat::Pem),
        ("ssl_keyformat=2", |t| t.key_format == KeyFormat::Der),
        ("ssl_keyformat=DER", |t| t.key_format == KeyFormat::Der),
        ("ssl_keyformat=2,ssl_keyformat=PEM", |t| t.key_format == KeyFormat::Pem),
        ("ssl_verify_mode=0", |t| t.verify_mode == VerifyMode::None),
        ("ssl_verify_mode=1", |t| t.verify_mode == VerifyMode::Request),
        ("ssl_verify_mode=2", |t| t.verify_mode == VerifyMode::Require),
        ("ssl_verify_mode=3", |t| t.verify_mode == VerifyMode::Once),
        ("ssl_ciphers=HIGH:!RC4", |t| t.ciphers.as_deref() == Some("HIGH:!RC4")),
        ("ssl_ca_cert=/a", |t| t.ca_cert.as_deref().and_then(|a| a.to_str()) == Some("/a")),
        ("ssl_wbuf_size=64", |t| t.wbuf_size == 65_536),
        ("ssl_session_cache", |t| t.session_cache),
        ("ssl_min_version=2", |t| t.min_version == TlsVersion::V1_2),
        ("ssl_min_version=3", |t| t.min_version == TlsVersion::V1_3),
    ];
    for (list, holds) in cases {
        let (settings, warnings) = tls(list);
        assert!(holds(&settings), "{list}: {settings:?}");
        assert!(warnings.is_empty(), "{list}: {warnings:?}");
    }
}

#[test]
fn what_rustls_cannot_do_is_said_at_start() {
    for (list, word) in [
        ("ssl_kernel_tls", "ssl_kernel_tls"),
        ("ssl_min_version=0", "ssl_min_version=0"),
        ("ssl_min_version=1", "ssl_min_version=1"),
    ] {
        let (_, _, warnings) = apply_with(&[list], true).unwrap_or_else(|e| panic!("{e:?}"));
        assert!(matches!(&warnings[..], [line] if line.contains(word)), "{list}: {warnings:?}");
    }
}

#[test]
fn options_of_tls_mean_nothing_without_it() {
    let (config, notes, _) = apply_with(&["ssl_key=x"], false).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(config.tls, None);
    assert_eq!(notes, ["-o ssl_key has no effect: -Z is not given"]);
}

#[test]
fn options_become_settings() {
    let cases: &[(&str, Check)] = &[
        ("", |c| c.maxconns_fast),
        ("no_maxconns_fast", |c| !c.maxconns_fast),
        ("no_maxconns_fast,maxconns_fast", |c| c.maxconns_fast),
        ("maxconns_fast,", |c| c.maxconns_fast),
        ("maxconns_fast=0", |c| c.maxconns_fast),
        ("hashpower=12", |c| c.cache.hashpower_init == 12),
        ("hashpower=32", |c| c.cache.hashpower_init == 32),
        ("no_slab_reassign", |c| !c.cache.slab_reassign),
        ("no_slab_reassign,slab_reassign", |c| c.cache.slab_reassign),
        ("no_slab_automove", |c| c.reported.slab_automove == 0),
        ("no_slab_automove,slab_automove", |c| c.reported.slab_automove == 1),
        ("slab_automove=2", |c| c.reported.slab_automove == 2),
        ("slab_automove_ratio=0.5", |c| c.reported.slab_automove_ratio.to_bits() == 0.5f64.to_bits()),
        ("slab_automove_window=3", |c| c.reported.slab_automove_window == 3),
        ("tail_repair_time=10", |c| c.reported.tail_repair_time == 10),
        ("hash_algorithm=jenkins", |c| c.reported.hash_algorithm == HashAlgorithm::Jenkins),
        ("hash_algorithm=murmur3", |c| c.reported.hash_algorithm == HashAlgorithm::Murmur3),
        ("hash_algorithm=xxh3", |c| c.reported.hash_algorithm == HashAlgorithm::Xxh3),
        ("no_lru_crawler", |c| !c.cache.lru_crawler),
        ("no_lru_crawler,lru_crawler", |c| c.cache.lru_crawler),
        ("lru_crawler_sleep=0", |c| c.cache.lru_crawler_sleep == 0),
        ("lru_crawler_sleep=1000000", |c| c.cache.lru_crawler_sleep == 1_000_000),
        ("lru_crawler_tocrawl=7", |c| c.cache.lru_crawler_tocrawl == 7),
        ("no_lru_maintainer", |c| !c.cache.lru_maintainer && c.cache.eviction_policy == EvictionPolicy::Flat),
        ("no_lru_maintainer,lru_maintainer", |c| {
            c.cache.lru_maintainer && c.cache.eviction_policy == EvictionPolicy::Segmented
        }),
        ("eviction_policy=flat", |c| {
            c.cache.lru_maintainer && c.cache.eviction_policy == EvictionPolicy::Flat
        }),
        ("eviction_policy=lru", |c| c.cache.eviction_policy == EvictionPolicy::Lru),
        ("eviction_goal=bytes", |c| c.cache.eviction_goal == EvictionGoal::FewestMissedBytes),
        ("quota=a::1k,quota=b:7,quota=a::2k", |c| {
            c.cache.quotas == [QuotaConfig::new("b", 7), QuotaConfig::new("a:", 2048)]
        }),
        ("hot_lru_pct=40,warm_lru_pct=40", |c| c.reported.hot_lru_pct == 40 && c.reported.warm_lru_pct == 40),
        ("hot_max_factor=0.5", |c| c.reported.hot_max_factor.to_bits() == 0.5f64.to_bits()),
        ("warm_max_factor=4", |c| c.reported.warm_max_factor.to_bits() == 4f64.to_bits()),
        ("temporary_ttl=61", |c| c.cache.temporary_ttl == Some(61)),
        ("idle_timeout=3", |c| c.idle_timeout == 3),
        ("watcher_logbuf_size=8", |c| c.watcher_buffer == 8 * 1024),
        ("worker_logbuf_size=16", |c| c.reported.worker_buffer == 16 * 1024),
        ("read_buf_mem_limit=1", |c| c.read_buf_mem_limit == MIB),
        ("slab_sizes=100-200-300", |c| c.cache.slab_sizes.as_deref() == Some(&[100, 200, 300][..])),
        ("slab_chunk_max=16", |c| c.cache.slab_chunk_max == 16 * 1024),
        ("slab_chunk_max=1024", |c| c.cache.slab_chunk_max == PAGE_SIZE),
        ("no_chunked_items", |c| c.cache.slab_chunk_max == PAGE_SIZE),
        ("track_sizes", |c| c.cache.track_sizes),
        ("debug_commands", |c| c.debug_commands),
        ("modern", |c| c.cache.eviction_policy == EvictionPolicy::Segmented && c.maxconns_fast),
        ("no_modern", |c| {
            let cache = &c.cache;
            cache.slab_chunk_max == PAGE_SIZE
                && !cache.slab_reassign
                && c.reported.slab_automove == 0
                && cache.eviction_policy == EvictionPolicy::Flat
                && !cache.lru_crawler
                && !cache.lru_maintainer
                && !c.maxconns_fast
                && c.reported.hash_algorithm == HashAlgorithm::Jenkins
        }),
        ("no_modern,lru_crawler", |c| c.cache.lru_crawler && !c.cache.lru_maintainer),
        ("no_modern,slab_chunk_max=4", |c| c.cache.slab_chunk_max == 4096),
        ("slab_chunk_max=4,no_modern", |c| c.cache.slab_chunk_max == 4096),
    ];
    for (list, check) in cases {
        match apply(&[list]) {
            Ok((config, _)) => assert!(check(&config), "{list}: {config:?}"),
            Err(e) => panic!("{list}: {e:?}"),
        }
    }
}

#[test]
fn later_lists_follow_earlier_ones() {
    let config = apply(&["no_modern", "slab_automove=2", " lru_crawler"]).map(|(config, _)| config);
    assert!(
        config.is_ok_and(|c| {
            c.reported.slab_automove == 2 && c.cache.lru_crawler && !c.cache.slab_reassign
        })
    );
}

#[test]
fn options_without_effect_are_noted() {
    let own = ["hash_algorithm=xxh3", "worker_logbuf_size=1"];
    for name in WITHOUT_EFFECT.iter().map(|(name, _)| *name).chain(own) {
        let notes = apply(&[name]).map(|(_, notes)| notes).unwrap_or_default();
        assert!(matches!(&notes[..], [note] if note.contains("has no effect")), "{name}: {notes:?}");
    }
    let values = ["resp_obj_mem_limit=5", "slab_automove_freeratio=0.1"];
    for option in values {
        assert!(apply(&[option]).is_ok_and(|(_, notes)| notes.len() == 1), "{option}");
    }
    let shown = [
        "slab_reassign",
        "no_slab_automove",
        "slab_automove_ratio=0.5",
        "hot_lru_pct=10",
        "warm_max_factor=3",
    ];
    for option in shown {
        assert!(apply(&[option]).is_ok_and(|(_, notes)| notes.len() == 1), "{option}");
    }
    assert!(apply(&["lru_crawler,modern,no_drop_privileges"]).is_ok_and(|(_, notes)| notes.is_empty()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of cases")]
fn wrong_options_say_what_is_wrong() {
    let cases = [
        ("foo", "Illegal suboption \"foo\""),
        ("foo=1,bar", "Illegal suboption \"foo=1\""),
        ("modern,,modern", "Illegal suboption \"\""),
        ("hashpower", "Missing numeric argument for hashpower"),
        ("hashpower=11", "Initial hashtable multiplier of 11 is too low"),
        ("hashpower=x", "Initial hashtable multiplier of 0 is too low"),
        (
            "hashpower=33",
            "Initial hashtable multiplier of 33 is too high: Choose a value based on \"STAT hash_power_level\" \
             from a running instance",
        ),
        ("slab_automove=3", "slab_automove must be between 0 and 2"),
        ("slab_automove=-1", "slab_automove must be between 0 and 2"),
        ("slab_automove=", "slab_automove must be between 0 and 2"),
        ("slab_automove_ratio", "Missing slab_automove_ratio argument"),
        ("slab_automove_ratio=0", "slab_automove_ratio must be > 0 and < 1"),
        ("slab_automove_ratio=1.1", "slab_automove_ratio must be > 0 and < 1"),
        ("slab_automove_window", "Missing slab_automove_window argument"),
        ("slab_automove_window=2", "slab_automove_window must be > 2 and < 1800"),
        ("slab_automove_window=1801", "slab_automove_window must be > 2 and < 1800"),
        ("tail_repair_time", "Missing numeric argument for tail_repair_time"),
        ("tail_repair_time=9", "Cannot set tail_repair_time to less than 10 seconds"),
        ("hash_algorithm", "Missing hash_algorithm argument"),
        ("hash_algorithm=md5", "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"),
        ("lru_crawler_sleep", "Missing lru_crawler_sleep value"),
        ("lru_crawler_sleep=1000001", "LRU crawler sleep must be between 0 and 1 second"),
        ("lru_crawler_sleep=-1", "LRU crawler sleep must be between 0 and 1 second"),
        ("lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value"),
        ("lru_crawler_tocrawl=4294967296", "lru_crawler_tocrawl takes a numeric 32bit value"),
        ("hot_lru_pct", "Missing hot_lru_pct argument"),
        ("hot_lru_pct=0", "hot_lru_pct must be > 1 and < 80"),
        ("hot_lru_pct=80", "hot_lru_pct must be > 1 and < 80"),
        ("warm_lru_pct", "Missing warm_lru_pct argument"),
        ("warm_lru_pct=80", "warm_lru_pct must be > 1 and < 80"),
        ("hot_max_factor", "Missing hot_max_factor argument"),
        ("hot_max_factor=0", "hot_max_factor must be > 0"),
        ("warm_max_factor", "Missing warm_max_factor argument"),
        ("warm_max_factor=-1", "warm_max_factor must be > 0"),
        ("temporary_ttl", "Missing temporary_ttl argument"),
        ("temporary_ttl=x", "temporary_ttl takes a number of seconds"),
        ("idle_timeout", "Missing numeric argument for idle_timeout"),
        ("idle_timeout=-1", "idle_timeout takes a number of seconds"),
        ("watcher_logbuf_size", "Missing watcher_logbuf_size argument"),
        ("watcher_logbuf_size=x", "could not parse argument to watcher_logbuf_size"),
        ("worker_logbuf_size", "Missing worker_logbuf_size argument"),
        ("worker_logbuf_size=x", "could not parse argument to worker_logbuf_size"),
        ("read_buf_mem_limit", "Missing read_buf_mem_limit argument"),
        ("read_buf_mem_limit=x", "could not parse argument to read_buf_mem_limit"),
        ("slab_chunk_max", "Missing slab_chunk_max argument"),
        ("slab_chunk_max=x", "could not parse argument to slab_chunk_max"),
        ("slab_chunk_max=0", "slab_chunk_max must be >= 0"),
        ("slab_chunk_max=1025", "slab_chunk_max must be specified in kilobytes."),
        ("quota", "Missing quota argument"),
        ("quota=a", "quota must be PREFIX:SIZE, such as site1::64m, got \"a\""),
        ("slab_sizes", "Missing slab_sizes argument"),
        ("slab_sizes=", "Missing slab_sizes argument"),
        ("slab_sizes=--", "Missing slab_sizes argument"),
        ("slab_sizes=x", "slab size 0 is out of valid range"),
        ("slab_sizes=47", "slab size 47 is out of valid range"),
        ("slab_sizes=100-524289", "slab size 524289 is out of valid range"),
        ("slab_sizes=200-100", "slab size 100 cannot be lower than or equal to a previous class size"),
        ("slab_sizes=100-100", "slab size 100 cannot be lower than or equal to a previous class size"),
        ("slab_sizes=100-108", "slab size 108 must be at least 8 bytes larger than previous class"),
        ("ext_path=/x:1G", "-o ext_path: external storage is not built in"),
        ("ext_item_size=1", "-o ext_item_size: external storage is not built in"),
        ("proxy_config", "Missing proxy_config file argument"),
        #[cfg(not(feature = "lua"))]
        ("proxy_config=x.lua", "-o proxy_config: FILE must end in .toml, Lua is not built in"),
        ("proxy_arg", "Missing proxy_arg argument"),
        ("proxy_uring", "-o proxy_uring: io_uring is not supported"),
        #[cfg(feature = "lua")]
        ("proxy_config=routelib", "-o proxy_config=routelib needs -o proxy_arg=FILE"),
        (
            "proxy_config=x.toml,drop_privileges",
            "-o drop_privileges: a proxy opens sockets, which the sandbox refuses",
        ),
        ("ssl_chain_cert", "Missing ssl_chain_cert argument"),
        ("ssl_key", "Missing ssl_key argument"),
        ("ssl_verify_mode", "Missing ssl_verify_mode argument"),
        ("ssl_verify_mode=x", "could not parse argument to ssl_verify_mode"),
        ("ssl_verify_mode=4", "Invalid ssl_verify_mode. Use help to see valid options."),
        ("ssl_keyformat", "Missing ssl_keyformat argument"),
        (
            "ssl_keyformat=ENGINE(x)",
            "could not parse argument to ssl_keyformat: ENGINE(x) (1 or PEM, 2 or DER; engines are not supported)",
        ),
        ("ssl_ciphers", "Missing ssl_ciphers argument"),
        ("ssl_ca_cert", "Missing ssl_ca_cert argument"),
        ("ssl_wbuf_size", "Missing ssl_wbuf_size argument"),
        ("ssl_wbuf_size=x", "could not parse argument to ssl_wbuf_size"),
        ("ssl_min_version", "Missing ssl_min_version argument"),
        ("ssl_min_version=x", "could not parse argument to ssl_min_version"),
        ("ssl_min_version=4", "Invalid ssl_min_version. Use help to see valid options."),
        ("ssl_foo", "Illegal suboption \"ssl_foo\""),
    ];
    for (list, line) in cases {
        assert_eq!(apply(&[list]).map(|_| ()), Err(Failure::usage(line)), "{list}");
    }
}

#[test]
fn at_most_62_slab_classes() {
    let list = |count: usize| {
        let sizes: Vec<String> = (1..=count).map(|n| (n * 100).to_string()).collect();
        format!("slab_sizes={}", sizes.join("-"))
    };
    assert!(apply(&[&list(62)]).is_ok());
    let line = "too many slab classes specified";
    assert_eq!(apply(&[&list(63)]).map(|_| ()), Err(Failure::usage(line)));
}
