//! The engine of the thread that has the connections to backends that all workers share. It has no
//! clients: its requests come from the links of workers.

use std::collections::HashMap;

use super::engine::{Client, Engine, Host};
use super::exchange::{IoEnd, Order, Orders};
use super::hooks::Hooks;
use super::links::Ask;
use super::reply::Meaning;
use super::request::Requests;
use super::slots::Slots;

/// The engine of the thread.
#[derive(Debug)]
pub struct IoEngine {
    /// The way to the workers.
    pub end: IoEnd,
    /// The links to a backend, by the worker and the number of its link.
    links: HashMap<(usize, usize), Vec<usize>>,
    /// Those without a reply.
    sends: Slots<Send>,
}

/// A request of a worker.
#[derive(Clone, Copy, Debug)]
struct Send {
    worker: usize,
    /// The number of the link.
    link: usize,
    /// The worker's name of it.
    ask: Ask,
    /// Whether a part of the reply was lost.
    is_lost: bool,
}

impl IoEngine {
    /// Returns an engine without requests.
    pub fn new(end: IoEnd) -> Self {
        Self { end, links: HashMap::new(), sends: Slots::default() }
    }

    fn carry_out(&mut self, worker: usize, orders: &Orders, host: &mut Host<'_>) {
        for (order, request) in orders.iter() {
            match order {
                Order::Acquire(number, place) => {
                    let links = place.of_connections().map(|place| host.links.acquire(&place)).collect();
                    let old = self.links.insert((worker, *number), links);
                    old.into_iter().flatten().for_each(|link| host.links.release(link));
                }
                Order::Release(number) => {
                    let links = self.links.remove(&(worker, *number));
                    links.into_iter().flatten().for_each(|link| host.links.release(link));
                }
                Order::Fail(origin, reason) => host.links.end_connection(*origin, *reason),
                Order::Send(number, ask, _) => {
                    let among = self.links.get(&(worker, *number)).map(Vec::as_slice).unwrap_or_default();
                    let Some(link) = host.links.choose(among) else {
                        self.end.reply(worker, *ask, None);
                        continue;
                    };
                    let id = self.sends.add(Send { worker, link, ask: *ask, is_lost: false });
                    let send = Ask { id, ..*ask };
                    let push = |out: &mut Vec<u8>| out.extend_from_slice(request);
                    if host.links.submit(link, send, host.now, push).is_err() {
                        self.reply(send, None, host);
                    }
                }
            }
        }
    }
}

impl Engine for IoEngine {
    fn hooks(&self) -> Hooks {
        Hooks::default()
    }

    fn begin(&mut self, _: Client, _: Requests, _: &mut Host<'_>) {}

    fn reply(&mut self, send: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        let Some(own) = self.sends.get_mut(send.id) else { return };
        own.is_lost |= !self.end.has_room(own.worker);
        let Send { worker, link, ask, is_lost } = *own;
        let goes_on = matches!(reply, Some((_, Meaning::Item)));
        if !goes_on {
            self.sends.drop(send.id);
        }
        let reply = reply.filter(|_| !is_lost).zip(host.links.origin(link));
        let reply = reply.map(|((bytes, meaning), origin)| (origin, bytes, meaning));
        // A send is lost once, at the end of its reply: the worker then uses its name again.
        if reply.is_some() || !goes_on {
            self.end.reply(worker, ask, reply);
        }
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        while let Some((worker, orders)) = self.end.take_orders() {
            self.carry_out(worker, &orders, host);
        }
    }
}
