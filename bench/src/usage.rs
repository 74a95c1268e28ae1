//! Resources that a process has used, as counted by the kernel: CPU time to the nanosecond,
//! resident memory to the page.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::error::{Doing, Error, Result};

/// Returns the user and system CPU time of all live threads of a process.
///
/// `schedstat` counts nanoseconds, whereas `stat` counts ticks of 10 ms. It does not include
/// threads that have ended, but no server measured here ends a thread while it serves.
pub fn cpu(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&tasks).doing(|| format!("reading {tasks}"))? {
        let path = task.doing(|| format!("reading {tasks}"))?.path().join("schedstat");
        // A thread may end between the two calls.
        if let Ok(text) = fs::read_to_string(&path) {
            total += on_cpu(&text)?;
        }
    }
    Ok(total)
}

/// Returns the CPU time of a process in ticks of 10 ms, with that of threads that have ended, and
/// whether the process has ended.
pub fn cpu_of_all(pid: u32) -> Result<(Duration, bool)> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).doing(|| format!("reading {path}"))?;
    ticks(&text).ok_or_else(|| Error::Malformed(format!("{path} is {text:?}")))
}

/// Returns the CPU time in `/proc/PID/stat`, and whether the process is a zombie.
fn ticks(stat: &str) -> Option<(Duration, bool)> {
    // The name of the program, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((Duration::from_millis((ticks(11)? + ticks(12)?) * 10), *fields.first()? == "Z"))
}

/// Returns the CPU time of this thread.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the time in which any process or interrupt used a core, in ticks of 10 ms.
pub fn core_busy(core: usize) -> Result<Duration> {
    let path = "/proc/stat";
    let text = fs::read_to_string(path).doing(|| format!("reading {path}"))?;
    busy(&text, core).ok_or_else(|| Error::Malformed(format!("{path} has no core {core}")))
}

/// Returns the resident memory in bytes. It is exact, whereas `status` lags by the pages that each
/// CPU counts for itself.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).doing(|| format!("reading {path}"))?;
    let rss =
        text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.parse().ok());
    rss.map(|kib: u64| kib << 10).ok_or_else(|| Error::Malformed(format!("{path} has no Rss")))
}

/// Returns the first field of a `schedstat`.
fn on_cpu(schedstat: &str) -> Result<Duration> {
    let nanoseconds = schedstat.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| {
        Error::Malformed(format!(
            "schedstat is {schedstat:?}; is the kernel built without CONFIG_SCHED_INFO?"
        ))
    })
}

/// Returns the busy time of a core in `/proc/stat`: user, nice, system, irq, softirq and steal, but
/// not idle or waiting for disks.
fn busy(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core} ");
    let fields = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let ticks = fields.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let counted: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&field| ticks.get(field)).sum();
    Some(Duration::from_millis(counted * 10))
}

#[cfg(test)]
mod tests {
    use super::{busy, cpu, on_cpu, own_cpu, resident, ticks};
    use std::time::Duration;

    #[test]
    fn this_process_uses_something() {
        let pid = std::process::id();
        assert!(cpu(pid).is_ok());
        assert!(own_cpu() > Duration::ZERO);
        assert!(resident(pid).is_ok_and(|bytes| bytes > 100_000));
    }

    #[test]
    fn fields_of_proc() {
        let stat = "7 (a (b) c) Z 1 7 7 0 -1 4 5 6 7 8 30 12 1 2 20 0\n";
        assert_eq!(ticks(stat), Some((Duration::from_millis(420), true)));
        assert_eq!(ticks("7 (a) S 1"), None);
        let due = Duration::from_nanos(332_916_139);
        assert_eq!(on_cpu("332916139 4174315 148\n").ok(), Some(due));
        assert!(on_cpu("").is_err());
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 4 1000 1000 8 16 32 64 128\ncpu1 0 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(busy(stat, 0), Some(Duration::from_millis(630)));
        assert_eq!((busy(stat, 1), busy(stat, 2)), (Some(Duration::ZERO), None));
    }
}
