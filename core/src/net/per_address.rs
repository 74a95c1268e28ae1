//! Counts the connections of each client address (`conns_per_ip`).
//!
//! An IPv4 address counts alone. An IPv6 address counts with its network of 64 bits, because a
//! client may take any address in it. The table has an entry for each address with a connection, so
//! `max_connections` bounds it.

use std::collections::HashMap;
use std::sync::Arc;

use super::stream::Peer;
use crate::base::sync::Mutex;

/// The connections of each address.
pub(crate) struct AddressTable {
    /// Most connections of one address, or 0 for any number.
    most: usize,
    open: Mutex<HashMap<Network, usize>>,
}

/// The addresses that count together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Network {
    /// Returns the network of a peer. A Unix socket has none.
    fn of(peer: Peer) -> Option<Self> {
        match peer {
            Peer::Unix => None,
            // A socket for both families shows an IPv4 address in the second form.
            Peer::V4(ip, _) | Peer::V6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, ip @ ..], _) => {
                Some(Self::V4(ip))
            }
            Peer::V6([network @ .., _, _, _, _, _, _, _, _], _) => Some(Self::V6(network)),
        }
    }
}

/// One counted connection. Dropping it ends the count.
pub(crate) struct Counted {
    table: Arc<AddressTable>,
    network: Network,
}

/// An address has as many connections as it may have.
#[derive(Debug)]
pub(crate) struct AddressFull;

impl AddressTable {
    /// Returns a table that allows `most` connections an address; 0 allows any number.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// Counts a connection. Returns `None` for one that is not counted.
    ///
    /// # Errors
    /// [`AddressFull`].
    pub(crate) fn count(self: &Arc<Self>, peer: Peer) -> Result<Option<Box<Counted>>, AddressFull> {
        let Some(network) = Network::of(peer).filter(|_| self.most > 0) else { return Ok(None) };
        let mut open = self.open.lock();
        let count = open.entry(network).or_default();
        if *count >= self.most {
            return Err(AddressFull);
        }
        *count += 1;
        drop(open);
        Ok(Some(Box::new(Counted { table: Arc::clone(self), network })))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.table.open.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        let ip: std::net::IpAddr = address.parse().unwrap_or_else(|_| unreachable!("{address}"));
        Peer::from(std::net::SocketAddr::new(ip, 1))
    }

    #[test]
    fn addresses_count_alone_and_networks_together() {
        let table = Arc::new(AddressTable::new(1));
        for (first, second, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ] {
            let held = table.count(peer(first));
            assert!(held.is_ok(), "{first}");
            assert_eq!(table.count(peer(second)).is_err(), same, "{first} {second}");
            drop(held);
            assert!(table.open.lock().is_empty());
        }
    }

    #[test]
    fn unix_sockets_and_a_limit_of_0_are_not_counted() {
        let table = Arc::new(AddressTable::new(1));
        let held: Vec<_> = (0..3).map(|_| table.count(Peer::Unix)).collect();
        assert!(held.iter().all(|counted| matches!(counted, Ok(None))));
        let off = Arc::new(AddressTable::new(0));
        assert!(matches!(off.count(peer("192.0.2.1")), Ok(None)));
        assert!(off.open.lock().is_empty());
    }
}
