//! Fenced blocks of Markdown, and what a page says about who executes them.
//!
//! The first word behind the fence is the language, the rest is the mark:
//!
//! | fence | meaning |
//! |---|---|
//! | `sh tour` | executed by the tour of the page |
//! | `sh tour background` | so too; it stands for another terminal |
//! | `LANGUAGE tour file PATH` | the tour writes it to this file |
//! | `sh step NAME`, `console step NAME` | what it says is done by that step of `cargo xtask test` |
//! | `sh not-run: REASON` | executed by nobody, and why |

use anyhow::{Context as _, bail, ensure};

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    /// The line of the opening fence, counted from 1.
    pub(crate) line: usize,
    /// The language, such as `sh`; empty where none is named.
    pub(crate) language: &'a str,
    /// Who executes it.
    pub(crate) mark: Mark<'a>,
    /// The lines in it.
    pub(crate) lines: Vec<&'a str>,
}

/// Who executes a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    /// The tour of the page, and it goes on when the block has ended.
    Tour,
    /// The tour of the page, beside the blocks that follow.
    Background,
    /// The tour of the page writes the block to this file.
    File(&'a str),
    /// A step of `cargo xtask test` does what the block says.
    Step(&'a str),
    /// Nobody, for this reason.
    NotRun(&'a str),
    /// Something else stands behind the language, or nothing.
    Other(&'a str),
}

/// Returns the fenced blocks of a document.
///
/// # Errors
/// A block that is not closed, or a mark that is not known.
pub(crate) fn fences(document: &str) -> anyhow::Result<Vec<Fence<'_>>> {
    let mut fences = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let number = index + 1;
        let (language, rest) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
        let mark = Mark::parse(language, rest.trim()).with_context(|| format!("line {number}: `{}`", info.trim()))?;
        let mut content = Vec::new();
        loop {
            let Some((_, line)) = lines.next() else { bail!("line {number}: the block is not closed") };
            if line.trim() == "```" {
                break;
            }
            content.push(line);
        }
        fences.push(Fence { line: number, language, mark, lines: content });
    }
    Ok(fences)
}

// === impl Mark ===

impl<'a> Mark<'a> {
    fn parse(language: &str, text: &'a str) -> anyhow::Result<Self> {
        let mark = match text {
            "tour" => Self::Tour,
            "tour background" => Self::Background,
            _ => {
                if let Some(path) = text.strip_prefix("tour file ") {
                    return Ok(Self::File(path.trim()));
                }
                if let Some(name) = text.strip_prefix("step ") {
                    Self::Step(name.trim())
                } else if let Some(reason) = text.strip_prefix("not-run:") {
                    ensure!(!reason.trim().is_empty(), "a block that is not run says why: `not-run: REASON`");
                    return Ok(Self::NotRun(reason.trim()));
                } else {
                    let first = text.split([' ', ':']).next().unwrap_or_default();
                    ensure!(
                        !matches!(first, "tour" | "step" | "not-run"),
                        "the marks are `tour`, `tour background`, `tour file PATH`, `step NAME` and `not-run: REASON`"
                    );
                    return Ok(Self::Other(text));
                }
            }
        };
        // What a step does may be shown with what it prints.
        let may_be_console = language == "console" && matches!(mark, Self::Step(_));
        ensure!(language == "sh" || may_be_console, "only a block of `sh` is executed");
        Ok(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_with_their_marks() {
        let check = |info: &str, language: &str, mark: Mark<'_>| {
            let document = format!("a\n```{info}\none\n  two\n```\n");
            let expected = Fence { line: 2, language, mark, lines: vec!["one", "  two"] };
            assert_eq!(fences(&document).unwrap(), [expected], "{info}");
        };
        check("sh tour", "sh", Mark::Tour);
        check("sh tour background", "sh", Mark::Background);
        check("yaml tour file a/b.yaml", "yaml", Mark::File("a/b.yaml"));
        check("sh step image", "sh", Mark::Step("image"));
        check("console step api server", "console", Mark::Step("api server"));
        check("sh not-run: it takes hours", "sh", Mark::NotRun("it takes hours"));
        check("dockerfile not-run: no base", "dockerfile", Mark::NotRun("no base"));
        check("yaml suite", "yaml", Mark::Other("suite"));
        check("", "", Mark::Other(""));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let check = |document: &str, expected: &str| {
            let error = format!("{:#}", fences(document).unwrap_err());
            assert!(error.contains(expected), "{document}: {error}");
        };
        check("```sh\n```\n```bash tour\n```\n", "line 3: `bash tour`: only a block of `sh`");
        check("```sh tour backgruond\n```\n", "the marks are");
        check("```sh not-run\n```\n", "the marks are");
        check("```sh not-run: \n```\n", "says why");
        check("a\n```sh tour\necho a\n", "line 2: the block is not closed");
    }
}
