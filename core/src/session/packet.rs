//! Carries out packets of the binary protocol.

use std::borrow::Cow;

use super::env::Env;
use super::state::{Session, State};
use super::step::{Next, Used};
use super::verbose;
use crate::admin;
use crate::cache::Request;
use crate::protocol::binary::{Packet, PacketHeader, Status, parse};
use crate::protocol::encoder::Form;
use crate::protocol::output::Output;
use crate::state::{CloseReason, CommandClass, ConnState, ServerState};

/// Longest header with extras and key: what memcached reads at once. A longer one gets no reply.
pub(super) const HEAD_MAX: usize = 16384;

impl Session {
    /// Carries out one packet.
    #[inline]
    pub(super) fn packet(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let Some(header) = PacketHeader::read(input) else { return Used::NeedInput };
        if !env.context.logs(1) {
            return self.run_packet(env, &header, input, out);
        }
        let (context, fd, mark) = (env.context, env.fd, out.mark());
        // As in memcached, a header that arrived without its key is logged again with it.
        if env.context.logs(2) && !self.reported {
            verbose::header(context, fd, input);
        }
        if !header.is_request() {
            context.log(1, || format!("Invalid magic:  {:x}", input.first().copied().unwrap_or_default()));
        }
        let used = self.run_packet(env, &header, input, out);
        if env.context.logs(2) && !verbose::is_stat(input, out.since(&mark)) {
            let item = matches!(header.echo().name(), "get" | "touch" | "gat");
            verbose::response(context, fd, item, out, &mark);
        }
        if matches!(used, Used::Stop(_, Next::Close(CloseReason::Error)))
            && header.refusal().is_none()
            && self.admits(context, &header)
        {
            self.trace_within(env, ConnState::Mwrite);
            let opcode = input.get(1).copied().unwrap_or_default();
            context.log(1, || format!("Protocol error (opcode {opcode:02x}), close connection {fd}"));
        }
        used
    }

    /// Returns whether the client may send the command of `header`.
    fn admits(&self, context: &ServerState, header: &PacketHeader) -> bool {
        self.is_authenticated(context) || header.is_open_to_all()
    }

    /// Carries out a packet if it is complete and allowed.
    #[inline]
    fn run_packet(
        &mut self,
        env: &mut Env<'_>,
        header: &PacketHeader,
        input: &[u8],
        out: &mut Output,
    ) -> Used {
        if !header.is_request() || header.head() > HEAD_MAX {
            return Used::Stop(input.len(), Next::Abort(CloseReason::Error));
        }
        if input.len() < header.head() {
            return Used::NeedInput;
        }
        let is_first = !self.reported;
        self.tell(env, || Cow::Owned(header.describe(input).into_bytes()));
        if let Some(status) = self.refusal(env.context, header, input, is_first) {
            header.echo().error(out, status);
            return Used::Stop(input.len(), Next::Close(CloseReason::Error));
        }
        let packet = parse(header, input, env.context.cache.config().use_cas);
        env.command();
        self.served = true;
        if env.context.logs(2) && !matches!(packet, Packet::Malformed | Packet::Unknown(_)) {
            verbose::packet(env.context, env.fd, header, input);
        }
        self.carry_out(env, packet, header, input, out)
    }

    /// Returns the error of a packet that is refused before it is parsed, if it is. With
    /// `is_first`, logs the check of a login.
    #[inline]
    fn refusal(
        &self,
        context: &ServerState,
        header: &PacketHeader,
        input: &[u8],
        is_first: bool,
    ) -> Option<Status> {
        if let Some(status) = header.refusal() {
            return Some(status);
        }
        let admits = self.admits(context, header);
        if is_first && context.users.as_ref().is_some_and(|users| users.method().is_some()) {
            verbose::authenticated(context, input, admits);
        }
        match (admits, header.has_long_key()) {
            (false, _) => Some(Status::AuthError),
            (true, true) => Some(Status::Invalid),
            (true, false) => None,
        }
    }

    /// Carries out `packet`, the first one of `input`.
    #[inline]
    fn carry_out(
        &mut self,
        env: &mut Env<'_>,
        packet: Packet<'_>,
        header: &PacketHeader,
        input: &[u8],
        out: &mut Output,
    ) -> Used {
        let (context, echo, head) = (env.context, header.echo(), header.head());
        match packet {
            Packet::Data(key, operation) => {
                let request = Request { key: key.bytes(), operation, client: env.fd };
                let used = self.data(env, &request, &Form::Binary(echo), input, head, out);
                return used.unwrap_or(Used::Bytes(head));
            }
            Packet::Store { key, ref operation, length } => {
                if context.cache.prefixes().enabled() {
                    context.cache.prefixes().record_set(key.bytes());
                }
                let request = Request { key: key.bytes(), operation, client: env.fd };
                return self.store(env, &request, length, &Form::Binary(echo), input, head, out);
            }
            Packet::Noop => {
                echo.done(out, 0, &[]);
                // This command flushes the replies before it.
                if input.len() > head {
                    return Used::Stop(head, Next::Yield);
                }
            }
            Packet::Version => echo.done(out, 0, admin::VERSION.as_bytes()),
            Packet::Quit => {
                echo.done(out, 0, &[]);
                return Used::Stop(head, Next::Close(CloseReason::Normal));
            }
            Packet::Flush(delay) => {
                env.turn.end();
                if admin::flush(context, env.stats, delay) {
                    echo.done(out, 0, &[]);
                } else {
                    echo.error(out, Status::AuthError);
                }
            }
            Packet::Stat(group) => {
                env.turn.end();
                match admin::binary_stats(context, group, echo, out) {
                    Some(admin::Outcome::Dump(dump)) => self.state = State::Dump(dump),
                    Some(_) => {}
                    None => echo.error(out, Status::NotFound),
                }
            }
            Packet::SaslList => self.sasl_list(env, echo, out),
            Packet::Sasl(ask) => return self.sasl(env, echo, &ask, input, head, out),
            Packet::Unknown(left) => {
                echo.error(out, Status::UnknownCommand);
                return self.swallow(head, left);
            }
            Packet::Malformed => {
                echo.error(out, Status::Invalid);
                return Used::Stop(input.len(), Next::Close(CloseReason::Error));
            }
        }
        env.end_sample(CommandClass::Other);
        Used::Bytes(head)
    }
}
