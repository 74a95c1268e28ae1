//! `mcp.log`, `mcp.log_req` and `mcp.log_reqsample`: lines for watchers.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use memcache_core::internal::base::watch::kind;
use memcache_core::internal::proxy::program::ServerView;
use mlua::{AnyUserData, Lua, LuaString, Result, Table, Value};

use crate::line;
use crate::object::{Request, value_of};
use crate::response::Response;
use crate::wait::Rank;
use crate::worker::{Shared, Worker};

/// Longest detail and longest request of a line.
const DETAIL_MAX: usize = 150;
const REQUEST_MAX: usize = 300;

/// A request, its response, a detail and the descriptor of the client.
type Logged = (AnyUserData, Value, Option<LuaString>, Option<i64>);

/// Milliseconds, a rate, whether errors are logged, and a [`Logged`].
type Sample = (i64, i64, Value, AnyUserData, Value, Option<LuaString>, Option<i64>);

/// Adds `mcp.log` of a configuration.
///
/// # Errors
/// If there is no memory.
pub fn add_to_configuration(lua: &Lua, mcp: &Table, server: &Arc<dyn ServerView>) -> Result<()> {
    let server = Arc::clone(server);
    let log = move |_: &Lua, text: LuaString| {
        server.event(kind::PROXYUSER, &line::user(&text.to_string_lossy()));
        Ok(())
    };
    mcp.set("log", lua.create_function(log)?)
}

/// Adds the functions of a worker.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, shared: &Shared) -> Result<()> {
    let state = Rc::clone(shared);
    let log = move |_: &Lua, text: LuaString| {
        state.borrow().line(kind::PROXYUSER, || line::user(&text.to_string_lossy()));
        Ok(())
    };
    mcp.set("log", lua.create_function(log)?)?;
    let state = Rc::clone(shared);
    let log = move |_: &Lua, (request, response, detail, fd): Logged| {
        let (request, response) = (value_of::<Request>(&request)?, read(&response));
        log_request(&state.borrow(), &request, response.as_ref(), detail.as_ref(), fd);
        Ok(())
    };
    mcp.set("log_req", lua.create_function(log)?)?;
    let state = Rc::clone(shared);
    let log = move |_: &Lua, (millis, rate, all_errors, request, response, detail, fd): Sample| {
        let (request, response) = (value_of::<Request>(&request)?, read(&response));
        let (status, elapsed) = response.as_ref().map_or((0, 0), |response| {
            let response = response.borrow();
            (response.status(), response.elapsed)
        });
        let mut worker = state.borrow_mut();
        let is_error = all_errors.as_boolean().unwrap_or(!all_errors.is_nil()) && status != 0;
        let micros = u64::try_from(millis).unwrap_or(0).saturating_mul(1000);
        let is_slow = micros > 0 && elapsed > micros;
        if is_error || is_slow || u64::try_from(rate).is_ok_and(|rate| worker.draw(rate)) {
            log_request(&worker, &request, response.as_ref(), detail.as_ref(), fd);
        }
        Ok(())
    };
    mcp.set("log_reqsample", lua.create_function(log)?)
}

/// The parts of a response that a line shows.
struct Shown {
    kind: u8,
    code: i64,
    status: i64,
    rank: Rank,
    elapsed: u64,
    backend: Option<String>,
}

fn read(response: &Value) -> Option<Rc<RefCell<Response>>> {
    response.as_userdata().and_then(|object| value_of(object).ok())
}

impl Shown {
    /// The parts of no response. As in memcached, its rank is good.
    const NONE: Self = Self { kind: 0, code: 0, status: 0, rank: Rank::Good, elapsed: 0, backend: None };

    fn new(response: &Response) -> Self {
        Self {
            kind: response.kind(),
            code: response.code(),
            status: response.status(),
            rank: response.rank(),
            elapsed: response.elapsed,
            backend: Some(response.backend.as_deref().unwrap_or("internal:0").to_owned()),
        }
    }
}

fn log_request(
    worker: &Worker,
    request: &RefCell<Request>,
    response: Option<&Rc<RefCell<Response>>>,
    detail: Option<&LuaString>,
    fd: Option<i64>,
) {
    worker.line(kind::PROXYREQS, || {
        let shown = response.map_or(Shown::NONE, |response| Shown::new(&response.borrow()));
        let detail = detail.map(LuaString::to_string_lossy).unwrap_or_default();
        text(&shown, fd.unwrap_or(0), &detail, &request.borrow())
    });
}

fn text(shown: &Shown, fd: i64, detail: &str, request: &Request) -> String {
    let rank = match shown.rank {
        Rank::Good => "good",
        Rank::Ok => "ok",
        Rank::Text | Rank::Error => "any",
    };
    let Shown { kind, code, status, rank: _, elapsed, backend } = shown;
    let backend = backend.as_deref().unwrap_or(":");
    let request = request.0.as_ref().map_or_else(Cow::default, |one| String::from_utf8_lossy(one.line()));
    line::one_line(format!(
        "type=proxy_req elapsed={elapsed} type={kind} code={code} status={status} res={rank} cfd={fd} be={backend} detail={} req={}",
        cut(detail, DETAIL_MAX),
        cut(&request, REQUEST_MAX),
    ))
}

/// Logs a request by the rules of its backend.
pub fn log_reply(worker: &Worker, request: &Request, response: &Response, rank: Rank, fd: i32, tag: &str) {
    worker.event(kind::PROXYREQS, || {
        let shown = Shown { rank, ..Shown::new(response) };
        text(&shown, fd.into(), tag, request)
    });
}

/// Returns the start of a text.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
