use super::*;

fn layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("layout")).unwrap();
    (folder, layout)
}

fn name(layout: &Layout, tag: Option<&str>) -> LayoutReference {
    LayoutReference { path: layout.root().to_owned(), tag: tag.map(str::to_owned), digest: None }
}

/// Writes a manifest whose one layer is `text`.
fn manifest(layout: &Layout, text: &str, subject: Option<&Descriptor>) -> Descriptor {
    let config = layout.write(MediaType::EmptyJSON, b"{}").unwrap();
    let layer = layout.write("text/plain".into(), text.as_bytes()).unwrap();
    let mut manifest = content::manifest(config, vec![layer]).unwrap();
    manifest.set_subject(subject.cloned());
    manifest.set_artifact_type(Some("application/example".into()));
    layout.write_document(MediaType::ImageManifest, &manifest).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let (_folder, layout) = layout();
    let one = manifest(&layout, "one", None);
    layout.tag("v1", &one).unwrap();
    let again = Layout::open(layout.root()).unwrap();
    let found = again.resolve(&name(&layout, None)).unwrap();
    assert_eq!(found.digest(), one.digest());
    let layer = again.manifest(&found).unwrap().layers()[0].clone();
    assert_eq!(again.read(&layer).unwrap(), b"one");
    let mut text = String::new();
    again.open_blob(&layer).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
    let names = fs::read_dir(layout.blobs()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| name.len() == 64), "nothing partial is left");
}

#[test]
fn a_tag_moves_and_the_digest_stays() {
    let (_folder, layout) = layout();
    let (one, two) = (manifest(&layout, "one", None), manifest(&layout, "two", None));
    layout.tag("main", &one).unwrap();
    layout.tag("main", &two).unwrap();
    layout.tag("v2", &two).unwrap();
    assert_eq!(layout.resolve(&name(&layout, Some("main"))).unwrap().digest(), two.digest());
    assert_eq!(layout.resolve(&name(&layout, Some("v2"))).unwrap().digest(), two.digest());
    let pinned = LayoutReference { digest: Some(content::digest_of(&one).unwrap()), ..name(&layout, None) };
    assert_eq!(layout.resolve(&pinned).unwrap().digest(), one.digest());
    let error = layout.resolve(&name(&layout, Some("v3"))).unwrap_err().to_string();
    assert!(error.contains("holds nothing named `v3`") && error.contains("main, v2"), "{error}");
    assert!(layout.resolve(&name(&layout, None)).is_err(), "two tags, and none was named");
}

#[test]
fn referrers_are_found_by_their_subject() {
    let (_folder, layout) = layout();
    let one = manifest(&layout, "one", None);
    layout.tag("main", &one).unwrap();
    let signature = manifest(&layout, "signature", Some(&one));
    layout.list(&signature).unwrap();
    layout.list(&signature).unwrap();
    let found = layout.referrers(content::digest_of(&one).unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest(), signature.digest());
    assert_eq!(found[0].artifact_type(), &Some("application/example".into()));
    assert_eq!(layout.index().unwrap().manifests().len(), 2);
}

#[test]
fn what_was_changed_is_refused() {
    let (_folder, layout) = layout();
    let blob = layout.write("text/plain".into(), b"prompts").unwrap();
    let path = layout.blob(content::digest_of(&blob).unwrap());
    for (bytes, reason) in [
        (b"prompt!".as_slice(), "hash to"),
        (b"prompt".as_slice(), "should have 7 bytes"),
        (b"prompts and more".as_slice(), "should have 7 bytes"),
    ] {
        fs::write(&path, bytes).unwrap();
        for error in [layout.read(&blob).unwrap_err(), layout.open_blob(&blob).unwrap_err()] {
            assert!(matches!(&error, Error::Damaged { reason: found, .. } if found.contains(reason)), "{error}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(layout.read(&blob), Err(Error::BlobMissing { .. })));
}

#[test]
fn a_download_that_is_not_what_was_asked_for_leaves_nothing() {
    let (_folder, layout) = layout();
    let expected = content::describe("text/plain".into(), Digest::of(b"prompts"), 7).unwrap();
    for bytes in [b"prompt".as_slice(), b"prompt!"] {
        let mut writer = layout.writer().unwrap();
        writer.write_chunk(bytes).unwrap();
        let error = writer.finish_as(&expected, "localhost:5000/shop").unwrap_err().to_string();
        assert!(error.contains("localhost:5000/shop"), "{error}");
        assert!(!layout.has(&expected).unwrap());
        assert_eq!(fs::read_dir(layout.blobs()).unwrap().count(), 0);
    }
}

#[test]
fn sizes_have_bounds() {
    let (_folder, layout) = layout();
    let large = content::describe("text/plain".into(), Digest::of(b""), BLOB_BYTES_MAX + 1).unwrap();
    assert!(matches!(layout.read(&large), Err(Error::TooLarge { limit: BLOB_BYTES_MAX, .. })));
    let large = content::describe(MediaType::ImageManifest, Digest::of(b""), MANIFEST_BYTES_MAX + 1).unwrap();
    assert!(matches!(layout.document(&large), Err(Error::TooLarge { limit: MANIFEST_BYTES_MAX, .. })));
}

#[test]
fn other_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Layout::open(folder.path()), Err(Error::NotLayout { .. })));
    fs::write(folder.path().join(MARKER), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Layout::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("its version is 2.0.0"), "{error}");
}

#[test]
fn writers_at_once_lose_no_entry() {
    let (_folder, layout) = layout();
    let manifests: Vec<_> = (0..8).map(|number| manifest(&layout, &number.to_string(), None)).collect();
    std::thread::scope(|scope| {
        for (number, manifest) in manifests.iter().enumerate() {
            let layout = &layout;
            scope.spawn(move || layout.tag(&format!("v{number}"), manifest).unwrap());
        }
    });
    assert_eq!(layout.index().unwrap().manifests().len(), 8);
}
