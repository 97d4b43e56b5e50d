use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(20);
/// How often is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// The unit of processor time in `/proc`: `USER_HZ` is 100 on every machine that Linux runs on today.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A process that is measured; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// What it prints.
    out: PathBuf,
}

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time of all its threads, those that ended included.
    pub(crate) cpu: Duration,
    /// Memory that is resident now, in KiB.
    pub(crate) resident_kib: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) resident_max_kib: u64,
}

// === impl Process ===

impl Process {
    /// Starts `bowline`; what it prints goes to `folder`.
    pub(crate) fn bowline(folder: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
        command.args(arguments);
        Self::spawn(folder, name, command)
    }

    /// Starts the bare reverse proxy: this program once more.
    pub(crate) fn proxy(folder: &Path, upstream: SocketAddr) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("the program does not know where it is")?);
        command.arg("proxy").arg(upstream.to_string());
        Self::spawn(folder, "proxy", command)
    }

    fn spawn(folder: &Path, name: &str, mut command: Command) -> Result<Self> {
        let out = folder.join(format!("{name}.out"));
        let file = |path: &Path| fs::File::create(path).with_context(|| format!("creating {}", path.display()));
        let log = file(&folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(file(&out)?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, out })
    }

    /// Waits until it says where it serves.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let [address] = self.addresses()?;
        Ok(address)
    }

    /// Waits until it says where it serves, in the order in which it says so.
    pub(crate) fn addresses<const N: usize>(&self) -> Result<[SocketAddr; N]> {
        let deadline = Instant::now() + START;
        loop {
            let said = fs::read_to_string(&self.out).unwrap_or_default();
            let words = said.split_whitespace().filter_map(|word| word.strip_prefix("http://"));
            let addresses = words.filter_map(|word| word.trim_end_matches("/v1").parse().ok()).collect::<Vec<_>>();
            if let Ok(addresses) = addresses.try_into() {
                return Ok(addresses);
            }
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.out.with_extension("log")).unwrap_or_default();
                bail!("{} says too little; its log:\n{log}", self.out.display());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns what it uses.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = fs::read_to_string(folder.join("stat")).context("the process is gone")?;
        // The name, in parentheses, may hold anything; the state follows it.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).context("/proc/PID/stat")?;
        let ticks = fields.skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        let status = fs::read_to_string(folder.join("status"))?;
        let kib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
            value.and_then(|value| value.parse().ok()).with_context(|| format!("/proc/PID/status has no {key}"))
        };
        Ok(Usage { cpu: TICK * ticks, resident_kib: kib("VmRSS:")?, resident_max_kib: kib("VmHWM:")? })
    }

    /// Waits until it has nothing left to do, such as records to write, and returns its processor time.
    pub(crate) async fn rest(&self) -> Result<Duration> {
        const PAUSE: Duration = Duration::from_millis(100);
        const PATIENCE: u32 = 20;
        let mut cpu = self.usage()?.cpu;
        for _ in 0..PATIENCE {
            tokio::time::sleep(PAUSE).await;
            let before = std::mem::replace(&mut cpu, self.usage()?.cpu);
            if before == cpu {
                break;
            }
        }
        Ok(cpu)
    }

    /// Ends it as a person would, and waits for it.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process without a number")?;
        kill_process(pid, Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks until `/readyz` answers 200.
pub(crate) fn wait_until_ready(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if is_ready(address).unwrap_or(false) {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("the gateway is not ready in time")
}

fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}
