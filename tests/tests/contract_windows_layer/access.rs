//! What was said of the entries of a layer, and what of it must not be?

use serde::Deserialize;

/// What a program may do with its own files where only administrators change them.
const WANTED: [&str; 2] = ["read", "execute"];

/// Who was asked about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asker {
    /// The user.
    pub user: String,
    /// Groups by which something is allowed.
    pub enabled: Vec<String>,
    /// Groups by which something is denied alone.
    pub deny_only: Vec<String>,
}

/// A file or folder of a layer.
#[derive(Debug, Deserialize)]
pub struct Entry {
    name: String,
    /// As in `WIN32_FIND_DATA`.
    pub attributes: u32,
    /// In SDDL. None: Windows is given none, and nobody was asked.
    pub descriptor: Option<String>,
    /// What a program without the rights of an administrator may do.
    pub ordinary: Option<Vec<String>>,
    /// What an administrator may do.
    pub administrator: Option<Vec<String>>,
}

impl Entry {
    /// Its path in the layer; some write folders with a slash at the end.
    pub fn name(&self) -> &str {
        self.name.trim_end_matches('/')
    }

    /// What it lacks, or has too much, for a program that must not change its own files.
    fn complaint(&self) -> Option<String> {
        let name = self.name();
        let Some(allowed) = &self.ordinary else {
            return Some(format!("{name}: no descriptor"));
        };
        let missing: Vec<_> = WANTED.into_iter().filter(|right| !allowed.iter().any(|allowed| allowed == right)).collect();
        let further: Vec<_> = allowed.iter().map(String::as_str).filter(|right| !WANTED.contains(right)).collect();
        let parts = [("may not", missing), ("may", further)];
        let parts: Vec<_> =
            parts.iter().filter(|(_, rights)| !rights.is_empty()).map(|(may, rights)| format!("{may} {}", rights.join(", "))).collect();
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join("; ")))
    }
}

/// What is wrong with a layer, below `C:\`. Nothing: its files may be read and executed, and nothing else.
pub fn complaints(entries: &[Entry]) -> Vec<String> {
    entries.iter().filter(|entry| entry.name().starts_with("Files/")).filter_map(Entry::complaint).collect()
}
