//! Two sessions on one store. Their input comes in turns and their replies may stay unread, while
//! the clock moves and the limit changes. Each reply must have been true at some time between the
//! first and the last byte of its command.

#![no_main]

use std::collections::VecDeque;
use std::rc::Rc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memcache_core::internal::cache::{Request, StoreOperation, StoreValue};
use memcache_core::internal::config::MIB;
use memcache_core::internal::protocol::output::Output;
use memcache_core::internal::session::{Env, Next, Session};
use memcache_core::internal::state::ServerState;
use memcache_core::{Cache, CacheConfig, EvictionPolicy, Protocol, ServerConfig};
use memcache_fuzz::{How, Steps};

#[derive(Arbitrary, Debug)]
struct Settings {
    memory: u8,
    shards: u8,
    policy: u8,
    output: u8,
}

#[derive(Arbitrary, Debug)]
enum Op {
    /// Appends a command to this client's unsent input.
    Say {
        second: bool,
        command: Command,
    },
    Send {
        second: bool,
        part: Part,
        direct: bool,
    },
    Read {
        second: bool,
        part: Part,
    },
    Advance(u8),
    Limit(u8),
    Crawl(u8),
    Tidy(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Part {
    Bytes(u8),
    KiB(u8),
    All,
}

impl Part {
    fn get(self) -> usize {
        match self {
            Self::Bytes(bytes) => usize::from(bytes) + 1,
            Self::KiB(kib) => usize::from(kib) * 1024,
            Self::All => usize::MAX,
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Command {
    Get {
        keys: u8,
        with_cas: bool,
    },
    Store {
        key: u8,
        how: How,
        length: Length,
        ttl: u8,
        meta: bool,
    },
    Number {
        key: u8,
        length: Length,
    },
    Cas {
        key: u8,
        cas: u8,
        length: Length,
    },
    Delta {
        key: u8,
        delta: u8,
        down: bool,
    },
    Touch {
        key: u8,
        ttl: u8,
    },
    Delete {
        key: u8,
        meta: bool,
    },
    MetaGet {
        key: u8,
    },
    /// If the number is small, flushes all values; otherwise gets all.
    Flush(u8),
}

/// Up to 300 KB.
type Length = memcache_fuzz::Length<20, 300_000>;

const KEYS: [&str; 4] = ["a", "key-b", "a-longer-key-c", "d"];

/// Bytes of commands in a run.
const SAID: usize = 12 * MIB;

fn index(key: u8) -> usize {
    usize::from(key) % KEYS.len()
}

/// The second of the clock at which an item expires, from the earliest to the latest. 0 means
/// never.
type Expiry = (u32, u32);

/// The request of a command, as the model sees it.
enum Asked {
    Get { keys: Vec<usize>, with_cas: bool },
    MetaGet { key: usize },
    Store { key: usize, how: How, value: Vec<u8>, flags: u32, ttl: u32, meta: bool },
    Cas { key: usize, cas: u64, value: Vec<u8>, flags: u32 },
    Delta { key: usize, delta: u64, down: bool },
    Touch { key: usize, ttl: u32 },
    Delete { key: usize, meta: bool },
    Flush,
}

/// A moment: its number, and the second of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
    number: u32,
    second: u32,
}

/// A command that was sent and not answered yet.
struct Sent {
    asked: Asked,
    serial: u32,
    /// Where it begins and ends in the whole input of its client.
    range: (usize, usize),
    /// When its first byte was sent.
    begun: Option<Time>,
    /// When its last byte was used.
    done: Option<Time>,
}

struct Client {
    session: Session,
    out: Output,
    /// Bytes that are still to be sent, and bytes that were sent but not used.
    unsent: VecDeque<u8>,
    input: Vec<u8>,
    said: usize,
    sent: usize,
    used: usize,
    commands: Vec<Sent>,
    answers: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        Self {
            session: Session::new(Protocol::Negotiating),
            out: Output::new(),
            unsent: VecDeque::new(),
            input: Vec::new(),
            said: 0,
            sent: 0,
            used: 0,
            commands: Vec::new(),
            answers: Vec::new(),
        }
    }
}

struct World {
    context: ServerState,
    clients: [Client; 2],
    moments: u32,
    serial: u32,
}

impl World {
    fn new(settings: &Settings) -> Self {
        let cache = CacheConfig {
            memory_limit: [2, 4, 16, 64][usize::from(settings.memory % 4)] * MIB,
            item_size_max: MIB,
            slab_chunk_max: MIB / 4,
            shards: Some(1 << (settings.shards % 3)),
            eviction_policy: EvictionPolicy::ALL[usize::from(settings.policy) % EvictionPolicy::ALL.len()],
            lru_crawler: false,
            ..CacheConfig::default()
        };
        let cache = Cache::new(cache).expect("a cache");
        cache.clock().freeze();
        let mut config = ServerConfig { threads: 1, ..ServerConfig::default() };
        config.output_limit = [512, 20_000, 400_000, config.output_limit][usize::from(settings.output % 4)];
        let context = ServerState::new(cache, config).expect("a context");
        Self { context, clients: [Client::new(), Client::new()], moments: 0, serial: 0 }
    }

    fn time(&mut self) -> Time {
        self.moments += 1;
        Time { number: self.moments, second: self.context.cache.clock().now() }
    }

    fn say(&mut self, who: usize, command: &Command) {
        if self.clients[0].said + self.clients[1].said > SAID {
            return;
        }
        self.serial += 1;
        let (asked, bytes) = ask(command, self.serial);
        let client = &mut self.clients[who];
        let range = (client.said, client.said + bytes.len());
        client.said = range.1;
        client.unsent.extend(bytes);
        client.commands.push(Sent { asked, serial: self.serial, range, begun: None, done: None });
    }

    fn send(&mut self, who: usize, part: usize, direct: bool) {
        let time = self.time();
        let client = &mut self.clients[who];
        let mut part = part.min(client.unsent.len());
        client.sent += part;
        for command in client.commands.iter_mut().filter(|command| command.range.0 < client.sent) {
            command.begun.get_or_insert(time);
        }
        // As a connection does: only if no unused input was read.
        if direct
            && client.input.is_empty()
            && let Some(target) = client.session.value_target()
        {
            let n = part.min(target.len());
            target[..n].iter_mut().zip(client.unsent.drain(..n)).for_each(|(to, byte)| *to = byte);
            client.session.value_filled(n);
            client.used += n;
            part -= n;
        }
        client.input.extend(client.unsent.drain(..part));
        self.advance(who);
    }

    fn advance(&mut self, who: usize) {
        loop {
            let client = &mut self.clients[who];
            let before = client.out.len();
            let mut env = Env::new(&self.context, &self.context.workers[0], 9, 20);
            let step = client.session.advance(&mut env, &client.input, &mut client.out);
            assert!(step.consumed <= client.input.len(), "more was used than there is");
            client.input.drain(..step.consumed);
            client.used += step.consumed;
            let progress = step.consumed > 0 || client.out.len() > before;
            let used = client.used;
            for n in 0..self.clients[who].commands.len() {
                let command = &self.clients[who].commands[n];
                if command.done.is_none() && command.range.1 <= used {
                    self.clients[who].commands[n].done = Some(self.time());
                }
            }
            match step.next {
                Next::Input => return,
                Next::Yield if progress => {}
                Next::Yield => return,
                next => panic!("the session ended: {next:?}"),
            }
        }
    }

    fn read(&mut self, who: usize, mut part: usize) {
        let client = &mut self.clients[who];
        while part > 0 && !client.out.is_empty() {
            let n = client.out.write_some(&mut client.answers, part).expect("a vector takes all");
            assert!(n > 0, "nothing is sent");
            part -= n;
        }
        self.advance(who);
    }

    fn run(&mut self, op: &Op) {
        let store = self.context.cache.store();
        match *op {
            Op::Say { second, ref command } => self.say(second.into(), command),
            Op::Send { second, part, direct } => self.send(second.into(), part.get(), direct),
            Op::Read { second, part } => self.read(second.into(), part.get()),
            Op::Advance(seconds) => {
                // At most as far as the clock can go.
                let _ = self.context.cache.clock().advance(i64::from(seconds % 16));
            }
            Op::Limit(sixteenths) => {
                store.set_limit((16 + usize::from(sixteenths % 64)) * MIB / 16);
            }
            Op::Crawl(shard) => {
                store.crawl(usize::from(shard) % store.shard_count(), 0, 1000, u64::MAX, |_| ());
            }
            Op::Tidy(shard) => store.shrink_to_limit(usize::from(shard) % store.shard_count()),
        }
    }

    /// Sends all remaining input and reads all replies.
    fn finish(&mut self) {
        for who in 0..2 {
            loop {
                let client = &self.clients[who];
                let left = (client.unsent.len(), client.input.len(), client.out.len());
                if left == (0, 0, 0) {
                    break;
                }
                self.send(who, usize::MAX, false);
                self.read(who, usize::MAX);
                let client = &self.clients[who];
                let now = (client.unsent.len(), client.input.len(), client.out.len());
                assert!(now == (0, 0, 0) || now != left, "the session stands still");
            }
        }
    }
}

/// Returns the value of a command: the command's number, and letters.
fn fill(serial: u32, length: usize) -> Vec<u8> {
    let mut value = format!("<{serial}>").into_bytes();
    let letter = |at: usize| b'a' + ((serial as usize * 31 + at * 7) >> 3) as u8 % 26;
    value.extend((value.len()..length).map(letter));
    value
}

/// Returns the request, and its bytes.
fn ask(command: &Command, serial: u32) -> (Asked, Vec<u8>) {
    let line = |line: String, value: &[u8]| [line.as_bytes(), value, b"\r\n"].concat();
    let plain = |text: String| format!("{text}\r\n").into_bytes();
    match *command {
        Command::Get { keys, with_cas } => {
            let mut keys: Vec<_> = (0..KEYS.len()).filter(|key| keys >> key & 1 == 1).collect();
            if keys.is_empty() {
                keys.push(0);
            }
            let names: Vec<_> = keys.iter().map(|&key| KEYS[key]).collect();
            let word = if with_cas { "gets" } else { "get" };
            (Asked::Get { keys, with_cas }, plain(format!("{word} {}", names.join(" "))))
        }
        Command::MetaGet { key } => {
            let key = index(key);
            (Asked::MetaGet { key }, plain(format!("mg {} v f c O{serial}", KEYS[key])))
        }
        Command::Store { key, how, length, ttl, meta } => {
            let (key, value, ttl) =
                (index(key), fill(serial, length.get()), u32::from(ttl.saturating_sub(192)));
            let length = value.len();
            let name = KEYS[key];
            let (word, mode) = match how {
                How::Set => ("set", 'S'),
                How::Add => ("add", 'E'),
                How::Replace => ("replace", 'R'),
                How::Append => ("append", 'A'),
                How::Prepend => ("prepend", 'P'),
            };
            let head = if meta {
                format!("ms {name} {length} M{mode} F{serial} T{ttl} O{serial}\r\n")
            } else {
                format!("{word} {name} {serial} {ttl} {length}\r\n")
            };
            let bytes = line(head, &value);
            (Asked::Store { key, how, value, flags: serial, ttl, meta }, bytes)
        }
        Command::Number { key, length } => {
            let (key, mut value) = (index(key), (u64::from(serial) * 100_000).to_string().into_bytes());
            value.resize(value.len().max(length.get()), b' ');
            let bytes = line(format!("set {} {serial} 0 {}\r\n", KEYS[key], value.len()), &value);
            (Asked::Store { key, how: How::Set, value, flags: serial, ttl: 0, meta: false }, bytes)
        }
        Command::Cas { key, cas, length } => {
            let (key, cas, value) = (index(key), u64::from(cas % 32) + 1, fill(serial, length.get()));
            let bytes = line(format!("cas {} {serial} 0 {} {cas}\r\n", KEYS[key], value.len()), &value);
            (Asked::Cas { key, cas, value, flags: serial }, bytes)
        }
        Command::Delta { key, delta, down } => {
            let (key, delta, word) = (index(key), u64::from(delta), if down { "decr" } else { "incr" });
            (Asked::Delta { key, delta, down }, plain(format!("{word} {} {delta}", KEYS[key])))
        }
        Command::Touch { key, ttl } => {
            let (key, ttl) = (index(key), u32::from(ttl.saturating_sub(192)));
            (Asked::Touch { key, ttl }, plain(format!("touch {} {ttl}", KEYS[key])))
        }
        Command::Delete { key, meta } => {
            let key = index(key);
            let text =
                if meta { format!("md {} O{serial}", KEYS[key]) } else { format!("delete {}", KEYS[key]) };
            (Asked::Delete { key, meta }, plain(text))
        }
        Command::Flush(often) if often >= 32 => ask(&Command::Get { keys: 15, with_cas: true }, serial),
        Command::Flush(_) => (Asked::Flush, plain("flush_all".to_owned())),
    }
}

/// A value that was stored, at a known moment.
struct Write {
    at: u32,
    value: Rc<Vec<u8>>,
    flags: u32,
    /// Its expiries, and the moment of each.
    expiries: Vec<(u32, Expiry)>,
    /// The CAS, if a reply contained it.
    cas: Option<u64>,
}

impl Write {
    /// Returns its expiries at some moment of `from` to `to`.
    fn expiries(&self, from: u32, to: u32) -> impl Iterator<Item = Expiry> {
        let first = self.expiries.iter().rposition(|&(at, _)| at < from).unwrap_or(0);
        self.expiries[first..].iter().take_while(move |&&(at, _)| at <= to).map(|&(_, expiry)| expiry)
    }
}

/// The history of a key, from the replies.
#[derive(Default)]
struct History {
    writes: Vec<Write>,
    /// Pairs of moments between which the key was without a value, at least once.
    gone: Vec<(u32, u32)>,
    /// The same for misses, with the second of the clock at each moment.
    missed: Vec<(Time, Time)>,
}

impl History {
    /// Returns the values that a command from `begun` to `done` may have met.
    fn met(&self, begun: Time, done: Time) -> impl Iterator<Item = usize> {
        let replaced = move |write: &Write| {
            let after = |&(from, to): &(u32, u32)| from > write.at && to < begun.number;
            let seen = |&(from, to): &(Time, Time)| after(&(from.number, to.number));
            self.writes.iter().any(|other| other.at > write.at && other.at < begun.number)
                || self.gone.iter().any(after)
                || self.missed.iter().any(seen)
        };
        let alive = move |write: &Write| {
            write.expiries(begun.number, done.number).any(|(_, last)| last == 0 || last > begun.second)
        };
        let may = move |write: &Write| write.at <= done.number && !replaced(write) && alive(write);
        (0..self.writes.len()).filter(move |&n| may(&self.writes[n]))
    }

    /// Returns the value that a command met at one moment.
    fn current(&self, at: Time) -> usize {
        self.met(at, at).last().expect("a value that cannot be there")
    }

    fn write(&mut self, at: Time, value: Vec<u8>, flags: u32, expiry: Expiry) {
        let expiries = vec![(at.number, expiry)];
        self.writes.push(Write { at: at.number, value: Rc::new(value), flags, expiries, cas: None });
    }

    fn hit(&mut self, begun: Time, done: Time, value: &[u8], flags: u32, cas: Option<u64>) {
        let same = |n: &usize| {
            let write = &self.writes[*n];
            let known = write.cas.is_none() || cas.is_none() || write.cas == cas;
            known && write.flags == flags && *write.value == value
        };
        let found: Vec<_> = self.met(begun, done).filter(same).collect();
        let start = String::from_utf8_lossy(&value[..value.len().min(20)]);
        assert!(!found.is_empty(), "{} bytes, {start:?}, are a value that cannot be there", value.len());
        if let ([n], Some(_)) = (&found[..], cas) {
            self.writes[*n].cas = cas;
        }
    }

    fn miss(&mut self, begun: Time, done: Time) {
        self.missed.push((begun, done));
    }

    /// Checks that each miss had a reason, if nothing is evicted.
    fn check_misses(&self) {
        for &(begun, done) in &self.missed {
            let Some(last) = self.writes.iter().rposition(|write| write.at < begun.number) else { continue };
            let since = self.writes[last].at;
            let gone = self.gone.iter().any(|&(from, to)| to > since && from <= done.number);
            let expired = self.writes[last..].iter().filter(|write| write.at <= done.number).any(|write| {
                write.expiries(begun.number, done.number).any(|(first, _)| first != 0 && first <= done.second)
            });
            assert!(gone || expired, "a miss without a reason");
        }
    }
}

/// The replies of a client, from first to last.
struct Answers<'a>(&'a [u8]);

impl<'a> Answers<'a> {
    fn line(&mut self) -> &'a str {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n").expect("a line");
        let (line, rest) = (&self.0[..end], &self.0[end + 2..]);
        self.0 = rest;
        std::str::from_utf8(line).expect("text")
    }

    fn value(&mut self, length: usize) -> &'a [u8] {
        let (value, rest) = self.0.split_at(length);
        self.0 = rest.strip_prefix(b"\r\n").expect("a line end behind a value");
        value
    }
}

fn parse<T: std::str::FromStr>(word: Option<&str>) -> T {
    word.and_then(|word| word.parse().ok()).expect("a number")
}

/// Parses the number at the start of a value: digits, then its end or a blank.
fn number(value: &[u8]) -> Option<u64> {
    let end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok()?.parse().ok()
}

/// Reads a command's reply, and adds its facts to the histories.
fn check(sent: &Sent, begun: Time, done: Time, answers: &mut Answers<'_>, keys: &mut [History; KEYS.len()]) {
    let gone = (begun.number, done.number);
    let expiry = |ttl: u32| if ttl == 0 { (0, 0) } else { (begun.second + ttl, done.second + ttl) };
    match &sent.asked {
        Asked::Get { keys: asked, with_cas } => {
            let mut left = asked.iter();
            loop {
                let line = answers.line();
                if line == "END" {
                    break;
                }
                let mut words = line.split(' ');
                assert_eq!(words.next(), Some("VALUE"), "{line}");
                let name = words.next();
                let (flags, length) = (parse(words.next()), parse(words.next()));
                let cas = with_cas.then(|| parse(words.next()));
                assert_eq!(words.next(), None, "{line}");
                let value = answers.value(length);
                // The keys before it were misses.
                let key = loop {
                    let &key = left.next().expect("a key that was not asked for");
                    if Some(KEYS[key]) == name {
                        break key;
                    }
                    keys[key].miss(begun, done);
                };
                keys[key].hit(begun, done, value, flags, cas);
            }
            left.for_each(|&key| keys[key].miss(begun, done));
        }
        Asked::MetaGet { key } => {
            let line = answers.line();
            if line == format!("EN O{}", sent.serial) {
                keys[*key].miss(begun, done);
                return;
            }
            let mut words = line.split(' ');
            assert_eq!(words.next(), Some("VA"), "{line}");
            let length = parse(words.next());
            let flags = parse(words.next().and_then(|word| word.strip_prefix('f')));
            let cas = parse(words.next().and_then(|word| word.strip_prefix('c')));
            assert_eq!(words.next(), Some(&*format!("O{}", sent.serial)), "{line}");
            let value = answers.value(length);
            keys[*key].hit(begun, done, value, flags, Some(cas));
        }
        Asked::Store { key, how, value, flags, ttl, meta } => {
            let line = answers.line();
            let key = &mut keys[*key];
            let opaque = format!(" O{}", sent.serial);
            let refused = line.starts_with("SERVER_ERROR ");
            let line = if *meta && !refused { line.strip_suffix(&*opaque).expect("an opaque") } else { line };
            match line {
                "STORED" | "HD" => {
                    let (value, flags, expiry) = match how {
                        How::Append | How::Prepend => {
                            let old = &key.writes[key.current(done)];
                            let mut parts = [&old.value[..], value];
                            if *how == How::Prepend {
                                parts.reverse();
                            }
                            let expiry = old.expiries.last().expect("one at least").1;
                            (parts.concat(), old.flags, expiry)
                        }
                        _ => (value.clone(), *flags, expiry(*ttl)),
                    };
                    if *how == How::Replace {
                        key.current(done);
                    }
                    key.write(done, value, flags, expiry);
                }
                "NOT_STORED" | "NS" => match how {
                    How::Set => panic!("a set is not stored"),
                    How::Add => _ = key.current(done),
                    How::Replace => key.miss(done, done),
                    // This reply is also right if the joined item becomes too large.
                    How::Append | How::Prepend => {}
                },
                _ => {
                    assert!(refused, "{line}");
                    if *meta || *how == How::Set {
                        key.gone.push(gone);
                    }
                }
            }
        }
        Asked::Cas { key, cas, value, flags } => {
            let key = &mut keys[*key];
            match answers.line() {
                "STORED" => {
                    let old = key.current(done);
                    let known = key.writes[old].cas.get_or_insert(*cas);
                    assert_eq!(known, cas, "stored with another CAS");
                    key.write(done, value.clone(), *flags, (0, 0));
                }
                "EXISTS" => {
                    let old = key.current(done);
                    assert_ne!(key.writes[old].cas, Some(*cas), "not stored with this CAS");
                }
                "NOT_FOUND" => key.miss(done, done),
                line => assert!(line.starts_with("SERVER_ERROR "), "{line}"),
            }
        }
        Asked::Delta { key, delta, down } => {
            let key = &mut keys[*key];
            match answers.line() {
                "NOT_FOUND" => key.miss(done, done),
                line if line.starts_with("CLIENT_ERROR cannot") => _ = key.current(done),
                "SERVER_ERROR out of memory" => {}
                line => {
                    let old = &key.writes[key.current(done)];
                    let was = number(&old.value).expect("a number");
                    let new = if *down { was.saturating_sub(*delta) } else { was.wrapping_add(*delta) };
                    assert_eq!(line, new.to_string());
                    let mut value = line.as_bytes().to_vec();
                    value.resize(value.len().max(old.value.len()), b' ');
                    let (flags, expiry) = (old.flags, old.expiries.last().expect("one at least").1);
                    key.write(done, value, flags, expiry);
                }
            }
        }
        Asked::Touch { key, ttl } => {
            let key = &mut keys[*key];
            match answers.line() {
                "TOUCHED" => {
                    let old = key.current(done);
                    key.writes[old].expiries.push((done.number, expiry(*ttl)));
                }
                line => {
                    assert_eq!(line, "NOT_FOUND");
                    key.miss(done, done);
                }
            }
        }
        Asked::Delete { key, meta } => {
            let line = answers.line();
            let opaque = format!(" O{}", sent.serial);
            let line = if *meta { line.strip_suffix(&*opaque).expect("an opaque") } else { line };
            let key = &mut keys[*key];
            match line {
                "DELETED" | "HD" => {
                    key.current(done);
                    key.gone.push((done.number, done.number));
                }
                _ => {
                    assert!(matches!(line, "NOT_FOUND" | "NF"), "{line}");
                    key.miss(done, done);
                }
            }
        }
        Asked::Flush => {
            assert_eq!(answers.line(), "OK");
            keys.iter_mut().for_each(|key| key.gone.push((done.number, done.number)));
        }
    }
}

fuzz_target!(|input: (Settings, Steps<Op>)| {
    let (settings, Steps(ops)) = input;
    let mut world = World::new(&settings);
    for op in &ops {
        world.run(op);
    }
    world.finish();
    let World { context, clients, .. } = world;
    let mut answers = [Answers(&clients[0].answers), Answers(&clients[1].answers)];
    let mut all = Vec::new();
    for (who, client) in clients.iter().enumerate() {
        let mut before = None;
        for sent in &client.commands {
            let (begun, done) = (sent.begun.expect("sent"), sent.done.expect("used"));
            all.push((done, before.map_or(begun, |before| begun.max(before)), who, sent));
            before = Some(done);
        }
    }
    all.sort_by_key(|&(done, ..)| done);
    let mut keys: [History; KEYS.len()] = Default::default();
    for (done, begun, who, sent) in all {
        check(sent, begun, done, &mut answers[who], &mut keys);
    }
    assert!(answers.iter().all(|left| left.0.is_empty()), "more answers than commands");
    let mut ids: Vec<_> =
        keys.iter().flat_map(|key| &key.writes).filter_map(|write| Some((write.at, write.cas?))).collect();
    ids.sort_unstable();
    assert!(ids.is_sorted_by(|one, other| one.1 < other.1), "a later value has an earlier CAS");
    let store = context.cache.store();
    if store.totals().class_sum().evicted == 0 {
        keys.iter().for_each(History::check_misses);
    }
    drop(clients);
    let found = store.verify();
    assert_eq!((found.drafts, found.held), (0, 0), "something is never released");
    // Nothing is held any more, so there is memory for an item.
    let stored = context
        .cache
        .store_value(&Request::new(b"last", StoreOperation::default()), StoreValue::Bytes(&[1; 500]));
    assert!(stored.is_ok(), "refused");
    store.verify();
});
