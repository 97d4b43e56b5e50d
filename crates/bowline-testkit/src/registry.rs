use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A real registry in a process of its own, on a free port of loopback, with its data in a folder that is gone afterwards. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct RegistryProgram {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl RegistryProgram {
    /// Starts Debian's `docker-registry` or distribution's `registry`, and returns once it listens.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it listens.
    pub fn start(program: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.yml");
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            data.display()
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let Some(log) = child.stderr.take() else { return Err(io::Error::other("its log cannot be read")) };
        let mut lines = BufReader::new(log).lines();
        // It says where it listens, as `listening on 127.0.0.1:34567`.
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find(|each: char| each != '.' && each != ':' && !each.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len())).map(str::to_owned)
        });
        // Whoever does not read a pipe stops its writer.
        drop(std::thread::spawn(move || lines.for_each(drop)));
        match address {
            Some(address) => Ok(Self { child, address, _folder: folder }),
            None => Err(io::Error::other(format!("{} does not listen", program.display()))),
        }
    }

    /// Returns the address, such as `127.0.0.1:34567`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for RegistryProgram {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
