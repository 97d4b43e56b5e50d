//! Names of what the operator makes for a backend: of a Service, a label and a volume, which allow less than the name of a backend may have.

use bowline_types::Digest;

/// The longest name of a Service, and the longest value of a label.
const LABEL_BYTES_MAX: usize = 63;
/// Bytes of a name before the digits that tell it apart; leaves room for the suffixes of claims.
const STEM_BYTES_MAX: usize = 40;

/// Returns the name of the Deployment and the Service of a backend: its own, where a Service may have it. Where not, digits of its digest
/// stand at the end, so that two backends never share an object.
pub(crate) fn served_object(backend: &str) -> String {
    if backend.len() <= STEM_BYTES_MAX && is_label(backend) {
        return backend.to_owned();
    }
    let mapped: String = backend.chars().map(|c| if c == '.' { '-' } else { c }).take(STEM_BYTES_MAX).collect();
    let mapped = mapped.trim_matches('-');
    let letter = if mapped.starts_with(|c: char| c.is_ascii_lowercase()) { "" } else { "b" };
    format!("{letter}{mapped}-{}", digits(backend.as_bytes()))
}

/// Returns eight digits that tell a content apart from others.
pub(super) fn digits(content: &[u8]) -> String {
    Digest::of(content).to_string().chars().skip("sha256:".len()).take(8).collect()
}

fn is_label(name: &str) -> bool {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= LABEL_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(end)
        && name.chars().all(|c| end(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_objects_of_their_own() {
        assert_eq!(served_object("vllm"), "vllm");
        let names =
            ["a.b", "a-b", "7b", "b7b", &"x".repeat(253), &"x".repeat(252), "a".repeat(41).as_str()].map(str::to_owned);
        let objects: std::collections::BTreeSet<_> = names.iter().map(|name| served_object(name)).collect();
        assert_eq!(objects.len(), names.len(), "{objects:?}");
        for object in objects {
            assert!(is_label(&object) && object.len() <= LABEL_BYTES_MAX - "-cache".len(), "{object}");
        }
    }
}
