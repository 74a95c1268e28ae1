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
    /// Requests without a reply: the worker, the number of its link, and its name of the send.
    sends: Slots<(usize, usize, Ask)>,
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
                    self.links.insert((worker, *number), links);
                }
                Order::Release(number) => {
                    let links = self.links.remove(&(worker, *number));
                    links.into_iter().flatten().for_each(|link| host.links.release(link));
                }
                Order::Fail(number, reason) => {
                    let links = self.links.get(&(worker, *number));
                    links.into_iter().flatten().for_each(|link| host.links.end_connection(*link, *reason));
                }
                Order::Send(number, ask, _) => {
                    let id = self.sends.add((worker, *number, *ask));
                    let send = Ask { id, ..*ask };
                    let among = self.links.get(&(worker, *number)).map(Vec::as_slice).unwrap_or_default();
                    let push = |out: &mut Vec<u8>| out.extend_from_slice(request);
                    let link = host.links.choose(among);
                    if link.is_none_or(|link| host.links.submit(link, send, host.now, push).is_err()) {
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

    fn reply(&mut self, send: Ask, reply: Option<(&[u8], Meaning)>, _: &mut Host<'_>) {
        let Some(&(worker, number, ask)) = self.sends.get(send.id) else { return };
        if !matches!(reply, Some((_, Meaning::Item))) {
            self.sends.drop(send.id);
        }
        self.end.reply(worker, number, ask, reply);
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        while let Some((worker, orders)) = self.end.take_orders() {
            self.carry_out(worker, &orders, host);
        }
    }
}
