//! The only module that reads the environment of the process.

use std::sync::Arc;
use std::time::Duration;

use bowline_gateway::Secrets;
use bowline_types::{Clock, Secret, SecretRef, SystemClock, Timestamp};
use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::failure::{Failure, Result};

/// Resolves references to secrets from the environment and from files.
pub(crate) struct ProcessSecrets;

/// A clock that is wrong by so much.
struct ShiftedClock {
    offset_us: i64,
}

/// Returns a variable of the environment; empty counts as not set.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the clock of the machine; shifted by BOWLINE_REHEARSAL_CLOCK_OFFSET, such as `2h` or `-90s`, to rehearse what a wrong clock
/// does.
///
/// # Errors
/// The variable is no duration.
pub(crate) fn clock() -> Result<Arc<dyn Clock>> {
    let Some(text) = variable("BOWLINE_REHEARSAL_CLOCK_OFFSET") else { return Ok(Arc::new(SystemClock)) };
    let (sign, size) = text.strip_prefix('-').map_or((1, text.as_str()), |size| (-1, size));
    let offset = bowline_types::parse_duration(size).and_then(|offset| i64::try_from(offset.as_micros()).ok());
    let offset = offset.ok_or_else(|| {
        Failure::user(format!(
            "BOWLINE_REHEARSAL_CLOCK_OFFSET is `{text}`, which is no duration\nhint: such as `2h` or `-90s`"
        ))
    })?;
    tracing::warn!(offset = text, "the clock is shifted for a rehearsal");
    Ok(Arc::new(ShiftedClock { offset_us: sign * offset }))
}

/// Returns who is typing, for logs of the registry: `BOWLINE_ACTOR`, else `GIT_AUTHOR_NAME`, else the name that Git knows, else the
/// user.
pub(crate) fn actor() -> String {
    let named = variable("BOWLINE_ACTOR").or_else(|| variable("GIT_AUTHOR_NAME")).or_else(git_user);
    named.or_else(|| variable("USER")).unwrap_or_else(|| "unknown".to_owned())
}

fn git_user() -> Option<String> {
    let output = std::process::Command::new("git").args(["config", "user.name"]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|name| !name.is_empty())
}

/// Starts the log on standard error: `BOWLINE_LOG`, else warnings, else what `--verbose` asks for.
pub(crate) fn start_log(global: &Global) {
    let default = match global.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = variable("BOWLINE_LOG")
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros().saturating_add(self.offset_us))
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

impl Secrets for ProcessSecrets {
    fn resolve(&self, reference: &SecretRef) -> Option<Secret> {
        match reference {
            SecretRef::Env(name) => variable(name).map(Secret::new),
            SecretRef::File(path) => {
                let text = std::fs::read_to_string(path).ok()?;
                Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}
