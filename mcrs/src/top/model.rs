//! The state of `mcrs top`: the last samples of the servers, rates from two samples of each, and
//! the choices of the user. It knows no terminal, no connection and no clock.

use std::collections::VecDeque;
use std::time::Duration;

use clap::ValueEnum;

use super::sample::Sample;
use crate::reply::Stats;

/// Samples that the history has.
const HISTORY: usize = 120;

/// News of a server.
#[derive(Debug)]
pub enum News {
    /// It answered.
    Sample(Box<Sample>),
    /// It did not, for this reason.
    Down(String),
}

/// A key that the user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Pause,
    NextPage,
    PreviousPage,
    NextSort,
    PreviousSort,
    Reverse,
    Help,
    /// Scrolls by this number of rows.
    Scroll(isize),
}

/// A page of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Page {
    Servers,
    #[value(name = "keys")]
    HotKeys,
    Latency,
    Slabs,
}

impl Page {
    /// All pages, in the order of the tabs.
    pub const ALL: [Self; 4] = [Self::Servers, Self::HotKeys, Self::Latency, Self::Slabs];

    /// Returns the title of the tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Servers => "Servers",
            Self::HotKeys => "Hot keys",
            Self::Latency => "Latency",
            Self::Slabs => "Slabs",
        }
    }

    /// Returns the position of the tab.
    pub fn position(self) -> usize {
        Self::ALL.iter().position(|page| *page == self).unwrap_or_default()
    }
}

/// The order of the rows of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column by which rows are sorted.
    pub column: usize,
    /// Whether the order is the other one.
    pub reverse: bool,
}

/// Whether a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its first answer has not come.
    Waiting,
    /// It answered.
    Up,
    /// It did not answer, for this reason.
    Down(String),
}

/// A server.
#[derive(Debug)]
pub struct ServerModel {
    /// The address.
    pub name: String,
    /// Whether it answers.
    pub state: State,
    /// Its last answer. A server that is down has none.
    pub sample: Option<Sample>,
    /// The rates between the last two answers, or `None` if there was one answer since the
    /// server started.
    pub rates: Option<Rates>,
    /// The last round trips.
    pub round_trips: VecDeque<Duration>,
}

/// The state of the program.
#[derive(Debug)]
pub struct Model {
    /// The servers, in the order of the command line.
    pub servers: Vec<ServerModel>,
    /// Time between two samples.
    pub interval: Duration,
    /// The page that is shown.
    pub page: Page,
    /// The order of each page.
    sorts: [Sort; Page::ALL.len()],
    /// Whether the screen stays as it is.
    pub paused: bool,
    /// Whether the help is shown.
    pub help: bool,
    /// Rows above the first one that is shown.
    pub scroll: usize,
    /// Gets, sets, deletes and touches a second of all servers, the oldest first.
    pub history: VecDeque<u64>,
}

impl Model {
    /// Returns the state before the first sample.
    pub fn new(names: impl IntoIterator<Item = String>, interval: Duration, page: Page) -> Self {
        let server = |name| ServerModel {
            name,
            state: State::Waiting,
            sample: None,
            rates: None,
            round_trips: VecDeque::new(),
        };
        let sort = |column| Sort { column, reverse: false };
        Self {
            servers: names.into_iter().map(server).collect(),
            interval,
            page,
            // Hot keys are sorted by their reads.
            sorts: [sort(0), sort(1), sort(0), sort(0)],
            paused: false,
            help: false,
            scroll: 0,
            history: VecDeque::new(),
        }
    }

    /// Takes news of the server at `index`. While the screen is paused, they are dropped.
    pub fn take(&mut self, index: usize, news: News) {
        let Some(server) = self.servers.get_mut(index).filter(|_| !self.paused) else { return };
        match news {
            News::Down(reason) => {
                (server.state, server.sample, server.rates) = (State::Down(reason), None, None);
                server.round_trips.clear();
            }
            News::Sample(sample) => {
                server.rates = server.sample.as_ref().and_then(|last| Rates::between(last, &sample));
                push(&mut server.round_trips, sample.round_trip);
                (server.state, server.sample) = (State::Up, Some(*sample));
            }
        }
        // The history has a step for each sample of the first server.
        if index == 0 {
            let operations = self.total(Rates::operations);
            push(&mut self.history, operations.unwrap_or_default().round() as u64);
        }
    }

    /// Changes what is shown.
    pub fn press(&mut self, key: Key) {
        let position = self.page.position();
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Help => self.help = !self.help,
            Key::NextPage => self.turn_to(position + 1),
            Key::PreviousPage => self.turn_to(position + Page::ALL.len() - 1),
            Key::Scroll(rows) => self.scroll = self.scroll.saturating_add_signed(rows),
            Key::NextSort | Key::PreviousSort | Key::Reverse => {
                if let Some(sort) = self.sorts.get_mut(position) {
                    match key {
                        Key::NextSort => sort.column = sort.column.wrapping_add(1),
                        Key::PreviousSort => sort.column = sort.column.wrapping_sub(1),
                        _ => sort.reverse = !sort.reverse,
                    }
                }
            }
        }
    }

    fn turn_to(&mut self, position: usize) {
        if let Some(page) = Page::ALL.get(position % Page::ALL.len()) {
            (self.page, self.scroll) = (*page, 0);
        }
    }

    /// Returns the order of the page that is shown, which has this number of columns.
    pub fn sort(&mut self, columns: usize) -> Sort {
        let Some(sort) = self.sorts.get_mut(self.page.position()) else {
            return Sort { column: 0, reverse: false };
        };
        // One step before the first column is the last one.
        sort.column =
            if sort.column == usize::MAX { columns.saturating_sub(1) } else { sort.column % columns.max(1) };
        *sort
    }

    /// Returns the sum of a rate, or `None` if no server has it.
    pub fn total(&self, rate: impl Fn(&Rates) -> Option<f64>) -> Option<f64> {
        let rates = self.servers.iter().filter_map(|server| rate(server.rates.as_ref()?));
        rates.fold(None, |sum, rate| Some(sum.unwrap_or_default() + rate))
    }

    /// Returns the sum of a number of `stats`.
    pub fn sum(&self, name: &str) -> u64 {
        let samples = self.servers.iter().filter_map(|server| server.sample.as_ref());
        samples.fold(0, |sum, sample| sum.saturating_add(sample.number(name)))
    }

    /// Returns how many servers answer.
    pub fn up(&self) -> usize {
        self.servers.iter().filter(|server| server.state == State::Up).count()
    }
}

fn push<T>(history: &mut VecDeque<T>, one: T) {
    if history.len() >= HISTORY {
        history.pop_front();
    }
    history.push_back(one);
}

/// The work of a server in a second, between two samples. A rate is `None` if its counter went
/// back, as after `stats reset`, or if the server does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub gets: Option<f64>,
    pub hits: Option<f64>,
    pub misses: Option<f64>,
    pub sets: Option<f64>,
    pub deletes: Option<f64>,
    pub touches: Option<f64>,
    pub evictions: Option<f64>,
    /// Bytes from clients.
    pub received: Option<f64>,
    /// Bytes to clients.
    pub sent: Option<f64>,
    /// Processors that were busy: 1 is one of them all the time.
    pub cpu: Option<f64>,
}

impl Rates {
    /// Returns the rates between two samples of a server, or `None` if it started between them.
    pub fn between(old: &Sample, new: &Sample) -> Option<Self> {
        let seconds = new.taken.checked_sub(old.taken).filter(|time| !time.is_zero())?.as_secs_f64();
        if old.number("pid") != new.number("pid") || old.number("uptime") > new.number("uptime") {
            return None;
        }
        let per_second = |from: u64, to: u64| Some(to.checked_sub(from)? as f64 / seconds);
        let rate = |name| per_second(old.stats.number(name)?, new.stats.number(name)?);
        let busy =
            |sample: &Sample| Some(sample.stats.float("rusage_user")? + sample.stats.float("rusage_system")?);
        let cpu = busy(old).zip(busy(new)).map(|(from, to)| (to - from) / seconds);
        let rates = Self {
            evictions: rate("evictions"),
            received: rate("bytes_read"),
            sent: rate("bytes_written"),
            cpu: cpu.filter(|cpu| *cpu >= 0.0),
            ..Self::default()
        };
        // The general statistics of a proxy have the requests for its own cache alone. A proxy does
        // not count hits.
        if let Some((old, new)) = old.proxy.as_ref().zip(new.proxy.as_ref()) {
            let count = |stats: &Stats, commands: &[&str]| {
                let counts = commands.iter().filter_map(|word| stats.number(&format!("cmd_{word}")));
                counts.fold(0, u64::saturating_add)
            };
            let rate = |commands: &[&str]| per_second(count(old, commands), count(new, commands));
            return Some(Self {
                gets: rate(&["get", "gets", "gat", "gats", "mg"]),
                sets: rate(&["set", "add", "replace", "append", "prepend", "cas", "ms"]),
                deletes: rate(&["delete", "md"]),
                touches: rate(&["touch"]),
                ..rates
            });
        }
        Some(Self {
            gets: rate("cmd_get"),
            hits: rate("get_hits"),
            misses: rate("get_misses"),
            sets: rate("cmd_set"),
            deletes: sum(rate("delete_hits"), rate("delete_misses")),
            touches: rate("cmd_touch"),
            ..rates
        })
    }

    /// Returns the rate of all operations on items.
    pub fn operations(&self) -> Option<f64> {
        [self.gets, self.sets, self.deletes, self.touches].into_iter().fold(None, sum)
    }

    /// Returns the share of gets that found their item, or `None` if there were none.
    pub fn hit_ratio(&self) -> Option<f64> {
        ratio(self.hits?, self.misses?)
    }
}

/// Returns the share of hits, or `None` if there were no gets.
pub fn ratio(hits: f64, misses: f64) -> Option<f64> {
    let gets = hits + misses;
    (gets > 0.0).then(|| hits / gets)
}

/// Returns the sum of the rates that are known.
fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A sample at a second, with these statistics.
    pub fn sample(second: u64, stats: &str) -> Sample {
        let mut sample = Sample { taken: Duration::from_secs(second), ..Sample::default() };
        sample.round_trip = Duration::from_micros(80);
        assert!(
            stats
                .split_whitespace()
                .all(|row| { sample.stats.push(format!("STAT {}", row.replace('=', " ")).as_bytes()) })
        );
        sample
    }

    pub fn model(names: &[&str]) -> Model {
        Model::new(names.iter().map(|name| (*name).to_owned()), Duration::from_secs(1), Page::Servers)
    }

    fn take(model: &mut Model, index: usize, second: u64, stats: &str) {
        model.take(index, News::Sample(Box::new(sample(second, stats))));
    }

    #[test]
    fn rates_need_two_samples() {
        let mut model = model(&["a", "b"]);
        take(&mut model, 0, 1, "pid=1 uptime=10 cmd_get=100 get_hits=80 get_misses=20 cmd_set=5");
        assert_eq!((model.servers[0].rates, model.total(|rates| rates.gets), model.up()), (None, None, 1));
        take(&mut model, 0, 3, "pid=1 uptime=12 cmd_get=300 get_hits=230 get_misses=70 cmd_set=9");
        let rates = model.servers[0].rates.unwrap_or_default();
        assert_eq!((rates.gets, rates.sets, rates.operations()), (Some(100.0), Some(2.0), Some(102.0)));
        assert_eq!((rates.hit_ratio(), rates.deletes, rates.cpu), (Some(0.75), None, None));
        take(&mut model, 1, 3, "pid=2 uptime=12 cmd_get=0");
        take(&mut model, 1, 4, "pid=2 uptime=13 cmd_get=50");
        assert_eq!((model.total(|rates| rates.gets), model.sum("cmd_get")), (Some(150.0), 350));
        assert_eq!(model.history, [0, 102]);
    }

    #[test]
    fn a_proxy_counts_the_requests_of_its_clients() {
        let proxy = |second: u64, requests: u64| {
            let mut own = sample(second, &format!("pid=1 uptime={second} cmd_get=9 get_hits=9 bytes_read=0"));
            let mut stats = Stats::default();
            for word in ["get", "mg", "gat", "ms", "md", "touch", "incr"] {
                assert!(stats.push(format!("STAT cmd_{word} {requests}").as_bytes()));
            }
            own.proxy = Some(stats);
            own
        };
        let rates = Rates::between(&proxy(1, 10), &proxy(2, 15)).unwrap_or_default();
        assert_eq!((rates.gets, rates.sets, rates.deletes), (Some(15.0), Some(5.0), Some(5.0)));
        assert_eq!((rates.touches, rates.hits, rates.received), (Some(5.0), None, Some(0.0)));
        let reset = Rates::between(&proxy(1, 10), &proxy(2, 0)).unwrap_or_default();
        assert_eq!(reset.gets, None);
    }

    #[test]
    fn a_restart_gives_no_rates() {
        let mut model = model(&["a"]);
        let started = "pid=1 uptime=100 cmd_get=1000";
        take(&mut model, 0, 1, started);
        take(&mut model, 0, 2, "pid=2 uptime=101 cmd_get=2000");
        assert_eq!(model.servers[0].rates, None, "another process");
        take(&mut model, 0, 3, "pid=2 uptime=0 cmd_get=3000");
        assert_eq!(model.servers[0].rates, None, "the same process number, started anew");
        take(&mut model, 0, 4, "pid=2 uptime=1 cmd_get=3010");
        assert_eq!(model.servers[0].rates.and_then(|rates| rates.gets), Some(10.0));
        take(&mut model, 0, 4, "pid=2 uptime=1 cmd_get=3020");
        assert_eq!(model.servers[0].rates, None, "no time has passed");
    }

    #[test]
    fn a_counter_that_goes_back_has_no_rate() {
        let mut model = model(&["a"]);
        take(
            &mut model,
            0,
            1,
            "pid=1 uptime=1 cmd_get=1000 cmd_set=7 bytes_read=0 rusage_user=2.0 rusage_system=0",
        );
        take(
            &mut model,
            0,
            2,
            "pid=1 uptime=2 cmd_get=3 cmd_set=9 bytes_read=x rusage_user=1.0 rusage_system=0",
        );
        let rates = model.servers[0].rates.unwrap_or_default();
        assert_eq!((rates.gets, rates.sets, rates.received, rates.cpu), (None, Some(2.0), None, None));
    }

    #[test]
    fn a_lost_server_forgets_what_it_told() {
        let mut model = model(&["a", "b"]);
        take(&mut model, 0, 1, "pid=1 uptime=1 curr_items=5");
        model.take(0, News::Down("gone".into()));
        assert_eq!((model.up(), model.sum("curr_items")), (0, 0));
        assert_eq!(model.servers[0].state, State::Down("gone".into()));
        take(&mut model, 0, 3, "pid=1 uptime=3 curr_items=6");
        assert_eq!((model.up(), model.servers[0].rates, model.sum("curr_items")), (1, None, 6));
        // An index that is none changes nothing.
        model.take(9, News::Down("gone".into()));
        assert_eq!(model.up(), 1);
    }

    #[test]
    fn keys_change_what_is_shown() {
        let mut model = model(&["a"]);
        model.press(Key::Pause);
        take(&mut model, 0, 1, "pid=1");
        assert_eq!(model.servers[0].state, State::Waiting);
        model.press(Key::Pause);
        take(&mut model, 0, 1, "pid=1");
        assert_eq!(model.servers[0].state, State::Up);
        let pages: Vec<_> = std::iter::repeat_with(|| {
            model.press(Key::NextPage);
            model.page
        })
        .take(4)
        .collect();
        assert_eq!(pages, [Page::HotKeys, Page::Latency, Page::Slabs, Page::Servers]);
        model.press(Key::PreviousPage);
        assert_eq!(model.page, Page::Slabs);
        model.press(Key::PreviousSort);
        assert_eq!(model.sort(5), Sort { column: 4, reverse: false });
        model.press(Key::NextSort);
        model.press(Key::Reverse);
        assert_eq!(model.sort(5), Sort { column: 0, reverse: true });
        model.press(Key::Scroll(3));
        model.press(Key::Scroll(-9));
        assert_eq!(model.scroll, 0);
    }

    #[test]
    fn the_history_has_an_end() {
        let mut model = model(&["a"]);
        for second in 1..500 {
            take(&mut model, 0, second, "pid=1");
        }
        assert_eq!((model.history.len(), model.servers[0].round_trips.len()), (HISTORY, HISTORY));
    }
}
