//! Lines of `watch proxyreqs`: memcached's line about a request to a backend, and the rules that
//! choose the requests.

use std::fmt::Write as _;
use std::time::Duration;

use super::backend::Address;

/// Most bytes of a request's line in a line of the log.
const REQUEST_MAX: usize = 300;
/// Most bytes of a detail.
const DETAIL_MAX: usize = 150;

/// The requests to log: those that at least one rule chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRules {
    /// Requests that take longer.
    pub slow: Option<Duration>,
    /// One of this many. 0 for none.
    pub sample: u32,
    /// Requests that get an error or no reply.
    pub errors: bool,
}

impl LogRules {
    /// Returns whether to log a request. `draw` is random.
    pub fn choose(&self, elapsed: Duration, is_error: bool, draw: u64) -> bool {
        self.errors && is_error
            || self.slow.is_some_and(|slow| elapsed > slow)
            || draw.checked_rem(self.sample.into()) == Some(0)
    }
}

/// A request to a backend, and what came of it.
#[derive(Debug)]
pub struct Logged<'a> {
    /// The time to the reply.
    pub elapsed: Duration,
    /// The reply, if there is one.
    pub reply: Option<&'a [u8]>,
    /// memcached's word for its worth: `good`, `ok` for a miss, or `any` for an error.
    pub result: &'static str,
    /// Descriptor of the client.
    pub client: i32,
    /// The backend, if one is up.
    pub backend: Option<&'a Address>,
    /// A word of the configuration.
    pub detail: &'a str,
    /// The line of the request, without its end.
    pub request: &'a [u8],
}

impl Logged<'_> {
    /// Appends the line.
    pub fn push(&self, to: &mut String) {
        let (kind, code, status) = self.reply.map_or((0, 23, -1), numbers);
        let (host, port) = self.backend.map_or(("", 0), Address::parts);
        let detail = self.detail.get(..DETAIL_MAX).unwrap_or(self.detail);
        let request = self.request.get(..REQUEST_MAX).unwrap_or(self.request);
        // Writing to a String cannot fail.
        let _ = write!(
            to,
            "type=proxy_req elapsed={} type={kind} code={code} status={status} res={} cfd={} \
             be={host}:{port} detail={detail} req={}",
            self.elapsed.as_micros(),
            self.result,
            self.client,
            String::from_utf8_lossy(request),
        );
    }
}

/// Returns memcached's numbers for a reply: its type, its code and its status.
fn numbers(reply: &[u8]) -> (u16, u16, i8) {
    const OK: u16 = 15;
    let word = reply.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).next().unwrap_or_default();
    match word {
        b"VALUE" => (100, OK, 0),
        b"HD" | b"VA" | b"ME" => (101, OK, 0),
        b"EN" => (101, 17, 0),
        b"EX" => (101, 9, 0),
        b"NF" => (101, 13, 0),
        b"NS" => (101, 14, 0),
        b"STORED" => (104, 8, 0),
        b"EXISTS" => (104, 9, 0),
        b"DELETED" => (104, 10, 0),
        b"TOUCHED" => (104, 11, 0),
        b"NOT_FOUND" => (104, 13, 0),
        b"NOT_STORED" => (104, 14, 0),
        b"OK" => (104, OK, 0),
        b"END" => (105, 17, 0),
        b"ERROR" => (108, 21, -1),
        b"CLIENT_ERROR" => (108, 22, -1),
        b"SERVER_ERROR" => (108, 23, -1),
        [b'0'..=b'9', ..] => (107, OK, 0),
        _ => (0, 23, -1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_choose() {
        let (fast, slow) = (Duration::from_millis(10), Duration::from_millis(11));
        let none = LogRules::default();
        assert!(!none.choose(slow, true, 0));
        let errors = LogRules { errors: true, ..none };
        assert!(errors.choose(fast, true, 1) && !errors.choose(slow, false, 0));
        let late = LogRules { slow: Some(fast), ..none };
        assert!(late.choose(slow, false, 1) && !late.choose(fast, true, 0));
        let some = LogRules { sample: 10, ..none };
        assert!(some.choose(fast, false, 20) && !some.choose(slow, true, 21));
    }

    #[test]
    fn memcacheds_line() {
        let address = Address::Tcp("127.0.0.1".into(), 11411);
        let mut logged = Logged {
            elapsed: Duration::from_micros(1234),
            reply: Some(b"VALUE k 0 1\r\nx\r\nEND\r\n"),
            result: "good",
            client: 25,
            backend: Some(&address),
            detail: "main",
            request: b"get k",
        };
        let mut line = String::new();
        logged.push(&mut line);
        let wanted = "type=proxy_req elapsed=1234 type=100 code=15 status=0 res=good cfd=25 \
            be=127.0.0.1:11411 detail=main req=get k";
        assert_eq!(line, wanted);
        let long = vec![b'x'; 1000];
        (logged.reply, logged.result, logged.request) = (None, "any", &long);
        line.clear();
        logged.push(&mut line);
        assert!(line.contains(" type=0 code=23 status=-1 res=any "), "{line}");
        assert!(line.ends_with(&format!("req={}", "x".repeat(REQUEST_MAX))), "{line}");
    }
}
