//! The constants of the table `mcp`.

use mlua::{Result, Table};

use crate::response::code;

/// The number that stands for all commands but `mn`.
pub const ANY: i64 = 36;
/// The number that stands for all commands with a key.
pub const ANY_STORAGE: i64 = 37;
/// One more than the largest number of a command with a key.
pub const END_STORAGE: i64 = 21;

/// Modes of a wait.
pub mod wait {
    /// Any response counts.
    pub const ANY: i64 = 1;
    /// A good response or a miss counts.
    pub const OK: i64 = 2;
    /// A good response counts.
    pub const GOOD: i64 = 3;
    /// A good response ends the wait, and a miss counts.
    pub const FASTGOOD: i64 = 4;
}

/// The commands, in the order of their numbers from 1.
const COMMANDS: [&str; 34] = [
    "MG",
    "MS",
    "MD",
    "MN",
    "MA",
    "ME",
    "GET",
    "GAT",
    "SET",
    "ADD",
    "CAS",
    "GETS",
    "GATS",
    "INCR",
    "DECR",
    "TOUCH",
    "APPEND",
    "DELETE",
    "REPLACE",
    "PREPEND",
    "END_STORAGE",
    "QUIT",
    "STATS",
    "SLABS",
    "WATCH",
    "LRU",
    "VERSION",
    "SHUTDOWN",
    "EXTSTORE",
    "FLUSH_ALL",
    "VERBOSITY",
    "LRU_CRAWLER",
    "REFRESH_CERTS",
    "CACHE_MEMLIMIT",
];

const OTHERS: [(&str, i64); 24] = [
    ("MCMC_CODE_STORED", code::STORED),
    ("MCMC_CODE_EXISTS", code::EXISTS),
    ("MCMC_CODE_DELETED", code::DELETED),
    ("MCMC_CODE_TOUCHED", code::TOUCHED),
    ("MCMC_CODE_VERSION", code::VERSION),
    ("MCMC_CODE_NOT_FOUND", code::NOT_FOUND),
    ("MCMC_CODE_NOT_STORED", code::NOT_STORED),
    ("MCMC_CODE_OK", code::OK),
    ("MCMC_CODE_NOP", code::NOP),
    ("MCMC_CODE_END", code::END),
    ("MCMC_CODE_ERROR", code::ERROR),
    ("MCMC_CODE_CLIENT_ERROR", code::CLIENT_ERROR),
    ("MCMC_CODE_SERVER_ERROR", code::SERVER_ERROR),
    ("MCMC_ERR", -1),
    ("P_OK", 0),
    ("CMD_ANY", ANY),
    ("CMD_ANY_STORAGE", ANY_STORAGE),
    ("WAIT_ANY", wait::ANY),
    ("WAIT_OK", wait::OK),
    ("WAIT_GOOD", wait::GOOD),
    ("WAIT_FASTGOOD", wait::FASTGOOD),
    ("RES_GOOD", 8),
    ("RES_OK", 16),
    ("RES_ANY", 32),
];

/// Returns the word of a command, in capitals.
pub fn word(number: i64) -> Option<&'static str> {
    COMMANDS.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// Sets the constants.
///
/// # Errors
/// If there is no memory.
pub fn set(mcp: &Table) -> Result<()> {
    for (number, word) in (1..).zip(COMMANDS) {
        mcp.set(format!("CMD_{word}"), number)?;
    }
    for (name, number) in OTHERS {
        mcp.set(name, number)?;
    }
    mcp.set("WAIT_RESUME", true)
}

/// Sets `start_arg` from the value of `proxy_arg`: `false`, the text, or a table of its parts.
///
/// # Errors
/// If there is no memory.
pub fn set_start_arg(lua: &mlua::Lua, mcp: &Table, argument: Option<&str>) -> Result<()> {
    let Some(argument) = argument else { return mcp.set("start_arg", false) };
    if !argument.contains(':') {
        return mcp.set("start_arg", argument);
    }
    let parts = lua.create_table()?;
    for part in argument.split(':') {
        // Underscores that follow each other count as one, and those at the start as none.
        let mut words = part.split('_').filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some(name), Some(value)) => parts.set(name, value)?,
            (Some(name), None) => parts.set(name, true)?,
            (None, _) => {}
        }
    }
    mcp.set("start_arg", parts)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use memcache_core::internal::proxy::command::{COMMANDS, Command};
    use mlua::Lua;

    use super::*;

    #[test]
    fn commands_have_the_numbers_of_the_parser() {
        let lua = Lua::new();
        let mcp = lua.create_table().unwrap();
        set(&mcp).unwrap();
        let keyless = ["mn", "quit", "stats", "watch", "version"];
        let keyless = keyless.map(|word| Command::parsed(word).unwrap());
        for command in COMMANDS.iter().chain(keyless) {
            let name = format!("CMD_{}", command.word.to_uppercase());
            assert_eq!(mcp.get::<u8>(name.as_str()).unwrap(), command.number, "{name}");
        }
        assert_eq!(mcp.get::<i64>("CMD_CACHE_MEMLIMIT").unwrap(), 34);
        assert_eq!(mcp.get::<i64>("CMD_END_STORAGE").unwrap(), END_STORAGE);
    }

    #[test]
    fn start_argument() {
        let lua = Lua::new();
        let mcp = lua.create_table().unwrap();
        lua.globals().set("mcp", &mcp).unwrap();
        for (argument, check) in [
            (None, "mcp.start_arg == false"),
            (Some("/etc/mc.lua"), "mcp.start_arg == '/etc/mc.lua'"),
            (
                Some("zone_east:debug:x_1_2"),
                "mcp.start_arg.zone == 'east' and mcp.start_arg.debug == true and mcp.start_arg.x == '1'",
            ),
        ] {
            set_start_arg(&lua, &mcp, argument).unwrap();
            assert!(lua.load(check).eval::<bool>().unwrap(), "{check}");
        }
    }
}
