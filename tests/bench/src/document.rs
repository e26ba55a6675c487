//! Where do the results of a benchmark go? Between two marks of a document, which bear its name.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A document of `docs`, and the benchmark whose results are in it.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    file: &'static str,
    benchmark: &'static str,
}

impl Document {
    /// Of `bench_image`.
    pub const IMAGES: Self = Self { file: "benchmarks.md", benchmark: "bench_image" };
    /// Of `bench_engines`.
    pub const ENGINES: Self = Self { file: "engines.md", benchmark: "bench_engines" };
    /// Of `bench_operator`.
    pub const OPERATOR: Self = Self { file: "scale.md", benchmark: "bench_operator" };

    /// Puts results in the place of those of the last run.
    pub fn write(&self, results: &str) -> Result<()> {
        let path = self.path();
        let text = self.read()?;
        fs::write(&path, self.between(&text, results)?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(self.file)
    }

    fn read(&self) -> Result<String> {
        let path = self.path();
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn marks(&self) -> [String; 2] {
        ["begin", "end"].map(|word| format!("<!-- {}: {word} -->\n", self.benchmark))
    }

    fn between(&self, text: &str, results: &str) -> Result<String> {
        let [begin, end] = self.marks();
        let (before, rest) = text.split_once(&begin).context("the document has no mark where results begin")?;
        let (_, after) = rest.split_once(&end).context("the document has no mark where results end")?;
        Ok(format!("{before}{begin}{results}{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_those_of_the_last_run_alone() -> Result<()> {
        for document in [Document::IMAGES, Document::ENGINES, Document::OPERATOR] {
            let [begin, end] = document.marks();
            let new = document.between(&format!("# Title\n\n{begin}old\n{end}\nThe end.\n"), "new\n")?;
            assert_eq!(new, format!("# Title\n\n{begin}new\n{end}\nThe end.\n"));
            assert!(document.between("no marks", "new").is_err());
            // The document in the repository has its marks, and a table between them.
            let text = document.read()?;
            let (_, results) = text.split_once(&begin).with_context(|| format!("{document:?} has no mark"))?;
            assert!(results.contains("| ") && document.between(&text, "new")?.contains("new"));
        }
        Ok(())
    }
}
