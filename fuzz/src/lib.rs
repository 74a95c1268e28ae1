//! Shared parts of the targets: a server without sockets, and a client whose bytes arrive in
//! pieces.

use arbitrary::{Arbitrary, Unstructured};
use memcache_core::internal::cache::Mode;
use memcache_core::internal::config::MIB;
use memcache_core::internal::protocol::output::Output;
use memcache_core::internal::protocol::tokens::strip_line_end;
use memcache_core::internal::session::{Env, Next, Session, Step};
use memcache_core::internal::state::ServerState;
use memcache_core::{AuthConfig, AuthMethod, Cache, CacheConfig, Passwords, Protocol, ServerConfig};

/// Steps until the input ends. A plain list of `arbitrary` ends at every second byte, on average.
#[derive(Debug)]
pub struct Steps<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Steps<T> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut steps = Vec::new();
        while !input.is_empty() {
            steps.push(input.arbitrary()?);
        }
        Ok(Self(steps))
    }
}

/// A length of any magnitude: fewer than `MAGNITUDES` bits, and `MOST` at most.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Length<const MAGNITUDES: u8, const MOST: usize> {
    bits: u8,
    rest: u32,
}

impl<const MAGNITUDES: u8, const MOST: usize> Length<MAGNITUDES, MOST> {
    pub fn get(self) -> usize {
        ((self.rest as usize) & ((1 << (self.bits % MAGNITUDES)) - 1)).min(MOST)
    }
}

/// The conditions of a store, without CAS.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
}

impl How {
    pub fn mode(self) -> Mode {
        match self {
            Self::Set => Mode::Set,
            Self::Add => Mode::Add,
            Self::Replace => Mode::Replace,
            Self::Append => Mode::Append,
            Self::Prepend => Mode::Prepend,
        }
    }
}

/// How a client is served.
pub struct Course<'a> {
    pub protocol: Protocol,
    /// Sizes of the pieces, less one, used in turn. If empty, the input arrives at once.
    pub cuts: &'a [u8],
    /// Commands per step of the session.
    pub budget: usize,
    /// Whether large values are read directly into their item.
    pub direct: bool,
}

/// The password of the only user, `ann`.
pub const PASSWORD: &[u8] = b"secret";

/// Returns a server whose clock stands still.
pub fn context(auth: Option<AuthMethod>, cluster: bool, output_limit: Option<usize>) -> ServerState {
    // Items are small, so that a server is created quickly.
    let cache = CacheConfig {
        memory_limit: 2 * MIB,
        item_size_max: 32 * 1024,
        slab_chunk_max: 8 * 1024,
        shards: Some(1),
        ..CacheConfig::default()
    };
    let cache = Cache::new(cache).expect("a cache");
    cache.clock().freeze();
    let passwords = Passwords::List(vec![(b"ann".to_vec(), PASSWORD.to_vec())]);
    let mut config = ServerConfig {
        threads: 1,
        auth: auth.map(|method| AuthConfig { method, passwords }),
        cluster: if cluster { vec!["a:1".parse().expect("a node")] } else { Vec::new() },
        ..ServerConfig::default()
    };
    config.output_limit = output_limit.unwrap_or(config.output_limit);
    ServerState::new(cache, config).expect("a context")
}

/// Returns the reply to `input`. Checks that afterwards nothing is held for the client.
pub fn talk(context: &ServerState, course: &Course<'_>, input: &[u8]) -> Vec<u8> {
    let mut session = Session::new(course.protocol);
    let mut answered = Vec::new();
    let mut sizes = course.cuts.iter().map(|&cut| usize::from(cut) + 1).cycle();
    let (mut start, mut end) = (0, 0);
    loop {
        let mut out = Output::new();
        let mut env = Env::new(context, &context.workers[0], 9, course.budget);
        let Step { consumed, next } = session.advance(&mut env, &input[start..end], &mut out);
        assert!(consumed <= end - start, "more was used than there is");
        start += consumed;
        let yields = matches!(next, Next::Yield) && (consumed > 0 || !out.is_empty());
        while !out.is_empty() {
            out.write_to(&mut answered).expect("a vector takes all");
        }
        match next {
            Next::Input => {}
            Next::Yield if yields => continue,
            Next::Yield => {}
            Next::Watch(_) => {
                session.watch_refused();
                continue;
            }
            _ => break,
        }
        if end == input.len() {
            break;
        }
        let step = sizes.next().unwrap_or(input.len());
        end = (end + step).min(input.len());
        if course.direct && start < end {
            // As a connection does: only if no unused input was read.
            let fresh = &input[start..end];
            if let Some(target) = session.value_target() {
                let n = fresh.len().min(target.len());
                target[..n].copy_from_slice(&fresh[..n]);
                session.value_filled(n);
                start += n;
            }
        }
    }
    drop(session);
    let found = context.cache.store().verify();
    assert_eq!((found.drafts, found.held), (0, 0), "something is held for ever");
    answered
}

/// Checks that `answer` consists of complete packets of the binary protocol.
pub fn check_packets(mut answer: &[u8]) {
    while let Some((header, rest)) = answer.split_first_chunk::<24>() {
        let [magic, _, k0, k1, extras, _, _, _, b0, b1, b2, b3, ..] = *header;
        let body = u32::from_be_bytes([b0, b1, b2, b3]) as usize;
        assert_eq!(magic, 0x81);
        assert!(usize::from(u16::from_be_bytes([k0, k1])) + usize::from(extras) <= body);
        answer = rest.get(body..).expect("a body shorter than its header says");
    }
    assert!(answer.is_empty(), "half a header");
}

/// Returns the first line of `input` as a session passes it on.
pub fn first_line(input: &[u8]) -> &[u8] {
    let end = input.iter().position(|&byte| byte == b'\n').map_or(input.len(), |at| at + 1);
    strip_line_end(&input[..end])
}

/// Returns whether the replies to `input` are the same in each run and for each chunking. They are
/// not if they contain times, counters or keys in order of the index, or depend on how much of a
/// line has arrived.
pub fn is_steady(input: &[u8]) -> bool {
    let has = |word: &[u8]| input.windows(word.len()).any(|part| part == word);
    let told = [&b"stats"[..], b"watch", b"lru_crawler", b"\x80\x10"];
    !told.into_iter().any(has) && input.split(|&byte| byte == b'\n').all(|line| line.len() <= 2048)
}

/// Returns whether `input` would make the server log.
pub fn is_loud(input: &[u8]) -> bool {
    input.windows(9).any(|part| part == b"verbosity")
}
