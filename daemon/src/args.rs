//! The flags of the command line and the settings that they set.
//!
//! Names, rules and error texts are those of memcached 1.6.45. clap splits the line as
//! `getopt_long` does: bundled short flags, attached values, unambiguous abbreviations of long
//! names. The only system calls of this module read the files of `--options-file` and `--config`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use memcache_core::internal::config::{Kind, Row};
use memcache_core::{
    AuthConfig, AuthMethod, ConfigError, Listen, Passwords, Protocol, ServerConfig, TlsMode, Value,
};

use crate::config_file::{DEFAULT_MASK, DEFAULT_PORT, Start};
use crate::failure::Failure;
use crate::http;
use crate::listen::{self, Endpoint, Host};
use crate::number::{megabytes, octal, real, size, whole};
use crate::options::Options;
use crate::options_file;
use crate::plan::{Action, ControlSettings, Environment, LogFormat, Plan, ProcessSettings};

/// memcached warns about more workers than this.
const MANY_THREADS: usize = 64;

/// The values of the flags as text, in memcached's order.
#[derive(Debug, Parser)]
#[command(
    name = "memcached-rs",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true,
    args_override_self = true
)]
struct Flags {
    #[arg(short = 'a', long)]
    unix_mask: Option<String>,
    #[arg(short = 'A', long)]
    enable_shutdown: bool,
    #[arg(short = 'Z', long)]
    enable_ssl: bool,
    #[arg(short = 'p', long)]
    port: Option<String>,
    #[arg(short = 's', long)]
    unix_socket: Option<PathBuf>,
    #[arg(short = 'U', long)]
    udp_port: Option<String>,
    #[arg(short = 'm', long)]
    memory_limit: Option<String>,
    #[arg(short = 'M', long)]
    disable_evictions: bool,
    #[arg(short = 'c', long)]
    conn_limit: Option<String>,
    #[arg(short = 'k', long)]
    lock_memory: bool,
    #[arg(short = 'h', long)]
    help: bool,
    #[arg(short = 'i', long)]
    license: bool,
    #[arg(short = 'V', long)]
    version: bool,
    #[arg(short = 'r', long)]
    enable_coredumps: bool,
    // `--verbose` may have a value, which is ignored. Each use adds an entry.
    #[arg(short = 'v', long, action = ArgAction::Append, num_args = 0..=1,
          require_equals = true, default_missing_value = "")]
    verbose: Vec<String>,
    #[arg(short = 'd', long)]
    daemon: bool,
    #[arg(short = 'l', long)]
    listen: Vec<String>,
    #[arg(short = 'u', long)]
    user: Option<String>,
    #[arg(short = 'P', long)]
    pidfile: Option<PathBuf>,
    #[arg(short = 'f', long)]
    slab_growth_factor: Option<String>,
    #[arg(short = 'n', long)]
    slab_min_size: Option<String>,
    #[arg(short = 't', long)]
    threads: Option<String>,
    #[arg(short = 'D')]
    delimiter: Option<String>,
    #[arg(short = 'L', long)]
    enable_largepages: bool,
    #[arg(short = 'R', long)]
    max_reqs_per_event: Option<String>,
    #[arg(short = 'C', long)]
    disable_cas: bool,
    #[arg(short = 'b', long)]
    listen_backlog: Option<String>,
    #[arg(short = 'B', long)]
    protocol: Option<String>,
    #[arg(short = 'I', long)]
    max_item_size: Option<String>,
    #[arg(short = 'S', long)]
    enable_sasl: bool,
    #[arg(short = 'F', long)]
    disable_flush_all: bool,
    #[arg(short = 'X', long)]
    disable_dumping: bool,
    #[arg(short = 'W', long)]
    disable_watch: bool,
    #[arg(short = 'Y', long)]
    auth_file: Option<PathBuf>,
    #[arg(short = 'e', long)]
    memory_file: Option<PathBuf>,
    #[arg(short = 'o', long)]
    extended: Vec<String>,
    #[arg(short = 'N', long)]
    napi_ids: Option<String>,
    // Not flags of memcached.
    #[arg(long)]
    cluster_nodes: Option<String>,
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long)]
    options_file: Option<PathBuf>,
    #[arg(long)]
    control: Option<String>,
    #[arg(long)]
    control_token_file: Option<PathBuf>,
    #[arg(long)]
    metrics: Option<String>,
    #[arg(long)]
    log_format: Option<String>,
    #[arg(long)]
    check: bool,
    // getopt collects words that are not flags, and memcached ignores them.
    words: Vec<OsString>,
    // The flags of the table of settings: name of the setting, and value.
    #[clap(skip)]
    rows: Vec<(&'static str, Value)>,
}

/// Returns the rows of the table of settings that have a flag of their own, and its name.
pub fn row_flags() -> impl Iterator<Item = (&'static Row, &'static str)> {
    ServerConfig::rows().filter_map(|row| Some((row, row.option?.strip_prefix("--")?)))
}

/// Reads a command line. Its first word is the program name.
pub fn read(line: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Action, Failure> {
    let line: Vec<OsString> = line.into_iter().collect();
    let flags = split(line.clone()).map_err(|e| illegal(&e))?;
    let Some(path) = &flags.options_file else { return action(flags, environment) };
    let lines = options_file::read(path)?;
    // The words of the first `count` lines, then those of the command line, which count more.
    let read = |count: usize| {
        let words = lines.iter().take(count).flat_map(|line| &line.words).map(OsString::from);
        let (program, rest) = line.split_at(1.min(line.len()));
        let all = program.iter().cloned().chain(words).chain(rest.iter().cloned());
        action(split(all).map_err(|e| illegal(&e))?, environment)
    };
    read(lines.len()).map_err(|failure| {
        // The line of a mistake is the first one with which it appears.
        let first = (0..=lines.len()).find(|count| read(*count).is_err_and(|found| found == failure));
        match first.and_then(|count| lines.get(count.checked_sub(1)?)) {
            Some(line) => {
                Failure { line: format!("{}:{}: {}", path.display(), line.number, failure.line), ..failure }
            }
            None => failure,
        }
    })
}

fn action(flags: Flags, environment: &Environment) -> Result<Action, Failure> {
    if flags.help {
        return Ok(Action::Help);
    }
    if flags.license {
        return Ok(Action::License);
    }
    if flags.version {
        return Ok(Action::Version);
    }
    let kind = if flags.check { Action::Check } else { Action::Run };
    flags.plan(environment).map(|plan| kind(Box::new(plan)))
}

fn split(line: impl IntoIterator<Item = OsString>) -> Result<Flags, clap::Error> {
    // clap reads `-D=` as an empty value, getopt reads it as the value `=`.
    let line = line.into_iter().flat_map(|word| match word.to_str() {
        Some("-D=") => vec!["-D".into(), "=".into()],
        _ => vec![word],
    });
    let matches = command().try_get_matches_from(line)?;
    let mut flags = Flags::from_arg_matches(&matches)?;
    flags.rows = row_flags().filter_map(|(row, _)| Some((row.name, row_value(row, &matches)?))).collect();
    Ok(flags)
}

/// Returns all flags.
pub fn command() -> Command {
    row_flags().fold(Flags::command(), with_flag).mut_args(|arg| {
        let takes_next = arg.get_action().takes_values() && !arg.is_positional() && arg.get_id() != "verbose";
        if takes_next { arg.allow_hyphen_values(true) } else { arg }
    })
}

/// Adds the flag of a row.
fn with_flag(command: Command, (row, flag): (&'static Row, &'static str)) -> Command {
    let action = if row.kind == Kind::Bool { ArgAction::SetTrue } else { ArgAction::Set };
    command.arg(Arg::new(row.name).long(flag).action(action))
}

/// Returns the value of the flag of a row, or `None` if it was not given.
fn row_value(row: &Row, matches: &ArgMatches) -> Option<Value> {
    if row.kind == Kind::Bool {
        return matches.get_flag(row.name).then_some(Value::Bool(true));
    }
    matches.get_one::<String>(row.name).map(|text| Value::from(text.as_str()))
}

/// Returns the message for a line that clap could not split.
fn illegal(error: &clap::Error) -> Failure {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.split([' ', '[']).next().unwrap_or(text),
        _ => "",
    };
    Failure::usage(match error.kind() {
        ErrorKind::UnknownArgument => format!("Illegal argument \"{argument}\""),
        ErrorKind::TooManyValues => format!("option '{argument}' doesn't allow an argument"),
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::TooFewValues => {
            format!("option '{argument}' requires an argument")
        }
        ErrorKind::InvalidUtf8 => "arguments must be valid UTF-8".into(),
        _ => error.to_string().lines().next().unwrap_or("Illegal argument").to_owned(),
    })
}

/// Parses the address of a service.
fn http_address(flag: &str, text: &str) -> Result<http::Address, Failure> {
    let wrong = || Failure::usage(format!("{flag} must be {}, got \"{text}\"", http::FORMS));
    http::Address::parse(text).ok_or_else(wrong)
}

impl Flags {
    fn plan(self, environment: &Environment) -> Result<Plan, Failure> {
        let mut notes = Vec::new();
        let mut warnings = Vec::new();
        let start = self.config.as_deref().map_or_else(|| Ok(Start::default()), Start::read)?;
        let mut config = start.config.clone();

        self.set_cache(&mut config, environment)?;
        self.set_server(&mut config, &mut notes, &mut warnings)?;
        let mut options =
            Options::new(&mut config, &mut notes, &mut warnings, self.enable_ssl, start.process.sandbox);
        for list in &self.extended {
            options.apply(list)?;
        }
        let sandbox = options.finish()?;
        if config.reported.napi_ids as usize > config.threads {
            return Err(Failure::usage(format!(
                "Number of napi_ids({}) cannot be greater than number of threads({})",
                config.reported.napi_ids, config.threads
            )));
        }
        if let Some(auth) = self.auth(environment)? {
            config.auth = Some(auth);
        }
        let control = self.control(start.control.clone())?;
        let metrics = match &self.metrics {
            None => start.metrics.clone(),
            Some(text) => Some(http_address("--metrics", text)?),
        };
        let is_default_listen = !start.listens() && !self.listens();
        let (endpoints, datagrams) = if start.listens() && !self.listens() {
            (start.endpoints.clone(), start.datagrams.clone())
        } else {
            self.set_listen(&mut config)?
        };
        config.validate().map_err(|e| start.conflict(&e))?;

        for word in &self.words {
            let word = word.display();
            warnings.push(format!("WARNING: \"{word}\" is not a flag and has no effect; -h lists the flags"));
        }
        Ok(Plan {
            config,
            endpoints,
            datagrams,
            is_default_listen,
            control,
            metrics,
            process: ProcessSettings { sandbox, ..self.process(start.process, environment)? },
            warnings,
            notes,
        })
    }

    /// Returns whether a flag names a listener or what is spoken there. All listeners of the file
    /// then have no effect.
    fn listens(&self) -> bool {
        !self.listen.is_empty()
            || self.enable_ssl
            || self.unix_socket.is_some()
            || [&self.port, &self.udp_port, &self.unix_mask, &self.protocol].iter().any(|flag| flag.is_some())
    }

    /// Applies the flags of the service that controls the server to the settings of a file.
    fn control(&self, file: Option<ControlSettings>) -> Result<Option<ControlSettings>, Failure> {
        let of_file = file.as_ref().and_then(|control| control.token_file.clone());
        let token_file = self.control_token_file.clone().or(of_file);
        let address = match &self.control {
            None => file.map(|control| control.address),
            Some(text) => Some(http_address("--control", text)?),
        };
        match (address, token_file) {
            (Some(address), token_file) => Ok(Some(ControlSettings { address, token_file })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Failure::usage("--control-token-file has no effect without --control")),
        }
    }

    /// Applies the flags of the process to the settings of a file.
    fn process(self, file: ProcessSettings, environment: &Environment) -> Result<ProcessSettings, Failure> {
        let log_format = match self.log_format.as_deref() {
            None => file.log_format,
            Some(name) => LogFormat::named(name).ok_or_else(|| {
                Failure::usage(format!("Invalid log format: {name} -- should be one of text or json"))
            })?,
        };
        Ok(ProcessSettings {
            daemonize: self.daemon || file.daemonize,
            core_dumps: self.enable_coredumps || file.core_dumps,
            lock_memory: self.lock_memory || file.lock_memory,
            user: self.user.map(|name| name.trim_start().to_owned()).or(file.user),
            pid_file: self.pidfile.or(file.pid_file),
            port_file: environment.port_file.clone().or(file.port_file),
            log_format,
            ..file
        })
    }

    fn auth(&self, environment: &Environment) -> Result<Option<AuthConfig>, Failure> {
        let (method, file) = match (self.enable_sasl, &self.auth_file) {
            (false, None) => return Ok(None),
            (true, Some(_)) => return Err(Failure::usage("-S and -Y cannot be used together")),
            (false, Some(file)) => (AuthMethod::Text, file),
            (true, None) => match &environment.sasl_passwords {
                Some(file) => (AuthMethod::Sasl, file),
                None => {
                    return Err(Failure::usage(
                        "-S: set MEMCACHED_SASL_PWDB to a file of lines user:password (other databases are not supported)",
                    ));
                }
            },
        };
        Ok(Some(AuthConfig { method, passwords: Passwords::File(file.clone()) }))
    }

    fn set_cache(&self, config: &mut ServerConfig, environment: &Environment) -> Result<(), Failure> {
        set(config, "growth_factor", self.slab_growth_factor.as_ref(), |text| {
            real(text).unwrap_or(0.0).into()
        })?;
        set(config, "chunk_size", self.slab_min_size.as_ref(), int)?;
        let cache = &mut config.cache;
        if let Some(text) = &self.memory_limit {
            cache.memory_limit = megabytes(text).ok_or_else(|| {
                Failure::usage(format!("Invalid memory limit: {text} (a number of megabytes)"))
            })?;
            // In the library, 0 means no limit. In memcached, it means no memory.
            if cache.memory_limit == 0 {
                return Err(Failure::usage("Cannot set item size limit higher than 1/2 of memory max."));
            }
        }
        if let Some(text) = &self.max_item_size {
            cache.item_size_max =
                size(text).ok_or_else(|| Failure::usage(format!("Invalid max item size: {text}")))?;
        }
        if let Some(text) = &self.delimiter {
            let first = text.trim_start().bytes().next();
            cache.prefix_delimiter = first.ok_or_else(|| Failure::usage("No delimiter specified"))?;
            cache.detail_enabled = true;
        }
        if let Some(bytes) = environment.initial_malloc.as_deref().and_then(whole) {
            cache.initial_malloced = bytes;
        }
        cache.evictions &= !self.disable_evictions;
        cache.use_cas &= !self.disable_cas;
        cache.large_pages |= self.enable_largepages;
        Ok(())
    }

    fn set_server(
        &self,
        config: &mut ServerConfig,
        notes: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Failure> {
        if set(config, "threads", self.threads.as_ref(), int)? {
            config.cache.concurrency = config.threads;
        }
        if config.threads > MANY_THREADS {
            warnings.push(
                "WARNING: Setting a high number of worker threads is not recommended. Set this value to \
                 the number of cores in your machine or less."
                    .into(),
            );
        }
        set(config, "max_connections", self.conn_limit.as_ref(), int)?;
        set(config, "requests_per_event", self.max_reqs_per_event.as_ref(), int)?;
        if let Some(text) = &self.listen_backlog {
            config.backlog =
                whole(text).ok_or_else(|| Failure::usage(format!("Invalid listen backlog: {text}")))?;
        }
        if let Some(text) = &self.napi_ids {
            let ids: Option<i32> = whole(text).filter(|ids| *ids > 0);
            let line = "Maximum number of NAPI IDs must be greater than 0";
            config.reported.napi_ids = ids.ok_or_else(|| Failure::usage(line))? as u32;
            notes.push("-N has no effect: connections go to workers in turn".into());
        }
        if let Some(list) = &self.cluster_nodes {
            let read = list.split(',').map(str::parse).collect::<Result<_, ConfigError>>();
            config.cluster = read.map_err(|e| Failure::usage(e.to_string()))?;
        }
        for (name, value) in &self.rows {
            config.set(name, value.clone()).map_err(|e| Failure::usage(e.to_string()))?;
        }
        if let Some(file) = &self.memory_file {
            config.memory_file = Some(file.clone());
        }
        config.flush_enabled &= !self.disable_flush_all;
        config.dump_enabled &= !self.disable_dumping;
        config.watch_enabled &= !self.disable_watch;
        config.shutdown_enabled |= self.enable_shutdown;
        if !self.verbose.is_empty() {
            config.verbosity = self.verbose.len().min(3) as u8;
        }
        Ok(())
    }

    /// Sets the reported ports and the Unix socket. Returns the endpoints of TCP and of UDP.
    fn set_listen(&self, config: &mut ServerConfig) -> Result<(Vec<Endpoint>, Vec<Endpoint>), Failure> {
        let protocol = match self.protocol.as_deref().map(str::trim_start) {
            None => match config.auth.as_ref().map(|auth| auth.method) {
                None => Protocol::Negotiating,
                Some(AuthMethod::Sasl) => Protocol::Binary,
                // A proxy speaks the text protocols.
                Some(AuthMethod::Text) if config.proxy.is_some() => Protocol::Negotiating,
                Some(AuthMethod::Text) => Protocol::Ascii,
            },
            // memcached refuses it with authentication as well.
            Some("auto") if config.auth.is_some() => {
                return Err(Failure::usage("ERROR: -B auto cannot be used with authentication"));
            }
            Some("auto") => Protocol::Negotiating,
            Some("ascii") => Protocol::Ascii,
            Some("binary") => Protocol::Binary,
            Some(text) => {
                return Err(Failure::usage(format!(
                    "Invalid value for binding protocol: {text} -- should be one of auto, binary, or ascii"
                )));
            }
        };
        let udp = self.udp_port.as_deref().map(port).transpose()?.unwrap_or(Port::Off);
        let tcp = match &self.port {
            Some(text) => port(text)?,
            // `-U` without `-p` moves TCP as well.
            None if udp != Port::Off => udp,
            None => Port::At(DEFAULT_PORT),
        };
        if self.enable_ssl && tcp == Port::Off {
            return Err(Failure::usage("ERROR: You cannot enable SSL without a TCP port."));
        }
        config.listen.clear();
        config.reported.tcp_port = tcp.number();
        config.reported.udp_port = udp.number();
        config.reported.inter = None;
        for list in &self.listen {
            listen::join(&mut config.reported.inter, list.trim_start());
        }

        if let Some(path) = &self.unix_socket {
            let mask = match &self.unix_mask {
                Some(text) => octal(text).ok_or_else(|| {
                    Failure::usage(format!("Invalid access mask: {text} (an octal number)"))
                })?,
                None => DEFAULT_MASK,
            };
            config.listen.push(Listen::Unix { path: path.clone(), mask: mask & 0o777, protocol });
            return Ok(Default::default());
        }
        // A port in the list of `-l` applies to UDP as well.
        let list = config.reported.inter.as_deref();
        let tls = if self.enable_ssl { TlsMode::Default } else { TlsMode::Off };
        let has_proxy = config.proxy.is_some();
        let at = |port: Port| {
            let endpoint = Endpoint { host: Host::Loopback, port: port.number(), protocol, tls, tag: None };
            match (port, list) {
                (Port::Off, _) => Ok(Vec::new()),
                (_, Some(list)) => listen::parse(list, &endpoint, has_proxy),
                (_, None) => Ok(vec![endpoint]),
            }
        };
        let endpoints = at(tcp)?;
        let datagrams = at(udp)?;
        Ok((endpoints, datagrams))
    }
}

/// A value of `-p` or `-U`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// 0: do not listen.
    Off,
    /// -1: any free port.
    Free,
    At(u16),
}

impl Port {
    /// Returns the port number for `bind`, where 0 is any free port.
    fn number(self) -> u16 {
        match self {
            Self::Off | Self::Free => 0,
            Self::At(number) => number,
        }
    }
}

fn port(text: &str) -> Result<Port, Failure> {
    match whole::<i32>(text) {
        Some(-1) => Ok(Port::Free),
        Some(0) => Ok(Port::Off),
        number => number
            .and_then(|number| u16::try_from(number).ok())
            .map(Port::At)
            .ok_or_else(|| Failure::usage(format!("ERROR: Invalid port number {}.", text.trim()))),
    }
}

/// Sets a setting from the value of a flag, and returns whether the flag was given.
fn set(
    config: &mut ServerConfig,
    name: &str,
    flag: Option<&String>,
    read: fn(&str) -> Value,
) -> Result<bool, Failure> {
    let Some(text) = flag else { return Ok(false) };
    config.set(name, read(text)).map_err(|e| Failure::usage(e.to_string()))?;
    Ok(true)
}

/// Parses a number that fits memcached's `int`. As with `atoi`, another text is 0.
fn int(text: &str) -> Value {
    whole::<i32>(text).unwrap_or(0).into()
}

#[cfg(test)]
mod tests;
