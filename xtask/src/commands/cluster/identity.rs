use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::stopwatch::Stopwatch;

/// The variable that every process of a cluster has in its environment: its state folder. By it a process is found that was started
/// just before a crash, so that no file names it; and what a process started itself, such as containerd's shims.
pub(super) const MARK: &str = "BOWLINE_CLUSTER";

/// How long between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(20);

/// One process, for as long as the machine runs: its number, and when it was started. Numbers are used again, a pair is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The number of the process.
    pub(super) pid: u32,
    /// When it was started, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5), read 2026-11-25).
    started: u64,
}

// === impl Identity ===

impl Identity {
    /// Returns the process that has the number now; `None` where there is none, or only the remains of one that has ended.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started) = parse_stat(&stat)?;
        (!matches!(state, 'Z' | 'X' | 'x')).then_some(Self { pid, started })
    }

    /// Returns whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Returns the file name of its program.
    pub(super) fn program(self) -> Option<String> {
        let path = fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        Some(path.file_name()?.to_str()?.to_owned())
    }

    /// Returns its resident memory in bytes.
    pub(super) fn memory_bytes(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        resident_bytes(&status)
    }

    /// Sends a signal to this very process; nothing happens where it has ended, even if its number is another's by now.
    pub(super) fn signal(self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        match send(pid, signal, || self.is_alive()) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("sending a signal to process {}", self.pid)),
        }
    }
}

/// Asks processes to end, waits for at most `patience`, and kills what is left; waits as long again for that.
pub(super) fn end(processes: &[Identity], patience: Duration) -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::KILL] {
        for process in processes {
            process.signal(signal)?;
        }
        let stopwatch = Stopwatch::start();
        while processes.iter().any(|process| process.is_alive()) && stopwatch.elapsed() < patience {
            thread::sleep(LOOK);
        }
    }
    let left: Vec<String> =
        processes.iter().filter(|process| process.is_alive()).map(|process| process.pid.to_string()).collect();
    anyhow::ensure!(left.is_empty(), "these processes do not end, even when killed: {}", left.join(", "));
    Ok(())
}

/// Returns every process whose environment has the mark of a state folder, except this one.
pub(super) fn marked(folder: &Path) -> anyhow::Result<Vec<Identity>> {
    let mark = format!("{MARK}={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Processes of others cannot be read; they are not ours.
        let Some(identity) = Identity::of(pid).filter(|_| pid != std::process::id()) else { continue };
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            found.push(identity);
        }
    }
    Ok(found)
}

/// Returns what tells this start of the machine from every other.
pub(super) fn boot() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).with_context(|| format!("reading {path}"))?.trim().to_owned())
}

/// Signals a process through a handle that is taken before the check, so that the number cannot change its owner in between.
#[cfg(target_os = "linux")]
fn send(pid: Pid, signal: Signal, is_it: impl Fn() -> bool) -> Result<(), Errno> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    if is_it() { pidfd_send_signal(&handle, signal) } else { Err(Errno::SRCH) }
}

/// Elsewhere no cluster runs, so there is nothing to signal.
#[cfg(not(target_os = "linux"))]
fn send(_: Pid, _: Signal, _: impl Fn() -> bool) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Returns the state of a process and its time of start. Its name stands between parentheses and may have any character.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    // The state is field 3, so field 22 is the nineteenth after it.
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_start_is_read_behind_any_name() {
        let fields = "1 2 3 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0 4711 2097152 200 18446744073709551615";
        let check = |stat: &str, expected| assert_eq!(parse_stat(stat), expected, "{stat}");
        check(&format!("7 (sleep) S {fields}"), Some(('S', 4711)));
        check(&format!("7 (a) b (c)) Z {fields}"), Some(('Z', 4711)));
        check("7 (sleep) S 1 2", None);
        check("", None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2_097_152));
        assert_eq!(resident_bytes("Name:\tkthreadd\n"), None);
    }

    #[cfg(target_os = "linux")]
    mod processes {
        use std::process::{Child, Command};

        use super::super::*;

        fn sleep(folder: &Path) -> std::io::Result<Child> {
            Command::new("sleep").arg("60").env(MARK, folder).spawn()
        }

        #[test]
        fn a_process_that_no_file_names_is_found_by_its_mark_and_ended() {
            let folder = tempfile::tempdir().unwrap();
            let (mut child, mut other) = (sleep(folder.path()).unwrap(), sleep(Path::new("/another/cluster")).unwrap());
            // The environment is there once the child has become `sleep`.
            let stopwatch = Stopwatch::start();
            let mut found = Vec::new();
            while found.is_empty() && stopwatch.elapsed() < Duration::from_secs(10) {
                found = marked(folder.path()).unwrap();
            }
            assert_eq!(found, [Identity::of(child.id()).unwrap()]);
            assert!(found[0].program().is_some_and(|name| !name.is_empty()));
            found[0].signal(Signal::KILL).unwrap();
            assert!(!child.wait().unwrap().success());
            assert!(!found[0].is_alive());
            assert!(other.try_wait().unwrap().is_none(), "a process of another cluster lives");
            other.kill().unwrap();
            other.wait().unwrap();
        }

        #[test]
        fn a_process_with_a_number_that_is_used_again_is_left_alone() {
            let mut child = sleep(Path::new("/somewhere")).unwrap();
            let identity = Identity::of(child.id()).unwrap();
            let earlier = Identity { started: identity.started - 1, ..identity };
            end(&[earlier], Duration::from_millis(1)).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "it was not signalled");
            assert!(identity.is_alive() && !earlier.is_alive());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
