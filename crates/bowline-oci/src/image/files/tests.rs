use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn places(files: &Files) -> Vec<String> {
    let kind = |content: &Content| match content {
        Content::Directory { sticky: false } => "dir",
        Content::Directory { sticky: true } => "sticky",
        Content::File { executable: true, .. } | Content::Bytes { executable: true, .. } => "program",
        Content::File { .. } | Content::Bytes { .. } => "file",
        Content::Link { .. } => "link",
    };
    files.iter().map(|(place, content)| format!("{place} {}", kind(content))).collect()
}

/// A folder with one of each kind.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("bin")).unwrap();
    fs::write(path.join("bin/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path.join("bin/run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(path.join("notes.txt"), "n").unwrap();
    symlink("bin/run", path.join("run")).unwrap();
    fs::create_dir(path.join("tmp")).unwrap();
    fs::set_permissions(path.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    folder
}

#[test]
fn a_folder_is_added_below_its_destination() {
    let folder = folder();
    let mut files = Files::default();
    files.add(folder.path(), "/app").unwrap();
    let expected = ["/app/bin dir", "/app/bin/run program", "/app/notes.txt file", "/app/run link", "/app/tmp sticky"];
    assert_eq!(places(&files), expected);
    files.add_parents().unwrap();
    assert_eq!(places(&files)[0], "/app dir");
    assert_eq!(files.iter().count(), 6);
}

#[test]
fn a_file_is_added_under_a_name_or_into_a_folder() {
    let folder = folder();
    let mut files = Files::default();
    files.add(&folder.path().join("notes.txt"), "/etc/notes").unwrap();
    files.add(&folder.path().join("notes.txt"), "/etc/").unwrap();
    // A link that is named is followed.
    files.add(&folder.path().join("run"), "/bin/").unwrap();
    assert_eq!(places(&files), ["/bin/run program", "/etc/notes file", "/etc/notes.txt file"]);
}

/// Checks that adding what `prepare` makes is refused.
fn refused(prepare: impl Fn(&Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut files = Files::default();
    let error = files.add(folder.path(), "/app").and_then(|()| files.check()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_has_no_place_in_an_image_is_refused() {
    refused(|path| fs::write(path.join(".wh.passwd"), "").unwrap(), "deletes a file of the base image");
    refused(
        |path| drop(std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap()),
        "neither a file, a folder nor a symbolic link",
    );
    refused(
        |path| {
            use std::os::unix::ffi::OsStrExt as _;
            fs::write(path.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        },
        "is not UTF-8",
    );
}

#[test]
fn two_things_in_one_place_are_refused() {
    let folder = folder();
    let mut files = Files::default();
    files.add(&folder.path().join("notes.txt"), "/app").unwrap();
    let twice = files.add(&folder.path().join("notes.txt"), "/app").unwrap_err();
    assert!(twice.to_string().starts_with("`/app` is added twice\nhint: "), "{twice}");
    files.add(&folder.path().join("notes.txt"), "/app/notes").unwrap();
    let below = files.check().unwrap_err();
    assert!(below.to_string().starts_with("`/app/notes` is below `/app`"), "{below}");
    let absent = files.add(&folder.path().join("absent"), "/x").unwrap_err();
    assert!(absent.to_string().ends_with("/absent"), "{absent}");
}

#[test]
fn too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(folder.path().join("large")).unwrap();
    sparse.set_len(BYTES_MAX + 1).unwrap();
    let error = Files::default().add(folder.path(), "/").unwrap_err();
    assert!(error.to_string().starts_with("more than 8 GiB are added"), "{error}");
    let mut files = Files::default();
    for number in 0..ENTRIES_MAX {
        files.add_bytes(ImagePath::parse(&format!("/{number}")).unwrap(), Bytes::new(), false).unwrap();
    }
    let error = files.add_bytes(ImagePath::parse("/one-more").unwrap(), Bytes::new(), false).unwrap_err();
    assert!(error.to_string().starts_with("more than 100000 files"), "{error}");
}

#[test]
fn accounts_are_numbers() {
    let check = |text: &str, expected: Option<(u32, u32)>| {
        assert_eq!(text.parse::<Account>().ok().map(|account| (account.user, account.group)), expected, "{text}");
    };
    check("65532:65532", Some((65532, 65532)));
    check("1000", Some((1000, 1000)));
    check("nobody", None);
    check("1:", None);
    check("-1:0", None);
}
