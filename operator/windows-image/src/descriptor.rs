//! Who may do what with the program on the node? The Windows security descriptors of the layer's entries.
//!
//! `readOnlyRootFilesystem` does not exist on Windows: these descriptors are what keeps a program from replacing itself.
//! They are self-relative `SECURITY_DESCRIPTOR`s in base64, as tar layers carry them (`MSWINDOWS.rawsd`). Owner is the
//! group Administrators, group is SYSTEM; the list is protected, so nothing is inherited from `C:\`:
//! SYSTEM and Administrators may do everything, Users may read and execute.

/// For a directory: `O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)`.
pub const STRICT_DIRECTORY: &str = "AQAEkBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAAxQA/wEfAAEBAAAAAAAFEgAAAAADGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAADGACpABIAAQIAAAAAAAUgAAAAIQIAAA==";

/// For a file: `O:BAG:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;BU)`.
pub const STRICT_FILE: &str = "AQAEkBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABQA/wEfAAEBAAAAAAAFEgAAAAAAGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAAAGACpABIAAQIAAAAAAAUgAAAAIQIAAA==";

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    /// Decodes a descriptor to SDDL: the layout of [MS-DTYP] 2.4.6, 2.4.5 and 2.4.4.2.
    fn sddl(base64: &str) -> String {
        let raw = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
        let u16_at = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let sid = |at: usize| {
            let parts: Vec<u32> = (0..raw[at + 1] as usize).map(|part| u32_at(at + 8 + 4 * part)).collect();
            match (raw[at + 7], parts.as_slice()) {
                (5, [18]) => "SY",
                (5, [32, 544]) => "BA",
                (5, [32, 545]) => "BU",
                other => panic!("an unexpected principal {other:?}"),
            }
        };
        let control = u16_at(2);
        assert_eq!((raw[0], control & 0x8004, u32_at(12)), (1, 0x8004, 0), "self-relative, with a DACL, without a SACL");
        let acl = u32_at(16) as usize;
        let mut text =
            format!("O:{}G:{}D:{}", sid(u32_at(4) as usize), sid(u32_at(8) as usize), if control & 0x1000 != 0 { "P" } else { "" });
        let mut at = acl + 8;
        for _ in 0..u16_at(acl + 4) {
            assert_eq!(raw[at], 0, "an entry that allows");
            let inherit = if raw[at + 1] == 3 { "OICI" } else { "" };
            let rights = if u32_at(at + 4) == 0x1f01ff { "FA".to_string() } else { format!("{:#x}", u32_at(at + 4)) };
            text += &format!("(A;{inherit};{rights};;;{})", sid(at + 8));
            at += u16_at(at + 2) as usize;
        }
        assert_eq!((at, acl + u16_at(acl + 2) as usize), (raw.len(), raw.len()), "nothing follows the list");
        text
    }

    #[test]
    fn the_strict_descriptors_say_what_they_are_documented_to_say() {
        assert_eq!(sddl(STRICT_DIRECTORY), "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)");
        assert_eq!(sddl(STRICT_FILE), "O:BAG:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;BU)");
    }
}
