//! Loading of missing values, by threads and tasks at once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::future::{self, Future};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use memcache_rs::internal::cache::{Deleted, MetaDelete, Request};
use memcache_rs::{Cache, CacheConfig, Ttl};

fn cache() -> Arc<Cache> {
    let cache = Cache::new(CacheConfig::default()).unwrap();
    cache.clock().freeze();
    cache
}

/// Counts the times that it is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn poll<F: Future>(future: &mut Pin<&mut F>, task: &Arc<Task>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(task))))
}

/// A loader that is done at its second poll.
async fn slowly<T>(value: T) -> T {
    tokio::task::yield_now().await;
    value
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns a Result")]
fn ok(value: &str) -> Result<&str, Infallible> {
    Ok(value)
}

fn got(value: &str) -> Poll<Result<Vec<u8>, Infallible>> {
    Poll::Ready(Ok(value.as_bytes().to_vec()))
}

fn unexpected() -> impl Future<Output = Result<Vec<u8>, Infallible>> {
    future::poll_fn(|_| panic!("another caller has loaded the value"))
}

#[test]
fn a_hit_does_not_load() {
    let cache = cache();
    let minute = Duration::from_mins(1);
    assert_eq!(cache.get_or_insert_with("a", minute, || ok("1")), Ok(b"1".to_vec()));
    assert_eq!(cache.get_or_insert_with("a", minute, || ok("2")), Ok(b"1".to_vec()));
    assert!(cache.info("a").is_some_and(|info| info.ttl == Some(60)));
    cache.clock().advance(60).unwrap();
    assert_eq!(cache.get_or_insert_with("a", Ttl::Never, || ok("3")), Ok(b"3".to_vec()));
}

#[test]
fn a_call_counts_one_get() {
    let cache = cache();
    for _ in 0..3 {
        cache.get_or_insert_with("a", Ttl::Never, || ok("1")).unwrap();
    }
    let totals = cache.store().totals();
    assert_eq!((totals.commands.get_cmds, totals.commands.get_misses), (3, 1));
}

#[test]
fn one_thread_loads_for_all() {
    let cache = cache();
    let (loads, start) = (AtomicUsize::new(0), Barrier::new(8));
    for round in 0..200 {
        let key = format!("key{round}");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    let load = || ok(if loads.fetch_add(1, Relaxed) == round { "1" } else { "2" });
                    assert_eq!(cache.get_or_insert_with(&key, Ttl::Never, load), Ok(b"1".to_vec()));
                });
            }
        });
        assert_eq!(loads.load(Relaxed), round + 1);
    }
}

#[test]
fn a_waiter_is_woken_with_the_value() {
    let (cache, leader, waiter) = (cache(), Arc::<Task>::default(), Arc::<Task>::default());
    let mut first = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("1"))));
    let mut second = pin!(cache.get_or_insert_async("a", Ttl::Never, unexpected()));
    assert!(poll(&mut first, &leader).is_pending() && poll(&mut second, &waiter).is_pending());
    // The last poll decides which task is woken.
    let moved = Arc::<Task>::default();
    assert!(poll(&mut second, &moved).is_pending());
    assert_eq!(poll(&mut first, &leader), got("1"));
    assert_eq!((waiter.0.load(Relaxed), moved.0.load(Relaxed)), (0, 1));
    // Its value is that of the leader, even if the item is gone by now.
    cache.clear();
    assert_eq!(poll(&mut second, &moved), got("1"));
}

#[test]
fn a_delete_during_a_load_was_lost() {
    let deletes: [fn(&Cache); 3] =
        [|cache| assert!(!cache.delete("a")), Cache::clear, |cache| cache.flush_prefix("a")];
    for delete in deletes {
        let (cache, leader, waiter) = (cache(), Arc::<Task>::default(), Arc::<Task>::default());
        let mut first = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("old"))));
        assert!(poll(&mut first, &leader).is_pending());
        delete(&cache);
        // It comes after the delete, so it must not get the value from before.
        let mut second = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("new"))));
        assert!(poll(&mut second, &waiter).is_pending());
        assert_eq!(poll(&mut first, &leader), got("old"));
        assert_eq!(cache.get("a"), None);
        assert!(poll(&mut second, &waiter).is_pending());
        assert_eq!(poll(&mut second, &waiter), got("new"));
        assert_eq!(cache.get("a").as_deref(), Some(&b"new"[..]));
    }
}

#[test]
fn each_way_to_remove_an_item_marks_a_load() {
    let cache = cache();
    let is_marked = |seen| cache.finish_load(b"key", seen, || ()).is_none();
    let md = Request::new(b"key", MetaDelete::default());
    for way in ["delete", "md", "flush_all", "clear", "flush_prefix", "flush_prefix of all"] {
        let load = cache.begin_load(b"key");
        assert!(!is_marked(load.seen()), "{way}");
        match way {
            "delete" => assert!(!cache.delete("key")),
            "md" => assert_eq!(cache.meta_delete(&md), Deleted::NotFound),
            "flush_all" => cache.flush(None),
            "clear" => cache.clear(),
            "flush_prefix" => cache.flush_prefix("k"),
            _ => cache.flush_prefix(""),
        }
        assert!(is_marked(load.seen()), "{way}");
    }
    let load = cache.begin_load(b"key");
    cache.delete("other");
    cache.flush_prefix("x");
    cache.set("key", "value", Ttl::Never).unwrap();
    assert!(!is_marked(load.seen()));
}

#[test]
fn a_dropped_leader_hands_over() {
    let (cache, leader, waiter) = (cache(), Arc::<Task>::default(), Arc::<Task>::default());
    let mut first = Box::pin(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("1"))));
    let mut second = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("2"))));
    let mut third = pin!(cache.get_or_insert_async("a", Ttl::Never, unexpected()));
    assert!(poll(&mut first.as_mut(), &leader).is_pending());
    assert!(poll(&mut second, &waiter).is_pending() && poll(&mut third, &waiter).is_pending());
    drop(first);
    assert_eq!(waiter.0.load(Relaxed), 2);
    assert!(poll(&mut second, &waiter).is_pending() && poll(&mut third, &waiter).is_pending());
    assert_eq!((poll(&mut second, &waiter), poll(&mut third, &waiter)), (got("2"), got("2")));
}

#[test]
fn a_dropped_waiter_is_forgotten() {
    let (cache, leader, waiter) = (cache(), Arc::<Task>::default(), Arc::<Task>::default());
    let mut first = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("1"))));
    assert!(poll(&mut first, &leader).is_pending());
    let mut second = Box::pin(cache.get_or_insert_async("a", Ttl::Never, unexpected()));
    assert!(poll(&mut second.as_mut(), &waiter).is_pending());
    assert_eq!(Arc::strong_count(&waiter), 2);
    drop(second);
    assert_eq!(Arc::strong_count(&waiter), 1);
    assert_eq!(poll(&mut first, &leader), got("1"));
}

#[test]
fn an_error_goes_to_its_own_caller() {
    let (cache, task) = (cache(), Arc::<Task>::default());
    let mut first = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(Err::<&str, _>("lost"))));
    let mut second = pin!(cache.get_or_insert_async("a", Ttl::Never, slowly(ok("2"))));
    assert!(poll(&mut first, &task).is_pending() && poll(&mut second, &task).is_pending());
    assert_eq!(poll(&mut first, &task), Poll::Ready(Err("lost")));
    assert!(poll(&mut second, &task).is_pending());
    assert_eq!(poll(&mut second, &task), got("2"));
    assert_eq!(cache.get_or_insert_with("b", Ttl::Never, || Err::<&str, _>(5)), Err(5));
    assert_eq!(cache.get("b"), None);
}

#[test]
fn a_panic_goes_to_its_own_caller() {
    let (cache, task) = (cache(), Arc::<Task>::default());
    let mut waiting = pin!(cache.get_or_insert_async("a", Ttl::Never, async { ok("2") }));
    let load = || -> Result<&str, Infallible> {
        assert!(poll(&mut waiting, &task).is_pending());
        panic!("on purpose")
    };
    let call = AssertUnwindSafe(|| cache.get_or_insert_with("a", Ttl::Never, load));
    assert_eq!(panic::catch_unwind(call).unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(task.0.load(Relaxed), 1);
    assert_eq!(poll(&mut waiting, &task), got("2"));
}

#[test]
fn what_is_stored_meanwhile_stays() {
    let cache = cache();
    let load = || {
        // The loader knows the TTL, or a client was faster.
        cache.set("a", "1", Duration::from_secs(9)).unwrap();
        ok("2")
    };
    assert_eq!(cache.get_or_insert_with("a", Ttl::Never, load), Ok(b"1".to_vec()));
    assert!(cache.info("a").is_some_and(|info| info.ttl == Some(9)));
}

#[test]
fn a_value_that_cannot_be_stored_is_returned_to_all() {
    let (cache, task) = (cache(), Arc::<Task>::default());
    let large = vec![b'v'; 2 << 20];
    for (key, value) in [("large", &large[..]), (&"k".repeat(251), &b"1"[..]), ("", &b"1"[..])] {
        let load = slowly(Ok::<_, Infallible>(value));
        let mut first = pin!(cache.get_or_insert_async(key, Ttl::Never, load));
        let mut second = pin!(cache.get_or_insert_async(key, Ttl::Never, unexpected()));
        assert!(poll(&mut first, &task).is_pending() && poll(&mut second, &task).is_pending());
        let expected = Poll::Ready(Ok(value.to_vec()));
        assert_eq!((poll(&mut first, &task), poll(&mut second, &task)), (expected.clone(), expected));
        assert_eq!(cache.get(key), None);
    }
}

#[cfg(feature = "server")]
#[test]
fn a_client_is_seen() {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use memcache_rs::{BoundAddress, Listen, Server, ServerConfig};

    let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
    let server = Server::start(ServerConfig { listen, ..ServerConfig::default() }).unwrap();
    let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("one TCP address") };
    let mut client = TcpStream::connect(address).unwrap();
    let mut set = |key: &str| {
        client.write_all(format!("set {key} 0 0 6\r\nclient\r\n").as_bytes()).unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
    };
    let cache = server.cache();
    set("before");
    let hit = cache.get_or_insert_with("before", Ttl::Never, || ok("program"));
    let overtaken = cache.get_or_insert_with("while", Ttl::Never, || {
        set("while");
        ok("program")
    });
    assert_eq!((hit, overtaken), (Ok(b"client".to_vec()), Ok(b"client".to_vec())));
}

/// Threads and tasks load the same keys. Some loads fail, panic or are dropped.
#[test]
fn every_caller_ends() {
    const KEYS: usize = 50;
    let cache = cache();
    let load = |n: usize| {
        if n.is_multiple_of(7) {
            panic::resume_unwind(Box::new("without a message"));
        }
        if (n / KEYS).is_multiple_of(5) { Err("lost") } else { Ok(format!("value{}", n % KEYS)) }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..2000)
        .map(|n| {
            let (cache, key) = (Arc::clone(&cache), format!("key{}", n % KEYS));
            let task = if n.is_multiple_of(3) {
                runtime.spawn_blocking(move || cache.get_or_insert_with(key, Ttl::Never, || load(n)))
            } else {
                runtime.spawn(async move {
                    let load = async {
                        slowly(()).await;
                        load(n)
                    };
                    cache.get_or_insert_async(key, Ttl::Never, load).await
                })
            };
            if n.is_multiple_of(11) {
                task.abort();
            }
            task
        })
        .collect();
    runtime.block_on(async {
        for (n, task) in tasks.into_iter().enumerate() {
            if let Ok(Ok(value)) = task.await {
                assert_eq!(value, format!("value{}", n % KEYS).as_bytes());
            }
        }
    });
    for key in 0..KEYS {
        assert_eq!(cache.get(format!("key{key}")), Some(format!("value{key}").into_bytes()));
    }
}
