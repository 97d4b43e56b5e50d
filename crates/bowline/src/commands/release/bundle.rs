//! A release of a bundle: fetched, read whole, held against the policy of the environment, and only then asked for.

use std::path::Path;

use bowline_delivery::{Delivery, find};
use bowline_oci::Reference;
use bowline_registry::policy::{Line, Policy};
use bowline_server::wire::ReleaseRequest;
use bowline_types::{Clock as _, EnvironmentName, SecretRef, SystemClock};

use crate::bundles;
use crate::cli::{self, Global, KeyPlace};
use crate::commands::live;
use crate::failure::{Failure, Result};
use crate::output::note;
use crate::project;
use crate::settings;
use crate::style::{Paint, Style};

/// Returns the request that releases a bundle.
///
/// The policy is that of the project file here, and not of the one in the bundle: who is judged does not bring the law.
///
/// # Errors
/// The bundle is not there, is damaged or is of another project, or a line of the policy does not hold.
pub(super) async fn request(global: &Global, release: &cli::Release, reference: &Reference) -> Result<ReleaseRequest> {
    let loaded = project::load(global.dir.as_deref())?;
    let here = loaded.report.project.as_ref();
    let here = here.ok_or_else(|| Failure::user("the project file has errors\nhint: `bowline check` shows them"))?;
    live::declared(here, &release.env)?;
    let client = bundles::client(&release.registry, Some(reference))?;
    let delivery = Delivery::open(find(&client, reference).await?)?;
    delivery.check_project(&here.name)?;
    let declared = here.environments.get(&release.env).map(|environment| environment.policy.signers.as_slice());
    let signers = declared.unwrap_or_default().iter();
    let keys = signers.map(|signer| bundles::public_key(&KeyPlace(below(&loaded.folder, signer))));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let policy = Policy::declared(here, &delivery.project()?, &release.env);
    told(&release.env, &delivery.judge(&policy, &keys, SystemClock.now())?)?;
    Ok(delivery.request(release.env.clone(), settings::actor(), &release.prompt)?)
}

/// Paths of keys start at the folder of the project, wherever the command runs.
fn below(folder: &Path, place: &SecretRef) -> SecretRef {
    match place {
        SecretRef::File(path) => SecretRef::File(folder.join(path).display().to_string()),
        SecretRef::Env(name) => SecretRef::Env(name.clone()),
    }
}

/// Prints every line of the policy, and refuses where one does not hold.
fn told(environment: &EnvironmentName, lines: &[Line]) -> Result<()> {
    let style = Style::of_stderr();
    for line in lines {
        let (word, paint) = if line.held { ("held", Paint::Green) } else { ("failed", Paint::Red) };
        note(format!("policy: {} {}: {}", style.paint(paint, word), line.what, line.why));
    }
    let failed: Vec<_> = lines.iter().filter(|line| !line.held).map(|line| line.what.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let hint = format!("hint: `environments.{environment}.policy` in bowline.yaml asks for it");
    Err(Failure::user(format!(
        "nothing was released to `{environment}`: its policy fails: {}\n{hint}",
        failed.join("; ")
    )))
}
