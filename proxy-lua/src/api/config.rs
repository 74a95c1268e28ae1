//! Functions of a configuration: `backend`, `pool`, and settings for both and for all workers.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use memcache_core::internal::proxy::bounds::Bounds;
use memcache_core::internal::proxy::program::ServerView;
use memcache_core::internal::tls::{ClientFiles, ClientRules, client_rules};
use mlua::{AnyUserData, Lua, LuaString, Result, Table, Value, Variadic};

use super::error;
use super::hashing::KeyMap;
use crate::pool::{Backend, BackendObject, LogRules, Pool, PoolObject};

/// Most connections of a worker to one backend.
const CONNECTIONS_MAX: i64 = 8;

/// The fault of a program that asks for TLS too early.
const NO_TLS: &str = "TLS requested but not initialized: call mcp.init_tls()";

/// The line about TLS without verification.
const UNVERIFIED: &str = "PROXY WARNING: mcp.init_tls: certificates of backends are not verified";

/// TLS as memcached's proxy has it.
const TLS: ClientFiles = ClientFiles { ca: None, identity: None, server_name: None };

/// Longest label, host and port.
const LENGTHS: [(&str, usize); 3] = [("label", 512), ("name", 255), ("port", 6)];

/// The settings that a configuration makes for all workers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bounds of backends that have none of their own.
    pub bounds: Bounds,
    /// The rules of TLS, once the program has asked for them.
    pub rules: Option<Arc<ClientRules>>,
    /// Most requests under way, of all workers together. 0 for no limit.
    pub active_limit: u64,
    /// Most bytes that requests and replies hold, of all workers together. 0 for no limit.
    pub memory_limit: u64,
    /// How much memory grows before garbage is collected.
    pub gc_ratio: f64,
    /// Whether a reload was asked for.
    pub wants_reload: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            rules: None,
            active_limit: 0,
            memory_limit: 0,
            gc_ratio: 2.0,
            wants_reload: false,
        }
    }
}

type Shared = Rc<RefCell<Settings>>;

type SetTime = fn(&mut Bounds, Duration);

type SetLimit = fn(&mut Settings, u64);

/// Adds the functions.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, settings: &Shared, server: &Arc<dyn ServerView>) -> Result<()> {
    let shared = Rc::clone(settings);
    mcp.set(
        "backend",
        lua.create_function(move |lua, arguments: Variadic<Value>| {
            let settings = shared.borrow().clone();
            new_backend(lua, &arguments, &settings).map(BackendObject)
        })?,
    )?;
    let shared = Rc::clone(settings);
    mcp.set(
        "pool",
        lua.create_function(move |lua, (list, options): (Table, Option<Table>)| {
            let option = options.as_ref().map(|table| table.get("iothread")).transpose()?.flatten();
            let is_shared = option.unwrap_or(shared.borrow().bounds.shared);
            let mut backends = Vec::new();
            for backend in list.sequence_values::<AnyUserData>() {
                let mut backend = backend?.borrow::<BackendObject>()?.0.clone();
                backend.bounds.shared = is_shared;
                backends.push(backend);
            }
            let prefix: Option<String> =
                options.as_ref().map(|table| table.get("beprefix")).transpose()?.flatten();
            if backends.is_empty() {
                return Err(error("pool must have at least one backend"));
            }
            let nodes: Vec<_> = backends.iter().map(Backend::node).collect();
            let keys = KeyMap::new(lua, &lua.globals().get("mcp")?, &nodes, options.as_ref())?;
            let pool = Pool::new(backends, prefix.unwrap_or_default(), keys);
            Ok(PoolObject(Arc::new(pool)))
        })?,
    )?;
    add_bounds(lua, mcp, settings)?;
    add_tls(lua, mcp, settings, server)?;
    add_limits(lua, mcp, settings)
}

fn add_bounds(lua: &Lua, mcp: &Table, settings: &Shared) -> Result<()> {
    let seconds: [(&str, SetTime); 5] = [
        ("backend_connect_timeout", |bounds, time| bounds.connect_timeout = time),
        ("backend_read_timeout", |bounds, time| bounds.read_timeout = time),
        ("backend_retry_waittime", |bounds, time| bounds.retry = whole(time)),
        ("backend_retry_timeout", |bounds, time| bounds.retry = whole(time)),
        ("backend_flap_backoff_max", |bounds, time| bounds.flap_max = time),
    ];
    for (name, set) in seconds {
        let shared = Rc::clone(settings);
        let function = move |_: &Lua, time: f64| {
            set(&mut shared.borrow_mut().bounds, duration(name, time)?);
            Ok(())
        };
        mcp.set(name, lua.create_function(function)?)?;
    }
    let shared = Rc::clone(settings);
    let flap_time = move |_: &Lua, time: f64| {
        let time = duration("backend_flap_time", time)?;
        shared.borrow_mut().bounds.flap_time = Some(time).filter(|time| !time.is_zero());
        Ok(())
    };
    mcp.set("backend_flap_time", lua.create_function(flap_time)?)?;
    let shared = Rc::clone(settings);
    let ramp = move |_: &Lua, ramp: f64| {
        shared.borrow_mut().bounds.flap_ramp = ramp.max(1.1);
        Ok(())
    };
    mcp.set("backend_flap_backoff_ramp", lua.create_function(ramp)?)?;
    let shared = Rc::clone(settings);
    let failures = move |_: &Lua, limit: i64| {
        let limit = u32::try_from(limit).map_err(|_| error("backend_failure_limit must be >= 0"))?;
        shared.borrow_mut().bounds.failure_limit = limit;
        Ok(())
    };
    mcp.set("backend_failure_limit", lua.create_function(failures)?)?;
    let shared = Rc::clone(settings);
    let depth = move |_: &Lua, limit: i64| {
        let limit = usize::try_from(limit).map_err(|_| error("backend_depth_limit must be >= 0"))?;
        shared.borrow_mut().bounds.depth_limit = limit;
        Ok(())
    };
    mcp.set("backend_depth_limit", lua.create_function(depth)?)?;
    let shared = Rc::clone(settings);
    let io_thread = move |_: &Lua, wanted: bool| {
        shared.borrow_mut().bounds.shared = wanted;
        Ok(())
    };
    mcp.set("backend_use_iothread", lua.create_function(io_thread)?)?;
    // The system keeps connections alive.
    mcp.set("tcp_keepalive", lua.create_function(|_, _: Variadic<Value>| Ok(()))?)
}

/// Adds `init_tls` and `backend_use_tls`.
fn add_tls(lua: &Lua, mcp: &Table, settings: &Shared, server: &Arc<dyn ServerView>) -> Result<()> {
    let (shared, server) = (Rc::clone(settings), Arc::clone(server));
    let init = move |_: &Lua, ()| {
        shared.borrow_mut().rules = Some(client_rules(&TLS, Path::new("")).map_err(error)?);
        server.log(UNVERIFIED);
        Ok(())
    };
    mcp.set("init_tls", lua.create_function(init)?)?;
    let shared = Rc::clone(settings);
    let tls = move |_: &Lua, wanted: bool| {
        let mut settings = shared.borrow_mut();
        if wanted && settings.rules.is_none() {
            return Err(error(NO_TLS));
        }
        settings.bounds.tls = wanted.then_some(TLS);
        Ok(())
    };
    mcp.set("backend_use_tls", lua.create_function(tls)?)
}

fn add_limits(lua: &Lua, mcp: &Table, settings: &Shared) -> Result<()> {
    let limits: [(&str, SetLimit); 2] = [
        ("active_req_limit", |settings, limit| settings.active_limit = limit),
        ("buffer_memory_limit", |settings, limit| settings.memory_limit = limit.saturating_mul(1024)),
    ];
    for (name, set) in limits {
        let shared = Rc::clone(settings);
        let function = move |_: &Lua, limit: i64| {
            let limit = u64::try_from(limit).map_err(|_| error(format!("{name} must be >= 0")))?;
            set(&mut shared.borrow_mut(), limit);
            Ok(())
        };
        mcp.set(name, lua.create_function(function)?)?;
    }
    let shared = Rc::clone(settings);
    let ratio = move |_: &Lua, ratio: f64| {
        shared.borrow_mut().gc_ratio = ratio.max(1.1);
        Ok(())
    };
    mcp.set("luagc_ratio", lua.create_function(ratio)?)?;
    let shared = Rc::clone(settings);
    let reload = move |_: &Lua, (): ()| {
        shared.borrow_mut().wants_reload = true;
        Ok(())
    };
    mcp.set("schedule_config_reload", lua.create_function(reload)?)
}

/// Returns a pause of at least one second, without a fraction.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().max(1))
}

fn duration(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| error(format!("{name} must be >= 0")))
}

/// `mcp.backend(label, host, port)` or `mcp.backend{ ... }`.
fn new_backend(lua: &Lua, arguments: &[Value], settings: &Settings) -> Result<Backend> {
    let mut bounds = settings.bounds.clone();
    let (texts, options) = match arguments {
        [Value::Table(table), ..] => {
            let texts = [table.get("label")?, table.get("host")?, table.get("port")?];
            (texts, Some(table.clone()))
        }
        _ => {
            let text = |at: usize| arguments.get(at).cloned().unwrap_or(Value::Nil);
            ([text(0), text(1), text(2)], None)
        }
    };
    let mut read = Vec::new();
    for (text, (name, (long, most))) in
        texts.into_iter().zip(["label", "host", "port"].into_iter().zip(LENGTHS))
    {
        let text = lua.coerce_string(text)?;
        let text = text.ok_or_else(|| error(format!("backend must have a {name} argument")))?;
        let text = text.to_string_lossy();
        if text.len() > most {
            return Err(error(format!("backend {long} too long")));
        }
        read.push(text);
    }
    let mut texts = read.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    let (label, host, port) = (next(), next(), next());
    let (mut is_down, mut log) = (false, None);
    if let Some(table) = options {
        read_bounds(&table, &mut bounds)?;
        is_down = table.get::<Option<bool>>("down")?.unwrap_or(false);
        log = match table.get("log")? {
            Value::Nil => None,
            Value::Table(rules) => Some(log_rules(&rules)?),
            _ => return Err(error("backend log option must be a table")),
        };
    }
    let rules = settings.rules.clone().filter(|_| bounds.tls.is_some());
    if bounds.tls.is_some() && rules.is_none() {
        return Err(error(NO_TLS));
    }
    Ok(Backend { label, host, port, bounds, rules, is_down, log })
}

fn read_bounds(table: &Table, bounds: &mut Bounds) -> Result<()> {
    let seconds: [(&str, SetTime); 6] = [
        ("connecttimeout", |bounds, time| bounds.connect_timeout = time),
        ("readtimeout", |bounds, time| bounds.read_timeout = time),
        ("retrytimeout", |bounds, time| bounds.retry = whole(time)),
        ("retrywaittime", |bounds, time| bounds.retry = whole(time)),
        ("flapbackoffmax", |bounds, time| bounds.flap_max = time),
        ("flaptime", |bounds, time| bounds.flap_time = Some(time).filter(|time| !time.is_zero())),
    ];
    for (name, set) in seconds {
        if let Some(time) = table.get::<Option<f64>>(name)? {
            set(bounds, duration(name, time)?);
        }
    }
    if let Some(wanted) = table.get::<Option<bool>>("tls")? {
        bounds.tls = wanted.then_some(TLS);
    }
    if let Some(ramp) = table.get::<Option<f64>>("flapbackofframp")? {
        bounds.flap_ramp = ramp.max(1.1);
    }
    if let Some(limit) = table.get::<Option<i64>>("failurelimit")? {
        bounds.failure_limit = u32::try_from(limit).map_err(|_| error("failurelimit must be >= 0"))?;
    }
    if let Some(limit) = table.get::<Option<i64>>("depthlimit")? {
        bounds.depth_limit = usize::try_from(limit).map_err(|_| error("depthlimit must be >= 0"))?;
    }
    if let Some(count) = table.get::<Option<i64>>("connections")? {
        bounds.connections = match count {
            ..0 => return Err(error("backend connections argument must be >= 0")),
            0..=CONNECTIONS_MAX => count.max(1) as usize,
            _ => return Err(error("backend connections argument must be <= 8")),
        };
    }
    Ok(())
}

fn log_rules(table: &Table) -> Result<LogRules> {
    let deadline: i64 = table.get::<Option<i64>>("deadline")?.unwrap_or(0);
    let rate: i64 = table.get::<Option<i64>>("rate")?.unwrap_or(0);
    let tag: Option<LuaString> = table.get("tag")?;
    Ok(LogRules {
        deadline: u64::try_from(deadline).map_err(|_| error("backend log deadline must be >= 0"))?,
        rate: u32::try_from(rate).map_err(|_| error("backend log sample rate must be >= 0"))?,
        errors: table.get::<Option<bool>>("errors")?.unwrap_or(false),
        tag: tag.map(|tag| tag.to_string_lossy()).unwrap_or_default(),
    })
}
