//! What does the writer note on the descriptors of its layers?
//!
//! Size and digest of the program itself cannot be seen in manifests and configurations. Whoever trusts the manifest's digest may trust these
//! notes.

use crate::files::FilesLayer;
use crate::layer::Layer;
use crate::manifest::{Descriptor, Manifest};
use crate::warnings::Learned;
use std::collections::BTreeMap;

/// On the application layer's descriptor: sha256 of the program, in hex.
pub const PROGRAM_SHA256: &str = "dev.gowindows.program.sha256";
/// On the application layer's descriptor: bytes of the program.
pub const PROGRAM_BYTES: &str = "dev.gowindows.program.bytes";

/// On the application layer's descriptor: the warnings, as codes with commas between them; absent where there are none.
pub const WARNINGS: &str = "dev.gowindows.warnings";
/// On the descriptor of the layer of `image.files`: how many files are in it.
pub const FILES_COUNT: &str = "dev.gowindows.files.count";
/// On the descriptor of the layer of `image.files`: their bytes, uncompressed.
pub const FILES_BYTES: &str = "dev.gowindows.files.bytes";

/// The notes for a layer of files that was written.
pub fn files_annotations(layer: &FilesLayer) -> BTreeMap<String, String> {
    BTreeMap::from([(FILES_BYTES.to_string(), layer.bytes.to_string()), (FILES_COUNT.to_string(), layer.files.to_string())])
}

/// The layers of a manifest that are not the base's: the program's, which is the last, and before it one of files, if its descriptor says
/// that it is one.
pub fn own_layers(manifest: &Manifest) -> &[Descriptor] {
    let is_files = |layer: &Descriptor| layer.annotations.contains_key(FILES_COUNT);
    let own = match manifest.layers.as_slice() {
        [.., files, _] if is_files(files) => 2,
        layers => layers.len().min(1),
    };
    &manifest.layers[manifest.layers.len() - own..]
}

/// The notes for a layer that was written.
pub fn annotations(layer: &Layer, learned: &Learned) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([
        (PROGRAM_BYTES.to_string(), layer.program_size.to_string()),
        (PROGRAM_SHA256.to_string(), layer.program.hex().to_string()),
    ]);
    if !learned.warnings.is_empty() {
        let codes: Vec<String> = learned.warnings.iter().map(ToString::to_string).collect();
        notes.insert(WARNINGS.to_string(), codes.join(","));
    }
    notes
}
