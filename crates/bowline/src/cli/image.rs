use std::path::PathBuf;
use std::str::FromStr;

use bowline_oci::Reference;
use bowline_oci::image::{Account, Platform};
use clap::{Args, Subcommand};

use super::RegistryOptions;

/// `bowline image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Packages files, and if wanted a bundle and the bowline program, as a container image
    Build(Box<ImageBuild>),
    /// Shows what an image is made of and how it is run
    Inspect(ImageInspect),
}

/// `bowline image build`.
#[derive(Args, Debug)]
#[command(
    after_help = "No daemon, no privileges, and no package manager: what has to be compiled or installed is made before. The same files and \
                        options give the same image, bit for bit. Its time is SOURCE_DATE_EPOCH, else that of the commit, else 1970."
)]
pub(crate) struct ImageBuild {
    /// What it is built upon: `scratch`, an image of a registry, or `oci:PATH[:TAG]`
    #[arg(long, value_name = "REF", default_value = "scratch")]
    pub(crate) base: BaseImage,
    /// Adds a file or what is in a folder; may be repeated. PLACE is absolute, and a folder where it ends in a slash
    #[arg(long = "add", value_name = "PATH:PLACE")]
    pub(crate) adds: Vec<Add>,
    /// Adds the content of a bundle under /bowline, and its digest as a label
    #[arg(long, value_name = "REF")]
    pub(crate) bundle: Option<Reference>,
    /// Adds this program as /usr/local/bin/bowline; it must be a static one
    #[arg(long, conflicts_with = "bowline")]
    pub(crate) with_bowline: bool,
    /// Adds another build of bowline, such as one for another platform; may be repeated, one per platform
    #[arg(long, value_name = "FILE")]
    pub(crate) bowline: Vec<PathBuf>,
    /// What the image runs on, and files for that platform alone, added at the root; repeated, it makes an index of several images [default:
    /// that of the base, else Linux on this processor]
    #[arg(long = "platform", value_name = "OS/ARCH[=DIR]")]
    pub(crate) platforms: Vec<ForPlatform>,
    /// The program: a JSON array, or words between spaces
    #[arg(long, value_name = "WORDS", value_parser = words, allow_hyphen_values = true)]
    pub(crate) entrypoint: Option<Words>,
    /// Its arguments where none are given: a JSON array, or words between spaces
    #[arg(long, value_name = "WORDS", value_parser = words, allow_hyphen_values = true)]
    pub(crate) cmd: Option<Words>,
    /// A variable of its environment; may be repeated. No secrets: everybody who can pull the image reads them
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// Its working directory
    #[arg(long, value_name = "PLACE")]
    pub(crate) workdir: Option<String>,
    /// As whom it runs, in numbers
    #[arg(long, value_name = "UID[:GID]", default_value = "65532:65532")]
    pub(crate) user: Account,
    /// Whose the added files are, in numbers; by default root's, so that the program cannot change them
    #[arg(long, value_name = "UID[:GID]", default_value = "0:0")]
    pub(crate) owner: Account,
    /// A label and annotation; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) labels: Vec<(String, String)>,
    /// The name that the image has in a layout or archive, such as registry.example/desk/app:1.0
    #[arg(long, value_name = "REF")]
    pub(crate) tag: Option<String>,
    /// Where it goes: `oci:PATH[:TAG]`, oci-archive:FILE, or an image of a registry [default: oci:.bowline/images]
    #[arg(long, value_name = "REF")]
    pub(crate) to: Option<Destination>,
    /// Attaches a bill of materials (CycloneDX): every added file with its digest, and the base
    #[arg(long)]
    pub(crate) sbom: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline image inspect`.
#[derive(Args, Debug)]
pub(crate) struct ImageInspect {
    /// An image of a registry, or `oci:PATH[:TAG]`
    pub(crate) image: Reference,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// What an image is built upon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BaseImage {
    /// Nothing.
    Scratch,
    /// Another image.
    Image(Reference),
}

/// A path on this machine and its place in the image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Add {
    pub(crate) source: PathBuf,
    pub(crate) place: String,
}

/// A platform, and the folder with its own files.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ForPlatform {
    pub(crate) platform: Platform,
    pub(crate) folder: Option<PathBuf>,
}

/// The words of a command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Words(pub(crate) Vec<String>);

/// Where an image goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Destination {
    /// One file, as other tools load it.
    Archive(PathBuf),
    /// A layout or a registry.
    Reference(Reference),
}

impl FromStr for BaseImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "scratch" { Ok(Self::Scratch) } else { reference(text).map(Self::Image) }
    }
}

impl FromStr for Add {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(":/") {
            Some((source, place)) if !source.is_empty() => {
                Ok(Self { source: source.into(), place: format!("/{place}") })
            }
            _ => Err("write PATH:PLACE with an absolute place, such as dist:/app".to_owned()),
        }
    }
}

impl FromStr for ForPlatform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (platform, folder) =
            text.split_once('=').map_or((text, None), |(platform, folder)| (platform, Some(folder)));
        let platform = platform.parse().map_err(|error: bowline_oci::image::Error| error.to_string())?;
        Ok(Self { platform, folder: folder.map(PathBuf::from) })
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("oci-archive:") {
            Some("") => Err("the file is missing".to_owned()),
            Some(file) => Ok(Self::Archive(file.into())),
            None => reference(text).map(Self::Reference),
        }
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error: bowline_oci::Error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn words(text: &str) -> Result<Words, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map(Words).map_err(|error| format!("no JSON array of strings: {error}"));
    }
    Ok(Words(text.split_whitespace().map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_has_a_path_and_a_place() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(source, place)| Add { source: source.into(), place: place.to_owned() });
            assert_eq!(text.parse::<Add>().ok(), expected, "{text}");
        };
        check("dist:/app", Some(("dist", "/app")));
        check("C:dist:/app/", Some(("C:dist", "/app/")));
        check("/a/b:/", Some(("/a/b", "/")));
        check("dist", None);
        check("dist:app", None);
        check(":/app", None);
    }

    #[test]
    fn words_are_given_as_json_or_plain() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let found = words(text).ok().map(|words| words.0);
            assert_eq!(found, expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect()), "{text}");
        };
        check("bowline serve", Some(&["bowline", "serve"]));
        check(r#"["sh", "-c", "a b"]"#, Some(&["sh", "-c", "a b"]));
        check("[]", Some(&[]));
        check(r#"["sh""#, None);
    }

    #[test]
    fn an_image_goes_to_a_file_a_layout_or_a_registry() {
        assert_eq!("oci-archive:a.tar".parse(), Ok(Destination::Archive("a.tar".into())));
        assert!(matches!("oci:out:1".parse(), Ok(Destination::Reference(Reference::Layout(_)))));
        assert!(matches!("localhost:5000/a/b:1".parse(), Ok(Destination::Reference(Reference::Registry(_)))));
        assert!("oci-archive:".parse::<Destination>().is_err());
    }
}
