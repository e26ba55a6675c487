//! What in a program may not work in its container? (MUST 23: said, never a failure.)
//!
//! ```text
//! program -> Linked (facts) -> Warning (for the base's flavor) -> code on the layer's descriptor -> text for people
//! ```
//!
//! The codes are noted on the application layer's descriptor, so they come back with the image from any registry: a lost
//! status loses no warning. They are found from import tables and from the functions that are linked; a DLL's name among a
//! program's strings says nothing.

use crate::Flavor;
use crate::imports;
use crate::pclntab::{self, PclntabError};
use crate::pe_file::{PeError, PeFile};
use crate::windows_apis::WindowsApis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Seek};
use std::str::FromStr;

/// The package whose roots of trust travel in the program.
pub const FALLBACK_ROOTS: &str = "golang.org/x/crypto/x509roots/fallback";
/// What makes Go on Windows use them.
pub const USE_FALLBACK_ROOTS: &str = "x509usefallbackroots=1";
/// More than this many would be read by nobody.
pub(super) const MOST_WARNINGS: usize = 12;
const LONGEST_PART: usize = 120;

/// One thing that may not work. Written as a short code, parts separated by `|`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Warning {
    /// Go code needs what the base lacks: `AbsentApi|netapi32.dll|os/user`.
    AbsentApi {
        /// A DLL or facility.
        api: String,
        /// The package that needs it.
        package: String,
    },
    /// The program's import table names a DLL that the base lacks: `AbsentImport|user32.dll`.
    AbsentImport {
        /// The DLL.
        dll: String,
    },
    /// A file beside the program imports a DLL that the base lacks: `AbsentFileImport|C:\app\odbc.dll|user32.dll`.
    AbsentFileImport {
        /// Its path in the image.
        file: String,
        /// The DLL.
        dll: String,
    },
    /// The program holds C code.
    Cgo,
    /// The program opens TLS connections and brings no roots of trust.
    TlsRoots,
    /// What is linked could not be read: nothing of the above was looked for.
    Unread,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AbsentApi { api, package } => write!(f, "AbsentApi|{api}|{package}"),
            Self::AbsentImport { dll } => write!(f, "AbsentImport|{dll}"),
            Self::AbsentFileImport { file, dll } => write!(f, "AbsentFileImport|{file}|{dll}"),
            Self::Cgo => f.write_str("Cgo"),
            Self::TlsRoots => f.write_str("TlsRoots"),
            Self::Unread => f.write_str("Unread"),
        }
    }
}

/// A code of a newer version, or none at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWarning(String);

impl fmt::Display for UnknownWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a warning that this version knows", self.0)
    }
}

impl FromStr for Warning {
    type Err = UnknownWarning;

    fn from_str(code: &str) -> Result<Self, UnknownWarning> {
        Ok(match code.split('|').collect::<Vec<_>>()[..] {
            ["AbsentApi", api, package] => Self::AbsentApi { api: part(api), package: part(package) },
            ["AbsentImport", dll] => Self::AbsentImport { dll: part(dll) },
            ["AbsentFileImport", file, dll] => Self::AbsentFileImport { file: part(file), dll: part(dll) },
            ["Cgo"] => Self::Cgo,
            ["TlsRoots"] => Self::TlsRoots,
            ["Unread"] => Self::Unread,
            _ => return Err(UnknownWarning(part(code))),
        })
    }
}

impl TryFrom<String> for Warning {
    type Error = UnknownWarning;

    fn try_from(code: String) -> Result<Self, UnknownWarning> {
        code.parse()
    }
}

impl From<Warning> for String {
    fn from(warning: Warning) -> Self {
        warning.to_string()
    }
}

/// Names come from a program that somebody wrote: no control characters, no separators, no novel.
pub(super) fn part(text: &str) -> String {
    text.chars().filter(|character| !character.is_control() && !"|,".contains(*character)).take(LONGEST_PART).collect()
}

impl Warning {
    /// The warning for people, with its remedy. `apis` may know a special one.
    pub fn text(&self, apis: &WindowsApis) -> String {
        let remedy = |api: &str| {
            let special = apis.named(api).and_then(|entry| entry.remedy.clone());
            special.unwrap_or_else(|| "put the DLL beside the program (image.files) or build on ServerCore (image.base.flavor)".into())
        };
        match self {
            Self::AbsentApi { api, package } => format!("Package {package} needs {api}, which the base lacks: {}.", remedy(api)),
            Self::AbsentImport { dll } => {
                format!("The program imports {dll}, which the base lacks, so it will not start: {}.", remedy(dll))
            }
            Self::AbsentFileImport { file, dll } => format!(
                "The file {file} imports {dll}, which the base lacks, so it cannot be loaded: put {dll} into C:\\app (image.files) or build on \
                 ServerCore (image.base.flavor)."
            ),
            Self::Cgo => {
                "The program holds C code (cgo): its DLLs must be in the image or in the base, and its bytes depend on the C compiler."
                    .into()
            }
            Self::TlsRoots => format!(
                "The program opens TLS connections but brings no roots of trust, and Windows containers hold few and fetch others from \
                 Windows Update, which fails behind proxies: add `import _ \"{FALLBACK_ROOTS}\"` to the main package."
            ),
            Self::Unread => {
                "The functions of the program could not be read (is its Go newer than this operator?), so nothing about them was checked."
                    .into()
            }
        }
    }
}

/// The texts of codes as a status holds them; codes of a newer version stay as they are.
pub fn texts(codes: &[String]) -> Vec<String> {
    let apis = WindowsApis::shipped();
    codes.iter().map(|code| code.parse::<Warning>().map_or_else(|_| format!("{}.", part(code)), |warning| warning.text(apis))).collect()
}

/// What a program says of itself, as far as its image depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// C code.
    pub cgo: bool,
    /// [`FALLBACK_ROOTS`] is linked.
    pub fallback_roots: bool,
    /// Code that opens TLS connections is linked.
    pub tls_client: bool,
    /// DLLs of the import tables.
    pub dlls: BTreeSet<String>,
    /// APIs of the data, each with the packages that need it.
    pub apis: BTreeMap<String, BTreeSet<String>>,
    /// There is no table of Go functions that could be read.
    pub unread: bool,
}

impl Linked {
    /// Looks through an opened program. Memory does not grow with the program.
    ///
    /// # Errors
    /// Reading failed, or its PE structure is damaged.
    pub fn read(file: &mut PeFile<impl Read + Seek>, apis: &WindowsApis) -> Result<Self, PeError> {
        let mut linked = Self { dlls: imports::dlls(file)?, ..Self::default() };
        let read = pclntab::function_names(file, |function| linked.function(function, apis));
        match read {
            Ok(_) => {}
            Err(PclntabError::Pe(error)) => return Err(error),
            Err(PclntabError::NotFound | PclntabError::Damaged) => linked = Self { dlls: linked.dlls, unread: true, ..Self::default() },
        }
        Ok(linked)
    }

    fn function(&mut self, function: &str, apis: &WindowsApis) {
        let package = pclntab::package(function);
        self.cgo |= package == "runtime/cgo";
        self.fallback_roots |= package == FALLBACK_ROOTS;
        self.tls_client |= apis.tls_clients.iter().any(|client| client == function);
        for entry in &apis.absent_apis {
            if let Some(named) = entry.needed_by(function, package) {
                self.apis.entry(entry.name.clone()).or_default().insert(named.to_string());
            }
        }
    }

    /// What may not work on these flavors of base; a base whose flavor is not known lacks nothing.
    pub fn warnings(&self, apis: &WindowsApis, flavors: &BTreeSet<Flavor>) -> Vec<Warning> {
        let Self { cgo, fallback_roots, tls_client, dlls, apis: needed, unread } = self;
        let absent = |name: &str| apis.is_absent(name, flavors);
        let mut warnings = Vec::new();
        for (api, packages) in needed.iter().filter(|(api, _)| absent(api)) {
            warnings.extend(packages.iter().map(|package| Warning::AbsentApi { api: part(api), package: part(package) }));
        }
        warnings.extend(dlls.iter().filter(|dll| absent(dll)).map(|dll| Warning::AbsentImport { dll: part(dll) }));
        let plain = [(*cgo, Warning::Cgo), (*tls_client && !fallback_roots, Warning::TlsRoots), (*unread, Warning::Unread)];
        warnings.extend(plain.into_iter().filter(|(is_so, _)| *is_so).map(|(_, warning)| warning));
        warnings.truncate(MOST_WARNINGS);
        warnings
    }
}

/// What was learned from a program before its image was assembled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Noted on the layer.
    pub warnings: Vec<Warning>,
    /// The image's environment must switch them on.
    pub fallback_roots: bool,
}

impl Learned {
    /// Looks through a program that will stand on bases of these flavors. One that cannot be read is warned of: that it can run
    /// is for others to check.
    ///
    /// # Errors
    /// Reading failed.
    pub fn read(file: impl Read + Seek, apis: &WindowsApis, flavors: &BTreeSet<Flavor>) -> io::Result<Self> {
        let linked = match PeFile::open(file).and_then(|mut file| Linked::read(&mut file, apis)) {
            Ok(linked) => linked,
            Err(PeError::Read(error)) => return Err(error),
            Err(PeError::Damaged(_)) => Linked { unread: true, ..Linked::default() },
        };
        Ok(Self { warnings: linked.warnings(apis, flavors), fallback_roots: linked.fallback_roots })
    }
}

/// Switches the roots of [`FALLBACK_ROOTS`] on, in `NAME=value` items: an own value of that setting stays as it is, other
/// settings of Go in `GODEBUG` are kept.
pub fn use_fallback_roots(environment: &mut Vec<String>) {
    let is_godebug = |item: &&mut String| item.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("GODEBUG"));
    let Some(item) = environment.iter_mut().find(is_godebug) else {
        environment.push(format!("GODEBUG={USE_FALLBACK_ROOTS}"));
        return;
    };
    let settings = item.split_once('=').map(|(_, value)| value.to_string()).unwrap_or_default();
    let is_set = |setting: &str| setting.split('=').next().is_some_and(|key| key.trim() == "x509usefallbackroots");
    if settings.is_empty() {
        item.push_str(USE_FALLBACK_ROOTS);
    } else if !settings.split(',').any(is_set) {
        item.push(',');
        item.push_str(USE_FALLBACK_ROOTS);
    }
}

#[cfg(test)]
mod tests;
