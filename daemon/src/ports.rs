//! The file that names the bound ports (`MEMCACHED_PORT_FILENAME`), for programs that ask for free
//! ports with `-p -1`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use memcache_core::BoundAddress;
use memcache_core::internal::base::stderr::write_line;

use crate::failure::reason;
use crate::http::Sockets;
use crate::pidfile::with_suffix;

/// Writes one line per address under a temporary name and renames the file, so that it is complete
/// once it exists. A failure prints a warning.
pub fn write(path: &Path, addresses: &[BoundAddress], services: &[Sockets]) {
    let temporary = with_suffix(path, ".lck");
    let of_services = services.iter().flat_map(|service| {
        let name = service.name.to_uppercase();
        service.addresses().map(move |address| line(&name, &address))
    });
    let text: String = addresses.iter().filter_map(of_server).chain(of_services).collect();
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if let Err(e) = written {
        write_line(&format!("Failed to open \"{}\": {}", temporary.display(), reason(&e)));
    }
}

fn of_server(address: &BoundAddress) -> Option<String> {
    match address {
        BoundAddress::Tcp(address) => Some(line("TCP", address)),
        BoundAddress::Udp(address) => Some(line("UDP", address)),
        BoundAddress::Unix(_) => None,
    }
}

fn line(kind: &str, address: &SocketAddr) -> String {
    let family = if address.is_ipv4() { "INET" } else { "INET6" };
    format!("{kind} {family}: {}\n", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn one_line_an_address() {
        let path = std::env::temp_dir().join(format!("memcached-rs-{}-ports", std::process::id()));
        let [one, two] = [SocketAddr::from(([127, 0, 0, 1], 7)), (Ipv6Addr::LOCALHOST, 8).into()];
        let unix = BoundAddress::Unix("/tmp/s".into());
        let service = Sockets::bind("control", &[([127, 0, 0, 1], 0).into()], &mut Vec::new());
        let service = service.unwrap_or_else(|e| panic!("{e:?}"));
        let port = service.addresses().map(|at| at.port()).next().unwrap_or_default();
        let addresses = [BoundAddress::Tcp(one), BoundAddress::Tcp(two), unix, BoundAddress::Udp(two)];
        write(&path, &addresses, &[service]);
        let lines = format!("TCP INET: 7\nTCP INET6: 8\nUDP INET6: 8\nCONTROL INET: {port}\n");
        assert_eq!(fs::read_to_string(&path).ok(), Some(lines));
        assert!(fs::remove_file(&path).is_ok());
        assert!(!with_suffix(&path, ".lck").exists());
    }
}
