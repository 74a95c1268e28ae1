//! A server as a program asks for it, its addresses, and why it did not start.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use memcache_core::{
    AuthConfig, AuthMethod, BoundAddress, Cache, ConfigError, Hooks, Listen, Passwords, Protocol,
    ServerConfig, StartError, TlsConfig, TlsMode, TlsPem, VerifyMode,
};

use crate::settings::{self, Settings};

/// The options of a server, as a program gives them.
#[derive(Clone, Default)]
pub struct ServerOptions {
    /// The IP address for TCP and UDP; `None` for neither.
    pub host: Option<IpAddr>,
    /// The port; 0 takes free ones.
    pub port: u16,
    /// Whether to listen on UDP as well.
    pub udp: bool,
    /// The path of a Unix socket.
    pub unix_socket: Option<PathBuf>,
    /// Permission bits of the Unix socket.
    pub unix_mask: u32,
    /// The certificates; `None` for a server without TLS.
    pub certificates: Option<Certificates>,
    /// Whether clients must present a certificate.
    pub verify_clients: bool,
    /// Names and passwords; `None` allows every client.
    pub users: Option<Vec<(String, String)>>,
    /// Whether clients log in by SASL. If not, they log in by the text protocols.
    pub sasl: bool,
    /// The settings of the table.
    pub settings: Settings,
    /// The nodes that auto discovery announces.
    pub cluster_nodes: Vec<String>,
    /// Whether handles of the cache wait for the server.
    pub settles: bool,
}

/// Shows no password.
impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions").finish_non_exhaustive()
    }
}

/// The certificates of a server, PEM.
#[derive(Clone, Debug)]
pub enum Certificates {
    /// Paths of files.
    Files {
        /// The server's certificate chain.
        chain: PathBuf,
        /// Its private key.
        key: PathBuf,
        /// The authority that signs the certificates of clients.
        ca: Option<PathBuf>,
    },
    /// Texts.
    Texts(TlsPem),
}

impl ServerOptions {
    /// Returns the settings of a server for `cache`. The cache keeps its own settings.
    ///
    /// # Errors
    /// A setting or a node of the cluster is invalid.
    pub fn config(self, cache: &Cache, hooks: Hooks) -> Result<ServerConfig, ConfigError> {
        let tls = self.certificates.map(|certificates| tls(certificates, self.verify_clients));
        let mut listen = Vec::new();
        if let Some(host) = self.host {
            let addr = SocketAddr::new(host, self.port);
            let tls = if tls.is_some() { TlsMode::Default } else { TlsMode::Off };
            listen.push(Listen::Tcp { addr, protocol: Protocol::Negotiating, tls, tag: None });
            if self.udp {
                listen.push(Listen::Udp { addr });
            }
        }
        if let Some(path) = self.unix_socket {
            listen.push(Listen::Unix { path, mask: self.unix_mask, protocol: Protocol::Negotiating });
        }
        let auth = self.users.map(|users| AuthConfig {
            method: if self.sasl { AuthMethod::Sasl } else { AuthMethod::Text },
            passwords: Passwords::List(
                users.into_iter().map(|(name, word)| (name.into_bytes(), word.into_bytes())).collect(),
            ),
        });
        let cluster = settings::cluster_nodes(&self.cluster_nodes)?;
        let mut config = ServerConfig {
            listen,
            auth,
            tls,
            settles: self.settles,
            cluster,
            hooks,
            ..ServerConfig::default()
        };
        settings::set_server(&mut config, self.settings)?;
        config.cache = cache.config().clone();
        Ok(config)
    }
}

fn tls(certificates: Certificates, verify_clients: bool) -> TlsConfig {
    let verify_mode = if verify_clients { VerifyMode::Require } else { VerifyMode::None };
    let config = TlsConfig { verify_mode, ..TlsConfig::default() };
    match certificates {
        Certificates::Files { chain, key, ca } => {
            TlsConfig { chain_cert: Some(chain), key: Some(key), ca_cert: ca, ..config }
        }
        Certificates::Texts(texts) => TlsConfig { in_memory: Some(texts), ..config },
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `tcp`, `udp` or `unix`.
    pub kind: &'static str,
    /// An IP address, or the path of a Unix socket.
    pub host: String,
    /// The port; 0 for a Unix socket.
    pub port: u16,
}

impl From<&BoundAddress> for Address {
    fn from(at: &BoundAddress) -> Self {
        match at {
            BoundAddress::Tcp(at) => Self { kind: "tcp", host: at.ip().to_string(), port: at.port() },
            BoundAddress::Udp(at) => Self { kind: "udp", host: at.ip().to_string(), port: at.port() },
            BoundAddress::Unix(path) => {
                Self { kind: "unix", host: path.to_string_lossy().into_owned(), port: 0 }
            }
        }
    }
}

/// Why a cache or a server did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFault {
    /// A setting is invalid, or names a file that is.
    Setting,
    /// The system refused something, with this error number.
    System(Option<i32>),
}

impl StartFault {
    /// Tells the program's fault from the system's.
    pub fn of(error: &StartError) -> Self {
        /// "Too many open files", the same number on every Unix.
        const EMFILE: i32 = 24;
        match error {
            StartError::Config(_) | StartError::File(_) | StartError::Proxy(_) => Self::Setting,
            StartError::Descriptors { .. } => Self::System(Some(EMFILE)),
            StartError::Memory(cause) | StartError::Listen(_, cause) | StartError::System(cause) => {
                Self::System(cause.raw_os_error())
            }
            _ => Self::System(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use memcache_core::CacheConfig;

    use super::*;

    #[test]
    fn options_become_settings_of_a_server() {
        let cache = Cache::new(CacheConfig { item_size_max: 4096, ..CacheConfig::default() }).unwrap();
        let options = ServerOptions {
            host: Some([127, 0, 0, 1].into()),
            udp: true,
            unix_socket: Some("/tmp/socket".into()),
            certificates: Some(Certificates::Texts(TlsPem::default())),
            verify_clients: true,
            users: Some(vec![("ann".into(), "secret".into())]),
            settings: vec![("threads".into(), 2.into()), ("item_size_max".into(), 2048.into())],
            cluster_nodes: vec!["127.0.0.1:1".into()],
            ..ServerOptions::default()
        };
        let config = options.clone().config(&cache, Hooks::default()).unwrap();
        // The cache exists, so its settings are not those of the options.
        assert_eq!((config.threads, config.cache.item_size_max), (2, 4096));
        assert_eq!((config.listen.len(), config.cluster.len()), (3, 1));
        assert!(matches!(config.listen[0], Listen::Tcp { tls: TlsMode::Default, .. }));
        assert_eq!(config.auth.unwrap().method, AuthMethod::Text);
        assert_eq!(config.tls.unwrap().verify_mode, VerifyMode::Require);
        assert!(!format!("{options:?}").contains("secret"));
        let bad = ServerOptions { cluster_nodes: vec!["nowhere".into()], ..options };
        assert!(bad.config(&cache, Hooks::default()).is_err());
    }

    #[test]
    fn addresses_have_a_kind_a_host_and_a_port() {
        let address = |at: BoundAddress| {
            let Address { kind, host, port } = Address::from(&at);
            format!("{kind} {host} {port}")
        };
        assert_eq!(address(BoundAddress::Tcp(([127, 0, 0, 1], 11211).into())), "tcp 127.0.0.1 11211");
        assert_eq!(address(BoundAddress::Unix("/tmp/socket".into())), "unix /tmp/socket 0");
    }

    fn bad_setting() -> ConfigError {
        CacheConfig::default().set("growth_factor", 0.5).unwrap_err()
    }

    #[test]
    fn a_bad_setting_is_not_the_fault_of_the_system() {
        let bad = StartError::Config(bad_setting());
        assert_eq!(StartFault::of(&bad), StartFault::Setting);
        let refused = StartError::System(io::Error::from_raw_os_error(12));
        assert_eq!(StartFault::of(&refused), StartFault::System(Some(12)));
    }
}
