use std::path::PathBuf;

use clap::Args;

/// `bowline demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "The model is simulated; the gateway, the HTTP requests and the statistics are real. It stays up until Ctrl-C, so \
                        that you can look around."
)]
pub(crate) struct Demo {
    /// Ends when the story is told; the exit code is 0 only if both verdicts came out as they should
    #[arg(long)]
    pub(crate) exit: bool,
    /// Another course of the same story: other tickets, other units
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keeps the project of the story in this folder, which must not exist [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// `bowline up`.
#[derive(Args, Debug)]
#[command(
    after_help = "An edit of the working tree is live in `dev` within a second; a broken one is reported, and the last good version \
                        keeps serving. The first time, a key is made and printed once."
)]
pub(crate) struct Up {
    /// The folder of the project [default: that of --dir]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The address of the gateway, which applications call; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7080")]
    pub(crate) listen: String,
    /// The address of the control API and the console; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7081")]
    pub(crate) control_listen: String,
}

/// `bowline sim`.
#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// The address; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7090")]
    pub(crate) listen: String,
    /// How the simulated providers behave: latency, faults, quality [default: no wait and no fault]
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Allows an address beyond loopback, for a pod of a cluster: whoever reaches it is answered
    #[arg(long)]
    pub(crate) plain_http: bool,
}

/// `bowline backup`.
#[derive(Args, Debug)]
#[command(after_help = "The control role writes the file, on its machine. It is complete once it has its name.")]
pub(crate) struct Backup {
    /// The file, which must not exist
    pub(crate) file: PathBuf,
}

/// `bowline restore`.
#[derive(Args, Debug)]
#[command(after_help = "The copy is checked first. The store that was there is kept beside it.")]
pub(crate) struct Restore {
    /// A file that `bowline backup` wrote
    pub(crate) file: PathBuf,
    /// The data folder of a control role, as `bowline serve --data` has it [default: that of the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
