use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

use crate::process;

/// What a figure was measured on.
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    system: String,
    compiler: String,
    profile: &'static str,
}

// === impl Machine ===

impl Machine {
    /// Reads what this machine says of itself.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            processor: model.map_or("unknown processor", |(_, model)| model).to_owned(),
            cores: thread::available_parallelism()?.get(),
            system: process::output(Command::new("uname").arg("-srm"))?.trim().to_owned(),
            compiler: process::output(Command::new("rustc").arg("--version"))?.trim().to_owned(),
            profile: if cfg!(debug_assertions) { "dev profile" } else { "optimised" },
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, system, compiler, profile } = self;
        write!(f, "{processor}, {cores} cores; {system}; {compiler}, {profile}")
    }
}
