use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use super::origin::Origin;
use super::place::{self, Source, Workshop};
use super::program::Program;
use super::report;
use crate::cli::{BaseImage, Destination, Global, ImageBuild};
use crate::failure::{Failure, Result};
use crate::project;
use bowline_oci::image::{
    Base, Files, Image, ImagePath, Layer, Platform, SBOM_MEDIA_TYPE, Sbom, SbomBase, SbomTarget, Settings, annotation,
    index, write_layer,
};
use bowline_oci::{Descriptor, LayoutReference, MediaType, Reference, digest_of};
use bowline_types::Digest;

/// Where the program is in an image.
const PROGRAM: &str = "/usr/local/bin/bowline";
/// The annotation of an entry of a layout by which containerd names the image.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The tag in a layout where none is given.
const TAG: &str = "latest";

/// The image for one platform.
pub(super) struct Built {
    pub(super) image: Image,
    pub(super) base: Option<Base>,
    pub(super) layer: Option<Layer>,
}

/// What goes into the build of one image.
struct Work<'a> {
    build: &'a ImageBuild,
    origin: &'a Origin,
    settings: Settings,
    /// Of the bundle.
    files: Files,
    source: Source,
    workshop: Workshop,
}

/// Packages files as a container image.
///
/// # Errors
/// Something that is to be packaged is not there or has no place in an image, or a registry does not answer.
pub(crate) async fn run(global: &Global, build: &ImageBuild) -> Result<()> {
    if adds_nothing(build) {
        let hint = "hint: `--add PATH:PLACE`, `--bundle REF` or `--with-bowline` put something into it; `--base REF` begins with another image";
        return Err(Failure::user(format!("the image would be empty\n{hint}")));
    }
    let to = destination(global, build)?;
    let folder = project::find(global.dir.as_deref()).or_else(|_| Ok::<PathBuf, Failure>(std::env::current_dir()?))?;
    let origin = Origin::of(&folder)?;
    let source = Source::new(&build.registry, account(build, &to))?;
    let (files, bundle) = match &build.bundle {
        Some(reference) => {
            let (files, digest) = source.bundle(reference).await?;
            (files, Some(digest))
        }
        None => (Files::default(), None),
    };
    let settings = settings(build, &origin, bundle);
    let work = Work { build, origin: &origin, settings, files, source, workshop: Workshop::open(&to)? };
    let built = work.images().await?;
    let image = work.stored(&built)?;
    let sbom = if build.sbom {
        let name = name(build, &to).unwrap_or_else(|| "image".to_owned());
        Some(work.bill_of_materials(&name, &image, &built)?)
    } else {
        None
    };
    let place = work.deliver(&to, &image, sbom.as_ref()).await?;
    report::print(global, &origin, &image, &place, &built, sbom.as_ref())
}

/// Whether nothing is to be packaged, and over nothing.
fn adds_nothing(build: &ImageBuild) -> bool {
    let with_program = build.with_bowline || !build.bowline.is_empty();
    let with_files = !build.adds.is_empty() || build.platforms.iter().any(|platform| platform.folder.is_some());
    matches!(build.base, BaseImage::Scratch) && build.bundle.is_none() && !with_program && !with_files
}

// === impl Work ===

impl Work<'_> {
    /// Builds the image for every platform that is asked for.
    async fn images(&self) -> Result<Vec<Built>> {
        let Self { build, source, workshop, .. } = self;
        let programs = programs(build)?;
        let base = match &build.base {
            BaseImage::Scratch => None,
            BaseImage::Image(reference) => Some(source.find(reference, &workshop.layout).await?),
        };
        let mut common = self.files.clone();
        for add in &build.adds {
            common.add(&add.source, &add.place)?;
        }
        let wanted: Vec<(Option<&Platform>, Option<&PathBuf>)> = if build.platforms.is_empty() {
            vec![(None, None)]
        } else {
            build.platforms.iter().map(|wanted| (Some(&wanted.platform), wanted.folder.as_ref())).collect()
        };
        let mut built = Vec::new();
        for (platform, folder) in wanted {
            let base = match &base {
                Some(found) => Some(source.base(found, platform, &workshop.layout).await?),
                None => None,
            };
            let platform = platform.cloned().or_else(|| base.as_ref().map(|base| base.platform().clone()));
            let platform = platform.unwrap_or_else(Platform::host);
            let mut files = common.clone();
            if let Some(folder) = folder {
                files.add(folder, "/")?;
            }
            if !programs.is_empty() {
                files.add_program(&program_for(&programs, &platform)?.path, ImagePath::parse(PROGRAM)?)?;
            }
            built.push(self.one(&platform, base, files)?);
        }
        Ok(built)
    }

    /// Builds the image for one platform.
    fn one(&self, platform: &Platform, base: Option<Base>, mut files: Files) -> Result<Built> {
        if base.is_none() {
            files.add_parents()?;
        }
        let layer = if files.is_empty() { None } else { Some(self.layer(&files)?) };
        let image = Image::assemble(platform, base.as_ref(), layer.as_slice(), &self.settings)?;
        for blob in [&image.config, &image.manifest] {
            blob.store(&self.workshop.layout)?;
        }
        Ok(Built { image, base, layer })
    }

    fn layer(&self, files: &Files) -> Result<Layer> {
        let mut writer = self.workshop.layout.writer()?;
        let layer = write_layer(files, self.build.owner, self.origin.seconds(), &mut writer)?;
        writer.finish(MediaType::ImageLayerGzip)?;
        Ok(layer)
    }

    /// Returns the manifest, or stores the index of several and returns that.
    fn stored(&self, built: &[Built]) -> Result<Descriptor> {
        if let [one] = built {
            return Ok(one.image.manifest.descriptor.clone());
        }
        let images: Vec<Image> = built.iter().map(|built| built.image.clone()).collect();
        let base = built.first().and_then(|built| built.base.as_ref());
        let index = index(&images, &self.settings, base)?;
        index.store(&self.workshop.layout)?;
        Ok(index.descriptor)
    }

    /// Attaches the bill of materials, and returns the manifest by which it is attached.
    fn bill_of_materials(&self, name: &str, subject: &Descriptor, built: &[Built]) -> Result<Descriptor> {
        let base = built.first().and_then(|built| built.base.as_ref());
        let targets = built.iter().map(|built| SbomTarget {
            platform: &built.image.platform,
            files: built.layer.as_ref().map_or(&[], |layer| layer.files.as_slice()),
        });
        let sbom = Sbom {
            name,
            digest: digest_of(subject)?,
            created: self.origin.created,
            tool_version: env!("CARGO_PKG_VERSION"),
            base: base.map(|base| SbomBase { name: &base.name, digest: base.digest }),
            targets: targets.collect(),
        };
        let document = sbom.document()?;
        Ok(self.workshop.layout.attach(subject, SBOM_MEDIA_TYPE, &document.bytes, HashMap::new())?)
    }

    /// Names the image where it goes, and returns that place.
    async fn deliver(&self, to: &Destination, image: &Descriptor, sbom: Option<&Descriptor>) -> Result<String> {
        let layout = &self.workshop.layout;
        let tag = match to {
            Destination::Reference(Reference::Registry(reference)) => {
                self.source.push(layout, image, sbom, reference).await?;
                return Ok(reference.whole());
            }
            Destination::Reference(Reference::Layout(reference)) => reference.tag.clone(),
            Destination::Archive(_) => None,
        };
        let mut named = image.clone();
        let mut tag_given = None;
        if let Some(name) = &self.build.tag {
            let Reference::Registry(reference) = name.parse::<Reference>()? else {
                return Err(Failure::user(format!("`{name}` is no name of an image\nhint: a layout is named by --to")));
            };
            tag_given = reference.tag().map(str::to_owned);
            named.set_annotations(Some([(CONTAINERD_NAME.to_owned(), reference.whole())].into()));
        }
        let tag = tag.or(tag_given).unwrap_or_else(|| TAG.to_owned());
        layout.tag(&tag, &named)?;
        if let Some(sbom) = sbom {
            layout.list(sbom)?;
        }
        match to {
            Destination::Archive(file) => {
                place::archive(layout, file)?;
                Ok(format!("oci-archive:{}:{tag}", file.display()))
            }
            Destination::Reference(_) => Ok(format!("oci:{}:{tag}", layout.root().display())),
        }
    }
}

/// Returns where the image goes.
fn destination(global: &Global, build: &ImageBuild) -> Result<Destination> {
    if let Some(to) = &build.to {
        if matches!(to, Destination::Reference(Reference::Registry(_))) && build.tag.is_some() {
            let hint = "hint: in a registry the image is named by --to; --tag names it in a layout or archive";
            return Err(Failure::user(format!("--tag and an image of a registry are two names for one place\n{hint}")));
        }
        return Ok(to.clone());
    }
    let path = project::find(global.dir.as_deref())?.join(".bowline/images");
    Ok(Destination::Reference(Reference::Layout(LayoutReference { path, tag: None, digest: None })))
}

/// Returns whose registry the user and password are for: that of the image itself, else that of the bundle, else that of the base.
fn account<'a>(build: &'a ImageBuild, to: &'a Destination) -> Option<&'a Reference> {
    let base = match &build.base {
        BaseImage::Image(reference) => Some(reference),
        BaseImage::Scratch => None,
    };
    let to = match to {
        Destination::Reference(reference) => Some(reference),
        Destination::Archive(_) => None,
    };
    let mut named = [to, build.bundle.as_ref(), base].into_iter().flatten();
    named.find(|reference| matches!(reference, Reference::Registry(_)))
}

/// Returns the name of the image: the one given, else that of the place where it goes.
fn name(build: &ImageBuild, to: &Destination) -> Option<String> {
    build.tag.clone().or_else(|| match to {
        Destination::Reference(Reference::Registry(reference)) => Some(reference.whole()),
        Destination::Reference(Reference::Layout(reference)) => reference.tag.clone(),
        Destination::Archive(_) => None,
    })
}

/// Returns what the image says about itself and how it is run.
fn settings(build: &ImageBuild, origin: &Origin, bundle: Option<Digest>) -> Settings {
    let mut labels = BTreeMap::new();
    labels.extend(origin.revision.iter().map(|revision| (annotation::REVISION.to_owned(), revision.clone())));
    labels.extend(bundle.map(|digest| (annotation::BUNDLE_DIGEST.to_owned(), digest.to_string())));
    // Where a layout is on this machine says nothing to others, and differs from machine to machine.
    if let BaseImage::Image(Reference::Registry(reference)) = &build.base {
        labels.insert(annotation::BASE_NAME.to_owned(), reference.whole());
    }
    labels.extend(build.labels.iter().cloned());
    Settings {
        entrypoint: build.entrypoint.as_ref().map(|words| words.0.clone()),
        cmd: build.cmd.as_ref().map(|words| words.0.clone()),
        env: build.env.clone(),
        workdir: build.workdir.clone(),
        user: Some(build.user),
        labels,
        created: origin.created,
    }
}

/// Returns the builds of `bowline` that are to be added.
fn programs(build: &ImageBuild) -> Result<Vec<Program>> {
    let mut paths = build.bowline.clone();
    if build.with_bowline {
        paths.push(std::env::current_exe()?);
    }
    let programs: Result<Vec<Program>> = paths.iter().map(|path| Program::read(path)).collect();
    let programs = programs?;
    let platforms: BTreeSet<&Platform> = programs.iter().map(|program| &program.platform).collect();
    if platforms.len() < programs.len() {
        return Err(Failure::user("two of the programs are for the same platform\nhint: name one per platform"));
    }
    Ok(programs)
}

fn program_for<'a>(programs: &'a [Program], platform: &Platform) -> Result<&'a Program> {
    let found = programs.iter().find(|program| program.platform.accepts(platform));
    found.ok_or_else(|| {
        let there: Vec<String> = programs.iter().map(|program| program.platform.to_string()).collect();
        let there = there.join(" and ");
        Failure::user(format!(
            "the image is for {platform}, and the program for {there}\nhint: name a static build for {platform} with --bowline FILE"
        ))
    })
}
