use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use bytes::Bytes;

use super::*;

const TIME: u64 = 1_700_000_000;
const LONG: &str = "a-folder-with-a-name-of-some-length/and-another-one-below-it/so-that-the-path-of-the-file-at-its-end/does-not-fit.txt";

/// Makes the same tree with what must not matter done differently: the order, the umask, the times.
fn tree(backwards: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut names = vec!["b.txt", "a.txt", LONG, "bin/run"];
    if backwards {
        names.reverse();
    }
    for name in names {
        fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
        fs::write(path.join(name), name.repeat(100)).unwrap();
        let mode = if name == "bin/run" { 0o755 } else { 0o644 };
        let mode = if backwards { mode & 0o700 } else { mode };
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("../a.txt", path.join("bin/link")).unwrap();
    symlink("/etc/ssl/certs/ca-certificates.crt", path.join("certs")).unwrap();
    folder
}

fn write(folder: &Path, account: Account) -> (Layer, Vec<u8>) {
    let mut files = Files::default();
    files.add(folder, "/app").unwrap();
    files.add_bytes(ImagePath::parse("/etc/passwd").unwrap(), Bytes::from_static(b"root:x:0:0::/:\n"), false).unwrap();
    files.add_parents().unwrap();
    let mut bytes = Vec::new();
    let layer = write_layer(&files, account, TIME, &mut bytes).unwrap();
    (layer, bytes)
}

#[test]
fn one_tree_in_two_folders_is_one_layer() {
    let (here, there) = (tree(false), tree(true));
    let ((first, bytes), (second, _)) =
        (write(here.path(), Account::default()), write(there.path(), Account::default()));
    assert_eq!(first, second);
    assert_eq!(Digest::of(&bytes), first.digest);
    assert_eq!(bytes.len() as u64, first.size);
    let mut archive = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut archive).unwrap();
    assert_eq!(Digest::of(&archive), first.diff_id);
    let other = write(here.path(), Account { user: 65532, group: 65532 });
    assert_ne!(other.0.diff_id, first.diff_id);
}

/// Holds the form of layers: a change of it, or of the compressor, changes the digest of every image.
#[test]
fn the_digests_of_a_known_tree() {
    let (layer, _) = write(tree(false).path(), Account::default());
    assert_eq!(layer.diff_id.to_string(), "sha256:e97d5b53c267cd169d339f8919b054f529f2664a76e88fcdf43f4421a6e7c26a");
    assert_eq!(layer.digest.to_string(), "sha256:7cd06afdabbee7b5adf0f0c3d3d11690e4139344d1ec45d183eff4bdced51a7f");
}

/// What the system's own `tar` says about it.
#[test]
fn tar_reads_it() {
    let (_, bytes) = write(tree(false).path(), Account { user: 65532, group: 65533 });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar.gz");
    fs::write(&file, bytes).unwrap();
    let list = Command::new("tar").arg("--utc").arg("--numeric-owner").arg("-tvzf").arg(&file).output().unwrap();
    assert!(list.status.success() && list.stderr.is_empty(), "{}", String::from_utf8_lossy(&list.stderr));
    let text = String::from_utf8(list.stdout).unwrap();
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let entry = |mode: &str, size: usize, name: &str| format!("{mode} 65532/65533 {size} 2023-11-14 22:13 {name}");
    assert_eq!(lines.first().unwrap(), &entry("drwxr-xr-x", 0, "app/"));
    for line in [
        entry("-rw-r--r--", 500, "app/a.txt"),
        entry("-rw-r--r--", LONG.len() * 100, &format!("app/{LONG}")),
        entry("-rwxr-xr-x", 700, "app/bin/run"),
        entry("lrwxrwxrwx", 0, "app/bin/link -> ../a.txt"),
        entry("lrwxrwxrwx", 0, "app/certs -> /etc/ssl/certs/ca-certificates.crt"),
        entry("-rw-r--r--", 15, "etc/passwd"),
    ] {
        assert!(lines.contains(&line), "{line} is not in {lines:#?}");
    }
    let unpacked =
        Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder.path()).stderr(Stdio::inherit()).status();
    assert!(unpacked.unwrap().success());
    assert_eq!(fs::read_to_string(folder.path().join("app/bin/link")).unwrap(), "a.txt".repeat(100));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let check = |change: fn(&Path)| {
        let folder = tree(false);
        let mut files = Files::default();
        files.add(folder.path(), "/").unwrap();
        change(&folder.path().join("a.txt"));
        let error = write_layer(&files, Account::default(), 0, io::sink()).unwrap_err().to_string();
        assert!(error.contains("a.txt changed while it was read\nhint: "), "{error}");
    };
    check(|path| fs::write(path, "shorter").unwrap());
    check(|path| fs::write(path, "longer".repeat(1000)).unwrap());
}

#[test]
fn a_full_disk_is_told() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tree(false);
    let mut files = Files::default();
    files.add(folder.path(), "/").unwrap();
    let error = write_layer(&files, Account::default(), 0, Full).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
}

/// A short read must not change the digest of a layer.
#[test]
fn the_compressor_does_not_see_how_bytes_arrive() {
    let text: Vec<u8> =
        (0..200_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_string().into_bytes()).collect();
    let compressed = |chunk: usize| {
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::new(LEVEL));
        text.chunks(chunk).for_each(|part| gzip.write_all(part).unwrap());
        Digest::of(&gzip.finish().unwrap())
    };
    let whole = compressed(text.len());
    for chunk in [1, 257, 4096, 65_537] {
        assert_eq!(compressed(chunk), whole, "{chunk}");
    }
}
