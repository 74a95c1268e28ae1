//! The suboptions of `-o`: `name` or `name=value`, separated by commas.
//!
//! [`Options::apply`] takes each `-o` in the order of the command line, because `no_modern` depends
//! on it. [`Options::finish`] sets values that depend on several suboptions.

use memcache_core::internal::config::{MIB, PAGE_SIZE};
use memcache_core::{
    EvictionGoal, EvictionPolicy, KeyFormat, ServerConfig, TlsConfig, TlsVersion, VerifyMode,
};

use crate::failure::Failure;
use crate::number::{real, whole};

/// Step between the chunk sizes of `slab_sizes` in bytes.
const CHUNK_ALIGN: u32 = 8;

/// Number of slab classes, the unused class 0 included.
const SLAB_CLASSES: usize = 64;

/// Options that are checked and shown by `stats settings` but have no other effect. Each stands
/// with the reason, under the end of its name.
const ONLY_SHOWN: [(&str, &str); 8] = [
    ("slab_reassign", "memory is not assigned to slab classes"),
    ("slab_automove", "memory is not assigned to slab classes"),
    ("slab_automove_ratio", "memory is not assigned to slab classes"),
    ("slab_automove_window", "memory is not assigned to slab classes"),
    ("hot_lru_pct", "eviction depends on accesses and size"),
    ("warm_lru_pct", "eviction depends on accesses and size"),
    ("hot_max_factor", "eviction depends on accesses and size"),
    ("warm_max_factor", "eviction depends on accesses and size"),
];

/// Accepted names without effect, and the reason.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("no_hashexpand", "the index always grows by itself"),
    ("inline_ascii_resp", "memcached ignores it too"),
    ("no_inline_ascii_resp", "memcached ignores it too"),
    ("resp_obj_mem_limit", "DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit"),
    ("relaxed_privileges", "privileges are not dropped"),
    ("slab_automove_freeratio", "external storage is not built in"),
];

/// Prefixes of names whose feature is not built in.
const NOT_BUILT_IN: &[(&str, &str)] = &[("ext_", "external storage"), ("proxy_", "the proxy")];

/// The state of parsing `-o`.
pub struct Options<'a> {
    config: &'a mut ServerConfig,
    notes: &'a mut Vec<String>,
    warnings: &'a mut Vec<String>,
    /// Whether `-Z` was given.
    tls_enabled: bool,
    tls: TlsConfig,
    slab_sizes: Option<String>,
    slab_chunk_max_given: bool,
}

impl<'a> Options<'a> {
    /// Returns the state before the first `-o`.
    pub fn new(
        config: &'a mut ServerConfig,
        notes: &'a mut Vec<String>,
        warnings: &'a mut Vec<String>,
        tls_enabled: bool,
    ) -> Self {
        let tls = TlsConfig::default();
        Self { config, notes, warnings, tls_enabled, tls, slab_sizes: None, slab_chunk_max_given: false }
    }

    /// Applies the argument of one `-o`.
    pub fn apply(&mut self, list: &str) -> Result<(), Failure> {
        let mut rest = list.trim_start();
        while !rest.is_empty() {
            let (option, after) = rest.split_once(',').unwrap_or((rest, ""));
            rest = after;
            match option.split_once('=') {
                Some((name, value)) => self.set(option, name, Some(value))?,
                None => self.set(option, option, None)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &str, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let fail = |line: &str| Err(Failure::usage(line));
        let need = |line: &str| value.ok_or_else(|| Failure::usage(line));
        let cache = &mut self.config.cache;
        match name {
            "maxconns_fast" => self.config.maxconns_fast = true,
            "no_maxconns_fast" => self.config.maxconns_fast = false,
            "hashpower" => {
                let text = need("Missing numeric argument for hashpower")?;
                let power: i64 = whole(text).unwrap_or(0);
                let multiplier = format!("Initial hashtable multiplier of {power} is too");
                if power < 12 {
                    return fail(&format!("{multiplier} low"));
                }
                if power > 32 {
                    return fail(&format!(
                        "{multiplier} high: Choose a value based on \"STAT hash_power_level\" from a running \
                         instance"
                    ));
                }
                cache.hashpower_init = power as u32;
            }
            "slab_reassign" => cache.slab_reassign = true,
            "no_slab_reassign" => cache.slab_reassign = false,
            "slab_automove" => match value.map_or(Some(1), whole) {
                Some(mode @ 0..=2) => cache.slab_automove = mode,
                _ => return fail("slab_automove must be between 0 and 2"),
            },
            "no_slab_automove" => cache.slab_automove = 0,
            "slab_automove_ratio" => match real(need("Missing slab_automove_ratio argument")?) {
                Some(ratio) if ratio > 0.0 && ratio <= 1.0 => cache.slab_automove_ratio = ratio,
                _ => return fail("slab_automove_ratio must be > 0 and < 1"),
            },
            "slab_automove_window" => match whole(need("Missing slab_automove_window argument")?) {
                Some(seconds @ 3..=1800) => cache.slab_automove_window = seconds,
                _ => return fail("slab_automove_window must be > 2 and < 1800"),
            },
            "tail_repair_time" => match whole(need("Missing numeric argument for tail_repair_time")?) {
                Some(seconds @ 10..) => cache.tail_repair_time = seconds,
                _ => return fail("Cannot set tail_repair_time to less than 10 seconds"),
            },
            "hash_algorithm" => {
                let text = need("Missing hash_algorithm argument")?;
                if !["jenkins", "murmur3", "xxh3"].contains(&text) {
                    return fail("Unknown hash_algorithm option (jenkins, murmur3, xxh3)");
                }
                text.clone_into(&mut self.config.reported.hash_algorithm);
                self.note(name, "the index uses its own keyed hash");
            }
            "lru_crawler" => cache.lru_crawler = true,
            "no_lru_crawler" => cache.lru_crawler = false,
            "lru_crawler_sleep" => match whole(need("Missing lru_crawler_sleep value")?) {
                Some(micros @ 0..=1_000_000) => cache.lru_crawler_sleep = micros,
                _ => return fail("LRU crawler sleep must be between 0 and 1 second"),
            },
            "lru_crawler_tocrawl" => match whole(need("Missing lru_crawler_tocrawl value")?) {
                Some(items) => cache.lru_crawler_tocrawl = items,
                None => return fail("lru_crawler_tocrawl takes a numeric 32bit value"),
            },
            "lru_maintainer" => {
                cache.lru_maintainer = true;
                cache.eviction_policy = EvictionPolicy::Segmented;
            }
            "no_lru_maintainer" => {
                cache.lru_maintainer = false;
                cache.eviction_policy = EvictionPolicy::Flat;
            }
            "eviction_policy" => {
                let text = need("Missing eviction_policy argument")?;
                let names = || EvictionPolicy::ALL.iter().map(|policy| policy.name());
                let policy = EvictionPolicy::from_name(text);
                cache.eviction_policy = policy.ok_or_else(|| unnamed(name, text, names()))?;
            }
            "eviction_goal" => {
                let text = need("Missing eviction_goal argument")?;
                let names = || EvictionGoal::ALL.iter().map(|goal| goal.name());
                cache.eviction_goal =
                    EvictionGoal::from_name(text).ok_or_else(|| unnamed(name, text, names()))?;
            }
            "hot_lru_pct" => match whole(need("Missing hot_lru_pct argument")?) {
                Some(percent @ 1..=79) => cache.hot_lru_pct = percent,
                _ => return fail("hot_lru_pct must be > 1 and < 80"),
            },
            "warm_lru_pct" => match whole(need("Missing warm_lru_pct argument")?) {
                Some(percent @ 1..=79) => cache.warm_lru_pct = percent,
                _ => return fail("warm_lru_pct must be > 1 and < 80"),
            },
            "hot_max_factor" => match real(need("Missing hot_max_factor argument")?) {
                Some(factor) if factor > 0.0 => cache.hot_max_factor = factor,
                _ => return fail("hot_max_factor must be > 0"),
            },
            "warm_max_factor" => match real(need("Missing warm_max_factor argument")?) {
                Some(factor) if factor > 0.0 => cache.warm_max_factor = factor,
                _ => return fail("warm_max_factor must be > 0"),
            },
            "temporary_ttl" => match whole(need("Missing temporary_ttl argument")?) {
                Some(seconds) => cache.temporary_ttl = Some(seconds),
                None => return fail("temporary_ttl takes a number of seconds"),
            },
            "idle_timeout" => match whole(need("Missing numeric argument for idle_timeout")?) {
                Some(seconds) => self.config.idle_timeout = seconds,
                None => return fail("idle_timeout takes a number of seconds"),
            },
            "watcher_logbuf_size" => {
                let text = need("Missing watcher_logbuf_size argument")?;
                self.config.watcher_buffer = scaled(text, 1024, name)?;
            }
            "worker_logbuf_size" => {
                let text = need("Missing worker_logbuf_size argument")?;
                self.config.worker_buffer = scaled(text, 1024, name)?;
                self.note(name, "workers write to watchers directly");
            }
            "read_buf_mem_limit" => {
                let text = need("Missing read_buf_mem_limit argument")?;
                self.config.read_buf_mem_limit = scaled(text, MIB, name)?;
            }
            "slab_sizes" => self.slab_sizes = Some(need("Missing slab_sizes argument")?.to_owned()),
            "slab_chunk_max" => match whole::<i32>(need("Missing slab_chunk_max argument")?) {
                None => return fail("could not parse argument to slab_chunk_max"),
                Some(..=0) => return fail("slab_chunk_max must be >= 0"),
                Some(kilobytes @ 1..=1024) => {
                    cache.slab_chunk_max = kilobytes as usize * 1024;
                    self.slab_chunk_max_given = true;
                }
                Some(_) => return fail("slab_chunk_max must be specified in kilobytes."),
            },
            "no_chunked_items" => cache.slab_chunk_max = PAGE_SIZE,
            "track_sizes" => cache.track_sizes = true,
            // The modern defaults are the defaults already, in memcached as well.
            "modern" | "no_drop_privileges" => {}
            "no_modern" => self.no_modern(),
            "drop_privileges" => self.note(name, "privileges are not dropped"),
            "sock_cookie_id" => {
                let text = need("Missing sock_cookie_id argument")?;
                self.config.socket_mark = whole(text)
                    .ok_or_else(|| Failure::usage("could not parse argument to sock_cookie_id"))?;
                if cfg!(not(target_os = "linux")) {
                    self.note(name, "only Linux supports it");
                }
            }
            "debug_commands" => self.config.debug_commands = true,
            _ if name.starts_with("ssl_") => return self.set_tls(option, name, value),
            _ => return self.ignored_or_unknown(option, name),
        }
        if let Some((_, why)) = ONLY_SHOWN.iter().find(|(known, _)| name.ends_with(known)) {
            self.note(name, why);
        }
        Ok(())
    }

    /// Applies the options of TLS.
    fn set_tls(&mut self, option: &str, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let need = || value.ok_or_else(|| Failure::usage(format!("Missing {name} argument")));
        let unread = || Failure::usage(format!("could not parse argument to {name}"));
        let number = || whole::<i32>(need()?).ok_or_else(unread);
        let invalid = || Failure::usage(format!("Invalid {name}. Use help to see valid options."));
        let tls = &mut self.tls;
        match name {
            "ssl_chain_cert" => tls.chain_cert = need()?.into(),
            "ssl_key" => tls.key = Some(need()?.into()),
            "ssl_verify_mode" => {
                tls.verify_mode = match number()? {
                    0 => VerifyMode::None,
                    1 => VerifyMode::Request,
                    2 => VerifyMode::Require,
                    3 => VerifyMode::Once,
                    _ => return Err(invalid()),
                }
            }
            // memcached's help gives words, but its code reads numbers.
            "ssl_keyformat" => {
                tls.key_format = match need()? {
                    "PEM" => KeyFormat::Pem,
                    "DER" => KeyFormat::Der,
                    text => match whole::<i32>(text) {
                        Some(1) => KeyFormat::Pem,
                        Some(2) => KeyFormat::Der,
                        _ => {
                            return Err(Failure::usage(format!(
                                "could not parse argument to ssl_keyformat: {text} (1 or PEM, 2 or DER; engines \
                                 are not supported)"
                            )));
                        }
                    },
                }
            }
            "ssl_ciphers" => tls.ciphers = Some(need()?.to_owned()),
            "ssl_ca_cert" => tls.ca_cert = Some(need()?.into()),
            "ssl_wbuf_size" => tls.wbuf_size = scaled(need()?, 1024, name)?,
            "ssl_session_cache" => tls.session_cache = true,
            "ssl_kernel_tls" => {
                tls.kernel_tls = true;
                self.warnings
                    .push("WARNING: ssl_kernel_tls has no effect: the server encrypts in user space".into());
            }
            "ssl_min_version" => match number()? {
                version @ 0..=1 => {
                    tls.min_version = TlsVersion::V1_2;
                    self.warnings.push(format!(
                        "WARNING: ssl_min_version={version}: TLS 1.0 and 1.1 are not supported, 1.2 is the minimum"
                    ));
                }
                2 => tls.min_version = TlsVersion::V1_2,
                3 => tls.min_version = TlsVersion::V1_3,
                _ => return Err(invalid()),
            },
            _ => return Err(Failure::usage(format!("Illegal suboption \"{option}\""))),
        }
        if !self.tls_enabled {
            self.note(name, "-Z is not given");
        }
        Ok(())
    }

    /// Sets the defaults of memcached 1.4.
    fn no_modern(&mut self) {
        let cache = &mut self.config.cache;
        if !self.slab_chunk_max_given {
            cache.slab_chunk_max = PAGE_SIZE;
        }
        cache.slab_reassign = false;
        cache.slab_automove = 0;
        cache.eviction_policy = EvictionPolicy::Flat;
        cache.lru_crawler = false;
        cache.lru_maintainer = false;
        self.config.maxconns_fast = false;
        self.config.reported.hash_algorithm = "jenkins".into();
    }

    fn ignored_or_unknown(&mut self, option: &str, name: &str) -> Result<(), Failure> {
        if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(known, _)| *known == name) {
            self.note(name, why);
            return Ok(());
        }
        if let Some((_, feature)) = NOT_BUILT_IN.iter().find(|(start, _)| name.starts_with(start)) {
            return Err(Failure::usage(format!("-o {name}: {feature} is not built in")));
        }
        Err(Failure::usage(format!("Illegal suboption \"{option}\"")))
    }

    fn note(&mut self, name: &str, why: &str) {
        self.notes.push(format!("-o {name} has no effect: {why}"));
    }

    /// Sets the values that depend on several flags. `-I` and `-n` must be applied before.
    pub fn finish(self) -> Result<(), Failure> {
        self.config.tls = self.tls_enabled.then_some(self.tls);
        let cache = &mut self.config.cache;
        if cache.item_size_max > MIB && !self.slab_chunk_max_given {
            cache.slab_chunk_max = PAGE_SIZE / 2;
        }
        if let Some(list) = self.slab_sizes {
            cache.slab_sizes = Some(slab_sizes(&list, cache.chunk_size, cache.slab_chunk_max)?);
        }
        Ok(())
    }
}

/// Parses a 32-bit number and multiplies it by `unit`.
fn scaled(text: &str, unit: usize, name: &str) -> Result<usize, Failure> {
    whole::<u32>(text)
        .and_then(|number| (number as usize).checked_mul(unit))
        .ok_or_else(|| Failure::usage(format!("could not parse argument to {name}")))
}

/// Parses chunk sizes written as `100-200-300`. They must ascend by more than the alignment and lie
/// between `-n` and `slab_chunk_max`.
fn slab_sizes(list: &str, least: usize, most: usize) -> Result<Vec<usize>, Failure> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut previous = 0;
    for text in list.split('-').filter(|text| !text.is_empty()) {
        let number: Option<u32> = whole(text);
        let size = number.unwrap_or(0);
        if number.is_none() || (size as usize) < least || size as usize > most {
            return Err(Failure::usage(format!("slab size {size} is out of valid range")));
        }
        if previous >= size {
            return Err(Failure::usage(format!(
                "slab size {size} cannot be lower than or equal to a previous class size"
            )));
        }
        if size - previous <= CHUNK_ALIGN {
            return Err(Failure::usage(format!(
                "slab size {size} must be at least {CHUNK_ALIGN} bytes larger than previous class"
            )));
        }
        sizes.push(size as usize);
        if sizes.len() >= SLAB_CLASSES - 1 {
            return Err(Failure::usage("too many slab classes specified"));
        }
        previous = size;
    }
    if sizes.is_empty() {
        return Err(Failure::usage("Missing slab_sizes argument"));
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests;

/// Returns the error for a value that is not one of `names`.
fn unnamed(option: &str, value: &str, names: impl Iterator<Item = &'static str>) -> Failure {
    let names: Vec<_> = names.collect();
    Failure::usage(format!("{option} must be one of {}, got {value}", names.join(", ")))
}
