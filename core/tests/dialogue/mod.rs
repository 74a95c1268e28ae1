//! The client side of a session without a socket, for tests.

use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session, Step};
use memcache_rs::internal::state::ServerState;

/// Returns the reply to `input`, and the last step of the session.
pub fn talk(context: &ServerState, session: &mut Session, input: &[u8]) -> (Vec<u8>, Next) {
    let (mut answer, mut rest) = (Vec::new(), input);
    loop {
        let mut out = Output::new();
        let mut env = Env::new(context, &context.workers[0], 9, 256);
        let Step { consumed, next } = session.advance(&mut env, rest, &mut out);
        rest = &rest[consumed..];
        while !out.is_empty() {
            out.write_to(&mut answer).unwrap();
        }
        if next != Next::Yield {
            return (answer, next);
        }
    }
}
