use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::USER;
use super::contents::Contents;
use crate::commands::Outcome;
use crate::debian;
use crate::process;
use crate::workspace::Workspace;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The most lines of output in which the address is looked for.
const LINES_MAX: usize = 40;

/// A container that was started.
struct Container {
    runc: std::path::PathBuf,
    id: String,
    process: Child,
}

/// Runs the image as Kubernetes would under the restricted profile: as its user, with its root read-only and without any capability.
pub(super) fn run(workspace: &Workspace, archive: &Path) -> anyhow::Result<Outcome> {
    let Some(runc) = debian::program(&["runc"], "runc")? else {
        return Ok(Outcome::NotRun("the image is built, but not run: there is no runc".to_owned()));
    };
    if !debian::is_root()? {
        return Ok(Outcome::NotRun("the image is built, but not run: runc is used as root".to_owned()));
    }
    let contents = Contents::read(archive)?;
    let config = contents.config.get("config").context("the image says how it is run")?;
    ensure!(config.get("User") == Some(&json!(format!("{USER}:{USER}"))), "the image runs as {:?}", config.get("User"));
    let project = contents.folder().join("project");
    example(&workspace.root.join("examples/support-desk"), &project)?;
    fs::create_dir(project.join(".bowline"))?;
    chown(project.join(".bowline"), Some(USER), Some(USER))?;
    let start = |arguments: &[&str]| Container::start(&runc, &contents, config, &project, arguments);

    let printed = start(&["--version"])?.finish(Container::output)?;
    ensure!(printed == format!("bowline {}\n", env!("CARGO_PKG_VERSION")), "`--version` printed {printed:?}");
    let printed = start(&["check"])?.finish(Container::output)?;
    ensure!(printed.contains("nothing wrong"), "`check` printed {printed:?}");
    start(&["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"])?.finish(|up| {
        let answer = get(&up.address("console")?, "/healthz")?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "/healthz answered {answer:?}");
        up.stop()
    })?;
    println!("runs under runc as {USER}, with a read-only root and no capabilities: --version, check, up");
    Ok(Outcome::Passed)
}

// === impl Container ===

impl Container {
    /// Starts the program of an image with arguments.
    fn start(
        runc: &Path,
        contents: &Contents,
        config: &Value,
        project: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = contents.folder();
        let specification = specification(config, project, arguments)?;
        fs::write(folder.join("config.json"), serde_json::to_vec(&specification)?)?;
        let id = format!("bowline-image-{}-{}", std::process::id(), arguments.first().copied().unwrap_or("run"));
        let id = id.replace("--", "");
        eprintln!("$ runc run {id}: bowline {}", arguments.join(" "));
        let mut command = Command::new(runc);
        command.arg("run").arg("--bundle").arg(folder).arg(&id).stdin(Stdio::null()).stdout(Stdio::piped());
        let process = command.spawn().context("starting runc")?;
        Ok(Self { runc: runc.to_owned(), id, process })
    }

    /// Does something with the container, and lets nothing of it run on.
    fn finish<T>(mut self, work: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let result = work(&mut self);
        let mut delete = Command::new(&self.runc);
        // One that has ended is gone already, which is no failure.
        delete.args(["delete", "--force", &self.id]).stderr(Stdio::null()).status().context("starting runc")?;
        self.process.wait()?;
        result
    }

    /// Waits for the end, which must be a good one, and returns what was printed.
    fn output(&mut self) -> anyhow::Result<String> {
        let mut text = String::new();
        self.process.stdout.take().context("the output is a pipe")?.read_to_string(&mut text)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "the container ended with {status}: {text}");
        Ok(text)
    }

    /// Waits until an address is printed after a word, and returns it.
    fn address(&mut self, word: &str) -> anyhow::Result<String> {
        let output = self.process.stdout.take().context("the output is a pipe")?;
        for line in BufReader::new(output).lines().take(LINES_MAX) {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [first, address, ..] = words.as_slice()
                && *first == word
            {
                let address = address.strip_prefix("http://").with_context(|| format!("no address in {line:?}"))?;
                return Ok(address.to_owned());
            }
        }
        bail!("`{word}` was not printed")
    }

    /// Asks it to stop, as Kubernetes does, and waits for a good end.
    fn stop(&mut self) -> anyhow::Result<()> {
        process::output(Command::new(&self.runc).args(["kill", &self.id, "TERM"]))?;
        let status = self.process.wait()?;
        ensure!(status.success(), "after SIGTERM it ended with {status}");
        Ok(())
    }
}

/// Returns the OCI runtime configuration (<https://github.com/opencontainers/runtime-spec/blob/v1.2.1/config.md>, read 2026-11-25).
fn specification(config: &Value, project: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = config.get("Entrypoint").and_then(Value::as_array).cloned().context("the image has a program")?;
    command.extend(arguments.iter().map(|argument| json!(argument)));
    let none: [&str; 0] = [];
    let tmpfs = |place: &str, mode: &str| {
        let user = [format!("uid={USER}"), format!("gid={USER}"), format!("mode={mode}"), "size=64m".to_owned()];
        let options = ["nosuid", "nodev", "noexec"].map(str::to_owned).into_iter().chain(user).collect::<Vec<_>>();
        json!({ "destination": place, "type": "tmpfs", "source": "tmpfs", "options": options })
    };
    Ok(json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs", "readonly": true },
        "process": {
            "user": { "uid": USER, "gid": USER },
            "args": command,
            "env": config.get("Env"),
            "cwd": config.get("WorkingDir"),
            "noNewPrivileges": true,
            "capabilities": { "bounding": none, "effective": none, "permitted": none, "inheritable": none, "ambient": none },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
            tmpfs("/tmp", "1777"),
            tmpfs("/data", "0700"),
            { "destination": "/project", "type": "bind", "source": project, "options": ["bind", "ro"] },
            // What Bowline keeps: everything else of the project is read-only.
            tmpfs("/project/.bowline", "0700"),
        ],
        // The network is that of the machine, so that the answer can be had over loopback.
        "linux": { "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }] },
    }))
}

/// Copies the example, readable for everybody.
fn example(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = process::run(Command::new("cp").arg("--recursive").arg(from).arg(to))?;
    let readable = process::run(Command::new("chmod").args(["--recursive", "u=rwX,go=rX"]).arg(to))?;
    ensure!(copied && readable, "the example was not copied");
    Ok(())
}

/// Returns the head of the answer to a GET.
fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = String::new();
    BufReader::new(stream).read_line(&mut head)?;
    Ok(head)
}
