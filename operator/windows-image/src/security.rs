//! What does a Windows security descriptor allow to whom? Reads the self-relative form in which layers carry it.
//!
//! `SECURITY_DESCRIPTOR`, `ACL` and `ACE` of [MS-DTYP] 2.4.6, 2.4.5 and 2.4.4, as far as a file's access goes. Only what may be
//! changed is looked at: everybody may read a program.

use base64::Engine as _;
use std::collections::BTreeMap;

/// Windows allows 64 KiB.
const LONGEST: usize = 64 * 1024;
const SE_DACL_PRESENT: u16 = 0x4;
const SE_SELF_RELATIVE: u16 = 0x8000;
const ACCESS_ALLOWED: u8 = 0;
const ACCESS_DENIED: u8 = 1;

/// Principals whose members are ordinary: whoever runs as ContainerUser is one of them.
const ORDINARY: [(&str, &str); 6] = [
    ("S-1-1-0", "everyone"),
    ("S-1-5-4", "interactive users"),
    ("S-1-5-7", "anonymous users"),
    ("S-1-5-11", "authenticated users"),
    ("S-1-5-32-545", "members of Users"),
    ("S-1-5-93-2-2", "ContainerUser"),
];

/// Rights that change something, for files and for folders (generic ones first).
const CHANGES: [(u32, &str, &str); 10] = [
    (0x1000_0000, "do everything with it", "do everything in it"),
    (0x4000_0000, "write to it", "create files and folders"),
    (0x0000_0002, "write to it", "create files"),
    (0x0000_0004, "append to it", "create folders"),
    (0x0000_0010, "change its extended attributes", "change its extended attributes"),
    (0x0000_0040, "delete what is in it", "delete what is in it"),
    (0x0000_0100, "change its attributes", "change its attributes"),
    (0x0001_0000, "delete it", "delete it"),
    (0x0004_0000, "change its permissions", "change its permissions"),
    (0x0008_0000, "take it over", "take it over"),
];

/// What could be read of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// The owner, who may always change permissions: `S-1-5-32-544`.
    pub owner: Option<String>,
    /// Who may do what; none: everyone may do everything.
    pub dacl: Option<Vec<Entry>>,
}

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Allows; otherwise denies.
    pub allows: bool,
    /// Who.
    pub sid: String,
    /// What: an access mask.
    pub mask: u32,
}

impl SecurityDescriptor {
    /// Decodes the value of a `MSWINDOWS.rawsd` record. None: it is no descriptor.
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        let decoded = (text.len() <= 2 * LONGEST).then(|| base64::engine::general_purpose::STANDARD.decode(text));
        Self::parse(&decoded?.ok()?)
    }

    /// Reads a self-relative descriptor. None: it is none, or its parts do not fit into it.
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let control = u16_at(raw, 2)?;
        if raw.first() != Some(&1) || control & SE_SELF_RELATIVE == 0 {
            return None;
        }
        let owner = u32_at(raw, 4)? as usize;
        let owner = if owner == 0 { None } else { Some(sid(raw.get(owner..)?)?) };
        let list = u32_at(raw, 16)? as usize;
        let dacl = if control & SE_DACL_PRESENT == 0 || list == 0 { None } else { Some(entries(raw.get(list..)?)?) };
        Some(Self { owner, dacl })
    }

    /// What ordinary users may change: `members of Users may create files`. Empty for a strict descriptor.
    pub fn looseness(&self, folder: bool) -> Vec<String> {
        let mut loose = Vec::new();
        if let Some(name) = self.owner.as_deref().and_then(ordinary) {
            loose.push(format!("{name} own it and may change its permissions"));
        }
        let Some(entries) = &self.dacl else {
            loose.push("it has no DACL at all, which allows everyone everything".into());
            return loose;
        };
        let mut denied: BTreeMap<&str, u32> = BTreeMap::new();
        for Entry { allows, sid, mask } in entries {
            let before = denied.entry(sid).or_default();
            if !allows {
                *before |= mask;
                continue;
            }
            let left = mask & !*before;
            let may = CHANGES.iter().find(|(bit, _, _)| left & bit != 0).map(|(_, file, all)| if folder { all } else { file });
            if let (Some(name), Some(may)) = (ordinary(sid), may) {
                loose.push(format!("{name} may {may}"));
            }
        }
        loose.dedup();
        loose
    }
}

fn ordinary(sid: &str) -> Option<&'static str> {
    ORDINARY.iter().find(|(known, _)| *known == sid).map(|(_, name)| *name)
}

fn entries(list: &[u8]) -> Option<Vec<Entry>> {
    let list = list.get(..usize::from(u16_at(list, 2)?))?;
    let (count, mut rest) = (u16_at(list, 4)?, list.get(8..)?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (kind, size) = (*rest.first()?, usize::from(u16_at(rest, 2)?));
        let entry = rest.get(..size).filter(|entry| entry.len() >= 8)?;
        // Others are for audits, or for objects of directories: neither opens a file.
        if kind == ACCESS_ALLOWED || kind == ACCESS_DENIED {
            entries.push(Entry { allows: kind == ACCESS_ALLOWED, mask: u32_at(entry, 4)?, sid: sid(entry.get(8..)?)? });
        }
        rest = rest.get(size..)?;
    }
    Some(entries)
}

/// `S-1-5-32-545`
fn sid(raw: &[u8]) -> Option<String> {
    let (revision, count) = (*raw.first()?, usize::from(*raw.get(1)?));
    let authority = raw.get(2..8)?.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let parts = raw.get(8..8 + 4 * count).filter(|_| count <= 15)?;
    let parts = parts.chunks_exact(4).filter_map(|part| u32_at(part, 0));
    Some(parts.fold(format!("S-{revision}-{authority}"), |sid, part| format!("{sid}-{part}")))
}

fn u16_at(raw: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes([*raw.get(at)?, *raw.get(at + 1)?]))
}

fn u32_at(raw: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16_at(raw, at)?) | u32::from(u16_at(raw, at + 2)?) << 16)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::descriptor::{STRICT_DIRECTORY, STRICT_FILE};

    /// A descriptor with this owner and these entries (allows, mask, principal), or without a list.
    pub(crate) fn descriptor(owner: &[u32], list: Option<&[(bool, u32, &[u32])]>) -> String {
        let sid = |parts: &[u32]| {
            let mut raw = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, 5];
            raw.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
            raw
        };
        let owner = sid(owner);
        let control = SE_SELF_RELATIVE | if list.is_some() { SE_DACL_PRESENT } else { 0 };
        let mut raw = vec![1, 0];
        raw.extend(control.to_le_bytes());
        let dacl = if list.is_some() { 20 + owner.len() as u32 } else { 0 };
        raw.extend([20_u32, 20, 0, dacl].iter().flat_map(|offset| offset.to_le_bytes()));
        raw.extend(&owner);
        if let Some(list) = list {
            let entries: Vec<u8> = list
                .iter()
                .flat_map(|(allows, mask, who)| {
                    let who = sid(who);
                    let mut entry = vec![u8::from(!allows), 0];
                    entry.extend((8 + who.len() as u16).to_le_bytes());
                    entry.extend(mask.to_le_bytes());
                    entry.extend(who);
                    entry
                })
                .collect();
            raw.extend([2, 0]);
            raw.extend((8 + entries.len() as u16).to_le_bytes());
            raw.extend((list.len() as u16).to_le_bytes());
            raw.extend([0, 0]);
            raw.extend(entries);
        }
        base64::engine::general_purpose::STANDARD.encode(raw)
    }

    pub(crate) const ADMINISTRATORS: &[u32] = &[32, 544];
    pub(crate) const USERS: &[u32] = &[32, 545];

    fn loose(text: &str, folder: bool) -> Vec<String> {
        SecurityDescriptor::from_base64(text.as_bytes()).expect("a descriptor").looseness(folder)
    }

    #[test]
    fn our_own_descriptors_allow_ordinary_users_no_change() {
        assert_eq!((loose(STRICT_DIRECTORY, true), loose(STRICT_FILE, false)), (vec![], vec![]));
    }

    #[test]
    fn what_other_tools_allow_is_named() {
        // BuildKit's folders: (A;CI;LC;;;BU)(A;CI;DC;;;BU).
        let buildkit = descriptor(ADMINISTRATORS, Some(&[(true, 0x1f01ff, ADMINISTRATORS), (true, 0x4, USERS), (true, 0x2, USERS)]));
        assert_eq!(loose(&buildkit, true), ["members of Users may create folders", "members of Users may create files"]);
        let ko = descriptor(USERS, None);
        let expected =
            ["members of Users own it and may change its permissions", "it has no DACL at all, which allows everyone everything"];
        assert_eq!(loose(&ko, false), expected);
        let denied = descriptor(ADMINISTRATORS, Some(&[(false, 0x1f01ff, USERS), (true, 0x1f01ff, USERS)]));
        assert_eq!(loose(&denied, false), [""; 0]);
        assert_eq!(loose(&descriptor(ADMINISTRATORS, Some(&[(true, 0x1200a9, USERS)])), false), [""; 0]);
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_it_panic() {
        let raw = base64::engine::general_purpose::STANDARD.decode(STRICT_DIRECTORY).expect("base64");
        for at in 0..raw.len() {
            let _ = SecurityDescriptor::parse(&raw[..at]);
            for value in 0..=255 {
                let mut changed = raw.clone();
                changed[at] = value;
                let _ = SecurityDescriptor::parse(&changed).map(|descriptor| descriptor.looseness(true));
            }
        }
        assert_eq!(SecurityDescriptor::from_base64(b"not base64!"), None);
    }
}
