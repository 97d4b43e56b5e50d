//! Where the weights of a model come from, and how a server names them.

use k8s_openapi::api::core::v1::{ImageVolumeSource, PersistentVolumeClaimVolumeSource, Volume, VolumeMount};

use super::RenderError;

/// Where weights of a volume or an image are.
const PATH: &str = "/mnt/model";

/// A model, as a server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `owner/name`, an address that the server fetches from, or the folder where the weights are.
    pub(super) name: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The server fetches it.
    Fetched,
    /// A volume of the namespace has it.
    Claim(String),
    /// An image has it.
    Image(String),
}

/// Reads `hf://owner/name`, `s3://…`, `gs://…`, `oci://…` or `pvc://claim/path`.
///
/// # Errors
/// It is none of these.
pub(super) fn source(text: &str) -> Result<Source, RenderError> {
    let wrong = |rule| RenderError::Model { model: text.to_owned(), rule };
    let scheme = text.split_once("://").filter(|(_, rest)| !rest.is_empty());
    let (scheme, rest) = scheme.ok_or_else(|| wrong("it begins with hf://, s3://, gs://, oci:// or pvc://"))?;
    let source = |name: String, place| Ok(Source { name, place });
    match scheme {
        "hf" => source(rest.to_owned(), Place::Fetched),
        "s3" | "gs" => source(text.to_owned(), Place::Fetched),
        "oci" => source(PATH.to_owned(), Place::Image(rest.to_owned())),
        "pvc" => {
            let (claim, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = path.trim_matches('/');
            let within = path.split('/').all(|part| part != "..");
            if claim.is_empty() || !within {
                return Err(wrong("it is pvc://CLAIM/PATH, with a path within the volume"));
            }
            let name = if path.is_empty() { PATH.to_owned() } else { format!("{PATH}/{path}") };
            source(name, Place::Claim(claim.to_owned()))
        }
        _ => Err(wrong("it begins with hf://, s3://, gs://, oci:// or pvc://")),
    }
}

// === impl Source ===

impl Source {
    /// Returns the volume that the weights are on, read-only, and where it is; `None` where the server fetches them.
    pub(super) fn volume(&self) -> Option<(Volume, VolumeMount)> {
        let volume = Volume { name: "model".to_owned(), ..Volume::default() };
        let volume = match &self.place {
            Place::Fetched => return None,
            Place::Claim(claim) => {
                let claim = PersistentVolumeClaimVolumeSource { claim_name: claim.clone(), read_only: Some(true) };
                Volume { persistent_volume_claim: Some(claim), ..volume }
            }
            Place::Image(reference) => {
                let pull_policy = Some("IfNotPresent".to_owned());
                let image = ImageVolumeSource { reference: Some(reference.clone()), pull_policy };
                Volume { image: Some(image), ..volume }
            }
        };
        let mount = VolumeMount {
            name: "model".to_owned(),
            mount_path: PATH.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        Some((volume, mount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_get_the_name_that_they_take() {
        let check = |text: &str, expected: Result<(&str, bool), &str>| {
            let found = source(text);
            let found = found.as_ref().map(|source| (source.name.as_str(), source.volume().is_some()));
            assert_eq!(found.map_err(ToString::to_string), expected.map_err(str::to_owned), "{text}");
        };
        check("hf://Qwen/Qwen3-8B", Ok(("Qwen/Qwen3-8B", false)));
        check("s3://weights/qwen", Ok(("s3://weights/qwen", false)));
        check("gs://weights/qwen", Ok(("gs://weights/qwen", false)));
        check("oci://registry.example/qwen:8b", Ok(("/mnt/model", true)));
        check("pvc://weights", Ok(("/mnt/model", true)));
        check("pvc://weights/qwen/8b/", Ok(("/mnt/model/qwen/8b", true)));
        let path = "`pvc://weights/../etc` is no model: it is pvc://CLAIM/PATH, with a path within the volume";
        check("pvc://weights/../etc", Err(path));
        check("ftp://x", Err("`ftp://x` is no model: it begins with hf://, s3://, gs://, oci:// or pvc://"));
        check("qwen", Err("`qwen` is no model: it begins with hf://, s3://, gs://, oci:// or pvc://"));
    }
}
