//! Is an application layer one that a Windows node can import, and is the program in it?
//!
//! Reads a tar once, from start to end. What a layer unpacks to is limited, so that a small download cannot keep us busy for
//! long. Ours is held to the letter ([`Tree::findings_of_ours`]); in a layer of another tool what may work is a warning.

mod entry;
mod unpacked;

pub use unpacked::{Unpacked, unpacked};

use crate::layer::ProgramName;
use crate::pe;
use crate::verify::Rule;
use crate::verify::{Finding, Verdict};
use entry::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

/// No layer of ours holds more than four entries; one that someone else wrote may hold assets.
const MOST_ENTRIES: usize = 100_000;

/// What was read of any layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// It holds Windows itself, so it is a layer of a base.
    pub is_windows: bool,
    /// The program, if it is there.
    pub program: Option<FoundProgram>,
    /// Entries, links and folders included.
    pub entries: usize,
    under_files: usize,
    hives: bool,
    first: Option<String>,
    folders: BTreeSet<String>,
    names: BTreeMap<String, String>,
    /// The first complaint of each kind, and how many more there were.
    complaints: BTreeMap<(Rule, Verdict), (String, usize)>,
}

/// The program that an image starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// Bytes.
    pub size: u64,
    /// Why it cannot run.
    pub unfit: Option<String>,
}

/// Reads an unpacked layer to its end. `program` is its path in the layer (any case); its bytes also go to `sink`.
///
/// # Errors
/// Reading or writing failed, it is no tar, or it has too many entries.
pub fn tree(mut tar: impl Read, program: Option<&str>, sink: &mut impl Write) -> io::Result<Tree> {
    let mut seen = Tree::default();
    let mut archive = tar::Archive::new(&mut tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if seen.entries == MOST_ENTRIES {
            return Err(io::Error::other(format!("the layer has more than {MOST_ENTRIES} entries")));
        }
        seen.entries += 1;
        let facts = Entry::read(&mut entry)?;
        if facts.is_file() && program.is_some_and(|program| program.eq_ignore_ascii_case(&facts.path)) {
            seen.program = Some(read_program(&mut entry, sink)?);
        }
        seen.take(facts);
    }
    // The tar may end before the layer does; its digest is over everything.
    io::copy(&mut tar, &mut io::sink())?;
    Ok(seen)
}

fn read_program(mut entry: impl Read, sink: &mut impl Write) -> io::Result<FoundProgram> {
    let mut start = Vec::with_capacity(pe::HEADER_BYTES);
    (&mut entry).take(pe::HEADER_BYTES as u64).read_to_end(&mut start)?;
    let unfit = pe::check(&start).err().map(|error| error.to_string());
    let size = io::copy(&mut io::Cursor::new(start).chain(entry), sink)?;
    Ok(FoundProgram { size, unfit })
}

impl Tree {
    fn take(&mut self, entry: Entry) {
        let Entry { path, .. } = &entry;
        self.first.get_or_insert_with(|| shown(path));
        self.is_windows |= entry.is_of_windows();
        self.hives |= path == "Hives";
        self.under_files += usize::from(path == "Files" || path.starts_with("Files/"));
        let mut complaints = Vec::new();
        if !self.is_placed(&entry) {
            complaints.push((Rule::LayerTree, Verdict::Failed, "is not under Files, or comes before its folder".to_owned()));
        }
        if let Some(other) = self.names.insert(path.to_lowercase(), path.clone()).filter(|other| other != path) {
            complaints.push((
                Rule::LayerNames,
                Verdict::Failed,
                format!("differs from {:?} by case alone: Windows keeps one of them", shown(&other)),
            ));
        }
        complaints.extend(entry.complaints());
        for (rule, verdict, message) in complaints {
            let text = format!("the layer's entry {:?} {message}", shown(path));
            self.complaints.entry((rule, verdict)).and_modify(|(_, more)| *more += 1).or_insert((text, 0));
        }
        if entry.is_folder() {
            self.folders.insert(entry.path);
        }
    }

    fn is_placed(&self, entry: &Entry) -> bool {
        match entry.path.rsplit_once('/') {
            None => entry.is_folder() && (entry.path == "Hives" || entry.path == "Files"),
            Some((parent, _)) => self.folders.contains(parent) && entry.path.starts_with("Files/"),
        }
    }

    /// The rules about a layer's tree; none of a layer of Windows itself, which others answer for.
    pub fn findings(&self) -> Vec<Finding> {
        if self.is_windows {
            return Vec::new();
        }
        if let (0, Some(first)) = (self.under_files, &self.first) {
            let message = format!(
                "a plain Linux layer: none of its {} entries is under Files (the first is {first:?}); tools that do not know Windows make such ones",
                self.entries
            );
            return vec![Finding::of(Rule::LayerTree, false, message)];
        }
        let rules = [
            (Rule::LayerTree, "all entries are under Files, parents first"),
            (Rule::LayerNames, "all names can stand on Windows"),
            (Rule::LayerLinks, "links stay in the image"),
            (Rule::SystemFolders, "the folders of Windows are left alone"),
            (Rule::LayerRecords, "files and folders carry Windows attributes and descriptors"),
            (Rule::LayerAcl, "ordinary users cannot change what is in the layer"),
        ];
        let mut findings =
            vec![Finding::of(Rule::LayerHives, self.hives, if self.hives { "Hives is there" } else { "the layer has no folder Hives" })];
        for (rule, good) in rules {
            let found = [Verdict::Failed, Verdict::Warning].map(|verdict| Some((verdict, self.complaints.get(&(rule, verdict))?)));
            let before = findings.len();
            findings.extend(found.into_iter().flatten().map(|(verdict, (text, more))| {
                let rest = if *more > 0 { format!(" ({more} more like it)") } else { String::new() };
                Finding::new(rule, verdict, format!("{text}{rest}"))
            }));
            if findings.len() == before {
                findings.push(Finding::of(rule, true, good));
            }
        }
        findings
    }

    /// The rules about a layer of ours, which holds a program. What may work in a layer of somebody else must not stand in it.
    pub fn findings_of_ours(&self, program: &ProgramName) -> Vec<Finding> {
        let mut findings = self.findings();
        findings.push(self.program_finding(&program.layer_path()));
        for finding in findings.iter_mut().filter(|finding| finding.verdict == Verdict::Warning) {
            finding.verdict = Verdict::Failed;
        }
        findings
    }

    /// Whether the program is in this layer, and can run.
    pub fn program_finding(&self, path: &str) -> Finding {
        let message = match &self.program {
            None => format!("the layer has no {path}"),
            Some(FoundProgram { unfit: Some(why), .. }) => why.clone(),
            Some(_) => "the program is a console program for amd64".into(),
        };
        Finding::of(Rule::LayerProgram, self.program.as_ref().is_some_and(|program| program.unfit.is_none()), message)
    }
}

/// Names come from strangers.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
