//! Properties of routes: random ones against a model, and replies in any order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use memcache_rs::internal::proxy::bucket::{Bucket, Limit};
use memcache_rs::internal::proxy::command::Command;
use memcache_rs::internal::proxy::config;
use memcache_rs::internal::proxy::route::{NodeId, Route, Routes};
use memcache_rs::internal::proxy::run::{Action, Mark, Outcome, Request, Run, Send, Source, Turn, Work};
use memcache_rs::internal::proxy::ttl::TtlRule;
use proptest::collection::vec;
use proptest::prelude::*;

use Mark::{Error, Good, Miss};
use Work::{Client, Delete, Fill, Item};

const POOLS: usize = 5;
const MARKS: [Mark; 3] = [Good, Miss, Error];
/// The longest time of a reply, and of a wait for it.
const MAX_MILLIS: u64 = 1_000_000;

/// A route to be, whose children are numbers that `build` turns into nodes before it.
#[derive(Debug, Clone)]
enum Plan {
    Failover(Vec<usize>, bool, usize, Option<u64>),
    Sync(Vec<usize>, bool),
    Fastest(Vec<usize>, bool, Option<u64>),
    Shadow(usize, usize),
    WarmUp(usize, usize),
    Migrate(usize, usize, u64),
    Limit(usize, usize),
    Ttl(usize),
    Null,
    Error,
}

fn plan() -> impl Strategy<Value = Plan> {
    let list = || vec(any::<usize>(), 1..4);
    let one = any::<usize>;
    let wait = || proptest::option::of(1..MAX_MILLIS);
    prop_oneof![
        3 => (list(), any::<bool>(), 1..4usize, wait())
            .prop_map(|(list, hit, tries, wait)| Plan::Failover(list, hit, tries, wait)),
        3 => (list(), any::<bool>()).prop_map(|(list, last)| Plan::Sync(list, last)),
        3 => (list(), any::<bool>(), wait()).prop_map(|(list, hit, wait)| Plan::Fastest(list, hit, wait)),
        1 => (one(), one()).prop_map(|(child, to)| Plan::Shadow(child, to)),
        2 => (one(), one()).prop_map(|(new, old)| Plan::WarmUp(new, old)),
        1 => (one(), one(), 0..40u64).prop_map(|(from, to, start)| Plan::Migrate(from, to, start)),
        1 => (one(), one()).prop_map(|(child, over)| Plan::Limit(child, over)),
        1 => one().prop_map(Plan::Ttl),
        1 => Just(Plan::Null),
        1 => Just(Plan::Error),
    ]
}

/// Returns the configuration of pools p0, p1 and so on.
fn pools(count: usize) -> String {
    let pool = |n| format!("[pools.p{n}]\nbackends = ['h{n}']\n");
    (0..count).map(pool).collect::<Vec<_>>().concat()
}

/// Builds routes over pools. Each node refers to any of those before it.
fn build(plans: &[Plan]) -> Routes {
    let mut routes = config::parse(&format!("route = 'p0'\n{}", pools(POOLS))).unwrap();
    for plan in plans {
        let count = routes.nodes.len();
        // Late nodes more often, so that routes are deep.
        let node = |n: &usize| count - 1 - (n % count) * (n / 7 % 2 + 1) / 2;
        let list = |list: &[usize]| list.iter().map(node).collect::<Vec<NodeId>>();
        let route = match plan {
            Plan::Failover(children, until_hit, tries, wait) => Route::Failover {
                children: list(children),
                until_hit: *until_hit,
                tries: *tries,
                wait: wait.map(Duration::from_millis),
                counter: None,
            },
            Plan::Sync(children, is_last) => Route::AllSync { children: list(children), last: *is_last },
            Plan::Fastest(children, until_hit, wait) => Route::AllFastest {
                children: list(children),
                until_hit: *until_hit,
                wait: wait.map(Duration::from_millis),
            },
            Plan::Shadow(child, to) => Route::Shadow { child: node(child), to: node(to), percent: 100 },
            Plan::WarmUp(new, old) => Route::WarmUp { new: node(new), old: node(old) },
            Plan::Migrate(from, to, start) => {
                Route::Migrate { from: node(from), to: node(to), start: *start, interval: 10 }
            }
            Plan::Limit(child, over) => {
                let limit = routes.limits.len();
                routes.limits.push(Limit { place: limit.to_string(), shared: None });
                Route::RateLimit {
                    child: node(child),
                    over: node(over),
                    tokens: 1,
                    every_ms: 1000,
                    burst: 1,
                    limit,
                    counter: None,
                }
            }
            Plan::Ttl(child) => Route::Ttl(node(child), TtlRule::AtMost(60)),
            Plan::Null => Route::Null,
            Plan::Error => Route::Error("no".into()),
        };
        routes.nodes.push(route);
        // A tree that grows beyond any configuration is of no use.
        routes.root = routes.nodes.len() - 1;
        if routes.most_sends() > 200 {
            routes.nodes.pop();
            routes.root = routes.nodes.len() - 1;
        }
    }
    routes
}

const NOW: u64 = 20;

/// The answer and the sends of a request.
#[derive(Debug)]
struct Ran {
    answer: Option<Outcome>,
    sends: Vec<Send>,
}

/// Runs a request. `delay` is the time in milliseconds after which a send gets its reply.
fn run(routes: &Routes, word: &str, mark: impl Fn(&Send) -> Mark, delay: impl Fn(&Send) -> u64) -> Ran {
    let mut buckets = vec![Bucket::default(); routes.limits.len()];
    let request = Request { key: b"k", command: Command::named(word).unwrap(), draw: 7 };
    let (mut actions, mut open) = (Vec::new(), Vec::new());
    let mut ran = Ran { answer: None, sends: Vec::new() };
    let (millis, start) = (NOW * 1000, Instant::now());
    let (buckets, actions) = (&mut buckets[..], &mut actions);
    let mut turn = Turn { routes, request, now: start, millis, buckets, actions };
    let mut run = Run::start(&mut turn);
    loop {
        for action in turn.actions.drain(..) {
            match action {
                Action::Finish(outcome) => assert!(ran.answer.replace(outcome).is_none(), "two answers"),
                Action::Look(..) | Action::Fetched(..) | Action::Remove(_) => unreachable!("no hot route"),
                Action::Send(send) => {
                    assert_eq!(send.number, ran.sends.len());
                    ran.sends.push(send);
                    open.push((turn.now + Duration::from_millis(delay(&send)), send));
                }
            }
        }
        assert_eq!(run.is_finished(), ran.answer.is_some());
        assert_eq!(run.is_over(), open.is_empty());
        // The first of those with the shortest time.
        let next = open.iter().enumerate().min_by_key(|(_, (time, _))| *time);
        let Some((at, (time, _))) = next.map(|(at, open)| (at, *open)) else { return ran };
        if let Some(deadline) = run.deadline().filter(|deadline| *deadline < time) {
            assert!(deadline >= turn.now, "the time goes back");
            turn.now = deadline;
            run.expire(deadline, &mut turn);
            assert!(run.deadline().is_none_or(|next| next > deadline), "no end of the wait");
            continue;
        }
        turn.now = time;
        let (_, send) = open.remove(at);
        run.on_reply(send.number, mark(&send), &mut turn);
        // A second reply counts for nothing.
        let count = turn.actions.len();
        run.on_reply(send.number, Good, &mut turn);
        assert_eq!(turn.actions.len(), count);
    }
}

/// The time of replies that come in the order of their requests.
fn at_once(_: &Send) -> u64 {
    0
}

/// A mark, and the time after which it comes.
type Timed = (u64, Mark);

/// Returns the answer of a node to a read if pools answer by `pools`: the rules in a few words.
/// `None` if it depends on which of two replies at the same time counts.
fn model(routes: &Routes, node: NodeId, pools: &[Timed]) -> Option<Timed> {
    let of = |node: &NodeId| model(routes, *node, pools);
    let all = |children: &[NodeId]| children.iter().map(of).collect::<Option<Vec<Timed>>>();
    let millis = |wait: &Option<Duration>| wait.map(|wait| wait.as_millis() as u64);
    Some(match &routes.nodes[node] {
        Route::Pool(pool) => pools[*pool],
        Route::Null => (0, Miss),
        Route::Local => (0, Good),
        Route::Error(_) => (0, Error),
        Route::Failover { children, until_hit, tries, wait, .. } => {
            let (mut sum, mut best) = (0, None);
            for child in children.iter().take(*tries) {
                let (time, mark) = match (of(child)?, millis(wait)) {
                    ((time, _), Some(wait)) if time == wait => None?,
                    ((time, _), Some(wait)) if time > wait => (wait, Error),
                    (timed, _) => timed,
                };
                sum += time;
                best = best.min(Some(mark)).or(Some(mark));
                if mark == Good || mark == Miss && !until_hit {
                    return Some((sum, mark));
                }
            }
            (sum, best?)
        }
        Route::AllSync { children, last } => {
            let timed = all(children)?;
            let time = timed.iter().map(|(time, _)| *time).max()?;
            let worst = timed.iter().map(|(_, mark)| *mark).max()?;
            (time, if *last && worst != Error { timed.last()?.1 } else { worst })
        }
        Route::AllFastest { children, until_hit, wait } => {
            let mut timed = all(children)?;
            timed.sort();
            let end = millis(wait).unwrap_or(u64::MAX);
            if timed.iter().any(|(time, _)| *time == end) {
                return None;
            }
            timed.retain(|(time, _)| *time < end);
            let stops = |mark: Mark| mark == Good || mark == Miss && !until_hit;
            if let Some((time, mark)) = timed.iter().find(|(_, mark)| stops(*mark)).copied() {
                let is_open = timed.iter().any(|(at, other)| *at == time && stops(*other) && *other != mark);
                return if is_open { None } else { Some((time, mark)) };
            }
            let best = timed.iter().map(|(_, mark)| *mark).min().unwrap_or(Error);
            let is_whole = timed.len() == children.len();
            (if is_whole { timed.last()?.0 } else { end }, best)
        }
        Route::Shadow { child, .. } | Route::Ttl(child, _) | Route::Hot(child, _) => of(child)?,
        Route::WarmUp { new, old } => match of(new)? {
            (first, Miss) => {
                let (second, mark) = of(old)?;
                (first + second, mark.min(Miss))
            }
            timed => timed,
        },
        Route::Migrate { from, to, start, interval } => of(if NOW < start + interval { from } else { to })?,
        // A limit that is reached twice depends on the order.
        Route::RateLimit { .. }
        | Route::Random(_)
        | Route::ByPrefix { .. }
        | Route::ByPart { .. }
        | Route::ByCommand { .. } => None?,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One answer, bounded sends, and the answer of the model, whenever replies come.
    #[test]
    fn random_routes_keep_the_rules(
        plans in vec(plan(), 1..12),
        pools in vec((0..MAX_MILLIS, 0..3usize), POOLS),
        write in any::<bool>(),
    ) {
        let routes = build(&plans);
        let pools: Vec<Timed> = pools.iter().map(|(time, mark)| (*time, MARKS[*mark])).collect();
        let reply = |send: &Send| match (send.work, pools[send.pool].1) {
            (Fill(_) | Delete, _) => Good,
            (Client, Miss) if write => Good,
            (_, mark) => mark,
        };
        let ran = run(&routes, if write { "set" } else { "get" }, reply, |send| pools[send.pool].0);
        prop_assert!(ran.sends.len() <= routes.most_sends());
        let answer = ran.answer.unwrap();
        match answer.source {
            Source::Reply(number) => {
                prop_assert_eq!(reply(&ran.sends[number]), answer.mark);
                // A client never gets the reply to a request that is not its own.
                prop_assert!(matches!(ran.sends[number].work, Client | Item));
            }
            Source::Null => prop_assert_eq!(answer.mark, if write { Good } else { Miss }),
            Source::Error(node) => {
                prop_assert!(matches!(routes.nodes[node], Route::Error(_)));
                prop_assert_eq!(answer.mark, Error);
            }
            Source::Late => prop_assert_eq!(answer.mark, Error),
        }
        // Only items that were read are added elsewhere.
        for send in &ran.sends {
            if let Fill(from) = send.work {
                prop_assert!(!write && ran.sends[from].work == Item);
                prop_assert_eq!(reply(&ran.sends[from]), Good);
            }
        }
        if !write && let Some((_, mark)) = model(&routes, routes.root, &pools) {
            prop_assert_eq!(answer.mark, mark);
        }
    }

    /// Failover asks its children in order, and none after the one that answers.
    #[test]
    fn failover_asks_in_order(marks in vec(0..3usize, 1..6), until_hit in any::<bool>()) {
        let names: Vec<String> = (0..marks.len()).map(|n| format!("'p{n}'")).collect();
        let list = names.join(", ");
        let text = format!("route = {{ failover = [{list}], until_hit = {until_hit} }}\n{}", pools(marks.len()));
        let routes = config::parse(&text).unwrap();
        let marks: Vec<Mark> = marks.iter().map(|mark| MARKS[*mark]).collect();
        let ran = run(&routes, "get", |send| marks[send.pool], at_once);
        let stops = |mark: &Mark| *mark == Good || *mark == Miss && !until_hit;
        let asked = marks.iter().position(stops).map_or(marks.len(), |at| at + 1);
        prop_assert_eq!(ran.sends.iter().map(|send| send.pool).collect::<Vec<_>>(), (0..asked).collect::<Vec<_>>());
        // The first miss is remembered, of errors the last one counts.
        let first_miss = marks[..asked].iter().position(|mark| *mark == Miss);
        let last = Source::Reply(match marks.get(asked - 1) {
            Some(Good) => asked - 1,
            _ => first_miss.unwrap_or(asked - 1),
        });
        prop_assert_eq!(ran.answer.unwrap().source, last);
    }
}

/// Routes over the pools a, b and c, of which one backend each is used.
fn routes(route: &str) -> Routes {
    let pools: String =
        ["a", "b", "c"].map(|name| format!("[pools.{name}]\nbackends = ['{name}']\n")).concat();
    config::parse(&format!("{route}\n{pools}")).unwrap()
}

/// Returns the sends as pool and work, and the pool of the answer, if pools answer by `marks`.
fn sends(text: &str, word: &str, marks: [Mark; 3]) -> (Vec<(char, Work)>, Option<char>) {
    let routes = routes(text);
    let name = |send: &Send| ['a', 'b', 'c'][send.pool];
    let reply = |send: &Send| match send.work {
        Client | Item => marks[send.pool],
        Fill(_) | Delete => Good,
    };
    let ran = run(&routes, word, reply, at_once);
    let from = match ran.answer.unwrap().source {
        Source::Reply(number) => Some(name(&ran.sends[number])),
        Source::Null | Source::Error(_) | Source::Late => None,
    };
    (ran.sends.iter().map(|send| (name(send), send.work)).collect(), from)
}

#[test]
fn all_sync_answers_with_the_worst() {
    let all = "route = { all_sync = ['a', 'b', 'c'] }";
    for (marks, from) in [([Good, Miss, Good], 'b'), ([Miss, Good, Error], 'c'), ([Good, Good, Good], 'a')] {
        let (sent, answer) = sends(all, "get", marks);
        assert_eq!((sent.len(), answer), (3, Some(from)), "{marks:?}");
    }
    // Of equal replies that of the first route counts, although the last one comes first.
    let ran = run(&routes(all), "get", |_| Error, |send| 3 - send.number as u64);
    assert_eq!(ran.answer.unwrap().source, Source::Reply(0));
}

#[test]
fn all_fastest_answers_with_the_first_that_is_good() {
    let all = "route = { all_fastest = ['a', 'b', 'c'] }";
    let until_hit = "route = { all_fastest = ['a', 'b', 'c'], until_hit = true }";
    assert_eq!(sends(all, "get", [Error, Miss, Good]).1, Some('b'));
    assert_eq!(sends(until_hit, "get", [Error, Miss, Good]).1, Some('c'));
    assert_eq!(sends(until_hit, "get", [Error, Miss, Error]).1, Some('b'));
    // Each is asked, also if the first one answers at once.
    assert_eq!(sends(all, "get", [Good, Good, Good]).0.len(), 3);
}

/// Pool `a` replies after 50 ms, `b` after 5, and `c` at once.
fn after(text: &str, marks: [Mark; 3]) -> (String, Option<char>) {
    let name = |send: &Send| ['a', 'b', 'c'][send.pool];
    let ran = run(&routes(text), "get", |send| marks[send.pool], |send| [50, 5, 0][send.pool]);
    let from = match ran.answer.unwrap().source {
        Source::Reply(number) => Some(name(&ran.sends[number])),
        Source::Null | Source::Error(_) | Source::Late => None,
    };
    (ran.sends.iter().map(name).collect(), from)
}

#[test]
fn a_failover_does_not_wait_for_a_slow_route() {
    let route = |wait: u64| format!("route = {{ failover = ['a', 'b'], wait_ms = {wait} }}");
    assert_eq!(after(&route(51), [Good; 3]), ("a".into(), Some('a')));
    // The answer of the first one comes while the second one is asked.
    assert_eq!(after(&route(49), [Good; 3]), ("ab".into(), Some('b')));
    assert_eq!(after(&route(49), [Good, Miss, Good]), ("ab".into(), Some('b')));
    assert_eq!(after(&route(48), [Good, Error, Good]), ("ab".into(), Some('b')));
    assert_eq!(after(&route(1), [Good; 3]), ("ab".into(), None));
    let nested = "route = { failover = [{ failover = ['a', 'a'], wait_ms = 40 }, 'c'], wait_ms = 60 }";
    assert_eq!(after(nested, [Error, Good, Good]), ("aac".into(), Some('c')));
}

#[test]
fn all_fastest_answers_with_the_best_in_time() {
    let route = |wait: u64| {
        format!("route = {{ all_fastest = ['a', 'b', 'c'], until_hit = true, wait_ms = {wait} }}")
    };
    assert_eq!(after(&route(51), [Good, Miss, Error]), ("abc".into(), Some('a')));
    assert_eq!(after(&route(49), [Good, Miss, Error]), ("abc".into(), Some('b')));
    assert_eq!(after(&route(1), [Good, Miss, Error]), ("abc".into(), Some('c')));
    let slow = "route = { all_fastest = ['a', 'b'], wait_ms = 1 }";
    assert_eq!(after(slow, [Good; 3]), ("ab".into(), None));
}

/// As in memcached's proxy, `NOT_STORED` and `NOT_FOUND` are good.
#[test]
fn null_misses_reads_alone() {
    let text = "route = { failover = ['null', 'a'], until_hit = true }";
    for (word, asked) in [("get", 1), ("mg", 1), ("gat", 1), ("set", 0), ("md", 0), ("incr", 0), ("touch", 0)]
    {
        assert_eq!(sends(text, word, [Good; 3]).0.len(), asked, "{word}");
    }
}

#[test]
fn zones_are_asked_at_once_after_the_near_one() {
    let zones = "route = { zone_failover = { x = 'a', y = 'b', z = 'c' }, near = 'y', until_hit = true }";
    assert_eq!(sends(zones, "get", [Good; 3]), (vec![('b', Client)], Some('b')));
    let all = vec![('b', Client), ('a', Client), ('c', Client)];
    assert_eq!(sends(zones, "get", [Miss, Error, Good]), (all.clone(), Some('c')));
    assert_eq!(sends(zones, "get", [Error, Miss, Error]), (all, Some('b')));
}

#[test]
fn a_warm_up_fills_the_cold_pool() {
    let warm = "route = { warm_up = 'a', from = 'b' }";
    let filled = vec![('a', Client), ('b', Item), ('a', Fill(1))];
    assert_eq!(sends(warm, "get", [Miss, Good, Good]), (filled, Some('b')));
    assert_eq!(sends(warm, "get", [Good, Good, Good]), (vec![('a', Client)], Some('a')));
    let both = vec![('a', Client), ('b', Item)];
    assert_eq!(sends(warm, "get", [Miss, Miss, Good]), (both.clone(), Some('a')));
    assert_eq!(sends(warm, "get", [Miss, Error, Good]), (both, Some('a')));
    assert_eq!(sends(warm, "get", [Error, Good, Good]), (vec![('a', Client)], Some('a')));
    // No old value comes back.
    for word in ["set", "delete", "ms", "md"] {
        assert_eq!(sends(warm, word, [Good; 3]), (vec![('a', Client), ('b', Delete)], Some('a')), "{word}");
    }
    assert_eq!(sends(warm, "incr", [Good; 3]), (vec![('a', Client)], Some('a')));
}

#[test]
fn a_fill_deletes_nothing() {
    let nested = "route = { warm_up = { warm_up = 'a', from = 'b' }, from = 'c' }";
    let all = vec![('a', Client), ('b', Item), ('c', Item), ('a', Fill(2))];
    assert_eq!(sends(nested, "get", [Miss, Miss, Good]), (all, Some('c')));
}

#[test]
fn a_shadow_never_answers() {
    let shadow = "route = { shadow = 'b', of = 'a' }";
    let split = "route = { split = ['a', 'b'] }";
    for text in [shadow, split] {
        let both = vec![('a', Client), ('b', Client)];
        assert_eq!(sends(text, "set", [Error, Good, Good]), (both, Some('a')));
    }
}

#[test]
fn draws_are_spread() {
    let count = |text: &str, pool: usize| {
        let routes = routes(text);
        let request = |draw| Request { key: b"k", command: Command::named("get").unwrap(), draw };
        let mut actions = Vec::new();
        for draw in 0..3000 {
            let (request, now, actions) = (request(draw), Instant::now(), &mut actions);
            drop(Run::start(&mut Turn {
                routes: &routes,
                request,
                now,
                millis: 0,
                buckets: &mut [],
                actions,
            }));
        }
        actions.iter().filter(|action| matches!(action, Action::Send(send) if send.pool == pool)).count()
    };
    for pool in 0..3 {
        let drawn = count("route = { random = ['a', 'b', 'c'] }", pool);
        assert!((850..1150).contains(&drawn), "{drawn} of 3000");
    }
    let copied = count("route = { shadow = 'b', of = 'a', percent = 20 }", 1);
    assert!((500..700).contains(&copied), "{copied} of 3000");
}

#[test]
fn a_migration_goes_by_the_clock() {
    let at = |start: u64, word: &str| {
        sends(
            &format!("route = {{ migrate = 'a', to = 'b', start = {start}, interval = 10 }}"),
            word,
            [Good; 3],
        )
        .0
    };
    // It is second 20.
    assert_eq!(at(21, "delete"), [('a', Client)]);
    assert_eq!(at(20, "get"), [('a', Client)]);
    assert_eq!(at(20, "delete"), [('a', Client), ('b', Delete)]);
    assert_eq!(at(10, "get"), [('b', Client)]);
    assert_eq!(at(10, "delete"), [('b', Client), ('a', Delete)]);
    assert_eq!(at(1, "delete"), [('b', Client), ('a', Delete)]);
    assert_eq!(
        sends("route = { migrate = 'a', to = 'b', start = 1, interval = 9 }", "md", [Good; 3]).0,
        [('b', Client)]
    );
}

#[test]
fn a_limit_lasts_over_requests() {
    let routes = routes("route = { rate_limit = 'a', per_second = 2, over = { error = 'too fast' } }");
    let mut buckets = vec![Bucket::default(); routes.limits.len()];
    let mut ask = |millis| {
        let mut actions = Vec::new();
        let request = Request { key: b"k", command: Command::named("get").unwrap(), draw: 0 };
        let (now, buckets, actions) = (Instant::now(), &mut buckets[..], &mut actions);
        Run::start(&mut Turn { routes: &routes, request, now, millis, buckets, actions });
        matches!(actions[..], [Action::Send(_)])
    };
    assert_eq!([ask(5000), ask(5000), ask(5000), ask(5500), ask(5500)], [true, true, false, true, false]);
}

#[test]
fn lookups_take_the_longest_prefix_and_the_word() {
    let prefixes = "route = { by_prefix = { k = 'a', 'k:' = 'b' }, default = 'c' }";
    assert_eq!(sends(prefixes, "get", [Good; 3]).1, Some('a'));
    let commands = "route = { by_command = { reads = 'a', mg = 'b' }, default = 'c' }";
    for (word, pool) in [("get", 'a'), ("gats", 'a'), ("mg", 'b'), ("set", 'c'), ("touch", 'c')] {
        assert_eq!(sends(commands, word, [Good; 3]).1, Some(pool), "{word}");
    }
    let ttl = routes("route = { ttl = { ttl = 'a', seconds = 5 }, seconds = 9 }");
    assert_eq!(run(&ttl, "set", |_| Good, at_once).sends[0].ttl, Some(TtlRule::Exactly(5)));
}
