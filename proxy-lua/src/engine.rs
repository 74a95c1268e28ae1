//! The engine of a worker: its virtual machines, and the clients that wait for answers.
//!
//! A reload makes a second machine beside the one in use. When the machines of all workers are
//! ready, new requests begin in the second one. The first one ends with its last request.

use std::sync::Arc;
use std::time::Instant;

use memcache_core::internal::proxy::engine::{Client, Engine, Host};
use memcache_core::internal::proxy::failure::Reason;
use memcache_core::internal::proxy::gets::{END, Gets};
use memcache_core::internal::proxy::held::Held;
use memcache_core::internal::proxy::hooks::Hooks;
use memcache_core::internal::proxy::links::Ask;
use memcache_core::internal::proxy::program::Seat;
use memcache_core::internal::proxy::reply::Meaning;
use memcache_core::internal::proxy::request::{ClientRequest, Requests};
use memcache_core::internal::proxy::slots::Slots;

use crate::machine::{Answers, MACHINE_BITS, Machine};
use crate::reload::Reloads;
use crate::worker::Asker;

/// The reply if too many requests are under way.
const TOO_MANY: &[u8] = b"SERVER_ERROR active request limit reached\r\n";

/// The engine of a worker.
#[derive(Debug)]
pub struct LuaEngine {
    worker: usize,
    reloads: Arc<Reloads>,
    machines: Slots<Machine>,
    /// The machine for new requests.
    current: usize,
    /// A machine that waits for those of the other workers, and the number of its load.
    next: Option<(usize, u64)>,
    /// Machines that are in use or end.
    live: Vec<usize>,
    gets: Gets,
    /// Requests without an answer, and most of these. 0 for no limit.
    waiting: u64,
    limit: u64,
    /// The limit of the next machine.
    next_limit: u64,
    /// Set if a machine has something to do at once.
    due: Option<Instant>,
    from_machine: Answers,
}

impl LuaEngine {
    /// Makes the engine of a worker with the configuration that is loaded.
    ///
    /// # Errors
    /// The line that says what failed.
    pub fn new(seat: Seat, reloads: Arc<Reloads>, host: &mut Host<'_>) -> Result<Self, String> {
        let worker = seat.worker;
        let loaded = reloads.join(worker, seat.wake);
        let loaded = loaded.ok_or("the configuration of the proxy is not loaded")?;
        let mut machines = Slots::default();
        let machine = Machine::load(&loaded, host).inspect_err(|_| reloads.leave(worker))?;
        let current = machines.add(machine);
        let mut engine = Self {
            worker,
            reloads,
            machines,
            current,
            next: None,
            live: vec![current],
            gets: Gets::default(),
            waiting: 0,
            limit: loaded.active_limit(),
            next_limit: 0,
            due: None,
            from_machine: Vec::new(),
        };
        engine.name(current);
        Ok(engine)
    }

    /// Tells a machine its number.
    fn name(&mut self, number: usize) {
        if let Some(machine) = self.machines.get_mut(number) {
            machine.number = number;
        }
    }

    fn begin_one(&mut self, asker: Asker, from: &Client, request: ClientRequest, host: &mut Host<'_>) {
        self.waiting += 1;
        match self.machines.get_mut(self.current) {
            Some(machine) if self.limit == 0 || self.waiting <= self.limit => {
                machine.begin(asker, from, request, host, &mut self.from_machine);
                if machine.has_events() {
                    self.due = Some(host.now);
                }
            }
            _ => self.from_machine.push((asker, TOO_MANY.to_vec())),
        }
    }

    /// Takes the answers of a machine.
    fn take_answers(&mut self, host: &mut Host<'_>) {
        let mut answers = std::mem::take(&mut self.from_machine);
        let mut unlimited = Held::new(usize::MAX);
        for (asker, bytes) in answers.drain(..) {
            self.waiting -= 1;
            match asker {
                Asker::Client(slot) => host.answers.answer(slot, &bytes),
                Asker::Get(get, key) => {
                    // A line of an error may end with these bytes. It stands among the items.
                    let whole = |item: &&[u8]| item.is_empty() || item.ends_with(b"\n");
                    let item = bytes.strip_suffix(END).filter(whole).unwrap_or(&bytes);
                    self.gets.take(get, key, Ok(item), &mut unlimited, host.answers);
                }
            }
        }
        self.from_machine = answers;
    }

    /// Uses the machine that waits for those of other workers, or drops it, once that is decided.
    fn settle(&mut self, host: &mut Host<'_>) {
        let Some((number, load)) = self.next else { return };
        match self.reloads.decision(self.worker, load) {
            Some(true) => (self.current, self.next, self.limit) = (number, None, self.next_limit),
            Some(false) => self.next = None,
            None => return,
        }
        self.close_machines(host);
    }

    /// Closes machines that have no requests left.
    fn close_machines(&mut self, host: &mut Host<'_>) {
        let (current, next) = (self.current, self.next.map(|(next, _)| next));
        let machines = &mut self.machines;
        self.live.retain(|&number| {
            let is_used = number == current
                || Some(number) == next
                || machines.get(number).is_some_and(|machine| machine.active > 0);
            if !is_used && let Some(machine) = machines.remove(number) {
                machine.close(host);
            }
            is_used
        });
    }
}

impl Drop for LuaEngine {
    fn drop(&mut self) {
        self.reloads.leave(self.worker);
    }
}

impl Engine for LuaEngine {
    fn hooks(&self) -> Hooks {
        self.machines.get(self.current).map(|machine| machine.shared().borrow().hooks()).unwrap_or_default()
    }

    fn begin(&mut self, client: Client, mut requests: Requests, host: &mut Host<'_>) {
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            self.begin_one(Asker::Client(client.slot), &client, request, host);
            return self.take_answers(host);
        }
        if requests.is_empty() {
            return host.answers.answer(client.slot, END);
        }
        let get = self.gets.begin(client.slot, requests.len());
        for (key, request) in requests.into_iter().enumerate() {
            self.begin_one(Asker::Get(get, key), &client, request, host);
        }
        self.take_answers(host);
    }

    fn check_reply(&self, ask: Ask, _reply: &[u8], _meaning: Meaning) -> Result<(), Reason> {
        let machine = self.machines.get(machine_of(ask));
        let is_full = machine.is_some_and(|machine| machine.shared().borrow().is_full());
        if is_full { Err(Reason::OutOfMemory) } else { Ok(()) }
    }

    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        let number = machine_of(ask);
        let Some(machine) = self.machines.get_mut(number) else { return };
        let reply = reply.map(|(bytes, _)| bytes);
        machine.reply(ask.id >> MACHINE_BITS, ask.number, reply, host, &mut self.from_machine);
        let ends = number != self.current && machine.active == 0;
        if machine.has_events() {
            self.due = Some(host.now);
        }
        self.take_answers(host);
        if ends {
            self.close_machines(host);
        }
    }

    fn held(&self) -> usize {
        let machines = self.live.iter().filter_map(|number| self.machines.get(*number));
        machines.map(|machine| machine.shared().borrow().held).sum()
    }

    fn deadline(&mut self) -> Option<Instant> {
        if self.due.is_some() {
            return self.due;
        }
        let machines = &self.machines;
        let deadlines = self.live.iter().filter_map(|number| machines.get(*number));
        deadlines.filter_map(|machine| machine.shared().borrow_mut().deadline()).min()
    }

    fn expire(&mut self, until: Instant, host: &mut Host<'_>) {
        self.due = None;
        for number in self.live.clone() {
            if let Some(machine) = self.machines.get_mut(number) {
                machine.expire(until, host, &mut self.from_machine);
                if machine.has_events() {
                    self.due = Some(host.now);
                }
            }
        }
        self.take_answers(host);
        self.close_machines(host);
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        let work = self.reloads.to_load(self.worker);
        // The load before it, if any, is decided.
        self.settle(host);
        if let Some((load, loaded)) = work {
            let made = Machine::load(&loaded, host);
            let report = match made {
                Ok(machine) => {
                    self.next_limit = loaded.active_limit();
                    let number = self.machines.add(machine);
                    self.name(number);
                    self.live.push(number);
                    self.next = Some((number, load));
                    Ok(())
                }
                Err(line) => Err(line),
            };
            self.reloads.report(self.worker, load, report);
            self.settle(host);
        }
    }
}

/// Returns the number of the machine that has sent.
fn machine_of(ask: Ask) -> usize {
    ask.id & ((1 << MACHINE_BITS) - 1)
}
