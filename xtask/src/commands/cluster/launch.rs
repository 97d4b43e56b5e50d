use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::component::Component;
use super::identity::{Identity, MARK};
use super::layout::Layout;
use super::programs::Programs;
use super::state::State;
use super::{control, node, probe};
use crate::environment;
use crate::stopwatch::{Stopwatch, Took};

/// How long a component may take until it is well. A slow machine with a cold disk needs most of it for the API server.
const READY: Duration = Duration::from_secs(120);
/// How long between two questions.
const LOOK: Duration = Duration::from_millis(200);

/// Starts components and waits for them.
pub(super) struct Launcher<'a> {
    layout: &'a Layout,
    programs: &'a Programs,
    state: &'a mut State,
    /// What this command started itself, so that an early end is seen at once.
    children: Vec<(Component, Child)>,
}

// === impl Launcher ===

impl<'a> Launcher<'a> {
    /// Returns a launcher that has started nothing.
    pub(super) const fn new(layout: &'a Layout, programs: &'a Programs, state: &'a mut State) -> Self {
        Self { layout, programs, state, children: Vec::new() }
    }

    /// Starts those of the components that do not run, and waits until all of them are well.
    pub(super) fn start(&mut self, components: &[Component]) -> anyhow::Result<()> {
        for component in components {
            if self.state.process(*component).is_none() {
                self.spawn(*component)?;
            }
        }
        let stopwatch = Stopwatch::start();
        for component in components {
            self.wait(*component, stopwatch)?;
        }
        Ok(())
    }

    /// Waits until `done`, as a component that is well may need time for what it does.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&Layout) -> bool) -> anyhow::Result<()> {
        let stopwatch = Stopwatch::start();
        while !done(self.layout) {
            self.check_children()?;
            anyhow::ensure!(
                stopwatch.elapsed() < READY,
                "{what} did not happen within {}\nhint: the logs are in {}",
                Took(READY),
                self.layout.path("logs").display()
            );
            thread::sleep(LOOK);
        }
        eprintln!("{what}, after {}", Took(stopwatch.elapsed()));
        Ok(())
    }

    fn spawn(&mut self, component: Component) -> anyhow::Result<()> {
        let arguments = match Component::CONTROL.contains(&component) {
            true => control::arguments(component, self.layout, self.state),
            false => node::arguments(component, self.layout),
        };
        let log = self.layout.log(component);
        keep_old(&log)?;
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("opening {}", log.display()))?;
        let program = self.programs.of(component)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.layout.folder());
        // Nothing of the person's environment decides how it works.
        command.env_clear().envs(environment::passed_on()).env(MARK, self.layout.folder());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // A key press that ends this command must not end the cluster.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        if let Some(identity) = Identity::of(child.id()) {
            self.state.started(component, identity);
            self.state.write(self.layout)?;
        }
        self.children.push((component, child));
        Ok(())
    }

    fn wait(&mut self, component: Component, stopwatch: Stopwatch) -> anyhow::Result<()> {
        loop {
            self.check_children()?;
            // One that was found running may have been about to end, as after a kill a moment ago.
            if self.state.process(component).is_none() {
                self.spawn(component)?;
            }
            let Err(reason) = probe::check(component, self.layout, self.state) else { break };
            let log = self.layout.log(component);
            anyhow::ensure!(
                stopwatch.elapsed() < READY,
                "{component} is not ready after {}: {reason}\nthe end of its log:\n{}\nhint: the whole log is {}",
                Took(READY),
                probe::tail(&log),
                log.display()
            );
            thread::sleep(LOOK);
        }
        if self.children.iter().any(|(started, _)| *started == component) {
            eprintln!("{component:<24} ready after {}", Took(stopwatch.elapsed()));
        }
        Ok(())
    }

    /// Fails where something that this command started has ended.
    fn check_children(&mut self) -> anyhow::Result<()> {
        for (component, child) in &mut self.children {
            let ended = child.try_wait().with_context(|| format!("looking after {component}"))?;
            let log = self.layout.log(*component);
            anyhow::ensure!(
                ended.is_none(),
                "{component} ended by itself; the end of its log:\n{}\nhint: the whole log is {}",
                probe::tail(&log),
                log.display()
            );
        }
        Ok(())
    }
}

/// Keeps the log of the process before, so that why it ended can still be read.
fn keep_old(log: &Path) -> anyhow::Result<()> {
    match fs::rename(log, log.with_extension("log.old")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("renaming {}", log.display()))
        }
        _ => Ok(()),
    }
}
