use std::path::Path;

use super::{Problem, source};
use crate::workspace::Workspace;

/// Macros that stand for code that is not there.
const MACROS: [&str; 3] = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
/// Words of comments that promise work nobody can look up.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];
const OPEN: &str = concat!("TO", "DO");

/// Checks that nothing is left open without an issue to its name.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in workspace.files(&["rs", "py", "sh", "sql", "toml"])? {
        let text = workspace.text(&path)?;
        find(&path, &text, &mut problems);
    }
    Ok(problems)
}

fn find(path: &Path, text: &str, problems: &mut Vec<Problem>) {
    for (index, line) in text.lines().enumerate() {
        let mark = MARKS.into_iter().find(|mark| words(line).any(|word| word == *mark));
        if let Some(mark) = mark {
            problems.push(Problem::at_line(path, index + 1, format!("`{mark}`: mend it or open an issue")));
        }
        let numbered = format!("{OPEN}(#");
        if words(line).any(|word| word == OPEN) && !line.contains(&numbered) {
            problems.push(Problem::at_line(
                path,
                index + 1,
                format!("`{OPEN}` without an issue; write `{numbered}12)`"),
            ));
        }
    }
    if path.extension().is_some_and(|extension| extension == "rs") {
        for (index, line) in source::mask(text).lines().enumerate() {
            let found = MACROS.into_iter().find(|name| line.contains(name));
            problems.extend(found.map(|name| Problem::at_line(path, index + 1, format!("`{name}` is left"))));
        }
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, line: &str, expected: usize) {
        let mut problems = Vec::new();
        find(Path::new(path), line, &mut problems);
        assert_eq!(problems.len(), expected, "{line}: {problems:?}");
    }

    #[test]
    fn what_is_left_open_is_found() {
        check("a.rs", &format!("{}(\"later\")", MACROS[0]), 1);
        check("a.rs", &format!("// {}(\"later\")", MACROS[0]), 0);
        check("a.rs", &format!("let text = \"{}\";", MACROS[1]), 0);
        check("a.py", &format!("# {}: later", MARKS[0]), 1);
        check("a.rs", &format!("// {OPEN}: later"), 1);
        check("a.rs", &format!("// {OPEN}(#12): later"), 0);
        check("a.rs", "// the method", 0);
    }
}
