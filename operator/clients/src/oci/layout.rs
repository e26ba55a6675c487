//! Images in a folder: reading and writing OCI image layouts.

use super::OciError;
use super::manifests::{Fetched, LARGEST_MANIFEST};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use windows_image::Digest;
use windows_image::assemble::Blob;
use windows_image::manifest::{Descriptor, Document, Index, media_type};

const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An OCI image layout.
#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.folder.display())
    }
}

impl Layout {
    /// The layout in this folder; nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Makes an empty layout. An existing layout is kept and gets more blobs; a folder with other things in it is refused.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn create(folder: &Path) -> Result<Self, OciError> {
        let layout = Self::new(folder);
        let attempt = format!("make an OCI layout in {}", folder.display());
        let strange = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) && !folder.join("oci-layout").exists();
        if strange {
            return Err(OciError::local(attempt, "the folder is not empty and holds no OCI layout; name a new one"));
        }
        let made = fs::create_dir_all(folder.join("blobs/sha256")).and_then(|()| fs::write(folder.join("oci-layout"), MARKER));
        made.map(|()| layout).map_err(|error| OciError::local(attempt, error))
    }

    /// The file of a blob, present or not.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    /// What the layout holds: its one image, or its index if it holds several.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn top(&self) -> Result<Fetched, OciError> {
        let attempt = format!("read {self}");
        let bytes = read_at_most(&self.folder.join("index.json"), LARGEST_MANIFEST)
            .map_err(|error| OciError::local(&attempt, format!("index.json: {error}")))?;
        match Document::parse(&bytes) {
            Ok(Document::Index(Index { manifests, .. })) if manifests.len() == 1 => self.manifest(&manifests[0].digest),
            Ok(Document::Index(_)) => Ok(Fetched { digest: Digest::of(&bytes), media_type: media_type::INDEX.into(), bytes }),
            Ok(Document::Manifest(_)) => Err(OciError::local(attempt, "index.json is not an index")),
            Err(error) => Err(OciError::local(attempt, format!("index.json: {error}"))),
        }
    }

    /// A manifest or index, checked against its digest.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn manifest(&self, digest: &Digest) -> Result<Fetched, OciError> {
        let bytes = self.small_blob(digest, LARGEST_MANIFEST)?;
        Ok(Fetched { digest: digest.clone(), media_type: String::new(), bytes })
    }

    /// A blob of at most `most` bytes, checked against its digest.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn small_blob(&self, digest: &Digest, most: usize) -> Result<Vec<u8>, OciError> {
        let failed = |detail: String| OciError::local(format!("read blob {digest} of {self}"), detail);
        let bytes = read_at_most(&self.path(digest), most).map_err(|error| failed(error.to_string()))?;
        if Digest::of(&bytes) != *digest {
            return Err(failed("the content has another digest".into()));
        }
        Ok(bytes)
    }

    /// Adds a small blob.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), OciError> {
        fs::write(self.path(digest), bytes).map_err(|error| OciError::local(format!("write blob {digest} of {self}"), error))
    }

    /// Makes an image the only entry of `index.json`, with its tags as names for tools that load layouts.
    ///
    /// # Errors
    /// [`OciError::Local`].
    pub fn write_index(&self, top: &Blob, tag: Option<&str>) -> Result<(), OciError> {
        let name = tag.map(|tag| ("org.opencontainers.image.ref.name".to_string(), tag.to_string()));
        let entry = Descriptor { annotations: name.into_iter().collect::<BTreeMap<_, _>>(), ..top.descriptor() };
        let index =
            Index { schema_version: 2, media_type: Some(media_type::INDEX.into()), manifests: vec![entry], annotations: BTreeMap::new() };
        let failed = |error: &dyn fmt::Display| OciError::local(format!("write index.json of {self}"), error);
        let bytes = serde_json::to_vec(&index).map_err(|error| failed(&error))?;
        fs::write(self.folder.join("index.json"), bytes).map_err(|error| failed(&error))
    }
}

fn read_at_most(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(std::io::Error::other(format!("more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("a layout");
        let bytes = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
        let top = Blob { media_type: media_type::INDEX, digest: Digest::of(&bytes), bytes };
        layout.write_blob(&top.digest, &top.bytes).and_then(|()| layout.write_index(&top, Some("v1"))).expect("written");
        assert_eq!(layout.top().expect("one image").digest, top.digest);
        fs::write(layout.path(&top.digest), b"changed").expect("written");
        assert!(layout.top().is_err_and(|error| error.to_string().contains("another digest")));
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("thesis.txt"), "").expect("written");
        assert!(Layout::create(folder.path()).is_err());
        assert!(Layout::new(folder.path()).top().is_err_and(|error| error.to_string().contains("index.json")));
    }
}
