//! Programs that are published as Go modules, built once and kept, and files of such modules.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::environment;
use crate::process;
use crate::stopwatch::{Stopwatch, Took};
use crate::tool_cache;
use crate::workspace::Workspace;

/// distribution's registry, with the referrers API, which Debian's does not have.
pub(crate) const REGISTRY: Package<'static> = Package {
    folder: "tests/go/registry",
    path: "github.com/distribution/distribution/v3/cmd/registry",
    program: "registry",
    values: &[],
};

/// What signs and verifies container images.
pub(crate) const COSIGN: Package<'static> = Package {
    folder: "tests/go/cosign",
    path: "github.com/sigstore/cosign/v3/cmd/cosign",
    program: "cosign",
    values: &[],
};

/// A main package that a folder with a `go.mod` builds.
#[derive(Clone, Debug)]
pub(crate) struct Package<'a> {
    /// The folder with `go.mod` and `go.sum`, relative to the root of the workspace.
    pub(crate) folder: &'a str,
    /// The import path of the package; `.` for the folder itself.
    pub(crate) path: &'a str,
    /// The name of the program.
    pub(crate) program: &'a str,
    /// Values set at link time: the variable with its import path, and the value.
    pub(crate) values: &'a [(&'a str, String)],
}

// === impl Package ===

impl Package<'_> {
    /// Returns the program, built if it is not in the cache.
    ///
    /// A program is built again when `go.mod`, `go.sum`, a source of the folder, the package or the compiler changes.
    pub(crate) fn build(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let go = environment::program(&["go"]).context(
            "`go` is missing, which builds programs that are published as Go modules\nhint: install Go 1.26 or later",
        )?;
        let folder = workspace.root.join(self.folder);
        let compiler = process::output(Command::new(&go).arg("version").current_dir(&folder))?;
        let flags = self.linker_flags();
        let mut key = vec![self.path.to_owned(), flags.clone(), compiler];
        key.extend(sources(&folder)?);
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let made = tool_cache::folder(self.program, &key, |made| {
            eprintln!("building {} from {}; once, it may take minutes", self.program, self.folder);
            let stopwatch = Stopwatch::start();
            let mut command = Command::new(&go);
            command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-o"]);
            command.arg(made.join(self.program)).arg(self.path).current_dir(&folder);
            // Static, and exactly what go.mod and go.sum say.
            command.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly").env("GOWORK", "off");
            anyhow::ensure!(process::run(&mut command)?, "`go build` of {} failed", self.path);
            eprintln!("built {} in {}", self.program, Took(stopwatch.elapsed()));
            Ok(())
        })?;
        Ok(made.join(self.program))
    }

    /// Runs the program, which reads a list in JSON from its standard input and writes what came of each item to its standard output.
    pub(crate) fn ask(&self, workspace: &Workspace, items: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        let count = items.len();
        let mut command = Command::new(self.build(workspace)?);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(self.program.to_owned())?;
        let mut input = child.stdin.take().context("a program has an input")?;
        // It reads everything before it writes, so neither waits for the other.
        input
            .write_all(Value::from(items).to_string().as_bytes())
            .with_context(|| format!("asking {}", self.program))?;
        drop(input);
        let output = child.wait_with_output().with_context(|| format!("waiting for {}", self.program))?;
        anyhow::ensure!(output.status.success(), "{} ended with {}", self.program, output.status);
        let answers: Vec<Value> =
            serde_json::from_slice(&output.stdout).with_context(|| format!("reading what {} says", self.program))?;
        anyhow::ensure!(answers.len() == count, "{} answers {} of {count}", self.program, answers.len());
        Ok(answers)
    }

    fn linker_flags(&self) -> String {
        let values = self.values.iter().map(|(variable, value)| format!(" -X {variable}={value}"));
        format!("-s -w{}", values.collect::<String>())
    }
}

/// Returns the folder of a module that `go.mod` of a folder requires, downloaded if it is not there. Nothing is built.
///
/// # Errors
/// The module is not required, or not with the content that `go.sum` says.
pub(crate) fn module(workspace: &Workspace, folder: &str, module: &str) -> anyhow::Result<PathBuf> {
    let go = environment::program(&["go"])
        .context("`go` is missing, which fetches published Go modules\nhint: install Go 1.26 or later")?;
    let text = |name: &str| workspace.text(&Path::new(folder).join(name));
    let go_mod = text("go.mod")?;
    let version = required(&go_mod, module).with_context(|| format!("{folder}/go.mod does not require {module}"))?;
    // Go checks what it has a line for, and adds a line otherwise.
    let line = format!("{module} {version} h1:");
    anyhow::ensure!(
        text("go.sum")?.lines().any(|found| found.starts_with(&line)),
        "{folder}/go.sum has no line `{line}…`"
    );
    let mut command = Command::new(go);
    command.args(["mod", "download", "-json", &format!("{module}@{version}")]);
    command.current_dir(workspace.root.join(folder)).env("GOWORK", "off");
    let said = process::output(&mut command)?;
    let downloaded: Downloaded =
        serde_json::from_str(&said).with_context(|| format!("reading what `go mod download` says: {said}"))?;
    Ok(downloaded.folder)
}

/// What `go mod download -json` says of a module.
///
/// Source: <https://go.dev/ref/mod#go-mod-download>, read 2026-11-25.
#[derive(Deserialize)]
struct Downloaded {
    #[serde(rename = "Dir")]
    folder: PathBuf,
}

/// Returns the version of a module that a `go.mod` requires.
pub(crate) fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim();
        let mut words = line.strip_prefix("require ").unwrap_or(line).split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten().filter(|version| version.starts_with('v'))
    })
}

/// Returns the files that decide what a folder builds, sorted by name.
fn sources(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("go" | "mod" | "sum")) {
            paths.push(path);
        }
    }
    paths.sort();
    let text = |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    paths.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_module_is_found() {
        let text = "module m\n\nrequire a.b/c v1.2.3\n\nrequire (\n\ta.b/d v0.4.0 // indirect\n)\n\
                    replace (\n\ta.b/e => a.b/e v0.35.4\n)\n";
        let check = |module: &str, expected| assert_eq!(required(text, module), expected, "{module}");
        check("a.b/c", Some("v1.2.3"));
        check("a.b/d", Some("v0.4.0"));
        check("a.b/e", None);
        check("a.b", None);
    }

    #[test]
    fn a_change_of_any_source_is_another_key() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["go.sum", "go.mod", "main.go", "README.md"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(sources(folder.path()).unwrap(), ["go.mod", "go.sum", "main.go"]);
    }

    #[test]
    fn values_are_given_to_the_linker() {
        let values = [("a/b.version", "v1".to_owned()), ("a/b.major", "1".to_owned())];
        let package = Package { folder: "f", path: ".", program: "p", values: &values };
        assert_eq!(package.linker_flags(), "-s -w -X a/b.version=v1 -X a/b.major=1");
    }
}
