//! Replies that come later: a session with open slots, without a socket.
//!
//! A fault delays the replies of some commands. The test is the owner of the session: it fills the
//! slots in an order of its own. The client reads the same bytes in every order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use memcache_rs::internal::protocol::output::{Output, SlotId};
use memcache_rs::internal::session::slots::{Deferred, Work};
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::{CloseReason, ServerState};
use memcache_rs::{Cache, CacheConfig, Fault, FaultRule, Protocol, ServerConfig, Ttl};

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator. It counts the live bytes of each thread.
struct Counting;

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A key that matches the rule of a delay.
const LATE: &[u8] = b"late*";

/// Larger than what is copied into an output.
const LARGE: usize = 5000;

fn context() -> ServerState {
    limited(2 * LARGE)
}

/// Returns a server whose visits end after `output_limit` bytes of output.
fn limited(output_limit: usize) -> ServerState {
    let cache = Cache::new(CacheConfig::default()).unwrap();
    cache.clock().freeze();
    cache.set(b"late-large", vec![b'x'; LARGE], Ttl::Never).unwrap();
    cache.set(b"late0", b"a", Ttl::Never).unwrap();
    cache.set(b"key0", b"bc", Ttl::Never).unwrap();
    ServerState::new(cache, ServerConfig { output_limit, ..ServerConfig::default() }).unwrap()
}

fn delay(context: &ServerState) {
    let fault = Fault::DelayReply(Duration::from_secs(1));
    context.cache.faults().add(FaultRule { key: Some(LATE.to_vec()), ..FaultRule::new(fault) });
}

/// A session and its owner.
struct Client<'a> {
    context: &'a ServerState,
    session: Session,
    deferred: Deferred,
    out: Output,
    /// Input that is not used.
    input: Vec<u8>,
    /// Bytes that the client has read.
    read: Vec<u8>,
    /// Replies that are not filled in yet.
    late: Vec<(SlotId, Output)>,
    next: Next,
}

impl<'a> Client<'a> {
    fn new(context: &'a ServerState, protocol: Protocol) -> Self {
        Self {
            context,
            session: Session::new(protocol),
            deferred: Deferred::default(),
            out: Output::new(),
            input: Vec::new(),
            read: Vec::new(),
            late: Vec::new(),
            next: Next::Input,
        }
    }

    /// Carries out at most `commands` commands of the unused input, and sends the ready replies.
    fn advance(&mut self, commands: usize) -> Next {
        let mut env = Env::new(self.context, &self.context.workers[0], 9, commands);
        env.deferred = Some(&mut self.deferred);
        let step = self.session.advance(&mut env, &self.input, &mut self.out);
        self.input.drain(..step.consumed);
        for work in self.deferred.work.drain(..) {
            let Work::Delay { slot, reply, .. } = work else { panic!("{work:?}") };
            self.late.push((slot, reply));
        }
        self.next = step.next;
        self.send();
        assert_eq!(self.out.open_slots(), self.late.len());
        step.next
    }

    fn send(&mut self) {
        while !self.out.is_empty() && !self.out.is_waiting() {
            assert!(self.out.write_to(&mut self.read).unwrap() > 0, "nothing is sent");
        }
    }

    /// Fills the slot at `index` of those that are open.
    fn fill(&mut self, index: usize) {
        let (slot, reply) = self.late.remove(index);
        assert!(self.out.fill(slot, reply));
        self.send();
    }

    fn say(&mut self, input: &[u8]) -> Next {
        self.input.extend_from_slice(input);
        self.advance(999)
    }

    fn read(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }
}

#[test]
fn later_commands_are_carried_out_and_their_replies_wait() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    let next = client.say(b"get key0\r\nget late0\r\nset key1 0 0 1\r\nx\r\nget key1\r\nget par");
    assert_eq!((next, client.input.as_slice()), (Next::Pending, &b"get par"[..]));
    assert_eq!(context.cache.get(b"key1").unwrap(), b"x");
    assert_eq!(client.read(), "VALUE key0 0 2\r\nbc\r\nEND\r\n");
    client.fill(0);
    assert_eq!(client.read(), "VALUE late0 0 1\r\na\r\nEND\r\nSTORED\r\nVALUE key1 0 1\r\nx\r\nEND\r\n");
    assert_eq!(client.say(b"tial\r\n"), Next::Input);
    assert_eq!(client.read(), "END\r\n");
}

#[test]
fn a_multiget_waits_for_the_matching_keys_alone() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    assert_eq!(client.say(b"get key0 late0 late-none key0 late-large\r\n"), Next::Pending);
    assert_eq!((client.read().as_str(), client.late.len()), ("VALUE key0 0 2\r\nbc\r\n", 2));
    client.fill(1);
    assert_eq!(client.read(), "");
    client.fill(0);
    let large = "x".repeat(LARGE);
    let rest = format!(
        "VALUE late0 0 1\r\na\r\nVALUE key0 0 2\r\nbc\r\nVALUE late-large 0 5000\r\n{large}\r\nEND\r\n"
    );
    assert_eq!(client.read(), rest);
}

#[test]
fn a_line_that_is_refused_takes_its_slots_back() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    let line = format!("get key0 late0 {} \r\n", "k".repeat(251));
    client.input.extend(line.as_bytes());
    let mut env = Env::new(&context, &context.workers[0], 9, 99);
    env.deferred = Some(&mut client.deferred);
    let step = client.session.advance(&mut env, &client.input, &mut client.out);
    assert_eq!((step.consumed, step.next, client.out.open_slots()), (line.len(), Next::Input, 0));
    client.send();
    assert_eq!(client.read(), "CLIENT_ERROR bad command line format\r\n\r\n");
    let stale: Vec<_> = client.deferred.work.drain(..).collect();
    assert_eq!(stale.len(), 1);
    for work in stale {
        let Work::Delay { slot, reply, .. } = work else { panic!("{work:?}") };
        assert!(!client.out.fill(slot, reply));
    }
    assert!(client.out.is_empty());
}

#[test]
fn commands_without_a_reply_open_no_slot() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    let next =
        client.say(b"set late1 0 0 1 noreply\r\nx\r\nmg late-none v q\r\ndelete late1 noreply\r\nmn\r\n");
    assert_eq!((next, client.read().as_str()), (Next::Input, "MN\r\n"));
    // An error of a quiet command is a reply.
    assert_eq!(client.say(b"ms late1 1 q\r\nxyz"), Next::Pending);
    client.fill(0);
    assert_eq!(client.read(), "CLIENT_ERROR bad data chunk\r\n");
}

#[test]
fn a_value_that_comes_in_parts_is_answered_late() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    assert_eq!(client.say(b"get key0\r\nset late1 0 0 6\r\nab"), Next::Input);
    assert_eq!(client.say(b"cd"), Next::Input);
    assert_eq!(client.say(b"ef\r\nget key0\r\n"), Next::Pending);
    assert_eq!(context.cache.get(b"late1").unwrap(), b"abcdef");
    assert_eq!(client.read(), "VALUE key0 0 2\r\nbc\r\nEND\r\n");
    client.fill(0);
    assert_eq!(client.read(), "STORED\r\nVALUE key0 0 2\r\nbc\r\nEND\r\n");
}

#[test]
fn a_refused_value_is_swallowed_behind_an_open_slot() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    let length = 2_000_000;
    assert_eq!(client.say(format!("set late1 0 0 {length}\r\n").as_bytes()), Next::Pending);
    assert_eq!((client.read().as_str(), client.late.len()), ("", 1));
    client.fill(0);
    assert_eq!(client.read(), "SERVER_ERROR object too large for cache\r\n");
    assert_eq!(client.say(&vec![b'x'; length]), Next::Input);
    assert_eq!(client.say(b"\r\nget key0\r\n"), Next::Input);
    assert_eq!(client.read(), "VALUE key0 0 2\r\nbc\r\nEND\r\n");
}

#[test]
fn quit_waits_for_open_slots() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    assert_eq!(client.say(b"get late0\r\nget key0\r\nquit\r\n"), Next::Close(CloseReason::Normal));
    assert_eq!(client.read(), "");
    client.fill(0);
    assert_eq!(client.read(), "VALUE late0 0 1\r\na\r\nEND\r\nVALUE key0 0 2\r\nbc\r\nEND\r\n");
}

#[test]
fn a_truncated_reply_waits_for_open_slots() {
    let context = context();
    delay(&context);
    let cut = FaultRule { key: Some(b"cut".to_vec()), ..FaultRule::new(Fault::Truncate(3)) };
    context.cache.faults().add(cut);
    for fill_before in [false, true] {
        let mut client = Client::new(&context, Protocol::Ascii);
        assert_eq!(client.say(b"get key0\r\ndelete late0\r\nset cut 0 0 4\r\nab"), Next::Pending);
        if fill_before {
            client.fill(0);
        }
        let next = client.say(b"cd\r\nget key0\r\n");
        assert_eq!(next, Next::Close(CloseReason::Error));
        if !fill_before {
            client.fill(0);
        }
        let deleted = if fill_before { "NOT_FOUND" } else { "DELETED" };
        assert_eq!(client.read(), format!("VALUE key0 0 2\r\nbc\r\nEND\r\n{deleted}\r\nSTO"));
        assert!(client.out.is_empty());
    }
}

#[test]
fn a_delay_of_the_connection_may_follow_an_open_slot() {
    let context = context();
    delay(&context);
    let time = Duration::from_secs(2);
    let sleep = FaultRule { key: Some(b"sleep".to_vec()), ..FaultRule::new(Fault::Delay(time)) };
    context.cache.faults().add(sleep);
    let mut client = Client::new(&context, Protocol::Ascii);
    assert_eq!(client.say(b"get late0\r\nget sleep\r\nget key0\r\n"), Next::Sleep(time));
    assert_eq!(client.advance(99), Next::Pending);
    client.fill(0);
    assert_eq!(client.read(), "VALUE late0 0 1\r\na\r\nEND\r\nEND\r\nVALUE key0 0 2\r\nbc\r\nEND\r\n");
}

#[test]
fn a_watch_behind_an_open_slot_is_refused() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    assert_eq!(client.say(b"get late0\r\nwatch\r\n"), Next::Pending);
    client.fill(0);
    // As behind any other command of a pipeline.
    let refusal = "ERROR cannot pipeline other commands before watch\r\n";
    assert_eq!(client.read(), format!("VALUE late0 0 1\r\na\r\nEND\r\n{refusal}"));
    assert!(matches!(client.say(b"watch\r\n"), Next::Watch(_)));
}

#[test]
fn the_limit_of_output_bounds_the_open_slots() {
    let context = context();
    delay(&context);
    let mut client = Client::new(&context, Protocol::Ascii);
    client.input = b"get late0 late-large\r\n".repeat(10_000);
    while client.advance(256) == Next::Yield {}
    assert_eq!(client.next, Next::Pending);
    assert!(client.out.len() < 4 * LARGE && client.late.len() < 10, "{}", client.out.len());
    // Small replies count as a slot at least.
    let mut client = Client::new(&context, Protocol::Ascii);
    client.input = b"mg late0\r\n".repeat(10_000);
    while client.advance(256) == Next::Yield {}
    assert_eq!(client.next, Next::Pending);
    assert!(client.late.len() < 300, "{}", client.late.len());
    let used = client.input.len();
    while !client.late.is_empty() {
        client.fill(client.late.len() / 2);
    }
    while client.advance(256) == Next::Yield {}
    assert!(client.input.len() < used && !client.late.is_empty());
}

#[test]
fn a_late_reply_reaches_no_slot_of_another_connection() {
    let context = context();
    delay(&context);
    let mut gone = Client::new(&context, Protocol::Ascii);
    gone.say(b"get late0\r\n");
    let mut next = Client::new(&context, Protocol::Ascii);
    // The same worker gives the number of a closed connection to the next one.
    next.deferred = std::mem::take(&mut gone.deferred);
    next.say(b"get late0\r\n");
    let (slot, reply) = gone.late.remove(0);
    assert_eq!(slot.client, next.late[0].0.client);
    assert!(!next.out.fill(slot, reply));
    next.fill(0);
    assert_eq!(next.read(), "VALUE late0 0 1\r\na\r\nEND\r\n");
    // A slot takes one reply.
    let again = SlotId { serial: slot.serial + 1, ..slot };
    assert!(!next.out.fill(again, Output::new()));
}

#[test]
fn a_truncated_output_is_a_prefix() {
    let context = context();
    let slot = |serial| SlotId { client: 1, serial };
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method takes one lifetime only")]
    let pinned = || context.cache.fetch(b"late-large", None, 0, |entry| entry.pin()).unwrap();
    let reply = |text: &[u8]| {
        let mut reply = Output::new();
        reply.push(text);
        reply.pin(pinned());
        reply.push(text);
        reply
    };
    let large = "x".repeat(LARGE);
    // An open slot counts as 64 bytes.
    let all = format!("ab{}cd{large}efgh{large}ghijkl", "?".repeat(64));
    for len in (0..all.len()).step_by(7).chain(all.len() - 20..all.len() + 2) {
        let mut out = Output::new();
        out.push(b"ab");
        out.open_slot(slot(1), 10);
        out.push(b"cd");
        out.pin(pinned());
        out.push(b"ef");
        out.open_slot(slot(2), 10);
        assert!(out.fill(slot(2), reply(b"gh")));
        out.push(b"ij");
        out.open_slot(slot(3), 10);
        assert!(out.fill_from(slot(3), b"kl"));
        assert_eq!(out.len(), all.len());
        out.truncate(len);
        // A slot that is cut is kept whole.
        let slots = usize::from(len >= 2);
        let kept = if slots == 1 { len.max(66).min(all.len()) } else { len };
        assert_eq!((out.len(), out.open_slots()), (kept, slots));
        assert_eq!(out.fill(slot(1), Output::new()), slots == 1);
        let mut read = Vec::new();
        while !out.is_empty() {
            out.write_some(&mut read, 1000).unwrap();
        }
        let whole = all.get(..kept).unwrap().replace('?', "");
        assert_eq!(String::from_utf8(read).unwrap(), whole);
        assert_eq!((out.open_slots(), out.is_waiting()), (0, false));
    }
}

#[test]
fn an_output_passes_no_large_buffer_of_replies_on() {
    let (slot, large) = (SlotId { client: 1, serial: 1 }, vec![b'x'; 100 * LARGE]);
    let (mut out, mut next, mut read) = (Output::new(), Output::new(), Vec::new());
    out.open_slot(slot, 0);
    assert!(out.fill_from(slot, &large));
    while !out.is_empty() {
        out.write_to(&mut read).unwrap();
    }
    assert!(read == large && out.held() >= large.len());
    out.shrink_replies(LARGE);
    out.open_slot(slot, 0);
    out.move_to(&mut next);
    assert!(next.held() <= 2 * LARGE, "{}", next.held());
}

#[test]
fn an_owner_without_deferred_work_gets_a_delay() {
    let context = context();
    delay(&context);
    let mut session = Session::new(Protocol::Ascii);
    let (mut out, mut env) = (Output::new(), Env::new(&context, &context.workers[0], 9, 99));
    let step = session.advance(&mut env, b"get late0\r\n", &mut out);
    assert_eq!((step.next, out.open_slots()), (Next::Sleep(Duration::from_secs(1)), 0));
}

#[test]
fn a_hundred_thousand_slots_leave_nothing() {
    const CLIENTS: usize = 1000;
    const SLOTS: usize = 100;
    let context = limited(64 * 1024);
    delay(&context);
    let mut input = b"mg late0 v\r\n".repeat(SLOTS - 1);
    input.extend(b"get late-large\r\n");
    let round = || {
        let mut late = Vec::with_capacity(CLIENTS * SLOTS);
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::new(&context, Protocol::Ascii)).collect();
        for client in &mut clients {
            client.input.extend_from_slice(&input);
            while client.advance(256) == Next::Yield {}
            assert_eq!(client.next, Next::Pending);
            assert_eq!(client.late.len(), SLOTS);
            late.append(&mut client.late);
        }
        assert!(LIVE.get() > (CLIENTS * SLOTS * 64) as isize);
        // Half of the connections close before the replies come.
        clients.truncate(CLIENTS / 2);
        for (n, (slot, reply)) in late.drain(..).enumerate() {
            if let Some(client) = clients.get_mut(n / SLOTS) {
                assert!(client.out.fill(slot, reply));
            }
        }
        for client in &mut clients {
            client.send();
            assert!(client.out.is_empty() && client.read.len() > SLOTS * 9 + LARGE);
        }
    };
    // The first round also allocates what a cache keeps.
    round();
    let before = LIVE.get();
    round();
    assert_eq!(LIVE.get(), before);
}

/// A command of a random pipeline.
#[derive(Clone, Debug)]
enum Command {
    Get(Vec<usize>),
    Set { key: usize, length: usize, noreply: bool },
    Meta { key: usize, quiet: bool },
    Delete(usize),
    Noop,
    Bad,
}

const KEYS: [&str; 6] = ["key0", "key1", "late0", "late1", "late2", "late-large"];

impl Command {
    fn line(&self) -> String {
        match self {
            Self::Get(keys) => {
                let keys: Vec<_> = keys.iter().map(|&key| KEYS[key]).collect();
                format!("get {}\r\n", keys.join(" "))
            }
            Self::Set { key, length, noreply } => {
                let noreply = if *noreply { " noreply" } else { "" };
                format!("set {} 0 0 {length}{noreply}\r\n{}\r\n", KEYS[*key], "v".repeat(*length))
            }
            Self::Meta { key, quiet } => {
                format!("mg {} v k O1{}\r\n", KEYS[*key], if *quiet { " q" } else { "" })
            }
            Self::Delete(key) => format!("delete {}\r\n", KEYS[*key]),
            Self::Noop => "mn\r\n".to_owned(),
            Self::Bad => "get\r\n".to_owned(),
        }
    }

    fn packet(&self) -> Vec<u8> {
        let (opcode, extras, key, value) = match self {
            Self::Get(keys) => (0x0c, 0, keys[0], 0),
            Self::Set { key, length, noreply } => (if *noreply { 0x11 } else { 0x01 }, 8, *key, *length),
            Self::Meta { key, quiet } => (if *quiet { 0x09 } else { 0x00 }, 0, *key, 0),
            Self::Delete(key) => (0x04, 0, *key, 0),
            Self::Noop | Self::Bad => return packet(0x0a, 0, b"", 0),
        };
        packet(opcode, extras, KEYS[key].as_bytes(), value)
    }
}

/// Returns a packet of the binary protocol.
fn packet(opcode: u8, extras: u8, key: &[u8], value: usize) -> Vec<u8> {
    let mut packet = vec![0x80, opcode];
    packet.extend((key.len() as u16).to_be_bytes());
    packet.extend([extras, 0, 0, 0]);
    packet.extend((usize::from(extras) as u32 + (key.len() + value) as u32).to_be_bytes());
    packet.extend([0; 12]);
    packet.extend(vec![0; extras.into()]);
    packet.extend(key);
    packet.extend(vec![b'v'; value]);
    packet
}

fn command() -> impl Strategy<Value = Command> {
    let key = || 0..KEYS.len();
    prop_oneof![
        4 => prop::collection::vec(key(), 1..20).prop_map(Command::Get),
        3 => (key(), prop_oneof![0..50_usize, Just(LARGE)], any::<bool>())
            .prop_map(|(key, length, noreply)| Command::Set { key, length, noreply }),
        3 => (key(), any::<bool>()).prop_map(|(key, quiet)| Command::Meta { key, quiet }),
        1 => key().prop_map(Command::Delete),
        1 => Just(Command::Noop),
        1 => Just(Command::Bad),
    ]
}

/// Returns what the client reads. The input comes in chunks. Choices pick the slots to fill and
/// when to do it.
fn converse(
    context: &ServerState,
    protocol: Protocol,
    input: &[u8],
    chunk: usize,
    choices: &[usize],
) -> Vec<u8> {
    let mut client = Client::new(context, protocol);
    let mut choices = choices.iter().copied().cycle();
    let mut choice = || choices.next().unwrap_or(0);
    for part in input.chunks(chunk) {
        client.input.extend_from_slice(part);
        loop {
            let next = client.advance(1 + choice() % 20);
            // Some replies come while the session goes on, and all of them before the next read.
            let all = next == Next::Pending;
            while !client.late.is_empty() && (all || choice() % 3 == 0) {
                client.fill(choice() % client.late.len());
            }
            match next {
                Next::Yield | Next::Pending => {}
                Next::Input => {
                    assert!(client.out.is_empty());
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(client.out.is_empty() && client.input.is_empty());
    client.read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_order_of_filling_does_not_change_the_bytes(
        commands in prop::collection::vec(command(), 1..80),
        binary in any::<bool>(),
        chunk in prop_oneof![1..40_usize, 200..20_000_usize],
        choices in prop::collection::vec(0..1000_usize, 1..40),
    ) {
        let input: Vec<u8> = if binary {
            commands.iter().flat_map(Command::packet).collect()
        } else {
            commands.iter().flat_map(|command| command.line().into_bytes()).collect()
        };
        let protocol = if binary { Protocol::Binary } else { Protocol::Ascii };
        let at_once = converse(&context(), protocol, &input, input.len(), &[19]);
        let context = context();
        delay(&context);
        let late = converse(&context, protocol, &input, chunk, &choices);
        prop_assert_eq!(String::from_utf8_lossy(&late), String::from_utf8_lossy(&at_once));
    }
}

/// A step of the owner of an output.
#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Open,
    /// Fills one of the open slots, by a copy or by an output of its own.
    Fill {
        which: usize,
        length: usize,
        copies: bool,
    },
    Write(usize),
    /// Moves the output to another one, which was used before.
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_usize).prop_map(Step::Push),
        Just(Step::Open),
        (0..9_usize, 0..40_usize, any::<bool>()).prop_map(|(which, length, copies)| Step::Fill {
            which,
            length,
            copies
        }),
        (0..90_usize).prop_map(Step::Write),
        Just(Step::Move),
    ]
}

proptest! {
    #[test]
    fn an_output_sends_its_parts_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let (mut out, mut spare, mut read) = (Output::new(), Output::new(), Vec::new());
        // Each part by its place. An open slot has none yet.
        let mut parts: Vec<Option<Vec<u8>>> = Vec::new();
        let mut letters = (b'a'..=b'z').cycle();
        let mut text = |length: usize| (0..length).map(|_| letters.next().unwrap()).collect::<Vec<u8>>();
        let slot = |place: usize| SlotId { client: 1, serial: place as u64 + 1 };
        for step in steps {
            let open: Vec<usize> = (0..parts.len()).filter(|&place| parts[place].is_none()).collect();
            match step {
                Step::Push(length) => {
                    let text = text(length);
                    out.push(&text);
                    parts.push(Some(text));
                }
                Step::Open => {
                    out.open_slot(slot(parts.len()), 0);
                    parts.push(None);
                }
                Step::Fill { which, length, copies } if !open.is_empty() => {
                    let (place, text) = (open[which % open.len()], text(length));
                    if copies {
                        prop_assert!(out.fill_from(slot(place), &text));
                    } else {
                        let mut reply = Output::new();
                        reply.push(&text);
                        prop_assert!(out.fill(slot(place), reply));
                    }
                    prop_assert!(!out.fill_from(slot(place), b"again"));
                    parts[place] = Some(text);
                }
                Step::Fill { .. } => prop_assert!(!out.fill_from(slot(parts.len()), b"none")),
                Step::Write(most) if !out.is_empty() && !out.is_waiting() => {
                    out.write_some(&mut read, most).unwrap();
                }
                Step::Write(_) => {}
                Step::Move => {
                    out.move_to(&mut spare);
                    prop_assert!(out.is_empty());
                    std::mem::swap(&mut out, &mut spare);
                }
            }
            let ready: Vec<u8> = parts.iter().map_while(Option::as_deref).flatten().copied().collect();
            prop_assert!(ready.starts_with(&read));
            let open = parts.iter().filter(|part| part.is_none()).count();
            prop_assert_eq!(out.open_slots(), open);
            let bytes: usize = parts.iter().flatten().map(Vec::len).sum();
            prop_assert_eq!(out.len(), bytes - read.len() + 64 * open);
        }
        while !out.is_empty() && !out.is_waiting() {
            prop_assert!(out.write_to(&mut read).unwrap() > 0);
        }
        let ready: Vec<u8> = parts.iter().map_while(Option::as_deref).flatten().copied().collect();
        prop_assert_eq!(read, ready);
    }
}
