use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bowline_signature::PrivateKey;
use bowline_types::{Digest, Secret};
use serde::Serialize;

use crate::bundles::{PASSWORD, key_password};
use crate::cli::{BundleKeyGenerate, Global};
use crate::failure::{Failure, Result};
use crate::output::{Format, Table, json};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    private: PathBuf,
    public: PathBuf,
    fingerprint: Digest,
}

/// Makes a pair of keys. Files that are there are not replaced.
///
/// # Errors
/// There is no password, or the files cannot be written.
pub(crate) fn generate(global: &Global, generate: &BundleKeyGenerate) -> Result<()> {
    let password = if generate.no_password {
        Secret::new(String::new())
    } else {
        let password = key_password(generate.key_password.as_ref())?;
        if password.expose().is_empty() {
            let hint = format!(
                "hint: set {PASSWORD}, or say --key-password env:NAME; --no-password leaves the key without protection"
            );
            return Err(Failure::user(format!("there is no password to seal the private key with\n{hint}")));
        }
        password
    };
    let key = PrivateKey::generate()?;
    let public = key.public()?;
    let report = Report {
        private: end(&generate.to, "key"),
        public: end(&generate.to, "pub"),
        fingerprint: public.fingerprint(),
    };
    for path in [&report.private, &report.public] {
        if path.exists() {
            let hint = "hint: no key is ever replaced; `--to` names another place";
            return Err(Failure::user(format!("{} is there already\n{hint}", path.display())));
        }
    }
    create(&report.private, &key.to_pem(&password)?, 0o600)?;
    create(&report.public, &public.to_pem()?, 0o644)?;
    if global.output == Format::Json {
        return json(&report);
    }
    let mut table = Table::default();
    table.row(["private".to_owned(), format!("{}, keep it secret", report.private.display())]);
    table.row(["public".to_owned(), format!("{}, commit it", report.public.display())]);
    table.row(["key".to_owned(), report.fingerprint.to_string()]);
    table.print_plain("");
    Ok(())
}

fn end(prefix: &Path, end: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(end);
    path.into()
}

fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    let cannot = || format!("could not create {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(cannot)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).with_context(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)?;
    Ok(())
}
