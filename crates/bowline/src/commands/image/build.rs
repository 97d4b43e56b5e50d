use std::collections::{BTreeMap, BTreeSet};
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
    attach, index, write_layer,
};
use bowline_oci::{Descriptor, LayoutReference, MediaType, Reference, digest_of};

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

/// Packages files as a container image.
///
/// # Errors
/// Something that is to be packaged is not there or has no place in an image, or a registry does not answer.
pub(crate) async fn run(global: &Global, build: &ImageBuild) -> Result<()> {
    let to = destination(global, build)?;
    let folder = project::find(global.dir.as_deref()).or_else(|_| Ok::<PathBuf, Failure>(std::env::current_dir()?))?;
    let origin = Origin::of(&folder)?;
    let source = Source::new(build.plain_http)?;
    let workshop = Workshop::open(&to)?;
    let built = images(build, &origin, &source, &workshop).await?;
    let descriptor = stored(build, &origin, &workshop, &built)?;
    let sbom = if build.sbom {
        let name = name(build, &to).unwrap_or_else(|| "image".to_owned());
        Some(bill_of_materials(&name, origin.created, &workshop, &descriptor, &built)?)
    } else {
        None
    };
    let place = deliver(build, &to, &source, &workshop, &descriptor, sbom.as_ref()).await?;
    report::print(global, &origin, &descriptor, &place, &built, sbom.as_ref())
}

/// Returns where the image goes.
fn destination(global: &Global, build: &ImageBuild) -> Result<Destination> {
    if let Some(to) = &build.to {
        return Ok(to.clone());
    }
    let path = project::find(global.dir.as_deref())?.join(".bowline/images");
    Ok(Destination::Reference(Reference::Layout(LayoutReference { path, tag: None, digest: None })))
}

/// Returns the name of the image: the one given, else that of the place where it goes.
fn name(build: &ImageBuild, to: &Destination) -> Option<String> {
    build.tag.clone().or_else(|| match to {
        Destination::Reference(Reference::Registry(reference)) => Some(reference.whole()),
        Destination::Reference(Reference::Layout(reference)) => reference.tag.clone(),
        Destination::Archive(_) => None,
    })
}

/// Builds the image for every platform that is asked for.
async fn images(build: &ImageBuild, origin: &Origin, source: &Source, workshop: &Workshop) -> Result<Vec<Built>> {
    let programs = programs(build)?;
    let base = match &build.base {
        BaseImage::Scratch => None,
        BaseImage::Image(reference) => Some(source.find(reference, &workshop.layout).await?),
    };
    let mut common = Files::default();
    for add in &build.adds {
        common.add(&add.source, &add.place).map_err(anyhow::Error::from)?;
    }
    let mut built = Vec::new();
    let wanted: Vec<(Option<&Platform>, Option<&PathBuf>)> = if build.platforms.is_empty() {
        vec![(None, None)]
    } else {
        build.platforms.iter().map(|wanted| (Some(&wanted.platform), wanted.folder.as_ref())).collect()
    };
    for (platform, folder) in wanted {
        let base = match &base {
            Some(found) => Some(source.base(found, platform, &workshop.layout).await?),
            None => None,
        };
        let platform = platform.cloned().or_else(|| base.as_ref().map(|base| base.platform().clone()));
        let platform = platform.unwrap_or_else(Platform::host);
        let mut files = common.clone();
        if let Some(folder) = folder {
            files.add(folder, "/").map_err(anyhow::Error::from)?;
        }
        if !programs.is_empty() {
            let path = &program_for(&programs, &platform)?.path;
            let place = ImagePath::parse(PROGRAM).map_err(anyhow::Error::from)?;
            files.add_program(path, place).map_err(anyhow::Error::from)?;
        }
        built.push(one(build, origin, workshop, &platform, base, files)?);
    }
    Ok(built)
}

/// Builds the image for one platform.
fn one(
    build: &ImageBuild,
    origin: &Origin,
    workshop: &Workshop,
    platform: &Platform,
    base: Option<Base>,
    mut files: Files,
) -> Result<Built> {
    if base.is_none() {
        files.add_parents().map_err(anyhow::Error::from)?;
    }
    let layer = if files.is_empty() { None } else { Some(layer(build, origin, workshop, &files)?) };
    let settings = settings(build, origin);
    let layers: Vec<Layer> = layer.iter().cloned().collect();
    let image = Image::assemble(platform, base.as_ref(), &layers, &settings).map_err(anyhow::Error::from)?;
    for blob in [&image.config, &image.manifest] {
        blob.store(&workshop.layout).map_err(anyhow::Error::from)?;
    }
    Ok(Built { image, base, layer })
}

fn layer(build: &ImageBuild, origin: &Origin, workshop: &Workshop, files: &Files) -> Result<Layer> {
    let mut writer = workshop.layout.writer().map_err(anyhow::Error::from)?;
    let layer = write_layer(files, build.owner, origin.seconds(), &mut writer).map_err(anyhow::Error::from)?;
    writer.finish(MediaType::ImageLayerGzip).map_err(anyhow::Error::from)?;
    Ok(layer)
}

/// Returns what the image says about itself and how it is run.
fn settings(build: &ImageBuild, origin: &Origin) -> Settings {
    let mut labels = BTreeMap::new();
    labels.extend(origin.revision.iter().map(|revision| (annotation::REVISION.to_owned(), revision.clone())));
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

/// Stores the manifest, or the index of several, under its name, and returns it.
fn stored(build: &ImageBuild, origin: &Origin, workshop: &Workshop, built: &[Built]) -> Result<Descriptor> {
    if let [one] = built {
        return Ok(one.image.manifest.descriptor.clone());
    }
    let images: Vec<Image> = built.iter().map(|built| built.image.clone()).collect();
    let base = built.first().and_then(|built| built.base.as_ref());
    let index = index(&images, &settings(build, origin), base).map_err(anyhow::Error::from)?;
    index.store(&workshop.layout).map_err(anyhow::Error::from)?;
    Ok(index.descriptor)
}

/// Attaches the bill of materials, and returns the manifest by which it is attached.
fn bill_of_materials(
    name: &str,
    created: jiff::Timestamp,
    workshop: &Workshop,
    subject: &Descriptor,
    built: &[Built],
) -> Result<Descriptor> {
    let base = built.first().and_then(|built| built.base.as_ref());
    let targets = built.iter().map(|built| SbomTarget {
        platform: &built.image.platform,
        files: built.layer.as_ref().map_or(&[], |layer| layer.files.as_slice()),
    });
    let sbom = Sbom {
        name,
        digest: digest_of(subject).map_err(anyhow::Error::from)?,
        created,
        tool_version: env!("CARGO_PKG_VERSION"),
        base: base.map(|base| SbomBase { name: &base.name, digest: base.digest }),
        targets: targets.collect(),
    };
    let document = sbom.document().map_err(anyhow::Error::from)?;
    let (manifest, config) = attach(subject, SBOM_MEDIA_TYPE, &document).map_err(anyhow::Error::from)?;
    for blob in [&document, &config, &manifest] {
        blob.store(&workshop.layout).map_err(anyhow::Error::from)?;
    }
    Ok(manifest.descriptor)
}

/// Names the image where it goes, and returns that place.
async fn deliver(
    build: &ImageBuild,
    to: &Destination,
    source: &Source,
    workshop: &Workshop,
    descriptor: &Descriptor,
    sbom: Option<&Descriptor>,
) -> Result<String> {
    let layout = &workshop.layout;
    let tag = match to {
        Destination::Reference(Reference::Registry(reference)) => {
            source.push(layout, descriptor, sbom, reference).await?;
            return Ok(reference.whole());
        }
        Destination::Reference(Reference::Layout(reference)) => reference.tag.clone(),
        Destination::Archive(_) => None,
    };
    let mut named = descriptor.clone();
    if let Some(name) = &build.tag {
        let Reference::Registry(reference) = name.parse::<Reference>().map_err(anyhow::Error::from)? else {
            return Err(Failure::user(format!("`{name}` is no name of an image\nhint: a layout is named by --to")));
        };
        named.set_annotations(Some([(CONTAINERD_NAME.to_owned(), reference.whole())].into()));
    }
    let tag = tag.or_else(|| tag_of(build.tag.as_deref()?)).unwrap_or_else(|| TAG.to_owned());
    layout.tag(&tag, &named).map_err(anyhow::Error::from)?;
    if let Some(sbom) = sbom {
        layout.list(sbom).map_err(anyhow::Error::from)?;
    }
    match to {
        Destination::Archive(file) => {
            place::archive(layout, file)?;
            Ok(format!("oci-archive:{}:{tag}", file.display()))
        }
        Destination::Reference(_) => Ok(format!("oci:{}:{tag}", layout.root().display())),
    }
}

/// Returns the tag of a name such as `registry.example/desk/app:1.0`.
fn tag_of(name: &str) -> Option<String> {
    match name.parse() {
        Ok(Reference::Registry(reference)) => reference.tag().map(str::to_owned),
        _ => None,
    }
}
