use std::path::PathBuf;
use std::str::FromStr;

use bowline_oci::{Reference, RegistryReference};
use bowline_types::SecretRef;
use clap::{Args, Subcommand};

/// `bowline bundle`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Locks everything of the commit in a bundle, and writes it to a layout on disk
    Build(BundleBuild),
    /// Sends a bundle to a registry, signed where a key is given
    Push(Box<BundlePush>),
    /// Fetches a bundle, and what is attached to it, into a layout on disk
    Pull(BundlePull),
    /// Checks that a bundle is whole, and who signed it
    Verify(BundleVerify),
    /// Shows what is in a bundle and what is attached to it
    Inspect(BundleInspect),
    /// Shows what changed from one bundle to another
    Diff(BundleDiff),
    /// Keys that sign bundles
    #[command(subcommand)]
    Key(BundleKey),
}

/// `bowline bundle build`.
#[derive(Args, Debug)]
#[command(
    after_help = "The same commit gives the same digest on every machine. The same content is written as a container image too, with \
                        `-image` behind the tag, for `COPY --from` and Kubernetes image volumes."
)]
pub(crate) struct BundleBuild {
    /// Where it goes: `oci:PATH[:TAG]` [default: oci:.bowline/bundles, with the tags `latest` and the commit]
    #[arg(long, value_name = "REF")]
    pub(crate) to: Option<Reference>,
    /// Bundles a working tree that differs from its commit; a protected environment refuses such a bundle
    #[arg(long)]
    pub(crate) allow_dirty: bool,
}

/// `bowline bundle push`.
#[derive(Args, Debug)]
#[command(
    after_help = "The signature, the attestations and the bill of materials are attached to the bundle where others find them: by the \
                        referrers API, or by its tag schema where the registry has none. The tag moves last."
)]
pub(crate) struct BundlePush {
    /// Where it goes: REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "REF", value_parser = tagged)]
    pub(crate) to: RegistryReference,
    /// The bundle: `oci:PATH[:TAG]` [default: oci:.bowline/bundles:latest]
    #[arg(long, value_name = "REF")]
    pub(crate) from: Option<Reference>,
    /// The private key that signs it, in cosign's form: a file, file:PATH or env:NAME [default: it is not signed]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<KeyPlace>,
    /// The password of the key: env:NAME or file:PATH [default: env:COSIGN_PASSWORD]
    #[arg(long, value_name = "REF", requires = "key")]
    pub(crate) key_password: Option<SecretRef>,
    /// A report of `bowline test --report attestation=FILE` that is signed and attached; may be repeated
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) attest: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline bundle pull`.
#[derive(Args, Debug)]
pub(crate) struct BundlePull {
    /// The bundle: `REGISTRY/REPOSITORY[:TAG][@DIGEST]`
    #[arg(value_name = "REF")]
    pub(crate) from: Reference,
    /// Where it goes: `oci:PATH[:TAG]` [default: oci:.bowline/bundles, with the tag it has]
    #[arg(long, value_name = "REF")]
    pub(crate) to: Option<Reference>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline bundle verify`.
#[derive(Args, Debug)]
#[command(
    after_help = "Everything is held against its digest; with --key, a signature by one of the keys must be there too."
)]
pub(crate) struct BundleVerify {
    /// The bundle: `REGISTRY/REPOSITORY[:TAG][@DIGEST]` or `oci:PATH[:TAG]`
    #[arg(value_name = "REF")]
    pub(crate) bundle: Reference,
    /// A public key that must have signed it, in cosign's form: a file, file:PATH or env:NAME; of several, one is enough
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<KeyPlace>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline bundle inspect`.
#[derive(Args, Debug)]
pub(crate) struct BundleInspect {
    /// The bundle: `REGISTRY/REPOSITORY[:TAG][@DIGEST]` or `oci:PATH[:TAG]` [default: oci:.bowline/bundles:latest]
    #[arg(value_name = "REF")]
    pub(crate) bundle: Option<Reference>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline bundle diff`.
#[derive(Args, Debug)]
pub(crate) struct BundleDiff {
    /// The older bundle
    #[arg(value_name = "OLD")]
    pub(crate) old: Reference,
    /// The newer bundle [default: oci:.bowline/bundles:latest]
    #[arg(value_name = "NEW")]
    pub(crate) new: Option<Reference>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline bundle key`.
#[derive(Debug, Subcommand)]
pub(crate) enum BundleKey {
    /// Makes a pair of keys, PREFIX.key and PREFIX.pub, as `cosign generate-key-pair` does
    Generate(BundleKeyGenerate),
}

/// `bowline bundle key generate`.
#[derive(Args, Debug)]
pub(crate) struct BundleKeyGenerate {
    /// The files without their ends
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    pub(crate) to: PathBuf,
    /// The password that seals the private key: env:NAME or file:PATH [default: env:COSIGN_PASSWORD]
    #[arg(long, value_name = "REF", conflicts_with = "no_password")]
    pub(crate) key_password: Option<SecretRef>,
    /// Leaves the private key without protection
    #[arg(long)]
    pub(crate) no_password: bool,
}

/// How registries are reached.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryOptions {
    /// Speaks plain HTTP with the registry
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Certificates in PEM that are trusted beside the usual ones
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The user at that registry, and at no other one [default: what `docker login` keeps, else nobody]
    #[arg(long, value_name = "NAME", requires = "password")]
    pub(crate) username: Option<String>,
    /// The password of the user: env:NAME or file:PATH
    #[arg(long, value_name = "REF", requires = "username")]
    pub(crate) password: Option<SecretRef>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace(pub(crate) SecretRef);

impl FromStr for KeyPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(place) => Ok(Self(place)),
            Err(_) if text.is_empty() => Err("the file is missing".to_owned()),
            Err(_) => Ok(Self(SecretRef::File(text.to_owned()))),
        }
    }
}

fn tagged(text: &str) -> Result<RegistryReference, String> {
    match text.parse().map_err(|error: bowline_oci::Error| error.to_string())? {
        Reference::Registry(reference) if reference.digest().is_none() => Ok(reference),
        Reference::Registry(_) => Err("name a tag; the digest is what comes out".to_owned()),
        Reference::Layout(_) => {
            Err("name a repository of a registry; `bundle build --to` writes to a layout".to_owned())
        }
    }
}
