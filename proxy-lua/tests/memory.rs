//! Requests that have their answers leave no memory behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

#[allow(dead_code, reason = "these tests need a part of it")]
mod bench;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use bench::Bench;

/// Bytes that the process has allocated and not freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator. It counts the live bytes.
struct Counting;

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests of a batch, and batches. A timer that stays takes 24 bytes or more.
const BATCH: usize = 100;
const BATCHES: usize = 400;

/// Each timer stayed until its time.
#[test]
fn a_request_with_a_long_time_leaves_nothing() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            attach_all(p, function(rctx, r, h) return rctx:enqueue_and_wait(r, h, 60) end)
        end",
    );
    let mut client = bench.client();
    let mut load = |batches: usize| {
        for _ in 0..batches {
            client.asks(&"mg k v\r\n".repeat(BATCH), &"EN\r\n".repeat(BATCH));
        }
        LIVE.load(Relaxed)
    };
    let before = load(20);
    let grown = load(BATCHES) - before;
    assert!(grown < 500_000, "{} requests leave {grown} bytes", BATCH * BATCHES);
}
