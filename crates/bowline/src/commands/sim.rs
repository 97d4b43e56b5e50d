use anyhow::Context;
use bowline_sim::{Scenario, Simulator, SimulatorOptions};

use crate::cli;
use crate::failure::{Failure, Result};
use crate::output::{line, note};
use crate::up::signals;

/// Simulates providers until a signal ends it.
///
/// # Errors
/// The scenario cannot be read, or the address is taken or not one of this machine.
pub(crate) async fn run(sim: &cli::Sim) -> Result<()> {
    let scenario = match &sim.scenario {
        None => Scenario::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
            Scenario::parse(&text).with_context(|| format!("{} is no scenario", path.display()))?
        }
    };
    let listen =
        sim.listen.parse().with_context(|| format!("`{}` is no address\nhint: such as 127.0.0.1:7090", sim.listen))?;
    let options = SimulatorOptions { listen, scenario };
    let bound = match sim.plain_http {
        true => Simulator::bind_beyond_loopback(options).await,
        false => Simulator::bind(options).await,
    };
    let simulator = bound.map_err(|error| {
        let hint = "hint: `--listen 127.0.0.1:0` takes any free port; beyond loopback it needs `--plain-http`";
        Failure::user(format!("could not listen on {listen}: {error}\n{hint}"))
    })?;
    line(format!("simulator http://{}", simulator.address()));
    note("Speaks OpenAI (/v1), Anthropic and Gemini. Every answer carries `x-bowline-simulated: 1`. Ctrl-C ends it.");
    simulator.run(signals()?).await;
    Ok(())
}
