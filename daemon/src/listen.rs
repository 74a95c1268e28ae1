//! The list of `-l`, and the resolution of its names to addresses.
//!
//! An entry is `[notls:|btls:|mtls:][proto[NAME]:][tag[NAME]:|tag_NAME_:]HOST[:PORT]`; entries are
//! separated by commas or semicolons. HOST is a name, an IPv4 address, an IPv6 address (in brackets
//! if a port follows), or `*` for all. [`parse`] only reads; [`resolve_tcp`] and [`resolve_udp`]
//! ask the system.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use memcache_core::{Listen, Protocol, Tag, TlsMode};

use crate::failure::{Failure, reason};
use crate::number::whole;

/// Descriptors per listener: its socket, and for an upgrade a duplicate and a reserved one.
pub const DESCRIPTORS_A_LISTENER: usize = 3;

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses.
    pub host: Host,
    /// The port. 0 takes a free one.
    pub port: u16,
    /// The protocol of its connections.
    pub protocol: Protocol,
    /// Whether its connections use TLS.
    pub tls: TlsMode,
    /// Its name for the routes of a proxy.
    pub tag: Option<Tag>,
}

/// The addresses of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// 127.0.0.1, and `::1` if there is IPv6.
    Loopback,
    /// All addresses of this machine.
    Any,
    /// A name or an address.
    Name(String),
}

/// Appends the list of one more `-l`, unless `list` contains it already.
pub fn join(list: &mut Option<String>, more: &str) {
    match list {
        Some(have) => {
            if !have.split([',', ';']).any(|entry| entry == more) {
                have.push(',');
                have.push_str(more);
            }
        }
        None => *list = Some(more.to_owned()),
    }
}

/// Parses a list. Parts that an entry omits are those of `otherwise`. The server has a proxy if
/// `has_proxy` is set.
pub fn parse(list: &str, otherwise: &Endpoint, has_proxy: bool) -> Result<Vec<Endpoint>, Failure> {
    let mut endpoints = Vec::new();
    for entry in list.split([',', ';']).filter(|entry| !entry.is_empty()) {
        let endpoint = parse_entry(entry, otherwise, has_proxy)?;
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    if endpoints.is_empty() {
        return Err(Failure::usage(format!("Invalid interface: \"{list}\"")));
    }
    Ok(endpoints)
}

fn parse_entry(entry: &str, otherwise: &Endpoint, has_proxy: bool) -> Result<Endpoint, Failure> {
    let Endpoint { port, mut protocol, mut tls, mut tag, .. } = *otherwise;
    let mut rest = entry;
    if let Some((prefix @ ("notls" | "btls" | "mtls"), after)) = rest.split_once(':') {
        if tls == TlsMode::Off {
            return Err(Failure::usage(format!("'{prefix}' option is valid only when SSL is enabled")));
        }
        tls = match prefix {
            "notls" => TlsMode::Off,
            "btls" => TlsMode::NoPeer,
            _ => TlsMode::Peer,
        };
        rest = after;
    }
    if let Some(spec) = rest.strip_prefix("proto")
        && spec.starts_with('[')
    {
        let (name, after) =
            enclosed(spec).ok_or_else(|| Failure::usage(format!("Invalid protocol spec: \"{spec}\"")))?;
        protocol = forced_protocol(name, entry, has_proxy)?;
        rest = after;
    }
    if let Some(spec) = rest.strip_prefix("tag")
        && spec.starts_with(['[', '_'])
    {
        let (name, after) = enclosed(spec)
            .ok_or_else(|| Failure::usage(format!("Invalid tag in socket config: \"{spec}\"")))?;
        let wrong = || format!("Listener tags must be between 1 and 8 characters: \"{name}\"");
        tag = Some(Tag::new(name).ok_or_else(|| Failure::usage(wrong()))?);
        rest = after;
    }

    let (host, port) = address_in(rest, port, entry)?;
    Ok(Endpoint { host, port, protocol, tls, tag })
}

/// Parses `HOST[:PORT]`.
pub fn address(text: &str, port: u16) -> Result<(Host, u16), Failure> {
    address_in(text, port, text)
}

/// Parses the address at the end of an entry.
fn address_in(rest: &str, mut port: u16, entry: &str) -> Result<(Host, u16), Failure> {
    let bad_port = |text: &str| Failure::usage(format!("Invalid port number: \"{text}\""));
    let host;
    if let Some(bracketed) = rest.strip_prefix('[') {
        let bad_address = || Failure::usage(format!("Invalid IPV6 address: \"{rest}\""));
        let (address, after) = bracketed.split_once(']').ok_or_else(bad_address)?;
        match after.strip_prefix(':') {
            Some(text) => port = port_number(text).ok_or_else(|| bad_port(text))?,
            None if after.is_empty() => {}
            None => return Err(bad_address()),
        }
        host = address;
    } else {
        match rest.split_once(':') {
            // With a second colon it is an IPv6 address without brackets.
            Some((name, text)) if !text.contains(':') => {
                port = port_number(text).ok_or_else(|| bad_port(text))?;
                host = name;
            }
            _ => host = rest,
        }
    }
    let host = match host {
        "" => return Err(Failure::usage(format!("Invalid interface: \"{entry}\""))),
        "*" => Host::Any,
        name => Host::Name(name.to_owned()),
    };
    Ok((host, port))
}

/// Returns the text between `spec`'s first character and its closing one, and the text after the
/// colon that follows.
fn enclosed(spec: &str) -> Option<(&str, &str)> {
    let close = if spec.starts_with('[') { ']' } else { '_' };
    let (name, after) = spec.get(1..)?.split_once(close)?;
    Some((name, after.strip_prefix(':').unwrap_or(after)))
}

fn forced_protocol(name: &str, entry: &str, has_proxy: bool) -> Result<Protocol, Failure> {
    let known =
        [("ascii", Protocol::Ascii), ("binary", Protocol::Binary), ("negotiating", Protocol::Negotiating)];
    // As in memcached, an abbreviation counts.
    if !name.is_empty() {
        if let Some((_, protocol)) = known.iter().find(|(text, _)| text.starts_with(name)) {
            return Ok(*protocol);
        }
        if "proxy".starts_with(name) {
            // A proxy routes the commands of a listener without a protocol of its own.
            let refused = || Failure::usage(format!("Proxy must be enabled to use: \"{entry}\""));
            return if has_proxy { Ok(Protocol::Negotiating) } else { Err(refused()) };
        }
    }
    Err(Failure::usage(format!("Invalid protocol spec: \"{name}\"")))
}

/// Parses a port. -1 and 0 ask for a free one.
fn port_number(text: &str) -> Option<u16> {
    match whole::<i32>(text)? {
        -1 => Some(0),
        number => u16::try_from(number).ok(),
    }
}

/// Resolves names and knows the addresses of this machine. Tests replace it.
pub trait System {
    /// Returns all stream addresses of a name.
    ///
    /// # Errors
    ///
    /// The errors of the resolver.
    fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// Returns whether the address belongs to this machine.
    fn is_local(&self, ip: IpAddr) -> bool;
}

/// The system of this machine.
pub struct ThisMachine;

impl System for ThisMachine {
    fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (name, port).to_socket_addrs().map(Iterator::collect)
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        UdpSocket::bind((ip, 0)).is_ok()
    }
}

/// Resolves entries to addresses.
fn resolve(
    endpoints: &[Endpoint],
    system: &impl System,
    at: impl Fn(SocketAddr, &Endpoint) -> Listen,
) -> Result<Vec<Listen>, Failure> {
    let mut listen: Vec<Listen> = Vec::new();
    for endpoint in endpoints {
        for addr in addresses(&endpoint.host, endpoint.port, system)? {
            let one = at(addr, endpoint);
            // Equal endpoints are listed once. If two differ in the rest, binding the second fails.
            if addr.port() == 0 || !listen.contains(&one) {
                listen.push(one);
            }
        }
    }
    Ok(listen)
}

/// Resolves a host. If it has several addresses, leaves out those that this machine does not have,
/// as memcached does.
pub fn addresses(host: &Host, port: u16, system: &impl System) -> Result<Vec<SocketAddr>, Failure> {
    let pair = |v4: Ipv4Addr, v6: Ipv6Addr| vec![(v4, port).into(), (v6, port).into()];
    let mut found = match host {
        Host::Loopback => pair(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        Host::Any => pair(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
        Host::Name(name) => system.lookup(name, port).map_err(|e| {
            Failure::system(format!("failed to listen on one of interface(s) {name}: {}", reason(&e)))
        })?,
    };
    if found.iter().any(|addr| system.is_local(addr.ip())) {
        found.retain(|addr| system.is_local(addr.ip()));
    }
    Ok(found)
}

/// Returns the endpoints of TCP.
pub fn resolve_tcp(endpoints: &[Endpoint], system: &impl System) -> Result<Vec<Listen>, Failure> {
    resolve(endpoints, system, |addr, of| Listen::Tcp {
        addr,
        protocol: of.protocol,
        tls: of.tls,
        tag: of.tag,
    })
}

/// Returns the endpoints of UDP.
pub fn resolve_udp(endpoints: &[Endpoint], system: &impl System) -> Result<Vec<Listen>, Failure> {
    resolve(endpoints, system, |addr, _| Listen::Udp { addr })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (Host, u16, Protocol);

    fn otherwise(port: u16, protocol: Protocol, tls: TlsMode) -> Endpoint {
        Endpoint { host: Host::Loopback, port, protocol, tls, tag: None }
    }

    fn entries(list: &str) -> Vec<Entry> {
        let otherwise = otherwise(11211, Protocol::Negotiating, TlsMode::Off);
        let parsed = parse(list, &otherwise, false);
        parsed.unwrap_or_else(|e| panic!("{e:?}")).into_iter().map(|e| (e.host, e.port, e.protocol)).collect()
    }

    fn name(text: &str) -> Host {
        Host::Name(text.into())
    }

    #[test]
    fn lists_are_read() {
        use Protocol::{Ascii, Binary, Negotiating};
        let cases: &[(&str, &[Entry])] = &[
            ("127.0.0.1", &[(name("127.0.0.1"), 11211, Negotiating)]),
            ("127.0.0.1:7", &[(name("127.0.0.1"), 7, Negotiating)]),
            ("127.0.0.1:-1", &[(name("127.0.0.1"), 0, Negotiating)]),
            ("::1", &[(name("::1"), 11211, Negotiating)]),
            ("[::1]", &[(name("::1"), 11211, Negotiating)]),
            ("[::1]:7", &[(name("::1"), 7, Negotiating)]),
            ("*", &[(Host::Any, 11211, Negotiating)]),
            ("*:7", &[(Host::Any, 7, Negotiating)]),
            (
                "a,b:2;c",
                &[
                    (name("a"), 11211, Negotiating),
                    (name("b"), 2, Negotiating),
                    (name("c"), 11211, Negotiating),
                ],
            ),
            (",a,,a;", &[(name("a"), 11211, Negotiating)]),
            ("proto[ascii]:a", &[(name("a"), 11211, Ascii)]),
            ("proto[binary]:a:7,b", &[(name("a"), 7, Binary), (name("b"), 11211, Negotiating)]),
            ("proto[negotiating]:[::1]:7", &[(name("::1"), 7, Negotiating)]),
            ("proto[bin]:a", &[(name("a"), 11211, Binary)]),
            ("tag[services]:a:7", &[(name("a"), 7, Negotiating)]),
            ("tag_b_:a:7", &[(name("a"), 7, Negotiating)]),
            ("proto[ascii]:tag_tools_:[::1]:7", &[(name("::1"), 7, Ascii)]),
            ("tagged", &[(name("tagged"), 11211, Negotiating)]),
            ("protocol.example", &[(name("protocol.example"), 11211, Negotiating)]),
            ("mtls.example:7", &[(name("mtls.example"), 7, Negotiating)]),
        ];
        for (list, expected) in cases {
            assert_eq!(entries(list), *expected, "{list}");
        }
    }

    #[test]
    fn entries_say_whether_tls_is_spoken() {
        let otherwise = otherwise(7, Protocol::Negotiating, TlsMode::Default);
        let list = "a,notls:a,btls:a,mtls:proto[ascii]:tag_b_:[::1]:8,mtls.example";
        let parsed = parse(list, &otherwise, false).unwrap_or_default();
        let modes: Vec<_> = parsed.iter().map(|e| (e.host.clone(), e.port, e.tls)).collect();
        let expected = [
            (name("a"), 7, TlsMode::Default),
            (name("a"), 7, TlsMode::Off),
            (name("a"), 7, TlsMode::NoPeer),
            (name("::1"), 8, TlsMode::Peer),
            (name("mtls.example"), 7, TlsMode::Default),
        ];
        assert_eq!(modes, expected);
        assert_eq!(parsed.get(3).map(|e| e.protocol), Some(Protocol::Ascii));
    }

    #[test]
    fn tags_and_proxies() {
        let otherwise = otherwise(1, Protocol::Ascii, TlsMode::Off);
        let list = "tag_b_:a,tag[services]:b,proto[proxy]:tag_c_:c,d";
        let parsed = parse(list, &otherwise, true).unwrap_or_default();
        let found = parsed.into_iter().map(|e| (e.tag.map(|tag| tag.to_string()), e.protocol));
        let tag = |text: &str| Some(text.to_owned());
        let wanted = [
            (tag("b"), Protocol::Ascii),
            (tag("services"), Protocol::Ascii),
            (tag("c"), Protocol::Negotiating),
            (None, Protocol::Ascii),
        ];
        assert_eq!(found.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn bad_lists_say_what_is_wrong() {
        let cases = [
            ("a:x", "Invalid port number: \"x\""),
            ("a:", "Invalid port number: \"\""),
            ("a:65536", "Invalid port number: \"65536\""),
            ("a:-2", "Invalid port number: \"-2\""),
            ("[::1]:1:2", "Invalid port number: \"1:2\""),
            ("[::1", "Invalid IPV6 address: \"[::1\""),
            ("[::1]7", "Invalid IPV6 address: \"[::1]7\""),
            ("", "Invalid interface: \"\""),
            (",;", "Invalid interface: \",;\""),
            (":7", "Invalid interface: \":7\""),
            ("notls:a", "'notls' option is valid only when SSL is enabled"),
            ("a,btls:b", "'btls' option is valid only when SSL is enabled"),
            ("mtls:a", "'mtls' option is valid only when SSL is enabled"),
            ("proto[ascii:a", "Invalid protocol spec: \"[ascii:a\""),
            ("proto[http]:a", "Invalid protocol spec: \"http\""),
            ("proto[]:a", "Invalid protocol spec: \"\""),
            ("proto[proxy]:a", "Proxy must be enabled to use: \"proto[proxy]:a\""),
            ("tag[b:a", "Invalid tag in socket config: \"[b:a\""),
            ("tag_b:a", "Invalid tag in socket config: \"_b:a\""),
            ("tag__:a", "Listener tags must be between 1 and 8 characters: \"\""),
            ("tag_123456789_:a", "Listener tags must be between 1 and 8 characters: \"123456789\""),
        ];
        for (list, line) in cases {
            let otherwise = otherwise(1, Protocol::Negotiating, TlsMode::Off);
            let parsed = parse(list, &otherwise, false);
            assert_eq!(parsed, Err(Failure::usage(line)), "{list}");
        }
    }

    #[test]
    fn lists_join() {
        let mut list = None;
        for more in ["a:1", "a", "a:1", "b;c", "c"] {
            join(&mut list, more);
        }
        assert_eq!(list.as_deref(), Some("a:1,a,b;c"));
    }

    struct Fake {
        ipv6: bool,
    }

    impl System for Fake {
        fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            match name {
                "localhost" => Ok(vec![
                    (Ipv6Addr::LOCALHOST, port).into(),
                    (Ipv4Addr::LOCALHOST, port).into(),
                    (Ipv4Addr::LOCALHOST, port).into(),
                ]),
                "elsewhere" => Ok(vec![([10, 0, 0, 1], port).into()]),
                _ => Err(io::Error::other("no such name")),
            }
        }

        fn is_local(&self, ip: IpAddr) -> bool {
            ip != IpAddr::from([10, 0, 0, 1]) && (ip.is_ipv4() || self.ipv6)
        }
    }

    fn text(listen: &Listen) -> String {
        match listen {
            Listen::Tcp { addr, .. } => addr.to_string(),
            Listen::Udp { addr } => format!("udp {addr}"),
            Listen::Unix { path, .. } => path.display().to_string(),
        }
    }

    fn resolved(list: &str, ipv6: bool) -> Vec<String> {
        let endpoints = match list {
            "" => vec![otherwise(5, Protocol::Ascii, TlsMode::Off)],
            list => {
                let otherwise = otherwise(5, Protocol::Ascii, TlsMode::Off);
                parse(list, &otherwise, false).unwrap_or_default()
            }
        };
        let listen = resolve_tcp(&endpoints, &Fake { ipv6 }).unwrap_or_default();
        listen.iter().map(text).collect()
    }

    #[test]
    fn names_become_addresses() {
        assert_eq!(resolved("", true), ["127.0.0.1:5", "[::1]:5"]);
        assert_eq!(resolved("", false), ["127.0.0.1:5"]);
        assert_eq!(resolved("*", true), ["0.0.0.0:5", "[::]:5"]);
        assert_eq!(resolved("*:6", false), ["0.0.0.0:6"]);
        assert_eq!(resolved("localhost", true), ["[::1]:5", "127.0.0.1:5"]);
        assert_eq!(resolved("localhost,localhost:5,localhost:6", false), ["127.0.0.1:5", "127.0.0.1:6"]);
        // A foreign address is kept, so that binding it fails with a reason.
        assert_eq!(resolved("elsewhere", true), ["10.0.0.1:5"]);
    }

    #[test]
    fn udp_has_the_same_addresses() {
        let otherwise = otherwise(5, Protocol::Ascii, TlsMode::Off);
        let endpoints = parse("localhost,*:6", &otherwise, false).unwrap_or_default();
        let listen = resolve_udp(&endpoints, &Fake { ipv6: false }).unwrap_or_default();
        let addresses: Vec<String> = listen.iter().map(text).collect();
        assert_eq!(addresses, ["udp 127.0.0.1:5", "udp 0.0.0.0:6"]);
    }

    #[test]
    fn unknown_names_fail() {
        let endpoint = Endpoint { host: name("fooble"), ..otherwise(1, Protocol::Ascii, TlsMode::Off) };
        let line = "failed to listen on one of interface(s) fooble: no such name";
        let failure = resolve_tcp(&[endpoint], &Fake { ipv6: true }).err();
        assert_eq!(failure, Some(Failure::system(line)));
    }
}
