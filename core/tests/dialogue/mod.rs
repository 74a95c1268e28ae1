//! The client side of a session without a socket, for tests.

use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session, Step};
use memcache_rs::internal::state::ServerState;

/// Returns the reply to `input`, and the last step of the session.
#[allow(dead_code, reason = "some tests cut their input")]
pub fn talk(context: &ServerState, session: &mut Session, input: &[u8]) -> (Vec<u8>, Next) {
    talk_on(context, session, &mut input.to_vec())
}

/// Like [`talk`], and removes the input that was used from `rest`.
pub fn talk_on(context: &ServerState, session: &mut Session, rest: &mut Vec<u8>) -> (Vec<u8>, Next) {
    let mut answer = Vec::new();
    loop {
        let mut out = Output::new();
        let mut env = Env::new(context, &context.workers[0], 9, 256);
        let Step { consumed, next } = session.advance(&mut env, rest, &mut out);
        rest.drain(..consumed);
        while !out.is_empty() {
            out.write_to(&mut answer).unwrap();
        }
        if next != Next::Yield {
            return (answer, next);
        }
    }
}
