//! Injected faults as a client sees them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::CloseReason;
use memcache_rs::internal::state::ServerState;
use memcache_rs::{Cache, CacheConfig, Fault, FaultRule, Protocol, ServerConfig};

struct Client {
    context: ServerState,
    session: Session,
}

impl Client {
    fn new() -> Self {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        Self {
            context: ServerState::new(cache, ServerConfig::default()).unwrap(),
            session: Session::new(Protocol::Ascii),
        }
    }

    fn rule(&self, rule: FaultRule) {
        self.context.cache.faults().add(rule);
    }

    /// Returns the reply, the bytes of input that were used, and the next step of the owner.
    fn say(&mut self, input: &str) -> (String, usize, Next) {
        let mut out = Output::new();
        let mut env = Env::new(&self.context, &self.context.workers[0], 3, 99);
        let step = self.session.advance(&mut env, input.as_bytes(), &mut out);
        let mut answer = Vec::new();
        while !out.is_empty() {
            out.write_to(&mut answer).unwrap();
        }
        (String::from_utf8(answer).unwrap(), step.consumed, step.next)
    }

    fn answer(&mut self, input: &str) -> String {
        self.say(input).0
    }
}

#[test]
fn a_miss_hides_an_item_as_often_as_said() {
    let mut client = Client::new();
    assert_eq!(client.answer("set user:1 0 0 1\r\nx\r\n"), "STORED\r\n");
    client.rule(FaultRule {
        command: Some("get".into()),
        key: Some(b"user:*".to_vec()),
        times: Some(1),
        ..FaultRule::new(Fault::Miss)
    });
    assert_eq!(client.answer("get user:1\r\n"), "END\r\n");
    assert_eq!(client.answer("get user:1\r\n"), "VALUE user:1 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn an_error_answers_and_swallows_the_value() {
    let mut client = Client::new();
    client.rule(FaultRule { times: Some(1), ..FaultRule::new(Fault::Error("down".into())) });
    assert_eq!(client.answer("set a 0 0 1\r\nx\r\nget a\r\n"), "SERVER_ERROR down\r\nEND\r\n");
    client.rule(FaultRule { times: Some(1), ..FaultRule::new(Fault::Error("down".into())) });
    assert_eq!(client.answer("get a\r\nget a\r\n"), "SERVER_ERROR down\r\nEND\r\n");
}

#[test]
fn a_drop_closes_without_an_answer() {
    let mut client = Client::new();
    client.rule(FaultRule { command: Some("mg".into()), ..FaultRule::new(Fault::Drop) });
    let (_, _, next) = client.say("mg a\r\n");
    assert_eq!(next, Next::Abort(CloseReason::Error));
}

#[test]
fn a_delay_happens_once_and_then_the_command_is_carried_out() {
    let mut client = Client::new();
    let time = Duration::from_millis(250);
    client.rule(FaultRule { command: Some("delete".into()), ..FaultRule::new(Fault::Delay(time)) });
    let (answer, used, next) = client.say("delete a\r\n");
    assert_eq!((answer.as_str(), used, next), ("", 0, Next::Sleep(time)));
    let (answer, used, next) = client.say("delete a\r\n");
    assert_eq!((answer.as_str(), used, next), ("NOT_FOUND\r\n", 10, Next::Input));
    assert_eq!(client.say("delete a\r\n").2, Next::Sleep(time));
}

#[test]
fn a_miss_is_answered_in_the_words_of_each_command() {
    let mut client = Client::new();
    assert_eq!(client.answer("set n 0 0 1\r\n5\r\n"), "STORED\r\n");
    client.rule(FaultRule::new(Fault::Miss));
    for (command, answer) in [
        ("get n", "END"),
        ("gat 0 n", "END"),
        ("mg n v", "EN"),
        ("mg n q", ""),
        ("me n", "EN"),
        ("md n", "NF"),
        ("ma n k", "NF kn"),
        ("incr n 1", "NOT_FOUND"),
        ("touch n 0", "NOT_FOUND"),
        ("delete n", "NOT_FOUND"),
        ("delete n noreply", ""),
    ] {
        let end = if answer.is_empty() { "" } else { "\r\n" };
        assert_eq!(client.answer(&format!("{command}\r\n")), format!("{answer}{end}"), "{command}");
    }
    // A store does no lookup.
    assert_eq!(client.answer("set n 0 0 1\r\n6\r\n"), "STORED\r\n");
}

#[test]
fn a_rule_for_gat_leaves_get_alone() {
    let mut client = Client::new();
    assert_eq!(client.answer("set n 0 0 1\r\n5\r\n"), "STORED\r\n");
    client.rule(FaultRule { command: Some("gat".into()), ..FaultRule::new(Fault::Miss) });
    assert_eq!(client.answer("get n\r\ngat 0 n\r\n"), "VALUE n 0 1\r\n5\r\nEND\r\nEND\r\n");
}

#[test]
fn a_truncated_reply_ends_where_said_and_the_connection_with_it() {
    let value = "v".repeat(100_000);
    for (after, kept) in
        [(0, ""), (10, "VALUE big "), (18, "VALUE big 0 100000"), (25, "VALUE big 0 100000\r\nvvvvv")]
    {
        let mut client = Client::new();
        client.answer(&format!("set big 0 0 100000\r\n{value}\r\n"));
        client.rule(FaultRule { command: Some("get".into()), ..FaultRule::new(Fault::Truncate(after)) });
        let (answer, used, next) = client.say("get big\r\ndelete big\r\n");
        assert_eq!((answer.as_str(), used, next), (kept, 9, Next::Close(CloseReason::Error)));
        // The next request of the pipeline was not executed.
        assert_eq!(client.context.cache.store().totals().curr_items, 1);
    }
}

#[test]
fn what_a_pipeline_answered_before_a_truncated_reply_is_sent() {
    let mut client = Client::new();
    client.rule(FaultRule { key: Some(b"b".to_vec()), ..FaultRule::new(Fault::Truncate(3)) });
    let (answer, _, next) = client.say("set a 0 0 1\r\nx\r\nget a b\r\nget a\r\n");
    assert_eq!(answer, "STORED\r\nVALUE a 0 1\r\nx\r\nEND");
    assert_eq!(next, Next::Close(CloseReason::Error));
}

#[test]
fn a_reply_is_truncated_while_its_command_is_still_coming() {
    let mut client = Client::new();
    client.answer("set a 0 0 1\r\nx\r\n");
    client.rule(FaultRule { times: Some(1), ..FaultRule::new(Fault::Truncate(30)) });
    // A line of this length is answered key by key. Each key takes 16 bytes.
    let keys = "a ".repeat(2000);
    let (first, used, next) = client.say(&format!("get {keys}"));
    assert_eq!((first.len(), next), (30, Next::Close(CloseReason::Error)), "{used}");
    let mut client = Client::new();
    client.rule(FaultRule { times: Some(1), ..FaultRule::new(Fault::Truncate(3)) });
    let (first, _, next) = client.say(&format!("get {keys}"));
    assert_eq!((first.as_str(), next), ("", Next::Input));
    let (rest, _, next) = client.say("a\r\n");
    assert_eq!((rest.as_str(), next), ("END", Next::Close(CloseReason::Error)));
}

#[test]
fn a_store_is_truncated_once_its_value_is_there() {
    let mut client = Client::new();
    client.rule(FaultRule { command: Some("set".into()), ..FaultRule::new(Fault::Truncate(2)) });
    let (answer, used, next) = client.say("set a 0 0 4\r\nab");
    assert_eq!((answer.as_str(), used, next), ("", 15, Next::Input));
    let (answer, _, next) = client.say("cd\r\n");
    assert_eq!((answer.as_str(), next), ("ST", Next::Close(CloseReason::Error)));
    assert_eq!(client.context.cache.store().totals().curr_items, 1);
}

#[test]
fn a_reply_shorter_than_what_may_be_sent_is_whole_and_the_last() {
    let mut client = Client::new();
    client.rule(FaultRule { command: Some("delete".into()), ..FaultRule::new(Fault::Truncate(500)) });
    let (answer, used, next) = client.say("delete a\r\nget a\r\n");
    assert_eq!((answer.as_str(), used, next), ("NOT_FOUND\r\n", 10, Next::Close(CloseReason::Error)));
}
