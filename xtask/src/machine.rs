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
    date: String,
}

// === impl Machine ===

impl Machine {
    /// Reads what this machine says of itself, for something that was built with `profile`.
    pub(crate) fn read(profile: &'static str) -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            processor: model.map_or("unknown processor", |(_, model)| model).to_owned(),
            cores: thread::available_parallelism()?.get(),
            system: process::output(Command::new("uname").arg("-srm"))?.trim().to_owned(),
            compiler: process::output(Command::new("rustc").arg("--version"))?.trim().to_owned(),
            profile,
            date: process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, system, compiler, profile, date } = self;
        write!(f, "{processor}, {cores} cores; {system}; {compiler}, {profile}; {date}")
    }
}
