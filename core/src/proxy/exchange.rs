//! The way of requests on shared connections: from the links of a worker to the thread that has the
//! connections, and that of the replies back.
//!
//! ```text
//!   worker: Links ──▶ WorkerEnd ── orders ──▶ IoEnd ──▶ IoEngine ──▶ Links ──▶ sockets
//!           Engine ◀── WorkerEnd ◀─ replies ── IoEnd ◀──────┘
//! ```
//!
//! A round of a worker hands over all its orders at once, and so does the thread with the replies.
//! In each direction, the order of the requests of a worker is kept.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use super::failure::Reason;
use super::place::{Ask, Origin, Place};
use super::reply::Meaning;
use crate::base::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Wakes a thread. Any thread may call it.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Most bytes of replies that a worker has not taken. It has no room for later ones.
const MOST_WAITING: usize = 256 * 1024 * 1024;

/// Returns the end of each worker, and that of the thread that has the connections. The functions
/// wake their threads.
pub fn exchange(io: &Wake, workers: Vec<Wake>) -> (Vec<WorkerEnd>, IoEnd) {
    let (to_io, orders) = channel();
    let ends = workers.into_iter().enumerate().map(|(worker, wake)| {
        let (out, replies) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let own = WorkerEnd {
            worker,
            orders: Orders::default(),
            to_io: to_io.clone(),
            replies,
            waiting: Arc::clone(&waiting),
            io: WakeAtEnd(Arc::clone(io)),
        };
        (own, Worker { replies: Replies::default(), out, waiting, wake })
    });
    let (ends, workers) = ends.unzip();
    (ends, IoEnd { orders, workers, ended: false })
}

/// An order of a worker. It names a backend by the number of the worker's link.
#[derive(Debug)]
pub enum Order {
    /// Acquires links to a backend, in place of those that it has.
    Acquire(usize, Arc<Place>),
    /// Releases them.
    Release(usize),
    /// Sends a request of this many bytes.
    Send(usize, Ask, usize),
    /// Ends a connection.
    Fail(Origin, Reason),
}

/// The orders of a round, and the bytes of their requests.
#[derive(Debug, Default)]
pub struct Orders {
    list: Vec<Order>,
    bytes: Vec<u8>,
}

impl Orders {
    /// Iterates over the orders, each with the bytes of its request.
    pub fn iter(&self) -> impl Iterator<Item = (&Order, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.list.iter().map(move |order| {
            let length = if let Order::Send(_, _, length) = order { *length } else { 0 };
            (order, take(&mut rest, length))
        })
    }
}

/// The send, and a reply of this many bytes, or its absence.
type Reply = (Ask, Option<(Origin, usize, Meaning)>);

/// A reply, and where it came from.
type Received<'a> = (Origin, &'a [u8], Meaning);

/// The replies of a round, and their bytes.
#[derive(Debug, Default)]
pub struct Replies {
    list: Vec<Reply>,
    bytes: Vec<u8>,
}

impl Replies {
    /// Iterates over the replies: the send, and the reply or its absence.
    pub fn iter(&self) -> impl Iterator<Item = (Ask, Option<Received<'_>>)> {
        let mut rest = self.bytes.as_slice();
        self.list.iter().map(move |&(ask, reply)| {
            (ask, reply.map(|(origin, length, meaning)| (origin, take(&mut rest, length), meaning)))
        })
    }
}

/// Takes bytes from the front.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    *rest = left;
    taken
}

/// The end of a worker.
pub struct WorkerEnd {
    worker: usize,
    /// Those of this round.
    orders: Orders,
    to_io: Sender<(usize, Orders)>,
    replies: Receiver<Replies>,
    /// Bytes of replies that it has not taken.
    waiting: Arc<AtomicUsize>,
    /// Dropped after `to_io`, so that the thread sees that this worker has ended.
    io: WakeAtEnd,
}

opaque_debug!(WorkerEnd);

impl WorkerEnd {
    /// Acquires the connections to a backend under the number of a link, in place of those that it
    /// has.
    pub fn acquire(&mut self, number: usize, place: Arc<Place>) {
        self.orders.list.push(Order::Acquire(number, place));
    }

    /// Releases the connections of a link.
    pub fn release(&mut self, number: usize) {
        self.orders.list.push(Order::Release(number));
    }

    /// Ends a connection, whose replies are wrong.
    pub fn fail(&mut self, origin: Origin, reason: Reason) {
        self.orders.list.push(Order::Fail(origin, reason));
    }

    /// Sends a request, which `push` appends.
    pub fn send(&mut self, number: usize, ask: Ask, push: impl FnOnce(&mut Vec<u8>)) {
        let before = self.orders.bytes.len();
        push(&mut self.orders.bytes);
        self.orders.list.push(Order::Send(number, ask, self.orders.bytes.len() - before));
    }

    /// Hands over the orders of this round.
    pub fn flush(&mut self) {
        if !self.orders.list.is_empty() {
            // Without the thread, the server stops.
            let _ = self.to_io.send((self.worker, std::mem::take(&mut self.orders)));
            (self.io.0)();
        }
    }

    /// Takes replies.
    pub fn take_replies(&mut self) -> Option<Replies> {
        let replies = self.replies.try_recv().ok()?;
        self.waiting.fetch_sub(replies.bytes.len(), Relaxed);
        Some(replies)
    }
}

/// Wakes a thread once more when it is dropped.
struct WakeAtEnd(Wake);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The end of the thread that has the connections.
pub struct IoEnd {
    orders: Receiver<(usize, Orders)>,
    workers: Vec<Worker>,
    ended: bool,
}

opaque_debug!(IoEnd);

/// A worker, as the thread knows it.
struct Worker {
    /// Those of this round.
    replies: Replies,
    out: Sender<Replies>,
    /// Bytes of replies that it has not taken.
    waiting: Arc<AtomicUsize>,
    wake: Wake,
}

impl IoEnd {
    /// Returns whether all workers have ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the orders of a round of a worker, with its number.
    pub fn take_orders(&mut self) -> Option<(usize, Orders)> {
        let orders = self.orders.try_recv();
        self.ended = matches!(orders, Err(TryRecvError::Disconnected));
        orders.ok()
    }

    /// Returns whether a worker has room for a reply.
    pub fn has_room(&self, worker: usize) -> bool {
        self.workers.get(worker).is_some_and(|worker| worker.waiting.load(Relaxed) < MOST_WAITING)
    }

    /// Returns a reply to a worker, or its absence.
    pub fn reply(&mut self, worker: usize, ask: Ask, reply: Option<Received<'_>>) {
        let Some(worker) = self.workers.get_mut(worker) else { return };
        let reply = reply.map(|(origin, bytes, meaning)| {
            worker.replies.bytes.extend_from_slice(bytes);
            worker.waiting.fetch_add(bytes.len(), Relaxed);
            (origin, bytes.len(), meaning)
        });
        worker.replies.list.push((ask, reply));
    }

    /// Hands over the replies of this round.
    pub fn flush(&mut self) {
        for worker in &mut self.workers {
            if !worker.replies.list.is_empty() {
                // A worker that has ended needs none.
                let _ = worker.out.send(std::mem::take(&mut worker.replies));
                (worker.wake)();
            }
        }
    }
}
