//! Names of objects. A prompt may have upper-case letters, `/` and `_` in its name, which an object may not.

use bowline_types::{Digest, EnvironmentName, PromptName};

/// Bytes of a name before the digits that tell it apart.
const STEM_BYTES_MAX: usize = 200;

/// Returns the name of the object of a prompt: `support/classify` is `support.classify`. Where anything else had to be changed, digits of the
/// name's digest stand at the end, so that two prompts never share an object.
#[must_use]
pub fn prompt_object(prompt: &PromptName) -> String {
    let dotted = prompt.as_str().replace('/', ".");
    if !prompt.as_str().contains('.') && is_object(&dotted) {
        return dotted;
    }
    let mapped: String = prompt.as_str().chars().map(|c| if c == '/' { '.' } else { c.to_ascii_lowercase() }).collect();
    let labels = mapped.split('.').map(|label| label.replace('_', "-").trim_matches('-').to_owned());
    let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    let stem: String = labels.join(".").chars().take(STEM_BYTES_MAX).collect();
    let digest = Digest::of(prompt.as_str().as_bytes()).to_string();
    let digits: String = digest.chars().skip("sha256:".len()).take(8).collect();
    format!("{}-{digits}", stem.trim_end_matches(['.', '-']))
}

/// Returns the name of the object of a version: that of its prompt and the first twelve digits of its digest.
#[must_use]
pub fn version_object(prompt: &PromptName, version: &Digest) -> String {
    let digits: String = version.to_string().chars().skip("sha256:".len()).take(12).collect();
    format!("{}-{digits}", prompt_object(prompt))
}

/// Returns the name of the object of a rollout: that of its prompt, the environment, and the number that `bowline rollout` takes.
#[must_use]
pub fn rollout_object(prompt: &PromptName, environment: &EnvironmentName, number: u64) -> String {
    let environment = environment.as_str().replace(['_', '.'], "-");
    format!("{}-{}-{number}", prompt_object(prompt), environment.trim_matches('-'))
}

fn is_object(name: &str) -> bool {
    let label = |label: &str| {
        let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(end) && label.ends_with(end) && label.chars().all(|c| end(c) || c == '-')
    };
    name.len() <= STEM_BYTES_MAX && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_objects_of_their_own() {
        let object = |name: &str| prompt_object(&PromptName::new(name).unwrap());
        assert_eq!(object("support/classify"), "support.classify");
        assert_eq!(object("greet"), "greet");
        let names = [
            "support.classify",
            "support/classify",
            "Support/classify",
            "support/classify_",
            "a/b_c",
            "a/b-c",
            "a/b.c",
            "a.b/c",
        ];
        let objects: std::collections::BTreeSet<_> = names.iter().map(|name| object(name)).collect();
        assert_eq!(objects.len(), names.len(), "{objects:?}");
        let long = object(&["Aa_"; 66].concat());
        for name in objects.iter().chain([&long]) {
            assert!(name.len() <= 215 && super::is_object(name) || name.len() > STEM_BYTES_MAX, "{name}");
        }
    }

    #[test]
    fn rollouts_and_versions_fit_into_names() {
        let prompt = PromptName::new("x".repeat(200)).unwrap();
        let environment = EnvironmentName::new("e".repeat(64)).unwrap();
        assert!(version_object(&prompt, &Digest::of(b"v")).len() <= 253);
        assert!(rollout_object(&prompt, &environment, 12).len() <= 280);
        let short =
            rollout_object(&PromptName::new("support/classify").unwrap(), &EnvironmentName::new("pr_1").unwrap(), 7);
        assert_eq!(short, "support.classify-pr-1-7");
    }
}
