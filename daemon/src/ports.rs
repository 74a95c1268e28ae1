//! The file that tells which ports were bound (`MEMCACHED_PORT_FILENAME`), for
//! whoever asked for free ones with `-p -1`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::failure::reason;
use crate::pidfile::with_suffix;

/// Writes one line an address under a temporary name and renames it, so that
/// the file is complete once it exists. Trouble is told and goes no further.
pub fn write(path: &Path, addresses: impl Iterator<Item = SocketAddr>) {
    let temporary = with_suffix(path, ".lck");
    let text: String = addresses.map(line).collect();
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if let Err(e) = written {
        eprintln!("Failed to open \"{}\": {}", temporary.display(), reason(&e));
    }
}

fn line(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { "INET" } else { "INET6" };
    format!("TCP {family}: {}\n", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_address() {
        let path = std::env::temp_dir().join(format!("memcached-rs-{}-ports", std::process::id()));
        let addresses = ["127.0.0.1:7", "[::1]:8"].into_iter().filter_map(|text| text.parse().ok());
        write(&path, addresses);
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("TCP INET: 7\nTCP INET6: 8\n"));
        assert!(fs::remove_file(&path).is_ok());
        assert!(!with_suffix(&path, ".lck").exists());
    }
}
