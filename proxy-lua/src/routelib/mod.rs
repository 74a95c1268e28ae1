//! routelib's language of configurations: a file in Lua that names pools and routes.
//!
//! ```text
//!   FILE.lua ── vm ──▶ Recorded pools and routes ── emit ──▶ TOML ──▶ native Routes
//! ```
//!
//! The file runs once in a VM of its own, which ends with it. Its functions record what they are
//! given. `emit` writes that as a configuration in TOML, so the native proxy has one language, one
//! set of limits and one set of errors. Requests never enter Lua.

mod emit;
mod fault;
mod pools;
mod routes;
mod text;
mod vm;

use std::path::Path;

use memcache_core::ProxyError;
use memcache_core::internal::base::file::read;
use memcache_core::internal::config::SourceText;

use self::fault::Fault;
pub use self::vm::{MAX_INSTRUCTIONS, MAX_MEMORY, misses_function};

/// Reads a configuration and runs it, as [`run`].
///
/// # Errors
/// The file cannot be read, or the first mistake.
pub fn load(file: &Path) -> Result<SourceText, ProxyError> {
    let unread = |why| ProxyError::new(file.to_owned(), None, format!("cannot be read: {why}"));
    run(file, &read(file, vm::MAX_FILE).map_err(unread)?)
}

/// Runs a configuration, the text of `file`. Returns it as TOML, with the place in the file for
/// each line.
///
/// # Errors
/// The first mistake.
pub fn run(file: &Path, text: &[u8]) -> Result<SourceText, ProxyError> {
    let made = vm::run(file, text).and_then(|recorded| emit::emit(&recorded, file));
    made.map_err(|Fault { line, message }| {
        ProxyError::new(file.to_owned(), (line > 0).then_some(line), message)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use memcache_core::internal::proxy::config;

    use super::*;

    const POOLS: &str = "pools{ a = { backends = { 'h:1' } }, b = { backends = { 'h:2' } }, \
                         set_s = { x = { backends = { 'h:3' } }, y = { backends = { 'h:4' } } } }\n";

    /// Returns a configuration in TOML. The native proxy accepts it.
    fn toml(text: &str) -> Result<String, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("routelib-{}-{}.lua", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text).unwrap();
        let made = load(&file);
        fs::remove_file(&file).unwrap();
        let shown = |fault: ProxyError| format!("{}: {}", fault.line.unwrap_or(0), fault.message);
        let made = made.map_err(shown)?;
        assert_eq!(made.text.lines().count(), made.lines.len());
        config::parse(&made.text).map_err(|e| format!("{}: {}", made.lines[e.line - 1], e.message))?;
        Ok(made.text)
    }

    /// Returns the lines about routes of a configuration whose `default` is at line 2.
    fn route_lines(default: &str) -> Vec<String> {
        let text = toml(&format!("{POOLS}routes{{ default = {default} }}")).unwrap();
        text.lines()
            .filter(|line| line.starts_with("\"line") || line.starts_with("route ="))
            .map(Into::into)
            .collect()
    }

    #[test]
    fn each_kind_has_a_native_route() {
        let cases = [
            ("route_failover{ children = { 'a', 'b' } }", "{ failover = [\"a\", \"b\"], until_hit = false }"),
            (
                "route_failover{ children = { 'a', 'b' }, miss = true, failover_count = 1, local_zone = 'b' }",
                "{ failover = [\"b\", \"a\"], until_hit = true, tries = 1 }",
            ),
            (
                "route_zfailover{ children = { x = 'a', y = 'b', z = 'internal' }, local_zone = 'y' }",
                "{ failover = [\"b\", { all_fastest = [\"a\", \"local\"], until_hit = true }], until_hit = true }",
            ),
            (
                "route_zfailover{ children = 'set_s', local_zone = 'y', miss = false }",
                "{ failover = [\"set_s_y\", { all_fastest = [\"set_s_x\"], until_hit = true }], until_hit = false }",
            ),
            ("route_allsync{ children = 'set_s' }", "{ all_sync = [\"set_s_x\", \"set_s_y\"], last = true }"),
            ("route_allasync{ children = { 'a' } }", "{ shadow = { all_sync = [\"a\"] }, of = \"null\" }"),
            (
                "route_allfastest{ children = { 'a', 'b' }, miss = true, wait = 0.25 }",
                "{ all_fastest = [\"a\", \"b\"], until_hit = true, wait_ms = 250 }",
            ),
            (
                "route_failover{ children = { 'a', 'b' }, wait = 2 }",
                "{ failover = [\"a\", \"b\"], until_hit = false, wait_ms = 2000 }",
            ),
            ("route_random{ children = { 'set_s_x', 'b' } }", "{ random = [\"set_s_x\", \"b\"] }"),
            ("route_split{ child_a = 'a', child_b = 'b' }", "{ split = [\"a\", \"b\"] }"),
            (
                "route_ratelim{ limit = 10, fillrate = 2, tickrate = 50, child = 'a' }",
                "{ rate_limit = \"a\", over = \"null\", tokens = 2, every_ms = 50, burst = 9, shared = false }",
            ),
            (
                "route_ratelim{ limit = 3, fillrate = 1, child = 'a', global = true, fail_until_limit = true }",
                "{ rate_limit = \"null\", over = \"a\", tokens = 1, every_ms = 1000, burst = 2, shared = true }",
            ),
            (
                "route_ttl{ ttl = 60, child = 'a' }",
                "{ by_command = { ms = { ttl = \"a\", seconds = 60 }, set = { ttl = \"a\", seconds = 60 }, \
                 add = { ttl = \"a\", seconds = 60 }, cas = { ttl = \"a\", seconds = 60 } }, default = { error = \"invalid command for route_ttl\" } }",
            ),
        ];
        for (lua, toml) in cases {
            assert_eq!(
                route_lines(lua),
                ["route = \"line 2\"".to_owned(), format!("\"line 2\" = {toml}")],
                "{lua}"
            );
        }
    }

    #[test]
    fn a_direct_route_is_its_child() {
        assert_eq!(route_lines("route_direct{ child = 'internal' }"), ["route = \"local\""]);
        assert_eq!(route_lines("route_null{}"), ["route = \"null\""]);
    }

    #[test]
    fn lookups_go_from_the_part_to_the_command_to_the_default() {
        let text = toml(&format!(
            "{POOLS}routes{{\n map = {{ u = cmdmap{{ get = 'a', [mcp.CMD_ANY_STORAGE] = 'b' }}, ['v w'] = 'b' }},\n\
             cmap = {{ [mcp.CMD_SET] = 'a' }}, default = 'b', conf = {{ mode = 'anchor', start = '<', stop = '>' }} }}"
        ));
        let commands = "{ by_command = { set = \"a\" }, default = \"b\" }";
        let route = format!(
            "route = {{ by_part = {{ \"u\" = {{ by_command = {{ get = \"a\" }}, default = \"b\" }}, \"v w\" = \"b\" }}, \
             default = {commands}, start = \"<\", stop = \">\" }}"
        );
        assert_eq!(text.unwrap().lines().next().unwrap(), route);
        // A route that two places share is one route.
        assert_eq!(
            route_count(
                "local r = route_random{ children = { 'a', 'b' } }\n\
            routes{ map = { x = r, y = r }, default = r }"
            ),
            1
        );
    }

    #[test]
    fn counters_have_the_names_of_places() {
        let text = toml(&format!(
            "{POOLS}local function f(name) return route_failover{{ children = {{ 'a', 'b' }}, stats = true, \
             stats_name = name }} end\n\
             routes{{ map = {{ u = f(), w = cmdmap{{ get = f() }}, x = f('own') }}, cmap = {{ set = f() }},\n\
             default = route_zfailover{{ children = 'set_s', local_zone = 'x', stats = true, \
             stats_name = 'z' }} }}\n\
             routes{{ tag = 'b', default = route_ratelim{{ child = 'a', limit = 5, fillrate = 1, stats = true }} }}"
        ));
        let text = text.unwrap();
        let mut names: Vec<&str> =
            text.split("counter = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["cmdmap_retries", "default_limits", "own_retries", "u_retries", "w_retries", "z_retries"]
        );
    }

    #[test]
    fn a_tag_has_routes_of_its_own() {
        let made = |routes: &str| {
            let text = toml(&format!("{POOLS}{routes}")).unwrap();
            let (before, listeners) = text.split_once("[listeners]\n").unwrap();
            (before.lines().next().unwrap().to_owned(), listeners.to_owned())
        };
        assert_eq!(
            made(
                "routes{ default = 'a' }\nroutes{ tag = 'b', map = { u = 'a' }, default = 'b' }\n\
                 routes{ tag = 'c\"', default = 'b' }"
            ),
            (
                "route = \"a\"".into(),
                "\"b\" = { by_part = { \"u\" = \"a\" }, default = \"b\" }\n\"c\\\"\" = \"b\"\n".into()
            )
        );
        assert_eq!(
            made("routes{ tag = 'b', default = 'a' }"),
            ("route = \"local\"".into(), "\"b\" = \"a\"\n".into())
        );
    }

    fn route_count(rest: &str) -> usize {
        toml(&format!("{POOLS}{rest}")).unwrap().lines().filter(|line| line.starts_with("\"line")).count()
    }

    #[test]
    fn settings_and_options_become_keys_of_pools() {
        let text = toml(
            "settings{ backend_read_timeout = 0.5, backend_failure_limit = 7 }\n\
             pools{ p = { backends = { 'h:1', { host = 'i', port = 2, down = true }, 'j:3 _down_' },\n\
             backend_options = { connections = 2, flaptime = 0 },\n\
             options = { dist = mcp.dist_ring_hash, omode = 'ketama', hash = mcp.dist_ring_hash.hash, filter = 'tags', \
             filter_conf = '{}', obuckets = 40 } } }\nroutes{ default = route_direct{ child = 'p' } }",
        );
        let pool = "\"p\" = { backends = [\"h:1\", { address = \"i:2\", down = true }, \
                    { address = \"j:3\", down = true }], connections = 2, failure_limit = 7, \
                    read_timeout_ms = 500, key_hash = \"md5\", hash_tag = \"{}\", distribution = \"ketama_port\", points = 40 }";
        assert_eq!(text.unwrap().lines().find(|line| line.starts_with("\"p\"")).unwrap(), pool);
    }

    #[test]
    fn mistakes_have_a_line() {
        let cases = [
            ("routes{", "2: "),
            ("error('no')", "2: no"),
            ("-- from mcp_config_pools\nroutes{", "3: unexpected symbol near <eof>"),
            ("-- from mcp_config_pools\nerror('no')", "3: no"),
            ("-- from mcp_config_pools", "1: there is no routes{ … }"),
            ("function mcp_config_pools() end", "1: this is a program, not a configuration"),
            ("function mcp_config_routes() end\nmcp.pool()", "1: this is a program, not a configuration"),
            ("", "1: there is no routes{ … }"),
            ("\nroutes{ default = 'c' }", "3: routes.default: there is no pool \"c\""),
            ("routes{ default = route_direct{} }", "2: route_direct: child is missing"),
            ("routes{ defalt = 'a' }", "2: routes: a native proxy has no defalt here"),
            (
                "routes{ tag = 'long_name', default = 'a' }",
                "2: listeners.long_name: the tag of a listener has",
            ),
            ("routes{ tag = 7, default = 'a' }", "2: routes: tag must be a text, got 7"),
            (
                "routes{ tag = 'b', default = 'a' } routes{ default = 'a' }\nroutes{ tag = 'b', default = 'b' }",
                "3: routes{ … } must be called once for each tag",
            ),
            ("routes{ default = 'a' }\nroutes{ default = 'b' }", "3: routes{ … } must be called once for"),
            ("routes{ default = { child = 'a' } }", "2: routes.default must be a route or the name"),
            ("routes{ cmap = { stats = 'a' } }", "2: routes.cmap.stats: this must be a command with a key"),
            (
                "routes{ default = route_zfailover{ children = { x = 'a' } } }",
                "2: route_zfailover: local_zone is",
            ),
            (
                "routes{ default = route_failover{ children = { 'a' }, wait = -1 } }",
                "2: route_failover: wait must be a number of seconds",
            ),
            (
                "routes{ default = route_ratelim{ child = 'a', limit = 5 } }",
                "2: route_ratelim: fillrate is missing",
            ),
            (
                "pools{ c = { backends = { 'a b c' } } }\nroutes{ default = 'c' }",
                "2: pools.c.backends must be",
            ),
            (
                "pools{ c = { backends = { 'h:x' } } }\nroutes{ default = 'c' }",
                "2: pools.c.backends: must be an address with a port",
            ),
            (
                "pools{ a = { backends = { 'h:1' } } }\nroutes{ default = 'a' }",
                "2: pools.a: this name is taken",
            ),
            (
                "local_zone_from_env('NO_SUCH_VARIABLE')",
                "2: the environment variable NO_SUCH_VARIABLE is not",
            ),
            (
                "local r = route_random{ children = {} }\nr.fields.children = { r }\nroutes{ default = r }",
                "2: route_random leads",
            ),
        ];
        for (rest, expected) in cases {
            let fault = toml(&format!("{POOLS}{rest}")).unwrap_err();
            assert!(fault.starts_with(expected), "{rest}: {fault}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
        }
    }

    #[test]
    fn a_configuration_is_bounded() {
        for endless in ["while true do end", "while true do pcall(function() while true do end end) end"] {
            assert_eq!(
                toml(endless).unwrap_err(),
                "1: the configuration must end within 100000000 instructions"
            );
        }
        assert!(toml("x = string.rep('x', 1e9)").unwrap_err().contains("bytes of memory"));
        assert!(
            toml("local t = {} while true do t[#t + 1] = {} end").unwrap_err().contains("bytes of memory")
        );
        assert!(toml("os.exit()").unwrap_err().starts_with("1: "));
    }
}
