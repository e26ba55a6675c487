//! What did the compiler leave, and can it run in a Windows container?

use super::AssembleError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use windows_image::build_info::{BuildInfo, BuildInfoError};
use windows_image::layer::ProgramName;
use windows_image::pe;
use windows_image::pe_file::PeFile;

/// A compiled program that can run in a Windows container.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Its name in the image.
    pub name: ProgramName,
    /// Bytes.
    pub size: u64,
    /// What the linker wrote into it, or why that cannot be read.
    pub build_info: Result<BuildInfo, String>,
}

impl Program {
    /// The only program in the compiler's output folder, checked.
    ///
    /// # Errors
    /// There is none, or several, or it cannot run.
    pub fn in_folder(folder: &Path) -> Result<Self, AssembleError> {
        let failed = |source| AssembleError::ReadProgram { path: folder.into(), source };
        let mut found: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            found.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        found.sort();
        match found.as_slice() {
            [name] if name.ends_with(".exe") => Self::open(&folder.join(name), name),
            [] => Err(AssembleError::FindProgram { folder: folder.into(), found: "nothing".into() }),
            several => Err(AssembleError::FindProgram {
                folder: folder.into(),
                found: several.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// A program by the name that it has in the image, checked.
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, AssembleError> {
        let failed = |source| AssembleError::ReadProgram { path: path.into(), source };
        let name = name.parse()?;
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(std::io::Error::other("not a regular file")));
        }
        let mut start = Vec::with_capacity(pe::HEADER_BYTES);
        file.take(pe::HEADER_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
        pe::check(&start)?;
        let opened = File::open(path).map_err(failed)?;
        let build_info = PeFile::open(opened).map_err(BuildInfoError::from).and_then(|mut file| BuildInfo::read(&mut file));
        Ok(Self { path: path.into(), name, size: metadata.len(), build_info: build_info.map_err(|error| error.to_string()) })
    }
}
