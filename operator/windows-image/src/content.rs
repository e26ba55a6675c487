//! Do two images of a builder hold the same, though they were made at different times?
//!
//! BuildKit writes the time of day into layers of Windows, so the same Dockerfile of the same commit never gives the same digest twice. What
//! counts for a node is what is compared here: names, kinds, links, attributes, permissions and bytes; and the configuration without its times.

use crate::digest::{Digest, Hashing};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Read};

/// The record that holds the time of day.
const TIME: &str = "LIBARCHIVE.creationtime";
/// PAX records that repeat what is asked of each entry, or its time.
const REPEATED: [&str; 6] = [TIME, "mtime", "atime", "ctime", "path", "linkpath"];

/// A digest over what is in an unpacked layer, in its order, but for times.
///
/// # Errors
/// Reading failed, or it is no tar.
pub fn of_layer(layer: impl Read) -> io::Result<Digest> {
    let mut list = String::new();
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            let key = String::from_utf8_lossy(record.key_bytes()).into_owned();
            if !REPEATED.contains(&key.as_str()) {
                records.push((key, record.value_bytes().to_vec()));
            }
        }
        let (path, link) = (entry.path_bytes().into_owned(), entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        let (kind, mode) = (entry.header().entry_type(), entry.header().mode()?);
        let mut content = Hashing::new(&mut entry);
        io::copy(&mut content, &mut io::sink())?;
        let (digest, size, _) = content.finish();
        // Debug quotes: no name can pass for two.
        let _ = writeln!(list, "{path:?} {link:?} {kind:?} {mode:o} {records:?} {size} {digest}");
    }
    Ok(Digest::of(list.as_bytes()))
}

/// A configuration without its times, and without the digests of layers that hold times.
///
/// # Errors
/// It is no JSON.
pub fn of_config(config: &[u8]) -> serde_json::Result<Value> {
    let mut value: Value = serde_json::from_slice(config)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("created");
        fields.remove("rootfs");
    }
    let history = value.get_mut("history").and_then(Value::as_array_mut);
    for step in history.into_iter().flatten().filter_map(Value::as_object_mut) {
        step.remove("created");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer of one file.
    fn layer(time: &str, seconds: u64, descriptor: &str, content: &str, path: &str) -> Digest {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions([(TIME, time.as_bytes()), ("MSWINDOWS.rawsd", descriptor.as_bytes())]).expect("in memory");
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(seconds);
        tar.append_data(&mut header, path, content.as_bytes()).expect("in memory");
        of_layer(tar.into_inner().expect("in memory").as_slice()).expect("a layer")
    }

    #[test]
    fn times_make_no_difference_and_all_else_does() {
        let one = layer("1.5", 1, "abc", "MZ", "Files/app/a.exe");
        assert_eq!(one, layer("2.5", 2, "abc", "MZ", "Files/app/a.exe"));
        for other in [
            layer("1.5", 1, "abd", "MZ", "Files/app/a.exe"),
            layer("1.5", 1, "abc", "ZM", "Files/app/a.exe"),
            layer("1.5", 1, "abc", "MZ", "Files/app/b.exe"),
        ] {
            assert_ne!(one, other);
        }
        assert!(of_layer("no tar, and long enough to be looked at as a header of one".repeat(20).as_bytes()).is_err());
    }

    #[test]
    fn configurations_are_compared_without_their_times() {
        let config = |created: &str, user: &str| {
            let text = format!(
                r#"{{"created":"{created}","config":{{"User":"{user}"}},"rootfs":{{"diff_ids":["{created}"]}},"history":[{{"created":"{created}","created_by":"COPY"}}]}}"#
            );
            of_config(text.as_bytes()).expect("JSON")
        };
        assert_eq!(config("1", "ContainerUser"), config("2", "ContainerUser"));
        assert_ne!(config("1", "ContainerUser"), config("1", "app"));
        assert!(of_config(b"no").is_err());
    }
}
