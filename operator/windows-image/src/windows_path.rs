//! Which names and places may a file have in a Windows image?
//!
//! Layers are imported with `\\?\` paths, under which Windows itself checks next to nothing: a name such as `con` or `a.` would be made
//! and could never be opened or deleted again, `a:b` would become a stream of `a`, and `.wh.a` would delete `a` of the base. So all of
//! that is refused here. Source: "Naming Files, Paths, and Namespaces" of the Windows documentation; OCI image-spec, `layer.md`.

use thiserror::Error;

/// What `image.files[].to` has to look like.
pub const FORM: &str = "use a full path such as C:\\app\\web, of letters, digits, dots, underscores and dashes";

/// Windows' own folders, and places that the kubelet mounts to: what is in them has the base's descriptors, which a layer would replace.
const SYSTEM: [&str; 9] = ["windows", "users", "programdata", "perflogs", "recovery", "boot", "inetpub", "var", "config.msi"];
/// `MAX_PATH`: longer ones cannot be opened by most programs.
const LONGEST_PATH: usize = 259;
const LONGEST_NAME: usize = 255;

/// Why a file cannot be there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnfitPath {
    /// A character, or the whole name, means something else.
    #[error("{0:?} cannot be a file name on Windows ({1}); rename it in the repository, or leave it out with image.files[].ignore")]
    Name(String, &'static str),
    /// The folder is not ours to write to.
    #[error("choose C:\\app or a folder of your own; Windows' own folders are not written to")]
    System,
    /// Nothing below the drive.
    #[error("{FORM}")]
    Form,
    /// Too long to be opened.
    #[error("{0:?} is longer than {LONGEST_PATH} characters, more than most Windows programs can open; choose a shorter image.files[].to")]
    TooLong(String),
}

/// The components of a path on drive C, checked.
///
/// # Errors
/// It is not on drive C, in one of Windows' own folders, too long, or a name in it is unfit.
pub fn components(path: &str) -> Result<Vec<&str>, UnfitPath> {
    let below = path.strip_prefix(r"C:\").or_else(|| path.strip_prefix(r"c:\")).ok_or(UnfitPath::Form)?;
    let components: Vec<&str> = below.split('\\').collect();
    for name in &components {
        legal(name)?;
    }
    own_folder(path)?;
    if path.encode_utf16().count() > LONGEST_PATH {
        return Err(UnfitPath::TooLong(path.chars().take(300).collect()));
    }
    Ok(components)
}

/// Whether the top-level folder of a path on drive C is one that may be written to.
///
/// # Errors
/// [`UnfitPath::System`].
pub fn own_folder(path: &str) -> Result<(), UnfitPath> {
    let top = path.split('\\').nth(1).ok_or(UnfitPath::Form)?.to_lowercase();
    // The short names of folders with blanks (`PROGRA~1`) lead into them too.
    let system = SYSTEM.contains(&top.as_str()) || top.contains('~') || top.starts_with("program files") || top.starts_with('$');
    if system { Err(UnfitPath::System) } else { Ok(()) }
}

/// Whether a file or folder can have this name.
///
/// # Errors
/// [`UnfitPath::Name`], with the reason.
pub fn legal(name: &str) -> Result<(), UnfitPath> {
    let unfit = |why| Err(UnfitPath::Name(name.chars().take(100).collect(), why));
    match () {
        () if name.is_empty() || name == "." || name == ".." => unfit("it is no name"),
        () if name.encode_utf16().count() > LONGEST_NAME => unfit("it has more than 255 characters"),
        () if name.contains(':') => unfit("a colon would make it an alternate data stream"),
        () if name.contains(['<', '>', '"', '/', '\\', '|', '?', '*']) => unfit("one of < > \" / \\ | ? * is in it"),
        () if name.contains(char::is_control) => unfit("a control character is in it"),
        () if name.ends_with(['.', ' ']) => unfit("Windows drops a dot or blank at the end"),
        () if name.to_lowercase().starts_with(".wh.") => unfit("in an image layer it would delete a file"),
        () if is_device(name) => unfit("it is the name of a device"),
        () => Ok(()),
    }
}

/// A device keeps its name with any extension.
pub fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |prefix: &str| {
        let mut rest = stem.strip_prefix(prefix).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None))
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// A path as NTFS compares it: by upper case, one character for one.
pub fn folded(path: &str) -> String {
    let upper = |character: char| {
        let mut upper = character.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => character,
        }
    };
    path.chars().map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_cannot_have_are_refused() {
        for good in ["a", "index.html", "[slug].js", "grüße.txt", "日本.png", "a b", ".env", "console", "com10", "com", "a~1", "x.nul"]
        {
            assert_eq!(legal(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        let bad = [
            "",
            ".",
            "..",
            "a:b",
            "a:",
            "a.",
            "a ",
            "CON",
            "con.txt",
            "Nul.tar.gz",
            "com1",
            "LPT9.x",
            "com\u{b9}",
            "conin$",
            "aux .txt",
            "a/b",
            r"a\b",
            "a?",
            "a*",
            "a\"",
            "a<b",
            "a|b",
            "a\nb",
            "a\0",
            "\u{7f}",
            ".wh.a",
            ".WH..wh..opq",
            &long,
        ];
        for bad in bad {
            assert!(legal(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_folders_of_ones_own_are_written_to() {
        for good in [r"C:\app", r"c:\data\web", r"C:\appdata", r"C:\windows-assets\a", r"C:\usr"] {
            assert!(components(good).is_ok(), "{good}");
        }
        for bad in [
            "C:",
            r"C:\",
            r"D:\app",
            "/app",
            r"\app",
            r"C:app",
            r"C:\Windows",
            r"c:\WINDOWS\System32\x",
            r"C:\Users\x",
            r"C:\Program Files\x",
            r"C:\Program Files (x86)",
            r"C:\PROGRA~1\x",
            r"C:\ProgramData",
            r"C:\$Recycle.Bin",
            r"C:\app\..\Windows",
            r"C:\app\",
            r"C:\app\con",
            r"C:\app\a:b",
            r"C:\\app",
        ] {
            assert!(components(bad).is_err(), "{bad}");
        }
        assert!(matches!(components(&format!(r"C:\app\{}", "long/".repeat(60).replace('/', r"\x"))), Err(UnfitPath::TooLong(_))));
    }

    #[test]
    fn names_are_compared_as_ntfs_does() {
        assert_eq!(folded("Grüße/A.TXT"), folded("grÜße/a.txt"));
        assert_ne!(folded("straße"), folded("strasse"));
    }
}
