//! A release of a bundle: fetched, read whole, held against the policy of the environment, and only then asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bowline_eval::Suite;
use bowline_oci::{Reference, digest_of};
use bowline_prompt::{MemorySource, Project, ReleasePolicy};
use bowline_registry::Source;
use bowline_registry::bundle::{Bundle, PromptVersion};
use bowline_registry::policy::{Evidence, Held, Line, PREDICATE, Policy, Report};
use bowline_server::wire::{ReleasePrompt, ReleaseRequest};
use bowline_types::{Clock as _, Digest, EnvironmentName, SecretRef, SystemClock};

use crate::bundles::{self, Found, Registry};
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
    let found = Registry::new(&release.registry, Some(reference))?.find(reference).await?;
    let bundle = bundles::read(&found.layout, &found.descriptor)?;
    if bundle.config.project != here.name {
        let (theirs, ours) = (&bundle.config.project, &here.name);
        return Err(Failure::user(format!("{reference} is a bundle of project `{theirs}`, not of `{ours}`")));
    }
    let theirs: Project = serde_json::from_value(bundle.config.project_file.clone()).map_err(anyhow::Error::from)?;
    let declared =
        here.environments.get(&release.env).map(|environment| environment.policy.clone()).unwrap_or_default();
    // A bundle does not make a real environment a simulated one, and be judged as such.
    let is_real = here.is_real(&release.env) || theirs.is_real(&release.env);
    let lines = evaluate(&loaded.folder, &found, &bundle, &declared, is_real)?;
    told(&release.env, &lines)?;
    let versions = bundle.versions.iter();
    let wanted = versions.filter(|version| release.prompt.is_empty() || release.prompt.contains(&version.name));
    if let Some(unknown) = release.prompt.iter().find(|name| bundle.version(name).is_none()) {
        return Err(Failure::user(format!(
            "the bundle has no prompt `{unknown}`\nhint: `bowline bundle inspect {reference}`"
        )));
    }
    Ok(ReleaseRequest {
        environment: release.env.clone(),
        source: Source::Bundle,
        actor: settings::actor(),
        provenance: bundle.config.provenance.clone(),
        bundle: Some(digest_of(&found.descriptor)?),
        fence: None,
        config: bundle.config.project_file.clone(),
        retry: false,
        prompts: wanted.map(prompt).collect::<Result<_>>()?,
    })
}

fn prompt(version: &PromptVersion) -> Result<ReleasePrompt> {
    Ok(ReleasePrompt {
        name: version.name.clone(),
        digest: version.digest,
        content: serde_json::to_value(&version.version).map_err(anyhow::Error::from)?,
        success: version.success.clone(),
        plan: version.plan.clone(),
    })
}

/// Holds what was verified of the bundle against the policy.
fn evaluate(
    folder: &Path,
    found: &Found,
    bundle: &Bundle,
    declared: &ReleasePolicy,
    is_real: bool,
) -> Result<Vec<Line>> {
    let keys = declared.signers.iter().map(|signer| bundles::public_key(&KeyPlace(below(folder, signer))));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let verified = bundles::gather(found, &keys)?;
    let reports = verified.attestations.iter().filter(|attestation| attestation.predicate_type == PREDICATE);
    let versions = bundle.versions.iter().map(|version| Held {
        name: version.name.to_string(),
        digest: version.digest,
        suite: version.suite.clone(),
    });
    let evidence = Evidence {
        signers: verified.signers,
        // What a signer signed and is no report of this schema proves nothing.
        reports: reports.filter_map(|attestation| Report::read(&attestation.predicate).ok()).collect(),
        versions: versions.collect(),
        suites: suites(bundle)?,
    };
    let age: Duration = declared.report_max_age;
    let policy = Policy {
        signers: declared.signers.iter().map(ToString::to_string).collect(),
        suites: declared.suites.clone(),
        report_age_max: Some(age),
        simulated: !is_real,
    };
    Ok(policy.evaluate(&evidence, SystemClock.now()))
}

/// Returns the digests of the suites that can be read from the bundle alone.
fn suites(bundle: &Bundle) -> Result<BTreeMap<String, Digest>> {
    let files = bundle.files.iter().map(|(_, file)| Ok((file.path.clone(), file.bytes()?)));
    let source: MemorySource = files.collect::<Result<Vec<_>>>()?.into_iter().collect();
    let read = bundle.files.suites.iter().filter_map(|file| Suite::read(&source, &file.path).ok());
    Ok(read.map(|suite| (suite.file, suite.digest)).collect())
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
