//! The proxy before the nodes of a cluster.

use std::fmt::Write as _;

/// The route without one of the program's own.
const DIRECT: &str = "route = \"nodes\"";

/// How a pool reaches nodes of the same process. A node that was killed refuses connections at
/// once, and a pause of a tenth of a second costs nothing.
const BOUNDS: &str = "distribution = \"ketama\"\nconnect_timeout_ms = 1000\nretry_ms = 100";

/// Returns the configuration of a proxy before `nodes`, each `HOST:PORT`, in TOML.
///
/// `route` is the first part of the configuration. It has two pools beside its own: `nodes`, and
/// `next`, which leads each key to the node after that of `nodes`.
pub fn proxy_config(route: Option<&str>, nodes: &[String]) -> String {
    let mut text = route.unwrap_or(DIRECT).to_owned();
    for (pool, shift) in [("nodes", 0), ("next", 1)] {
        // A backend has the keys of its name in the ring.
        let backends = nodes.iter().enumerate().map(|(index, name)| {
            let address = nodes.get((index + shift) % nodes.len()).unwrap_or(name);
            format!("    {{ name = \"{name}\", address = \"{address}\" }},\n")
        });
        let backends: String = backends.collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n[pools.{pool}]\n{BOUNDS}\nbackends = [\n{backends}]");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use memcache_core::internal::proxy::config::parse;

    use super::*;

    #[test]
    fn the_second_pool_leads_each_key_to_the_next_node() {
        let nodes: Vec<String> = (1..=3).map(|port| format!("127.0.0.1:{port}")).collect();
        let routes = parse(&proxy_config(Some("route = { failover = ['nodes', 'next'] }"), &nodes)).unwrap();
        let pool = |name| routes.pools.iter().find(|pool| pool.name == name).unwrap();
        let mut seen = [0; 3];
        for key in 0..300 {
            let key = format!("key:{key}");
            let at = |name| {
                let pool = pool(name);
                pool.backends[pool.choose(key.as_bytes())].address.to_string()
            };
            let index = nodes.iter().position(|node| *node == at("nodes")).unwrap();
            assert_eq!(at("next"), nodes[(index + 1) % 3]);
            seen[index] += 1;
        }
        assert!(seen.iter().all(|&count| count > 30), "{seen:?}");
    }

    #[test]
    fn the_route_stands_first_so_that_its_lines_are_those_of_mistakes() {
        let nodes = ["[::1]:7".to_owned()];
        assert!(parse(&proxy_config(None, &nodes)).is_ok());
        let fault = parse(&proxy_config(Some("\nroute = 'node'"), &nodes)).unwrap_err();
        assert_eq!(fault.to_string(), "2: route: there is no pool or route \"node\"");
    }
}
