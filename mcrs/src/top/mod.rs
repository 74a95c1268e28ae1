//! `mcrs top`: shows servers live.
//!
//! Threads ask the servers (`probe`) for samples (`sample`). They, the keyboard and signals
//! (`screen`) send events to the main thread, which changes the model (`model`) and draws it: the
//! model as tables of text (`sheet`), and those on a screen (`view`).

mod model;
mod probe;
mod sample;
mod screen;
mod sheet;
mod view;

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use clap::Args;
use memcache_core::internal::base::stderr::write_line;
use serde_json::{Value, json};

use self::model::{Model, News, Page, ServerModel, State};
use self::screen::{Input, Screen};
use self::sheet::{Sheet, totals};
use self::view::Theme;
use crate::client::{Patience, Server};
use crate::failure::{FILE, Failure, SERVER, USAGE};
use crate::print;
use crate::servers::{self, Reach};
use crate::text::{json, key_json};

/// Events that wait.
const AHEAD: usize = 64;

/// Shows servers live: rates, hit ratio, latency, memory, hot keys and slab classes
///
/// The server is 127.0.0.1:11211 if none is named. Rates are those since the last sample. ? shows
/// the keys of the keyboard. NO_COLOR in the environment turns colours off.
#[expect(clippy::doc_markdown, reason = "the help prints this text as it is")]
#[derive(Args, Debug)]
pub struct TopArguments {
    /// The servers
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Time between two samples
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = servers::seconds)]
    interval: Duration,
    /// The page to begin with
    #[arg(long, value_name = "PAGE", default_value = "servers")]
    page: Page,
    /// Take two samples, print the page, and end
    #[arg(long)]
    once: bool,
    /// Print an object of JSON for each sample of a server, one a line; with --once one a server
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An event for the main thread.
enum Happened {
    /// News of the server at an index.
    News(usize, News),
    Input(Input),
}

/// Runs `mcrs top`.
///
/// # Errors
/// Standard output is not a terminal, or with `--once` a server does not answer.
pub fn run(arguments: TopArguments) -> Result<(), Failure> {
    let TopArguments { servers, interval, page, once, json, reach } = arguments;
    let servers = reach.open(&servers, Patience::Whole)?;
    let mut model = Model::new(servers.iter().map(Server::name), interval, page);
    let (send, events) = sync_channel(AHEAD);
    if once {
        ask(servers, interval, &send)?;
        return show_once(&mut model, &events, json);
    }
    if json {
        ask(servers, interval, &send)?;
        return stream(&mut model, &events);
    }
    if !io::stdout().is_terminal() {
        let line = "standard output is not a terminal: use --once or --json";
        return Err(Failure::new(USAGE, line));
    }
    let fault = |e: io::Error| Failure::file("use", "the terminal", &e);
    let mut screen = Screen::open().map_err(fault)?;
    ask(servers, interval, &send)?;
    screen::listen(&send, Happened::Input).map_err(fault)?;
    let theme = Theme { color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    let end = show(&mut screen, &mut model, &events, theme).map_err(fault)?;
    drop(screen);
    if let Input::Signal(signal) = end {
        screen::end_by(signal);
    }
    Ok(())
}

/// Starts a thread for each server.
fn ask(servers: Vec<Server>, interval: Duration, send: &SyncSender<Happened>) -> Result<(), Failure> {
    let begun = Instant::now();
    for (index, server) in servers.into_iter().enumerate() {
        let event = move |news| Happened::News(index, news);
        probe::start(server, interval, begun, send.clone(), event)?;
    }
    Ok(())
}

/// Draws the model whenever something happens. Returns the input that ends the program.
fn show(
    screen: &mut Screen,
    model: &mut Model,
    events: &Receiver<Happened>,
    theme: Theme,
) -> io::Result<Input> {
    loop {
        screen.terminal.draw(|frame| view::draw(frame, model, theme))?;
        let Ok(first) = events.recv() else { return Ok(Input::Quit) };
        // Events that came together are drawn once.
        for event in std::iter::once(first).chain(events.try_iter().take(AHEAD)) {
            match event {
                Happened::News(index, news) => model.take(index, news),
                Happened::Input(Input::Key(key)) => model.press(key),
                Happened::Input(Input::Page(page)) => (model.page, model.scroll) = (page, 0),
                Happened::Input(Input::Draw) => {}
                Happened::Input(end) => return Ok(end),
            }
        }
    }
}

/// Prints what two samples of each server tell.
fn show_once(model: &mut Model, events: &Receiver<Happened>, json: bool) -> Result<(), Failure> {
    let mut samples = vec![0; model.servers.len()];
    while samples.iter().any(|count| *count < 2) {
        let Ok(event) = events.recv() else { return Err(Failure::new(FILE, "no server is asked")) };
        let Happened::News(index, news) = event else { continue };
        let Some(count) = samples.get_mut(index).filter(|count| **count < 2) else { continue };
        // One failure is enough.
        *count = if matches!(news, News::Down(_)) { 2 } else { *count + 1 };
        model.take(index, news);
    }
    let text = if json {
        model.servers.iter().map(object).collect()
    } else {
        let sheet = Sheet::new(model);
        if model.page == Page::Servers {
            totals(model).join("\n") + "\n" + &sheet.lines()
        } else {
            sheet.lines()
        }
    };
    print(&text)?;
    let down = model.servers.iter().filter_map(|server| match &server.state {
        State::Down(reason) => Some(reason),
        _ => None,
    });
    let mut end = Ok(());
    for reason in down {
        if end.is_ok() {
            end = Err(Failure::new(SERVER, &reason[..]));
        } else {
            write_line(&format!("mcrs: {reason}"));
        }
    }
    end
}

/// Prints a line for each sample that has rates, and for each failure.
fn stream(model: &mut Model, events: &Receiver<Happened>) -> Result<(), Failure> {
    while let Ok(event) = events.recv() {
        let Happened::News(index, news) = event else { continue };
        model.take(index, news);
        let server =
            model.servers.get(index).filter(|server| server.sample.is_none() || server.rates.is_some());
        if let Some(server) = server {
            print(&object(server))?;
        }
    }
    Ok(())
}

/// Returns what is known about a server as a line of JSON.
fn object(server: &ServerModel) -> String {
    let Some(sample) = &server.sample else {
        let error = if let State::Down(reason) = &server.state { Some(reason) } else { None };
        return json(&json!({ "server": server.name, "up": false, "error": error }));
    };
    let rates = server.rates.map(|rates| {
        json!({
            "gets": rates.gets,
            "hits": rates.hits,
            "misses": rates.misses,
            "sets": rates.sets,
            "deletes": rates.deletes,
            "touches": rates.touches,
            "evictions": rates.evictions,
            "bytes_read": rates.received,
            "bytes_written": rates.sent,
            "cpu": rates.cpu,
        })
    });
    let hot = sample.hot.as_ref().map(|hot| {
        let keys = hot.keys.iter().map(|key| {
            let (name, text) = key_json(&key.key);
            json!({ name: text, "reads": hot.rate(key.reads), "writes": hot.rate(key.writes) })
        });
        Value::Array(keys.collect())
    });
    let latency = sample.latency.as_ref().map(|all| {
        let one = |one: &sample::Latency| {
            json!({
                "command": one.command,
                "count": one.count,
                "p50_seconds": one.p50.as_secs_f64(),
                "p99_seconds": one.p99.as_secs_f64(),
                "p999_seconds": one.p999.as_secs_f64(),
            })
        };
        Value::Array(all.iter().map(one).collect())
    });
    json(&json!({
        "server": server.name,
        "up": true,
        "version": sample.stats.get("version"),
        "uptime": sample.number("uptime"),
        "round_trip_seconds": sample.round_trip.as_secs_f64(),
        "rates": rates,
        "hit_ratio": server.rates.and_then(|rates| rates.hit_ratio()),
        "items": sample.number("curr_items"),
        "bytes": sample.number("bytes"),
        "limit_bytes": sample.number("limit_maxbytes"),
        "connections": sample.number("curr_connections"),
        "evictions": sample.number("evictions"),
        "hot_keys": hot,
        "latency": latency,
    }))
}
