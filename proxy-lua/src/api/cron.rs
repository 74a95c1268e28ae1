//! `mcp.register_cron`: timed functions of a configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, LuaString, Result, Table, Value};

use super::error;

/// Longest time between two runs in seconds: ten years.
const EVERY_MAX: i64 = 10 * 365 * 24 * 3600;

/// A timed function.
#[derive(Debug)]
struct Cron {
    function: Function,
    every: Duration,
    repeats: bool,
    next: Instant,
    /// The load that has registered it.
    load: u64,
}

/// Timed functions by name. Those that a load does not register again end with it.
#[derive(Debug, Default)]
pub struct Crons {
    crons: BTreeMap<Vec<u8>, Cron>,
    load: u64,
}

impl Crons {
    /// Begins a load.
    pub fn begin(&mut self) {
        self.load += 1;
    }

    /// Ends a load.
    pub fn end(&mut self) {
        let load = self.load;
        self.crons.retain(|_, cron| cron.load == load);
    }

    /// Returns the time of the next run.
    pub fn next(&self) -> Option<Instant> {
        self.crons.values().map(|cron| cron.next).min()
    }

    /// Takes a function that is due.
    pub fn take_due(&mut self, now: Instant) -> Option<Function> {
        let (name, cron) = self.crons.iter_mut().find(|(_, cron)| cron.next <= now)?;
        let function = cron.function.clone();
        if cron.repeats {
            cron.next = now.checked_add(cron.every)?;
        } else {
            let name = name.clone();
            self.crons.remove(&name);
        }
        Some(function)
    }

    fn register(&mut self, name: &[u8], function: Function, every: Duration, repeats: bool) -> Option<()> {
        let old = self.crons.get(name).filter(|old| old.every == every).map(|old| old.next);
        let next = old.or_else(|| Instant::now().checked_add(every))?;
        let load = self.load;
        self.crons.insert(name.to_vec(), Cron { function, every, repeats, next, load });
        Some(())
    }
}

/// Adds the function.
///
/// # Errors
/// If there is no memory.
pub fn add(lua: &Lua, mcp: &Table, crons: &Rc<RefCell<Crons>>) -> Result<()> {
    let shared = Rc::clone(crons);
    let register = move |_: &Lua, (name, options): (LuaString, Table)| {
        let Value::Function(function) = options.get("func")? else {
            return Err(error("proxy cron entry missing 'func' field"));
        };
        let rerun: Value = options.get("rerun")?;
        let repeats = rerun.is_nil() || rerun.as_boolean().unwrap_or(true);
        let every = match options.get("every")? {
            Value::Integer(every) => every,
            Value::Number(every) => every as i64,
            _ => return Err(error("proxy cron entry missing 'every' field")),
        };
        if every < 1 {
            return Err(error("proxy cron entry 'every' must be > 0"));
        }
        let every = Duration::from_secs(every.min(EVERY_MAX).unsigned_abs());
        let registered = shared.borrow_mut().register(&name.as_bytes(), function, every, repeats);
        registered.ok_or_else(|| error("proxy cron entry 'every' is too large"))
    };
    mcp.set("register_cron", lua.create_function(register)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::errors::message;
    use super::*;

    fn run(crons: &Rc<RefCell<Crons>>, program: &str) -> Result<()> {
        let lua = Lua::new();
        let mcp = lua.create_table()?;
        add(&lua, &mcp, crons)?;
        lua.globals().set("mcp", mcp)?;
        lua.load(program).exec()
    }

    #[test]
    fn functions_run_until_a_load_drops_them() {
        let crons = Rc::default();
        let program = "mcp.register_cron('a', { every = 2, func = print })
            mcp.register_cron('once', { every = 1, rerun = false, func = print })";
        run(&crons, program).unwrap();
        let mut all = crons.borrow_mut();
        let start = all.next().unwrap();
        assert!(all.take_due(start.checked_sub(Duration::from_millis(1)).unwrap()).is_none());
        assert!(all.take_due(start).is_some());
        let second = all.next().unwrap();
        assert!(second > start && all.take_due(second).is_some() && all.take_due(second).is_none());
        let third = all.next().unwrap();
        assert_eq!(third, second + Duration::from_secs(2));
        all.begin();
        drop(all);
        // The same name and time: the next run stays.
        run(&crons, "mcp.register_cron('a', { every = 2, func = print })").unwrap();
        let mut all = crons.borrow_mut();
        all.end();
        assert_eq!(all.next(), Some(third));
        all.begin();
        all.end();
        assert_eq!(all.next(), None);
    }

    #[test]
    fn wrong_entries() {
        for (options, fault) in [
            ("{}", "proxy cron entry missing 'func' field"),
            ("{ func = print }", "proxy cron entry missing 'every' field"),
            ("{ func = print, every = 0 }", "proxy cron entry 'every' must be > 0"),
        ] {
            let error = run(&Rc::default(), &format!("mcp.register_cron('a', {options})")).unwrap_err();
            assert_eq!(message(&error), fault);
        }
    }
}
