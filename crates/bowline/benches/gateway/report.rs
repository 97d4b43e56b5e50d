use std::io::{self, Write};
use std::time::Duration;

use bowline_sim::Report;

use crate::Start;
use crate::process::{TICK, Usage};
use crate::project::Kept;
use crate::rounds::{Cell, Level, Rounds, Sample, Way};

/// What is read of one measurement.
type Reading = fn(&Report) -> Duration;

/// Values of the rounds, in microseconds.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// Writes what was measured, as Markdown.
pub(crate) fn print(rounds: &Rounds, start: &Start, kept: &Kept, after: Usage) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let of_rounds = rounds.samples.values().map(Vec::len).max().unwrap_or(0);
    writeln!(out, "Microseconds; the median of {of_rounds} rounds, and the range of what is added.\n")?;
    for stream in [false, true] {
        for (index, level) in rounds.levels.iter().enumerate() {
            let answers = if stream { "streamed" } else { "not streamed" };
            writeln!(out, "### {}, {answers}: {} calls per round\n", name(level), level.calls)?;
            table(&mut out, rounds, stream, index)?;
        }
    }
    writeln!(out, "### Around it\n")?;
    let times = Spread::of(start.times.iter().copied().map(micros).collect());
    let Usage { resident_kib, resident_max_kib, .. } = start.idle;
    writeln!(
        out,
        "- Start, from the process to the first 200 of `/readyz`: {:.0} ms (median of {}; {:.0} to {:.0}).",
        times.median / 1e3,
        start.times.len(),
        times.min / 1e3,
        times.max / 1e3
    )?;
    writeln!(out, "- Memory, idle: {} resident, {} at most.", mebibytes(resident_kib), mebibytes(resident_max_kib))?;
    let (resident, most) = (mebibytes(after.resident_kib), mebibytes(after.resident_max_kib));
    writeln!(out, "- Memory, after all of this: {resident} resident, {most} at most.")?;
    let Kept { records, in_rollout } = kept;
    writeln!(out, "- Calls lost: 0. Records lost: 0; the store has {records}, {in_rollout} of them in the rollout.")?;
    let tick = TICK.as_millis();
    writeln!(out, "- Processor time is read from `/proc` in steps of {tick} ms, and summed over the rounds.")
}

fn name(level: &Level) -> String {
    match level.rate {
        Some(rate) => format!("{rate} calls per second"),
        None => format!("{} at a time", level.concurrency),
    }
}

fn table(out: &mut impl Write, rounds: &Rounds, stream: bool, level: usize) -> io::Result<()> {
    let first_byte = if stream { " first byte p50 | added |" } else { "" };
    writeln!(out, "| way | p50 | added | p99 | added |{first_byte} calls/s | CPU per call |")?;
    writeln!(out, "|---|---|---|---|---|{}---|---|", if stream { "---|---|" } else { "" })?;
    let samples = |way| rounds.samples.get(&Cell { stream, level, way }).map_or(&[][..], Vec::as_slice);
    let direct = samples(Way::Direct);
    for way in Way::ALL {
        let samples = samples(way);
        let mut readings: Vec<Reading> = vec![|report| report.latency.p50, |report| report.latency.p99];
        if stream {
            readings.push(|report| report.first_byte.p50);
        }
        write!(out, "| {} |", label(way))?;
        for reading in readings {
            let value = Spread::of(samples.iter().map(|sample| micros(reading(&sample.report))).collect());
            write!(out, " {:.0} |", value.median)?;
            if way == Way::Direct {
                write!(out, " |")?;
                continue;
            }
            // Each round against the direct calls of the same round.
            let differences = samples
                .iter()
                .zip(direct)
                .map(|(sample, direct)| micros(reading(&sample.report)) - micros(reading(&direct.report)));
            let Spread { median, min, max } = Spread::of(differences.collect());
            write!(out, " {median:+.0} ({min:+.0} to {max:+.0}) |")?;
        }
        let rate = |sample: &Sample| sample.report.ok as f64 / sample.report.duration.as_secs_f64();
        write!(out, " {:.0} |", Spread::of(samples.iter().map(rate).collect()).median)?;
        let cpu: Duration = samples.iter().map(|sample| sample.cpu).sum();
        let calls: u64 = samples.iter().map(|sample| sample.report.sent).sum();
        let cpu = if way == Way::Direct { String::new() } else { format!(" {:.0}", micros(cpu) / calls.max(1) as f64) };
        writeln!(out, "{cpu} |")?;
    }
    writeln!(out)
}

const fn label(way: Way) -> &'static str {
    match way {
        Way::Direct => "direct",
        Way::Proxy => "bare proxy",
        Way::Alias => "Bowline, model alias",
        Way::Prompt => "Bowline, prompt",
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

// === impl Spread ===

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), min: at(0), max: at(last) }
    }
}
