//! What is wrong with one entry of a layer, looked at alone?

use crate::security::SecurityDescriptor;
use crate::verify::Rule;
use crate::verify::Verdict;
use crate::windows_path::is_device;
use std::io::{self, Read};
use tar::EntryType;

/// Windows' own folders: what a layer says of them replaces what the base says.
const SYSTEM: [&str; 7] = ["windows", "program files", "program files (x86)", "programdata", "users", "perflogs", "$recycle.bin"];
const WHITEOUT: &str = ".wh.";

type Complaint = (Rule, Verdict, String);

/// What is looked at.
pub(super) struct Entry {
    /// Its path, without a slash at the end.
    pub path: String,
    kind: EntryType,
    target: Option<String>,
    attribute: Option<Vec<u8>>,
    descriptor: Option<Vec<u8>>,
}

impl Entry {
    pub fn read<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = text(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let target = entry.link_name_bytes().map(|bytes| text(&bytes));
        let kind = entry.header().entry_type();
        let mut facts = Self { path, kind, target, attribute: None, descriptor: None };
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            match record.key_bytes() {
                b"MSWINDOWS.fileattr" => facts.attribute = Some(record.value_bytes().to_vec()),
                b"MSWINDOWS.rawsd" => facts.descriptor = Some(record.value_bytes().to_vec()),
                _ => {}
            }
        }
        Ok(facts)
    }

    pub fn is_folder(&self) -> bool {
        self.kind.is_dir()
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse)
    }

    /// Only layers of a base hold registry hives and the utility VM.
    pub fn is_of_windows(&self) -> bool {
        self.path.starts_with("UtilityVM/") || (self.path.starts_with("Hives/") && self.is_file())
    }

    pub fn complaints(&self) -> Vec<Complaint> {
        let mut all = Vec::new();
        all.extend(self.name());
        all.extend(self.link());
        all.extend(self.system_folder());
        if self.path.starts_with("Files/") && !self.is_whiteout() && (self.is_folder() || self.is_file()) {
            all.extend(self.records());
            all.extend(self.access());
        }
        all
    }

    fn last(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn is_whiteout(&self) -> bool {
        self.last().starts_with(WHITEOUT)
    }

    fn name(&self) -> Option<Complaint> {
        let name = self.last();
        let plain = name.strip_prefix(WHITEOUT).unwrap_or(name);
        let why = match () {
            () if ["", ".", ".."].contains(&plain) || self.path.starts_with('/') => "is no name below the layer's root",
            () if plain.contains(':') => "names an alternate data stream: it is hidden in another file",
            () if plain.contains(['<', '>', '"', '\\', '|', '?', '*']) || plain.contains(char::is_control) => {
                "has a character that Windows names cannot have"
            }
            () if plain.ends_with(['.', ' ']) => "ends with a dot or a blank, which Windows drops",
            () if is_device(plain) => "has the name of a device",
            () => return None,
        };
        Some((Rule::LayerNames, Verdict::Failed, why.to_owned()))
    }

    fn link(&self) -> Option<Complaint> {
        let failed = |why: String| Some((Rule::LayerLinks, Verdict::Failed, why));
        match self.kind {
            EntryType::Link => {
                let target = self.target.as_deref().unwrap_or_default();
                let inside = target.starts_with("Files/") && !target.split('/').any(|part| part == "..");
                if inside { None } else { failed(format!("is a hard link to {target:?}, which is not under Files")) }
            }
            EntryType::Symlink if self.is_outward() => failed(format!(
                "is a symbolic link to {:?}, which leads out of the image's drive",
                self.target.as_deref().unwrap_or_default()
            )),
            EntryType::Char | EntryType::Block | EntryType::Fifo => failed("is a device or a pipe, which Windows files cannot be".into()),
            _ if self.last() == ".wh..wh..opq" => failed("hides a whole folder, for which Windows layers have no form".into()),
            _ => None,
        }
    }

    /// Leads above the layer's root.
    fn is_outward(&self) -> bool {
        let target = self.target.as_deref().unwrap_or_default().replace('\\', "/");
        let mut depth = if target.starts_with('/') { 0 } else { self.path.matches('/').count() as i64 - 1 };
        target.split('/').any(|part| {
            depth += match part {
                ".." => -1,
                "" | "." => 0,
                _ => 1,
            };
            depth < 0
        })
    }

    fn system_folder(&self) -> Option<Complaint> {
        let described = self.descriptor.is_some();
        let Some(below) = self.path.strip_prefix("Files/") else {
            let why = "carries a descriptor: it may replace the permissions of C:\\ itself";
            return (self.path == "Files" && described).then(|| (Rule::SystemFolders, Verdict::Warning, why.to_owned()));
        };
        let top = below.split('/').next().unwrap_or_default().to_lowercase();
        let top = top.strip_prefix(WHITEOUT).unwrap_or(&top);
        if !SYSTEM.contains(&top) {
            return None;
        }
        Some(match (self.is_folder() && described, self.is_whiteout()) {
            (true, _) => {
                let why = "replaces the permissions of a folder of Windows; write to a new folder such as C:\\app";
                (Rule::SystemFolders, Verdict::Failed, why.to_owned())
            }
            (false, true) => (Rule::SystemFolders, Verdict::Warning, "takes something of Windows away".to_owned()),
            (false, false) => (Rule::SystemFolders, Verdict::Warning, "is in a folder of Windows".to_owned()),
        })
    }

    fn records(&self) -> Option<Complaint> {
        let wanted: &[u8] = if self.is_folder() { b"16" } else { b"32" };
        let missing = match (&self.attribute, &self.descriptor) {
            (Some(attribute), Some(_)) if attribute == wanted => return None,
            (Some(_), Some(_)) => "has an unusual MSWINDOWS.fileattr",
            (None, Some(_)) => "lacks MSWINDOWS.fileattr",
            (Some(_), None) => "lacks MSWINDOWS.rawsd",
            (None, None) => "lacks MSWINDOWS.fileattr and MSWINDOWS.rawsd",
        };
        Some((Rule::LayerRecords, Verdict::Warning, missing.to_owned()))
    }

    fn access(&self) -> Option<Complaint> {
        let raw = self.descriptor.as_ref()?;
        let Some(descriptor) = SecurityDescriptor::from_base64(raw) else {
            return Some((Rule::LayerAcl, Verdict::Failed, "has a descriptor that cannot be read: the import would fail".into()));
        };
        let loose = descriptor.looseness(self.is_folder());
        (!loose.is_empty()).then(|| (Rule::LayerAcl, Verdict::Warning, format!("is not strict: {}", loose.join("; "))))
    }
}
