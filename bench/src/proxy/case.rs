//! The cases that proxies are compared in.

use crate::compare::scenario::{P32, Scenario};

/// A load, the routes it takes, and what happens to the backends.
#[derive(Debug)]
pub struct Case {
    pub scenario: Scenario,
    /// Whether requests go to the pool `spare` when those to `main` fail.
    pub failover: bool,
    pub fault: Fault,
}

/// A fault of the backends of `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// All are killed before the first request.
    AllDead,
    /// One is killed after the items are stored.
    Dead,
    /// One is stopped after the items are stored: it accepts connections, and does not answer.
    Stopped,
}

/// Requests of one key, 16 outstanding on each of four connections.
const P16: Scenario = Scenario { pipeline: 16, memory: 64, ..P32 };

/// Requests of one key on 16 connections, without pipelining.
const P1: Scenario = Scenario { connections: 16, pipeline: 1, ..P16 };

const fn plain(scenario: Scenario) -> Case {
    Case { scenario, failover: false, fault: Fault::None }
}

const fn failing(scenario: Scenario, fault: Fault) -> Case {
    Case { scenario: Scenario { failures: true, ..scenario }, failover: false, fault }
}

/// All cases. With a dead or stopped backend, requests for its keys may fail. A pipeline would show
/// the latency of its slowest request for all.
pub const CASES: &[Case] = &[
    plain(Scenario { name: "get-p16", ..P16 }),
    plain(Scenario { name: "set-p16", gets: 0.0, ..P16 }),
    plain(Scenario { name: "get-c16", ..P1 }),
    plain(Scenario { name: "set-c16", gets: 0.0, ..P1 }),
    plain(Scenario { name: "multiget20", batch: 20, connections: 4, ..P1 }),
    Case { failover: true, fault: Fault::AllDead, ..plain(Scenario { name: "failover-get-p16", ..P16 }) },
    Case { failover: true, fault: Fault::AllDead, ..plain(Scenario { name: "failover-get-c16", ..P1 }) },
    failing(Scenario { name: "dead-get-c16", ..P1 }, Fault::Dead),
    failing(Scenario { name: "stopped-get-c16", ..P1 }, Fault::Stopped),
];
