//! Asks the configuration endpoint of an `ElastiCache` cluster for its nodes (auto discovery). The
//! endpoint is a memcached with the command `config get cluster`.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::config::ClusterNode;
use crate::proxy::elasticache::parse;

/// Longest time for an answer. A server that stops waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a reply at most.
const REPLY_MAX: usize = 256 * 1024;

/// Asks the first of these addresses that answers. Returns the version of the list and its nodes.
///
/// # Errors
/// The reason why there is no list.
pub(super) fn ask(addresses: &[SocketAddr]) -> Result<(u64, Vec<ClusterNode>), String> {
    let mut last = "the endpoint has no address".to_owned();
    let until = Instant::now() + PATIENCE;
    for (index, address) in addresses.iter().enumerate() {
        // An address that does not answer must leave time for the next ones.
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match ask_one(*address, Instant::now() + share) {
            Ok(reply) => return parse(&reply),
            Err(e) => last = format!("{address}: {e}"),
        }
    }
    Err(last)
}

fn ask_one(address: SocketAddr, until: Instant) -> io::Result<String> {
    let left = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut socket = TcpStream::connect_timeout(&address, left()?)?;
    socket.set_write_timeout(Some(left()?))?;
    // After `quit` the reply ends, even if the command is unknown.
    socket.write_all(b"config get cluster\r\nquit\r\n")?;
    let (mut reply, mut part) = (Vec::new(), [0; 4096]);
    loop {
        socket.set_read_timeout(Some(left()?))?;
        match socket.read(&mut part)? {
            0 => break,
            length => reply.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
        if reply.len() > REPLY_MAX {
            return Err(io::Error::other("the reply is too long"));
        }
    }
    String::from_utf8(reply).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let [mute, good] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&mute, &good].map(|listener| listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = good.accept().unwrap();
            socket.read_exact(&mut [0; 26]).unwrap();
            socket.write_all(b"CONFIG cluster 0 8\r\n12\na||1\n\r\nEND\r\n").unwrap();
        });
        let answer = ask(&addresses);
        assert!(matches!(&answer, Ok((12, nodes)) if nodes.len() == 1), "{answer:?}");
        server.join().unwrap();
    }
}
