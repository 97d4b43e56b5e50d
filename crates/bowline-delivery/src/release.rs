use std::collections::BTreeMap;

use bowline_eval::Suite;
use bowline_oci::digest_of;
use bowline_prompt::{MemorySource, Project};
use bowline_registry::Source;
use bowline_registry::bundle::{Bundle, PromptVersion};
use bowline_registry::policy::{Evidence, Held, Line, PREDICATE, Policy, Report};
use bowline_server::wire::{ReleasePrompt, ReleaseRequest};
use bowline_signature::PublicKey;
use bowline_types::{Digest, EnvironmentName, ProjectName, PromptName, Timestamp};

use crate::attached::gather;
use crate::error::{Error, Result};
use crate::fetch::Found;
use crate::store::read;

/// A bundle that was found and read whole: what it asks to be released, and what was said of it.
#[derive(Debug)]
pub struct Delivery {
    /// Where it is, with what is attached to it.
    pub found: Found,
    /// What is in it.
    pub bundle: Bundle,
    /// Its identity.
    pub digest: Digest,
}

impl Delivery {
    /// Reads a bundle that was found; everything is held against its digest.
    ///
    /// # Errors
    /// It is no bundle, or is damaged.
    pub fn open(found: Found) -> Result<Self> {
        let bundle = read(&found.layout, &found.descriptor)?;
        let digest = digest_of(&found.descriptor)?;
        Ok(Self { found, bundle, digest })
    }

    /// Refuses a bundle of another project.
    ///
    /// # Errors
    /// It is one.
    pub fn check_project(&self, ours: &ProjectName) -> Result<()> {
        let theirs = &self.bundle.config.project;
        if theirs == ours {
            return Ok(());
        }
        Err(Error::OtherProject { theirs: theirs.clone(), ours: ours.clone() })
    }

    /// Returns the project file that is in the bundle. It is what was committed, and no law for who judges the bundle.
    ///
    /// # Errors
    /// It was made by another version of Bowline.
    pub fn project(&self) -> Result<Project> {
        serde_json::from_value(self.bundle.config.project_file.clone()).map_err(Error::ProjectFile)
    }

    /// Holds what is attached to the bundle against a policy. `keys` are those of [`Policy::signers`], in their order.
    ///
    /// # Errors
    /// The layout is damaged.
    pub fn judge(&self, policy: &Policy, keys: &[PublicKey], now: Timestamp) -> Result<Vec<Line>> {
        Ok(policy.evaluate(&self.evidence(keys)?, now))
    }

    /// Returns what a policy is held against, as far as one of the keys signed it.
    ///
    /// # Errors
    /// The layout is damaged.
    pub fn evidence(&self, keys: &[PublicKey]) -> Result<Evidence> {
        let attached = gather(&self.found.layout, &self.found.descriptor, keys)?;
        let reports = attached.attestations.iter().filter(|attestation| attestation.predicate_type == PREDICATE);
        let versions = self.bundle.versions.iter().map(|version| Held {
            name: version.name.to_string(),
            digest: version.digest,
            suite: version.suite.clone(),
        });
        Ok(Evidence {
            signers: attached.signers,
            strangers: attached.refused.len(),
            // What a signer signed and is no report of a schema that is read proves nothing.
            reports: reports.filter_map(|attestation| Report::read(&attestation.predicate).ok()).collect(),
            versions: versions.collect(),
            suites: suites(&self.bundle)?,
        })
    }

    /// Returns the request that releases the bundle to an environment: all of its prompts, or those of `prompts` where it names any.
    ///
    /// # Errors
    /// The bundle has no such prompt.
    pub fn request(
        &self,
        environment: EnvironmentName,
        actor: String,
        prompts: &[PromptName],
    ) -> Result<ReleaseRequest> {
        if let Some(unknown) = prompts.iter().find(|name| self.bundle.version(name).is_none()) {
            return Err(Error::PromptUnknown(unknown.clone()));
        }
        let versions = self.bundle.versions.iter();
        let wanted = versions.filter(|version| prompts.is_empty() || prompts.contains(&version.name));
        Ok(ReleaseRequest {
            environment,
            source: Source::Bundle,
            actor,
            provenance: self.bundle.config.provenance.clone(),
            bundle: Some(self.digest),
            fence: None,
            config: self.bundle.config.project_file.clone(),
            retry: false,
            prompts: wanted.map(prompt).collect::<Result<_>>()?,
        })
    }
}

fn prompt(version: &PromptVersion) -> Result<ReleasePrompt> {
    let content = serde_json::to_value(&version.version);
    Ok(ReleasePrompt {
        name: version.name.clone(),
        digest: version.digest,
        content: content.map_err(|source| Error::Encode { what: version.name.to_string(), source })?,
        success: version.success.clone(),
        plan: version.plan.clone(),
    })
}

/// Returns the digests of the suites that can be read from the bundle alone.
fn suites(bundle: &Bundle) -> Result<BTreeMap<String, Digest>> {
    let files = bundle.files.iter().map(|(_, file)| Ok((file.path.clone(), file.bytes()?)));
    let source: MemorySource = files.collect::<Result<Vec<_>>>()?.into_iter().collect();
    let read = bundle.files.suites.iter().filter_map(|file| Suite::read(&source, &file.path).ok());
    Ok(read.map(|suite| (suite.file, suite.digest)).collect())
}
