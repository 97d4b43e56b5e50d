//! What can be typed. Nothing here does anything: it only parses.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::output::Format;

mod access;
mod bundle;
mod change;
mod image;
mod machine;
mod prompt;
mod rollout;
mod serve;
mod test;

pub(crate) use access::{Inference, InferenceList, InferenceShow, InferenceTail, Key, KeyCreate, KeyList, KeyRevoke};
pub(crate) use bundle::{
    Bundle, BundleBuild, BundleDiff, BundleInspect, BundleKey, BundleKeyGenerate, BundlePull, BundlePush, BundleVerify,
    KeyPlace, RegistryOptions,
};
pub(crate) use change::{Environment, EnvironmentCreate, EnvironmentDelete, EnvironmentLog, Freeze, Release, Rollback};
pub(crate) use image::{BaseImage, Destination, Image, ImageBuild, ImageInspect};
pub(crate) use machine::{Backup, Demo, Restore, Sim, Up};
pub(crate) use prompt::{Check, Lock, Prompt, PromptDiff, PromptRender, Run, Schema, SchemaOf, Variables};
pub(crate) use rollout::{Rollout, RolloutEnd, RolloutList, RolloutNumber, RolloutPlan, RolloutWatch};
pub(crate) use serve::{Role, Serve};
pub(crate) use test::{OnInconclusive, ReportFile, Test};

const EXIT_CODES: &str = "\
Exit codes:
  0   done, and nothing was found wrong
  1   something for you to mend: the message says what is wrong, and `hint:` what to do
  2   the command line itself was not understood
  70  a bug of Bowline or a failing machine
  100 `bowline test`: a case or the gate failed
  101 `bowline test`: the gate cannot decide, and that counts as failing

Data goes to standard output, everything else to standard error.

Environment:
  BOWLINE_CONTROL      the address of the control API, as `--control`
  BOWLINE_CONTROL_CA   the file of the authority of a control API with `https://`, else the public ones
  BOWLINE_ADMIN_TOKEN  the admin token for that address; else the one in `.bowline/admin.token`
  BOWLINE_ACTOR        who you are in logs; else GIT_AUTHOR_NAME, else the name Git knows
  BOWLINE_LOG          what is logged, such as `debug` or `bowline_gateway=trace`
  NO_COLOR             no colour";

/// Canary releases for prompts: a change goes to a share of users, is compared with the current version on real traffic, and is
/// promoted or rolled back, with a stated chance of being wrong
#[derive(Debug, Parser)]
#[command(name = "bowline", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The folder of the project [default: the nearest one upwards that has a bowline.yaml]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How data is printed: `text` for people, or `json`
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) output: Format,
    /// The address of the control API, with or without `https://` [default: that of a running `bowline up`, else none is needed]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) control: Option<String>,
    /// Logs more to standard error; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands, in the order in which one meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays the whole story on this machine: a bad change is rolled back, a good one promoted
    Demo(Demo),
    /// Serves a project: the gateway, the control API and the console, with `dev` live from the working tree
    Up(Up),
    /// Serves the roles of `bowline up` apart: a control role, and gateways that follow it
    Serve(Box<Serve>),
    /// Finds everything that is wrong in the project
    Check(Check),
    /// Runs the suites of the project, and decides as a gate before a release
    Test(Test),
    /// Prompts: list, render, compare
    #[command(subcommand)]
    Prompt(Prompt),
    /// Calls a prompt once, through the gateway, and prints the answer as it comes
    Run(Run),
    /// Writes bowline.lock: what the commit stands for, in lines that can be reviewed
    Lock(Lock),
    /// Bundles: everything of one commit, locked, signed and sent to a registry
    #[command(subcommand)]
    Bundle(Bundle),
    /// Releases the prompts of the working tree, or those of a bundle, to an environment
    Release(Release),
    /// Moves a prompt of an environment back to an earlier version, at once
    Rollback(Rollback),
    /// Lets nothing move in an environment, or lifts that; a rollback still works
    Freeze(Freeze),
    /// Environments: what is live, and how it came to be
    #[command(subcommand, name = "env")]
    Environment(Environment),
    /// Rollouts: guarded changes and their verdicts
    #[command(subcommand)]
    Rollout(Rollout),
    /// Keys of applications
    #[command(subcommand)]
    Key(Key),
    /// Inferences: the calls that were served
    #[command(subcommand)]
    Inference(Inference),
    /// Container images: package files with a bundle, look at them
    #[command(subcommand)]
    Image(Image),
    /// Copies the store to a file, while it is in use
    Backup(Backup),
    /// Puts a copy in place of the store, while nothing uses it
    Restore(Restore),
    /// Prints the JSON Schema of bowline.yaml or of the front matter of prompts, for editors
    Schema(Schema),
    /// Prints the definitions of the kinds on Kubernetes, for `kubectl apply --server-side -f -`
    #[command(name = "crd")]
    Definitions,
    /// Speaks the wire formats of the providers on this machine, so that nothing needs a provider's key
    Sim(Sim),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Appends the help of a command and of those below it.
    fn help(command: &mut clap::Command, path: &str, out: &mut Vec<String>) {
        out.push(format!("$ {path} --help\n{}", command.render_help()));
        for below in command.get_subcommands_mut() {
            let path = format!("{path} {}", below.get_name());
            help(below, &path, out);
        }
    }

    #[test]
    fn every_command_has_help() {
        // No command has a longer help, so this is what `--help` prints as well as `-h`.
        let mut command = Arguments::command().term_width(100);
        command.build();
        let mut texts = Vec::new();
        help(&mut command, "bowline", &mut texts);
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
