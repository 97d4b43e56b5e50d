//! Whether a bundle may be released: what its signers said of it, held against what the PromptBundle asks for.

use bowline_crd::{PromptBundleSpec, Signer};
use bowline_delivery::Delivery;
use bowline_registry::policy::{Line, Policy};
use bowline_signature::PublicKey;
use bowline_types::{ProjectName, chain};

use super::fetch::text;
use super::memory::Facts;
use super::release::Setback;
use crate::condition::Why;
use crate::context::Context;

/// Reads the keys of signers.
pub(super) async fn keys(context: &Context, namespace: &str, signers: &[Signer]) -> Result<Vec<PublicKey>, Setback> {
    let mut keys = Vec::with_capacity(signers.len());
    for signer in signers {
        let field = format!("spec.verification.signers[{}]", signer.name);
        let pem = match (&signer.public_key, &signer.secret_ref) {
            (Some(pem), _) => pem.clone(),
            (None, Some(place)) => text(context, namespace, place, &field).await?,
            (None, None) => String::new(),
        };
        let key = PublicKey::from_pem(&pem);
        keys.push(key.map_err(|error| Setback::stalled("SignerInvalid", format!("{field}: {}", chain(&error))))?);
    }
    Ok(keys)
}

/// Holds a bundle against the project and the verification that the PromptBundle asks for.
pub(super) fn judge(
    delivery: &Delivery,
    project: &ProjectName,
    spec: &PromptBundleSpec,
    keys: &[PublicKey],
    context: &Context,
) -> Result<Facts, Setback> {
    let theirs = &delivery.bundle.config.project;
    if theirs != project {
        let message = format!(
            "the bundle is of project `{theirs}`, and this namespace has project `{project}`; push the bundle of `{project}`, or label the namespace with bowline.dev/project={theirs}"
        );
        return Err(Setback::stalled("ProjectMismatch", message));
    }
    let policy = policy(spec);
    let lines = delivery.judge(&policy, keys, context.now());
    let lines = lines.map_err(|error| Setback::stalled("BundleInvalid", chain(&error)))?;
    let (signatures, suites) = lines.split_at(policy.signers.len().min(lines.len()));
    let verified =
        held(signatures, "Signed", "Unsigned", "no signature is asked for (spec.verification.insecureUnsigned)");
    let evaluated = held(suites, "Passed", "NotAsked", "no suite is asked for (spec.verification.suites)");
    let provenance = &delivery.bundle.config.provenance;
    Ok(Facts {
        bundle: delivery.digest,
        commit: provenance.commit.clone(),
        author: provenance.author.clone(),
        versions: delivery.bundle.versions.iter().map(|version| (version.name.clone(), version.digest)).collect(),
        signed: !signatures.is_empty(),
        verified: verified.map_err(|message| Setback::Unverified(Why::new("VerificationFailed", message)))?,
        tested: !suites.is_empty(),
        evaluated: evaluated.map_err(|message| Setback::Unevaluated(Why::new("EvaluationFailed", message)))?,
    })
}

/// A report counts that is of a gate of one of the environments which the bundle is released to, and of a clean tree: whoever reads the commit in a
/// status finds there what was tested.
fn policy(spec: &PromptBundleSpec) -> Policy {
    let verification = &spec.verification;
    Policy {
        gates: spec.environments.clone(),
        clean: true,
        signers: verification.signers.iter().map(|signer| signer.name.clone()).collect(),
        suites: verification.suites.clone(),
        report_age_max: Some(verification.report_max_age),
        simulated: verification.accept_simulated,
    }
}

/// Returns what a condition says of lines that hold, else what fails.
fn held(lines: &[Line], reason: &'static str, unasked: &'static str, words: &str) -> Result<Why, String> {
    let words_of = |line: &Line| {
        let hint = line.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}: {}{hint}", line.what, line.why)
    };
    let failed: Vec<_> = lines.iter().filter(|line| !line.held).map(words_of).collect();
    if !failed.is_empty() {
        return Err(failed.join("; "));
    }
    if lines.is_empty() {
        return Ok(Why::new(unasked, words));
    }
    let held: Vec<_> = lines.iter().map(|line| line.what.as_str()).collect();
    Ok(Why::new(reason, held.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, held: bool) -> Line {
        Line { what: what.to_owned(), held, why: "why".to_owned(), hint: (!held).then(|| "do it".to_owned()) }
    }

    #[test]
    fn what_fails_is_told_and_what_is_not_asked_is_no_success() {
        let both = [line("signed by ci", true), line("signed by lead", false)];
        assert_eq!(held(&both, "Signed", "Unsigned", "").unwrap_err(), "signed by lead: why (do it)");
        assert_eq!(held(&both[..1], "Signed", "Unsigned", "").unwrap(), Why::new("Signed", "signed by ci"));
        assert_eq!(held(&[], "Signed", "Unsigned", "nothing asked").unwrap(), Why::new("Unsigned", "nothing asked"));
    }
}
