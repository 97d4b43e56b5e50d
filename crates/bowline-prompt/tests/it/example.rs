//! The example project of the repository checks without a finding, and renders from its version alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_prompt::{RenderInput, Source, Version, check, render_diagnostic};
use serde_json::{Map, json};

/// The files of a folder.
struct Folder(PathBuf);

impl Source for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut paths = Vec::new();
        list(&self.0, &self.0, &mut paths)?;
        Ok(paths)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }
}

fn list(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, paths)?;
        } else if let Ok(inside) = path.strip_prefix(root) {
            paths.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

#[test]
fn the_example_is_a_good_project() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/support-desk");
    let source = Folder(folder);
    let report = check(&source, &|_| Ok(()));
    let found: String = report.diagnostics.iter().map(|diagnostic| render_diagnostic(diagnostic, None)).collect();
    assert_eq!(found, "");
    let prompt = report.prompt(&"support/classify".parse().unwrap()).unwrap();
    assert_eq!(prompt.fields.success.0.len(), 3);

    // A gateway has the version and no files.
    let stored = serde_json::to_string(&prompt.version).unwrap();
    let version: Version = serde_json::from_str(&stored).unwrap();
    assert_eq!(version.digest(), prompt.digest);
    let template = version.template().unwrap();
    let variables = Map::from_iter([("ticket".to_owned(), json!("I was charged twice"))]);
    version.input_schema().unwrap().validate(&variables).unwrap();
    let (context, history) = (Map::new(), []);
    let input = RenderInput {
        variables: &variables,
        defaults: &version.input.default,
        context: &context,
        history: &history,
        nonce: 7,
    };
    let messages = template.render(&input).unwrap();
    assert_eq!(messages.len(), 2);
}
