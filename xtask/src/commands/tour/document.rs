//! The tours of a document.
//!
//! Blocks with a mark of `crate::fences` are the tour, in order. A line `# prints: TEXT` in one says that its output contains TEXT. Beside
//! them, a page directs its tour by lines that readers do not see:
//!
//! | line | meaning |
//! |---|---|
//! | `<!-- tour needs: NAME, NAME -->` | programs without which the tour cannot be taken |
//! | `<!-- tour after: PATH -->` | the blocks of that document come first |
//! | `<!-- tour stands in: TEXT => TEXT -->` | what readers see to the left is executed as what is to the right |
//! | `<!-- tour anew -->` | ends the tour; what follows is another, in a folder of its own |
//!
//! A block within a comment is executed and not shown.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::fences::{Mark, fences};

const PRINTS: &str = "# prints: ";
const DIRECTIVE: &str = "<!-- tour ";

/// What is executed in one shell and one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tour {
    /// The programs that it needs.
    pub(super) needs: Vec<String>,
    /// The document whose blocks come first, relative to the root of the workspace.
    pub(super) after: Option<PathBuf>,
    /// What is executed in place of what is shown.
    pub(super) stand_ins: Vec<StandIn>,
    /// Its blocks.
    pub(super) blocks: Vec<Block>,
}

/// What is executed in place of something that only a reader has, such as a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StandIn {
    /// What the page shows.
    pub(super) shown: String,
    /// What is executed.
    pub(super) executed: String,
}

/// One block of a tour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The document and the line of its first command, counted from 1.
    pub(super) place: String,
    /// What the output must contain.
    pub(super) prints: Vec<String>,
    /// What it does.
    pub(super) work: Work,
}

/// What a block does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Executes commands.
    Run(String),
    /// Executes commands beside the blocks that follow.
    RunBeside(String),
    /// Writes a file.
    Write {
        /// Where, relative to the folder in which the shell is.
        path: String,
        /// What is in it.
        content: String,
    },
}

/// Returns the tours of a document that have a block.
///
/// # Errors
/// A block that cannot be read, a directive that is not known, a block in the background that does not say when it is ready, a stand-in for
/// something that no block shows.
pub(super) fn tours(path: &Path, document: &str) -> anyhow::Result<Vec<Tour>> {
    let mut blocks = blocks(path, document)?.into_iter().peekable();
    let mut tours = vec![Tour::default()];
    for (index, line) in document.lines().enumerate() {
        let Some(tour) = tours.last_mut() else { continue };
        while let Some((_, block)) = blocks.next_if(|(line, _)| *line <= index + 1) {
            tour.blocks.push(block);
        }
        if let Some(directive) = line.trim().strip_prefix(DIRECTIVE) {
            let place = || format!("{}:{}", path.display(), index + 1);
            match directive.strip_suffix("-->").map(str::trim) {
                Some("anew") => tours.push(Tour::default()),
                Some(directive) => tour.direct(directive).with_context(place)?,
                None => bail!("{}: the comment does not end in its line", place()),
            }
        }
    }
    if let Some(tour) = tours.last_mut() {
        tour.blocks.extend(blocks.map(|(_, block)| block));
    }
    tours.retain(|tour| !tour.blocks.is_empty());
    tours.iter_mut().try_for_each(Tour::put_stand_ins).with_context(|| path.display().to_string())?;
    Ok(tours)
}

/// Returns the blocks that a tour executes, each with the line of its fence.
fn blocks(path: &Path, document: &str) -> anyhow::Result<Vec<(usize, Block)>> {
    let mut blocks = Vec::new();
    for fence in fences(document).with_context(|| path.display().to_string())? {
        let is_file = matches!(fence.mark, Mark::File(_));
        let prints = |line: &&str| line.trim_start().strip_prefix(PRINTS).filter(|_| !is_file).map(str::to_owned);
        let content: String =
            fence.lines.iter().filter(|line| prints(line).is_none()).flat_map(|line| [*line, "\n"]).collect();
        let prints: Vec<_> = fence.lines.iter().filter_map(prints).collect();
        let place = format!("{}:{}", path.display(), fence.line + 1);
        let work = match fence.mark {
            Mark::Tour => Work::Run(content),
            Mark::Background => {
                ensure!(
                    !prints.is_empty(),
                    "{place}: a block in the background needs a `{PRINTS}` line that says when it is ready"
                );
                Work::RunBeside(content)
            }
            Mark::File(path) => Work::Write { path: path.to_owned(), content },
            Mark::Step(_) | Mark::NotRun(_) | Mark::Other(_) => continue,
        };
        blocks.push((fence.line, Block { place, prints, work }));
    }
    Ok(blocks)
}

// === impl Tour ===

impl Tour {
    fn direct(&mut self, directive: &str) -> anyhow::Result<()> {
        let (key, value) = directive.split_once(':').map_or((directive, ""), |(key, value)| (key, value.trim()));
        match key {
            "needs" => {
                let names = value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
                self.needs.extend(names);
            }
            "after" => self.after = Some(PathBuf::from(value)),
            "stands in" => {
                let (shown, executed) =
                    value.split_once("=>").with_context(|| format!("`{value}` is not `TEXT => TEXT`"))?;
                let stand_in = StandIn { shown: shown.trim().to_owned(), executed: executed.trim().to_owned() };
                ensure!(!stand_in.shown.is_empty(), "`{value}` stands in for nothing");
                self.stand_ins.push(stand_in);
            }
            _ => bail!("`tour {key}` is not known: there are `needs`, `after`, `stands in` and `anew`"),
        }
        Ok(())
    }

    /// Puts what is executed in place of what is shown.
    fn put_stand_ins(&mut self) -> anyhow::Result<()> {
        for stand_in in &self.stand_ins {
            let mut is_used = false;
            for text in self.blocks.iter_mut().map(|block| block.work.text()) {
                if text.contains(&stand_in.shown) {
                    *text = text.replace(&stand_in.shown, &stand_in.executed);
                    is_used = true;
                }
            }
            ensure!(is_used, "no block of the tour shows `{}`, which something stands in for", stand_in.shown);
        }
        Ok(())
    }
}

// === impl Work ===

impl Work {
    fn text(&mut self) -> &mut String {
        match self {
            Self::Run(text) | Self::RunBeside(text) | Self::Write { content: text, .. } => text,
        }
    }
}

#[cfg(test)]
mod tests;
