//! `mcp.time_real_millis` and `mcp.time_mono_millis`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mlua::{Lua, Result, Table};

/// Returns the Unix time in milliseconds.
pub(super) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// Adds the functions. The monotonic time counts from `start`.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, start: Instant) -> Result<()> {
    mcp.set("time_real_millis", lua.create_function(|_, ()| Ok(unix_millis()))?)?;
    mcp.set("time_mono_millis", lua.create_function(move |_, ()| Ok(start.elapsed().as_millis() as u64))?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_integers() {
        let lua = Lua::new();
        let mcp = lua.create_table().unwrap();
        let start = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        add(&lua, &mcp, start).unwrap();
        lua.globals().set("mcp", mcp).unwrap();
        let (real, mono): (i64, i64) =
            lua.load("return mcp.time_real_millis(), mcp.time_mono_millis()").eval().unwrap();
        assert!(real > 1_700_000_000_000);
        assert!(mono >= 5000);
        assert!(lua.load("return math.type(mcp.time_mono_millis()) == 'integer'").eval::<bool>().unwrap());
    }
}
