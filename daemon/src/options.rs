//! The suboptions of `-o`: `name` or `name=value`, separated by commas.
//!
//! [`Options::apply`] takes each `-o` in the order of the command line, because `no_modern` depends
//! on it. [`Options::finish`] sets values that depend on several suboptions.

use std::path::Path;

use memcache_core::internal::config::{HashAlgorithm, Kind, MIB, PAGE_SIZE, Row, is_toml};
use memcache_core::{
    ConfigError, EvictionPolicy, KeyFormat, ProxyConfig, ServerConfig, TlsConfig, TlsUser, TlsVersion, Value,
    VerifyMode,
};

use crate::failure::Failure;
use crate::lua;
use crate::number::{real, whole};

/// Step between the chunk sizes of `slab_sizes` in bytes.
const CHUNK_ALIGN: u32 = 8;

/// Number of slab classes, the unused class 0 included.
const SLAB_CLASSES: usize = 64;

/// Accepted names without effect, and the reason.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("no_hashexpand", "the index always grows by itself"),
    ("inline_ascii_resp", "memcached ignores it too"),
    ("no_inline_ascii_resp", "memcached ignores it too"),
    ("resp_obj_mem_limit", "DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit"),
    ("relaxed_privileges", "drop_privileges needs no exceptions"),
    ("slab_automove_freeratio", "external storage is not built in"),
    ("proxy_memprofile", "the memory of Lua programs is in the statistics"),
];

/// Prefixes of names whose feature is not built in.
const NOT_BUILT_IN: &[(&str, &str)] = &[("ext_", "external storage")];

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
    sandbox: bool,
    /// Files of a proxy, and the argument of its program.
    proxy: Option<String>,
    proxy_argument: Option<String>,
}

impl<'a> Options<'a> {
    /// Returns the state before the first `-o`.
    pub fn new(
        config: &'a mut ServerConfig,
        notes: &'a mut Vec<String>,
        warnings: &'a mut Vec<String>,
        tls_enabled: bool,
        sandbox: bool,
    ) -> Self {
        let tls = config.tls.clone().unwrap_or_default();
        // A file may give another size than memcached's default.
        let slab_chunk_max_given = config.cache.slab_chunk_max != PAGE_SIZE / 2;
        Self {
            config,
            notes,
            warnings,
            tls_enabled,
            tls,
            slab_sizes: None,
            slab_chunk_max_given,
            sandbox,
            proxy: None,
            proxy_argument: None,
        }
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
            // memcached refuses small tables here. In the library, 0 lets the store decide.
            "hashpower" if value.is_some_and(|text| whole(text).unwrap_or(0) < 12) => {
                let power: i64 = value.and_then(whole).unwrap_or(0);
                return fail(&format!("Initial hashtable multiplier of {power} is too low"));
            }
            // In the library, 0 turns it off.
            "tail_repair_time" if value.is_some_and(|text| whole(text).unwrap_or(0) == 0) => {
                return self.set(option, name, Some("1"));
            }
            "lru_maintainer" => {
                cache.lru_maintainer = true;
                cache.eviction_policy = EvictionPolicy::Segmented;
            }
            "no_lru_maintainer" => {
                cache.lru_maintainer = false;
                cache.eviction_policy = EvictionPolicy::Flat;
            }
            "slab_sizes" => self.slab_sizes = Some(need("Missing slab_sizes argument")?.to_owned()),
            "slab_chunk_max" => match whole::<i32>(need("Missing slab_chunk_max argument")?) {
                None => return fail("could not parse argument to slab_chunk_max"),
                Some(..=0) => return fail("slab_chunk_max must be >= 0"),
                // `ServerConfig::validate` compares it with `-I`.
                Some(kilobytes @ 1..=1024) => {
                    cache.slab_chunk_max = kilobytes as usize * 1024;
                    self.slab_chunk_max_given = true;
                }
                Some(_) => return fail("slab_chunk_max must be specified in kilobytes."),
            },
            "quota" => {
                let quota = need("Missing quota argument")?.parse();
                cache.add_quota(quota.map_err(|e: ConfigError| Failure::usage(e.message))?);
            }
            "no_chunked_items" => cache.slab_chunk_max = PAGE_SIZE,
            // The modern defaults are the defaults already, in memcached as well.
            "modern" => {}
            "no_drop_privileges" => self.sandbox = false,
            "no_modern" => self.no_modern(),
            "drop_privileges" => self.sandbox = true,
            "proxy_config" => {
                let file = need("Missing proxy_config file argument")?;
                self.proxy = Some(file.to_owned());
            }
            "proxy_arg" => self.proxy_argument = Some(need("Missing proxy_arg argument")?.to_owned()),
            "proxy_uring" => return fail("-o proxy_uring: io_uring is not supported"),
            _ if name.starts_with("ssl_") => return self.set_tls(option, name, value),
            _ => {
                let (known, value) = match name {
                    "slab_automove" => (name, value.or(Some("1"))),
                    "no_slab_automove" => ("slab_automove", Some("0")),
                    _ => (name, value),
                };
                match ServerConfig::rows().find_map(|row| Some((row, switch(row, known)?))) {
                    Some((row, on)) => return self.set_row(row, on, name, value),
                    None => return self.ignored_or_unknown(option, name),
                }
            }
        }
        Ok(())
    }

    /// Sets the setting of a row.
    fn set_row(&mut self, row: &Row, on: bool, name: &str, value: Option<&str>) -> Result<(), Failure> {
        let value = match row.kind {
            Kind::Bool => Value::Bool(on),
            _ => {
                let text = value.ok_or_else(|| match row.missing {
                    Some(line) => Failure::usage(line),
                    None => Failure::usage(format!("Missing {name} argument")),
                })?;
                read(row, text).ok_or_else(|| match row.unreadable() {
                    Some(line) => Failure::usage(line),
                    None => Failure::usage(format!("could not parse argument to {name}")),
                })?
            }
        };
        self.config.set(row.name, value).map_err(|e| Failure::usage(e.to_string()))?;
        if let Some(why) = row.idle {
            self.note(name, why);
        }
        if row.name == "socket_mark" && cfg!(not(target_os = "linux")) {
            self.note(name, "only Linux supports it");
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
            "ssl_chain_cert" => tls.chain_cert = Some(need()?.into()),
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
            "ssl_user" => {
                let text = need()?;
                tls.user = TlsUser::from_name(text).ok_or_else(|| {
                    Failure::usage(format!("ssl_user must be none, cn or san, got {text:?}"))
                })?;
            }
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
        self.config.reported.slab_automove = 0;
        cache.eviction_policy = EvictionPolicy::Flat;
        cache.lru_crawler = false;
        cache.lru_maintainer = false;
        self.config.maxconns_fast = false;
        self.config.reported.hash_algorithm = HashAlgorithm::Jenkins;
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
    pub fn finish(self) -> Result<bool, Failure> {
        if self.tls_enabled {
            self.config.tls = Some(self.tls);
        }
        let cache = &mut self.config.cache;
        if cache.item_size_max > MIB && !self.slab_chunk_max_given {
            cache.slab_chunk_max = PAGE_SIZE / 2;
        }
        if let Some(list) = self.slab_sizes {
            cache.slab_sizes = Some(slab_sizes(&list, cache.chunk_size, cache.slab_chunk_max)?);
        }
        if let Some(files) = self.proxy {
            self.config.proxy = Some(match self.proxy_argument {
                argument if !is_toml(Path::new(&files)) => lua::proxy(&files, argument)?,
                None => ProxyConfig::File(files.into()),
                Some(_) => return Err(without_argument()),
            });
        } else if self.proxy_argument.is_some() && self.config.proxy.is_some() {
            // Without a proxy the argument has no effect, as in memcached.
            return Err(without_argument());
        }
        if self.sandbox && self.config.proxy.is_some() {
            return Err(Failure::usage(
                "-o drop_privileges: a proxy opens sockets, which the sandbox refuses",
            ));
        }
        Ok(self.sandbox)
    }
}

/// Returns the failure for an argument of a proxy that is not a program.
fn without_argument() -> Failure {
    Failure::usage("-o proxy_arg: a configuration in TOML takes no argument")
}

/// Returns whether `name` switches the setting of `row` on or off, or `None` if it is another's. A
/// setting that is on by default has a name with `no_` as well.
fn switch(row: &Row, name: &str) -> Option<bool> {
    let option = row.option?;
    if name == option {
        return Some(true);
    }
    let off = row.kind == Kind::Bool && ServerConfig::default().get(row.name) == Some(Value::Bool(true));
    (off && name.strip_prefix("no_") == Some(option)).then_some(false)
}

/// Parses the value of a row's option. Numbers with a unit have 32 bits, as in memcached.
fn read(row: &Row, text: &str) -> Option<Value> {
    match row.kind {
        Kind::Float { .. } => real(text).map(Value::Float),
        Kind::Bytes { .. } => whole::<u32>(text).map(|number| Value::Integer(i128::from(number) * row.unit)),
        Kind::Integer { .. } => whole(text).map(Value::Integer),
        _ => Some(Value::from(text)),
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
