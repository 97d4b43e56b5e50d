//! A project on disk, and what `bowline` says of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The project file; `UPSTREAM` stands for the address of a provider.
const PROJECT: &str = "\
project: desk
providers:
  local: { kind: openai, base_url: http://UPSTREAM/v1, identity: test/llm }
models:
  fast: { provider: local, model: tiny }
environments:
  dev: {}
  prod: { protected: true, rollout: {} }
";

const CLASSIFY: &str = "\
---
model: fast
input:
  schema:
    ticket: string
    count?: integer
  default: { count: 3 }
bowline.owners: [desk]
---
{{role \"system\"}}
{{>tone}}
Name at most {{count}} categories.
{{role \"user\"}}
{{ticket}}
";

/// A project in a Git repository of its own.
pub(crate) struct Project {
    folder: TempDir,
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl Project ===

impl Project {
    /// Makes a sound project and commits it.
    pub(crate) fn new() -> Self {
        Self::with_upstream("127.0.0.1:9")
    }

    /// Makes a sound project whose provider is at an address.
    pub(crate) fn with_upstream(address: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write("bowline.yaml", PROJECT.replace("UPSTREAM", address));
        project.write("prompts/support/classify.prompt", CLASSIFY);
        project.write("prompts/_tone.prompt", "Be brief.\n");
        project.write(".gitignore", ".bowline/\n");
        project.git(&["init", "--quiet"]);
        project.commit("first");
        project
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a text in a file, which must have it.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, text.replacen(from, to, 1));
    }

    /// Commits the working tree; the commit is the same in every run.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(arguments);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
            command.env(format!("GIT_{role}_DATE"), "2026-01-02T03:04:05Z");
        }
        assert!(command.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success());
    }

    /// Returns the command, ready to run in the project.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
        command.current_dir(self.path()).args(arguments).env_clear().stdin(Stdio::null());
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BOWLINE_ACTOR", "ada")
            .env("COLUMNS", "100");
        command
    }

    /// Runs the command to its end.
    pub(crate) fn bowline(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| self.masked(&String::from_utf8(bytes).unwrap());
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs commands, each on a line, and returns what was seen, as a person would paste it.
    pub(crate) fn transcript(&self, lines: &str) -> String {
        let run = |line: &str| {
            let arguments: Vec<&str> = line.split(' ').collect();
            format!("$ bowline {line}\n{}", self.bowline(&arguments).seen())
        };
        lines.lines().map(run).collect::<Vec<_>>().join("\n")
    }

    /// Returns the JSON that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ran = self.bowline(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}{}", ran.stdout, ran.stderr))
    }

    /// Replaces what differs from run to run: the folder, times, ages and ids.
    fn masked(&self, text: &str) -> String {
        let text = text.replace(&self.path().display().to_string(), "[project]");
        masked_ids(&masked_ages(&masked_times(&text)))
    }
}

// === impl Ran ===

impl Ran {
    /// Returns everything that was printed, and the exit code where it is not 0.
    pub(crate) fn seen(&self) -> String {
        let stderr = self.stderr.lines().map(|line| format!("! {line}\n")).collect::<String>();
        let code = if self.code == 0 { String::new() } else { format!("(exit code {})\n", self.code) };
        format!("{}{stderr}{code}", self.stdout)
    }
}

/// Replaces `2026-09-21 14:13:20`, and the same with a `T`.
fn masked_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let fits = |bytes: &[u8]| {
        bytes.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            _ => byte == shape,
        })
    };
    let mut bytes = text.as_bytes().to_vec();
    for start in 0..bytes.len().saturating_sub(SHAPE.len() - 1) {
        if fits(&bytes[start..start + SHAPE.len()]) {
            bytes[start..start + SHAPE.len()].copy_from_slice(b"2026-01-02 03:04:05");
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Replaces the ages of rollouts.
fn masked_ages(text: &str) -> String {
    let masked = |line: &str| match (line.rsplit_once("%  "), line.split_once("the rollout is ")) {
        (Some((title, _)), _) if line.starts_with("rollout ") => format!("{title}%  AGE"),
        (_, Some((start, age))) => {
            let rest = age.split_once(" of ").unwrap().1;
            format!("{start}the rollout is AGE of {rest}")
        }
        _ => line.to_owned(),
    };
    text.split('\n').map(masked).collect::<Vec<_>>().join("\n")
}

/// Replaces the digits of keys and ids.
fn masked_ids(text: &str) -> String {
    let mut text = text.to_owned();
    for prefix in ["bwl_", "key_", "inf_", "rol_"] {
        let mut from = 0;
        while let Some(found) = text[from..].find(prefix) {
            let start = from + found + prefix.len();
            let digits = text[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
            text.replace_range(start..start + digits, &"0".repeat(digits));
            from = start;
        }
    }
    text
}
