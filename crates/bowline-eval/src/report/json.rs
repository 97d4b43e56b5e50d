//! JSON: the report, and its cases under `cases`, one on a line.

use std::io::{self, Write};

use super::{CaseResult, Report};

pub(super) fn write(report: &Report, cases: impl Iterator<Item = CaseResult>, out: &mut dyn Write) -> io::Result<()> {
    let header = serde_json::to_string(report)?;
    let verdict = serde_json::to_string(report.verdict().as_str())?;
    // The header is an object with members, so its last character is the brace that closes it.
    let open = header.strip_suffix('}').unwrap_or(&header);
    write!(out, "{open},\"verdict\":{verdict},\"cases\":[")?;
    for (index, case) in cases.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &case)?;
    }
    out.write_all(b"\n]}\n")
}
