//! The file of `--config`: the settings as TOML.
//!
//! Before the first table stand the names of docs/settings.md, and `cluster`. The tables are
//! `[[listen]]`, `[[quota]]`, `[auth]` and `[process]`. This module turns them into the start of a
//! plan, which the flags then change. Each mistake is one line with the file, the line and the
//! name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memcache_core::internal::config::PAGE_SIZE;
use memcache_core::{
    AuthConfig, AuthMethod, ConfigError, Listen, Passwords, Protocol, ServerConfig, Tag, TlsMode, Value,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::file;
use crate::http;
use crate::listen::{self, Endpoint};
use crate::number::octal;
use crate::plan::{ControlSettings, LogFormat, ProcessSettings};

/// memcached's port.
pub const DEFAULT_PORT: u16 = 11211;

/// memcached's default permission bits of a Unix socket.
pub const DEFAULT_MASK: u32 = 0o700;

/// Names that are not rows of the table of settings.
const TABLES: [&str; 7] = ["listen", "quota", "auth", "control", "metrics", "process", "cluster"];
const LISTEN: [&str; 8] = ["tcp", "udp", "unix", "mask", "protocol", "tls", "client_certificates", "tag"];
const QUOTA: [&str; 2] = ["prefix", "bytes"];
const AUTH: [&str; 2] = ["method", "file"];
const CONTROL: [&str; 2] = ["address", "token_file"];
const METRICS: [&str; 1] = ["address"];
const PROCESS: [&str; 8] = [
    "user",
    "pid_file",
    "port_file",
    "daemonize",
    "lock_memory",
    "core_dumps",
    "drop_privileges",
    "log_format",
];

/// Start of a plan, before the flags: memcached's defaults, or the settings of a file.
#[derive(Debug)]
pub struct Start {
    /// Settings of the server. `listen` has the Unix sockets.
    pub config: ServerConfig,
    /// Endpoints of TCP.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints of UDP.
    pub datagrams: Vec<Endpoint>,
    /// Settings of the service that controls the server.
    pub control: Option<ControlSettings>,
    /// The address of the metrics.
    pub metrics: Option<http::Address>,
    /// Settings of the process.
    pub process: ProcessSettings,
    /// The place of each name: `FILE:LINE`.
    places: BTreeMap<String, String>,
}

impl Default for Start {
    fn default() -> Self {
        let mut config = ServerConfig::default();
        // memcached's default. The library derives it from the size of items.
        config.cache.slab_chunk_max = PAGE_SIZE / 2;
        Self {
            config,
            endpoints: Vec::new(),
            datagrams: Vec::new(),
            control: None,
            metrics: None,
            process: ProcessSettings::default(),
            places: BTreeMap::new(),
        }
    }
}

impl Start {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = file::read_text(path)?;
        Source { path, text: &text }.start()
    }

    /// Returns whether the file names listeners.
    pub fn listens(&self) -> bool {
        self.places.contains_key("listen")
    }

    /// Returns the failure for a setting that is wrong beside others, with its place if the file
    /// has it.
    pub fn conflict(&self, error: &ConfigError) -> Failure {
        match self.places.get(&*error.setting) {
            Some(place) => Failure::usage(format!("{place}: {}", named(&error.setting, &error.message))),
            None => Failure::usage(error.message.clone()),
        }
    }
}

/// Returns a message that begins with a name.
fn named(name: &str, message: &str) -> String {
    if message.starts_with(name) { message.to_owned() } else { format!("{name}: {message}") }
}

/// A file and its text.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, span: &Range<usize>) -> String {
        let line = self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    fn fail<T>(&self, span: &Range<usize>, message: impl AsRef<str>) -> Result<T, Failure> {
        Err(Failure::usage(format!("{}: {}", self.place(span), message.as_ref())))
    }

    fn start(&self) -> Result<Start, Failure> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(e) => {
                return self.fail(&e.span().unwrap_or_default(), e.message().replace('\n', ", "));
            }
        };
        let mut start = Start::default();
        for (key, value) in &table {
            let (name, span) = (key.get_ref().as_ref(), key.span());
            start.places.insert(name.to_owned(), self.place(&span));
            let entry = Entry { source: *self, name: name.to_owned(), value };
            match name {
                "listen" => entry.tables()?.into_iter().try_for_each(|one| one.listen(&mut start))?,
                "quota" => entry.tables()?.into_iter().try_for_each(|one| one.quota(&mut start))?,
                "auth" => start.config.auth = Some(entry.auth()?),
                "control" => start.control = Some(entry.control()?),
                "metrics" => start.metrics = Some(entry.metrics()?),
                "process" => start.process = entry.process()?,
                "cluster" => {
                    let texts = entry.texts()?;
                    let nodes = texts.iter().map(|text| text.parse()).collect::<Result<_, ConfigError>>();
                    start.config.cluster = nodes.or_else(|e| entry.fail(&e.message))?;
                }
                _ => {
                    if start.config.get(name).is_none() {
                        let names = ServerConfig::rows().map(|row| row.name).chain(TABLES);
                        return self.unknown(&span, "setting", name, names);
                    }
                    let value = entry.setting()?;
                    let done = start.config.set(name, value);
                    done.or_else(|e| entry.fail(&named(name, &e.message)))?;
                }
            }
        }
        if !start.places.contains_key("concurrency") {
            start.config.cache.concurrency = start.config.threads;
        }
        Ok(start)
    }

    /// Fails for a name that is not known.
    fn unknown<'n, T>(
        &self,
        span: &Range<usize>,
        what: &str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<T, Failure> {
        let nearest = names.min_by_key(|known| strsim::osa_distance(known, name));
        let nearest = nearest.map(|known| format!("; the nearest name is {known}")).unwrap_or_default();
        self.fail(span, format!("there is no {what} {name:?}{nearest}"))
    }
}

/// A value, and its name as messages have it.
struct Entry<'a> {
    source: Source<'a>,
    name: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'a> {
    fn fail<T>(&self, message: &str) -> Result<T, Failure> {
        self.source.fail(&self.value.span(), named(&self.name, message))
    }

    /// Fails for a value of another type.
    fn wanted<T>(&self, what: &str) -> Result<T, Failure> {
        let got = match self.value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(on) => on.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        self.fail(&format!("{} must be {what}, got {got}", self.name))
    }

    fn text(&self) -> Result<&'a str, Failure> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => self.wanted("a text"),
        }
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        match self.text()? {
            "" => self.wanted("the name of a file"),
            name => Ok(name.into()),
        }
    }

    fn switch(&self) -> Result<bool, Failure> {
        match self.value.get_ref() {
            DeValue::Boolean(on) => Ok(*on),
            _ => self.wanted("true or false"),
        }
    }

    fn texts(&self) -> Result<Vec<&'a str>, Failure> {
        self.list("a list of texts")?.iter().map(Self::text).collect()
    }

    fn list(&self, what: &str) -> Result<Vec<Self>, Failure> {
        let DeValue::Array(list) = self.value.get_ref() else { return self.wanted(what) };
        let entry = |value| Entry { source: self.source, name: self.name.clone(), value };
        Ok(list.iter().map(entry).collect())
    }

    /// Returns the tables of a list.
    fn tables(&self) -> Result<Vec<Self>, Failure> {
        self.list(&format!("a list of tables, each written [[{}]]", self.name))
    }

    /// Returns the entries of a table, whose names are among `names`.
    fn entries(&self, names: &[&str]) -> Result<Vec<(&'a str, Self)>, Failure> {
        let DeValue::Table(table) = self.value.get_ref() else { return self.wanted("a table") };
        let mut entries = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !names.contains(&name) {
                let what = format!("setting of {}", self.name);
                return self.source.unknown(&key.span(), &what, name, names.iter().copied());
            }
            let long = format!("{}.{name}", self.name);
            entries.push((name, Entry { source: self.source, name: long, value }));
        }
        Ok(entries)
    }

    /// Returns the value for a row of the table of settings, which knows what it may be.
    fn setting(&self) -> Result<Value, Failure> {
        Ok(match self.value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(on) => Value::Bool(*on),
            DeValue::Float(number) => match number.as_str().replace('_', "").parse() {
                Ok(number) => Value::Float(number),
                Err(_) => return self.wanted("a number"),
            },
            DeValue::Integer(_) => Value::Integer(self.integer()?),
            DeValue::Array(_) => {
                let numbers = self.list("a list of numbers")?;
                Value::List(numbers.iter().map(Self::integer).collect::<Result<_, _>>()?)
            }
            DeValue::Datetime(_) | DeValue::Table(_) => {
                return self.wanted("a number, a text, true or false");
            }
        })
    }

    fn integer(&self) -> Result<i128, Failure> {
        let DeValue::Integer(number) = self.value.get_ref() else { return self.wanted("a whole number") };
        let digits = number.as_str().replace('_', "");
        i128::from_str_radix(&digits, number.radix()).or_else(|_| self.wanted("a whole number"))
    }

    /// Adds a listener.
    fn listen(&self, start: &mut Start) -> Result<(), Failure> {
        let mut address = None;
        let (mut protocol, mut tls, mut certificates, mut mask, mut tag) = (None, None, None, None, None);
        for (name, entry) in self.entries(&LISTEN)? {
            match name {
                "protocol" => protocol = Some(entry.protocol()?),
                "tls" => tls = Some(entry.switch()?),
                "client_certificates" => certificates = Some(entry.switch()?),
                "tag" => match Tag::new(entry.text()?) {
                    Some(name) => tag = Some(name),
                    None => return entry.wanted("a text of 1 to 8 bytes"),
                },
                "mask" => match octal(entry.text()?) {
                    Some(bits) if bits <= 0o777 => mask = Some(bits),
                    _ => return entry.wanted("permission bits such as \"700\""),
                },
                _ if address.is_some() => return self.fail("a listener has one of tcp, udp and unix"),
                _ => address = Some((name, entry)),
            }
        }
        let Some((kind, entry)) = address else {
            return self.fail("a listener has one of tcp, udp and unix");
        };
        let useless = match kind {
            "tcp" => mask.map(|_| "mask"),
            "unix" => tls.or(certificates).map(|_| "tls").or(tag.map(|_| "tag")),
            _ => mask
                .map(|_| "mask")
                .or(protocol.map(|_| "protocol"))
                .or(tls.or(certificates).map(|_| "tls"))
                .or(tag.map(|_| "tag")),
        };
        if let Some(name) = useless {
            return self.fail(&format!("{name} has no effect on a listener of {kind}"));
        }
        let protocol = protocol.unwrap_or(Protocol::Negotiating);
        let tls = match (tls.unwrap_or(false), certificates) {
            (true, None) => TlsMode::Default,
            (true, Some(true)) => TlsMode::Peer,
            (true, Some(false)) => TlsMode::NoPeer,
            (false, None) => TlsMode::Off,
            (false, Some(_)) => return self.fail("client_certificates has no effect without tls = true"),
        };
        if kind == "unix" {
            let mask = mask.unwrap_or(DEFAULT_MASK);
            start.config.listen.push(Listen::Unix { path: entry.path()?, mask, protocol });
            return Ok(());
        }
        let (host, port) = listen::address(entry.text()?, DEFAULT_PORT).or_else(|e| entry.fail(&e.line))?;
        let reported = &mut start.config.reported;
        let (number, list) = if kind == "tcp" {
            (&mut reported.tcp_port, &mut start.endpoints)
        } else {
            (&mut reported.udp_port, &mut start.datagrams)
        };
        if list.is_empty() {
            *number = port;
        }
        list.push(Endpoint { host, port, protocol, tls, tag });
        listen::join(&mut reported.inter, entry.text()?);
        Ok(())
    }

    /// Adds a quota.
    fn quota(&self, start: &mut Start) -> Result<(), Failure> {
        let (mut prefix, mut bytes) = (None, None);
        for (name, entry) in self.entries(&QUOTA)? {
            match (name, entry.value.get_ref()) {
                ("prefix", _) => prefix = Some(entry.text()?),
                (_, DeValue::Integer(_)) => match u64::try_from(entry.integer()?) {
                    Ok(number) => bytes = Some(number.to_string()),
                    Err(_) => return entry.wanted("a number of bytes"),
                },
                (_, DeValue::String(text)) => bytes = Some(text.to_string()),
                _ => return entry.wanted("a number of bytes"),
            }
        }
        let (Some(prefix), Some(bytes)) = (prefix, bytes) else {
            return self.fail("quota needs prefix and bytes");
        };
        match format!("{prefix}:{bytes}").parse() {
            Ok(quota) => start.config.cache.add_quota(quota),
            Err(ConfigError { message, .. }) => return self.fail(&message),
        }
        Ok(())
    }

    fn protocol(&self) -> Result<Protocol, Failure> {
        match self.text()? {
            "auto" => Ok(Protocol::Negotiating),
            "ascii" => Ok(Protocol::Ascii),
            "binary" => Ok(Protocol::Binary),
            _ => self.wanted("auto, ascii or binary"),
        }
    }

    fn auth(&self) -> Result<AuthConfig, Failure> {
        let (mut method, mut file) = (None, None);
        for (name, entry) in self.entries(&AUTH)? {
            match (name, name == "method") {
                (_, true) => {
                    method = Some(match entry.text()? {
                        "text" => AuthMethod::Text,
                        "sasl" => AuthMethod::Sasl,
                        _ => return entry.wanted("text or sasl"),
                    });
                }
                _ => file = Some(entry.path()?),
            }
        }
        match (method, file) {
            (Some(method), Some(file)) => Ok(AuthConfig { method, passwords: Passwords::File(file) }),
            _ => self.fail("auth needs method and file"),
        }
    }

    fn control(&self) -> Result<ControlSettings, Failure> {
        let (mut address, mut token_file) = (None, None);
        for (name, entry) in self.entries(&CONTROL)? {
            match name {
                "token_file" => token_file = Some(entry.path()?),
                _ => address = Some(entry.http_address()?),
            }
        }
        match address {
            Some(address) => Ok(ControlSettings { address, token_file }),
            None => self.fail("control needs address"),
        }
    }

    fn metrics(&self) -> Result<http::Address, Failure> {
        match self.entries(&METRICS)?.first() {
            Some((_, entry)) => entry.http_address(),
            None => self.fail("metrics needs address"),
        }
    }

    fn http_address(&self) -> Result<http::Address, Failure> {
        http::Address::parse(self.text()?).map_or_else(|| self.wanted(http::FORMS), Ok)
    }

    fn process(&self) -> Result<ProcessSettings, Failure> {
        let mut process = ProcessSettings::default();
        for (name, entry) in self.entries(&PROCESS)? {
            match name {
                "user" => process.user = Some(entry.text()?.to_owned()),
                "pid_file" => process.pid_file = Some(entry.path()?),
                "port_file" => process.port_file = Some(entry.path()?),
                "daemonize" => process.daemonize = entry.switch()?,
                "lock_memory" => process.lock_memory = entry.switch()?,
                "drop_privileges" => process.sandbox = entry.switch()?,
                "core_dumps" => process.core_dumps = entry.switch()?,
                _ => {
                    process.log_format =
                        LogFormat::named(entry.text()?).map_or_else(|| entry.wanted("text or json"), Ok)?;
                }
            }
        }
        Ok(process)
    }
}

#[cfg(test)]
mod tests {
    use memcache_core::QuotaConfig;

    use super::*;
    use crate::listen::Host;

    fn start(text: &str) -> Result<Start, Failure> {
        Source { path: Path::new("f.toml"), text }.start()
    }

    fn whole(text: &str) -> Start {
        start(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    #[test]
    fn the_example_has_the_defaults() {
        let text = include_str!("../../packaging/memcached-rs.toml");
        let (example, default) = (whole(text), Start::default());
        for row in ServerConfig::rows() {
            assert_eq!(example.config.get(row.name), default.config.get(row.name), "{}", row.name);
        }
        // Its comments are settings that are accepted, with the table that each needs.
        let enabled: String = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("# ").unwrap_or(line)).filter(|line| is_toml(line)))
            .flat_map(|line| [line, "\n"])
            .collect();
        let all = whole(&enabled);
        assert_eq!((all.endpoints.len(), all.datagrams.len(), all.config.listen.len()), (2, 1, 1));
        assert_eq!(all.config.persist_interval, 300);
        assert_eq!(all.process.user.as_deref(), Some("memcache"));
        assert_eq!(all.endpoints.last().map(|endpoint| endpoint.tls), Some(TlsMode::Peer));
    }

    fn is_toml(line: &str) -> bool {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
    }

    #[test]
    fn names_become_settings() {
        let text = "memory_limit = '1g'\nthreads = 0x2\ngrowth_factor = 1.5\nevictions = false\n\
            slab_sizes = [100, 200]\npersist = '/p'\neviction_policy = 'lru'\ntls_chain_cert = '/c'\n\
            cluster = ['a:7']\nauth = { method = 'sasl', file = '/u' }\n";
        let start = whole(text);
        let config = &start.config;
        assert_eq!((config.cache.memory_limit, config.threads, config.cache.concurrency), (1 << 30, 2, 2));
        assert_eq!(config.cache.growth_factor.to_bits(), 1.5f64.to_bits());
        assert_eq!((config.cache.evictions, config.cluster.len()), (false, 1));
        assert_eq!(config.cache.slab_sizes.as_deref(), Some(&[100, 200][..]));
        assert!(config.tls.as_ref().is_some_and(|tls| tls.chain_cert.is_some()));
        assert_eq!(config.auth.as_ref().map(|auth| auth.method), Some(AuthMethod::Sasl));
        assert!(!start.listens());
        let control = whole("[control]\naddress = '127.0.0.1:7'\ntoken_file = '/t'\n").control;
        let address = http::Address::parse("7").unwrap_or_else(|| panic!("a port is an address"));
        assert_eq!(control, Some(ControlSettings { address, token_file: Some("/t".into()) }));
    }

    #[test]
    fn listeners_are_tables() {
        let text = "[[listen]]\ntcp = '*:7'\nprotocol = 'ascii'\n[[listen]]\nudp = '[::1]'\n\
            [[listen]]\nunix = '/s'\nmask = '660'\nprotocol = 'binary'\n";
        let start = whole(text);
        let tcp =
            Endpoint { host: Host::Any, port: 7, protocol: Protocol::Ascii, tls: TlsMode::Off, tag: None };
        assert_eq!(start.endpoints, [tcp]);
        let udp: Vec<_> = start.datagrams.iter().map(|e| (e.host.clone(), e.port)).collect();
        assert_eq!(udp, [(Host::Name("::1".into()), DEFAULT_PORT)]);
        let unix = Listen::Unix { path: "/s".into(), mask: 0o660, protocol: Protocol::Binary };
        assert_eq!(start.config.listen, [unix]);
        let reported = &start.config.reported;
        assert_eq!((reported.tcp_port, reported.udp_port), (7, DEFAULT_PORT));
        assert_eq!(reported.inter.as_deref(), Some("*:7,[::1]"));
        assert!(whole("listen = []").listens());
    }

    #[test]
    fn quotas_are_tables() {
        let text = "[[quota]]\nprefix = 'site1:'\nbytes = '64m'\n[[quota]]\nprefix = 'b'\nbytes = 0x400\n\
            [[quota]]\nprefix = 'site1:'\nbytes = 7\n";
        let quotas = whole(text).config.cache.quotas;
        assert_eq!(quotas, [QuotaConfig::new("b", 1024), QuotaConfig::new("site1:", 7)]);
    }

    #[test]
    fn mistakes_name_line_and_setting() {
        let cases = [
            ("thread = 4", "1: there is no setting \"thread\"; the nearest name is threads"),
            (
                "\n\nmemory-limit = 4",
                "3: there is no setting \"memory-limit\"; the nearest name is memory_limit",
            ),
            ("threads = 0", "1: threads: Number of threads must be greater than 0"),
            ("threads = 'many'", "1: threads must be 1 to 1024, got \"many\""),
            ("threads = [4]", "1: threads must be 1 to 1024, got 4"),
            ("threads = { a = 1 }", "1: threads must be a number, a text, true or false, got a table"),
            ("threads = 1979-05-27", "1: threads must be a number, a text, true or false, got 1979-05-27"),
            ("# x\nmemory_limit = '64x'", "2: memory_limit must be at least 0 bytes, got \"64x\""),
            (
                "memory_limit = 99999999999999999999999999999999999999999",
                "1: memory_limit must be a whole number, got 99999999999999999999999999999999999999999",
            ),
            ("evictions = 2", "1: evictions must be true or false, got 2"),
            ("slab_sizes = ['x']", "1: slab_sizes must be a whole number, got \"x\""),
            (
                "listen = '127.0.0.1'",
                "1: listen must be a list of tables, each written [[listen]], got \"127.0.0.1\"",
            ),
            ("listen = ['127.0.0.1']", "1: listen must be a table, got \"127.0.0.1\""),
            ("[[listen]]\ntpc = 'x'", "2: there is no setting of listen \"tpc\"; the nearest name is tcp"),
            ("[[listen]]\ntcp = 'a:x'", "2: listen.tcp: Invalid port number: \"x\""),
            ("[[listen]]\ntcp = 7", "2: listen.tcp must be a text, got 7"),
            ("[[listen]]\ntcp = 'a'\nudp = 'b'", "1: listen: a listener has one of tcp, udp and unix"),
            ("[[listen]]\nprotocol = 'ascii'", "1: listen: a listener has one of tcp, udp and unix"),
            (
                "[[listen]]\ntcp = 'a'\nprotocol = 'x'",
                "3: listen.protocol must be auto, ascii or binary, got \"x\"",
            ),
            (
                "[[listen]]\nunix = '/s'\nmask = '9'",
                "3: listen.mask must be permission bits such as \"700\", got \"9\"",
            ),
            ("[[listen]]\nunix = '/s'\ntls = true", "1: listen: tls has no effect on a listener of unix"),
            (
                "[[listen]]\nudp = 'a'\nprotocol = 'ascii'",
                "1: listen: protocol has no effect on a listener of udp",
            ),
            (
                "[[listen]]\ntcp = 'a'\nclient_certificates = true",
                "1: listen: client_certificates has no effect without tls = true",
            ),
            ("quota = 'a:1'", "1: quota must be a list of tables, each written [[quota]], got \"a:1\""),
            ("[[quota]]\nprefix = 'a'", "1: quota needs prefix and bytes"),
            ("[[quota]]\nprefix = 1\nbytes = 1", "2: quota.prefix must be a text, got 1"),
            ("[[quota]]\nprefix = 'a'\nbytes = -1", "3: quota.bytes must be a number of bytes, got -1"),
            ("[[quota]]\nprefix = 'a'\nbytes = true", "3: quota.bytes must be a number of bytes, got true"),
            (
                "[[quota]]\nprefix = 'a'\nbytes = '1x'",
                "1: quota must be PREFIX:SIZE, such as site1::64m, got \"a:1x\"",
            ),
            ("[auth]\nmethod = 'text'", "1: auth needs method and file"),
            ("[auth]\nmethod = 'x'", "2: auth.method must be text or sasl, got \"x\""),
            ("[control]\ntoken_file = '/t'", "1: control needs address"),
            (
                "[control]\naddress = 'host'",
                "2: control.address must be PORT, HOST:PORT or [IPV6]:PORT, got \"host\"",
            ),
            ("[metrics]", "1: metrics needs address"),
            (
                "[metrics]\naddress = 'host'",
                "2: metrics.address must be PORT, HOST:PORT or [IPV6]:PORT, got \"host\"",
            ),
            ("[process]\nusr = 'x'", "2: there is no setting of process \"usr\"; the nearest name is user"),
            ("[process]\ndaemonize = 'x'", "2: process.daemonize must be true or false, got \"x\""),
            ("[process]\nlog_format = 'xml'", "2: process.log_format must be text or json, got \"xml\""),
            (
                "cluster = ['a|x|7']",
                "1: cluster: Invalid cluster node: \"a|x|7\" (host|ip|port or host:port)",
            ),
            ("threads = 1\nthreads = 2", "2: duplicate key"),
            ("threads 4", "1: key with no value, expected `=`"),
        ];
        for (text, line) in cases {
            let found = start(text).err();
            assert_eq!(found, Some(Failure::usage(format!("f.toml:{line}"))), "{text}");
        }
    }
}
