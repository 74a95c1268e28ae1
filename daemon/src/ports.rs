//! The file that names the bound ports (`MEMCACHED_PORT_FILENAME`), for programs that ask for free
//! ports with `-p -1`.

use std::fs;
use std::path::Path;

use memcache_core::BoundAddress;
use memcache_core::internal::base::stderr::write_line;

use crate::failure::reason;
use crate::pidfile::with_suffix;

/// Writes one line per address under a temporary name and renames the file, so that it is complete
/// once it exists. A failure prints a warning.
pub fn write(path: &Path, addresses: &[BoundAddress]) {
    let temporary = with_suffix(path, ".lck");
    let text: String = addresses.iter().filter_map(line).collect();
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if let Err(e) = written {
        write_line(&format!("Failed to open \"{}\": {}", temporary.display(), reason(&e)));
    }
}

fn line(address: &BoundAddress) -> Option<String> {
    let (transport, address) = match address {
        BoundAddress::Tcp(address) => ("TCP", address),
        BoundAddress::Udp(address) => ("UDP", address),
        BoundAddress::Unix(_) => return None,
    };
    let family = if address.is_ipv4() { "INET" } else { "INET6" };
    Some(format!("{transport} {family}: {}\n", address.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddr};

    use super::*;

    #[test]
    fn one_line_an_address() {
        let path = std::env::temp_dir().join(format!("memcached-rs-{}-ports", std::process::id()));
        let [one, two] = [SocketAddr::from(([127, 0, 0, 1], 7)), (Ipv6Addr::LOCALHOST, 8).into()];
        let unix = BoundAddress::Unix("/tmp/s".into());
        write(&path, &[BoundAddress::Tcp(one), BoundAddress::Tcp(two), unix, BoundAddress::Udp(two)]);
        let lines = "TCP INET: 7\nTCP INET6: 8\nUDP INET6: 8\n";
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some(lines));
        assert!(fs::remove_file(&path).is_ok());
        assert!(!with_suffix(&path, ".lck").exists());
    }
}
