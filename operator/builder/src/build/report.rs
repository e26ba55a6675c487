//! How is the result shown?

use crate::progress::megabytes;
use gowindows_crds::v1alpha1::ImageStatus;
use std::fmt::Write as _;
use windows_image::warnings;

/// What `status.image` holds, as JSON.
///
/// # Errors
/// Never in practice.
pub fn json(status: &ImageStatus) -> serde_json::Result<String> {
    serde_json::to_string_pretty(status).map(|json| json + "\n")
}

/// One short table.
pub fn table(status: &ImageStatus) -> String {
    let size = |bytes: i64| megabytes(u64::try_from(bytes).unwrap_or_default());
    let mut rows: Vec<(&str, String)> = vec![("image", status.reference.clone()), ("digest", status.digest.clone())];
    if !status.tags.is_empty() {
        rows.push(("tags", status.tags.join(", ")));
    }
    if let Some(binary) = &status.binary {
        rows.push(("program", format!("{}, {} (sha256 {})", binary.name, size(binary.bytes), binary.sha256.get(..12).unwrap_or_default())));
    }
    if let Some(pull) = &status.pull_bytes {
        rows.push((
            "to pull",
            format!("{} on a node that has the base, {} on one that has nothing", size(pull.base_cached), size(pull.cold)),
        ));
    }
    if let (Some(stored), true) = (status.stored_bytes, status.platforms.len() > 1) {
        rows.push(("stored", format!("{} for all releases, what they share once", size(stored))));
    }
    if let Some(sbom) = &status.sbom {
        rows.push(("sbom", sbom.clone()));
    }
    rows.extend(warnings::texts(&status.warnings).into_iter().map(|text| ("warning", text)));
    let mut table = String::new();
    for (name, value) in rows {
        let _ = writeln!(table, "{name:<9}{value}");
    }
    let _ = writeln!(
        table,
        "\n{:<10}{:<20}{:>11}{:>11}{:>11}{:>11}{:>8}",
        "RELEASE", "OS VERSION", "APP LAYER", "UNPACKED", "BASE", "TOTAL", "LAYERS"
    );
    for platform in &status.platforms {
        let release = platform.release.as_deref().unwrap_or("-");
        let sizes = [platform.app_bytes, platform.base_bytes, platform.total_bytes].map(size);
        let unpacked = platform.app_unpacked_bytes.map_or_else(|| "-".into(), size);
        let _ = writeln!(
            table,
            "{release:<10}{:<20}{:>11}{unpacked:>11}{:>11}{:>11}{:>8}",
            platform.os_version, sizes[0], sizes[1], sizes[2], platform.layers
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_crds::v1alpha1::{BinaryStatus, PlatformStatus, PullBytes};

    #[test]
    fn the_table_says_what_matters() {
        let status = ImageStatus {
            reference: "r.example/a@sha256:abc".into(),
            digest: "sha256:abc".into(),
            tags: vec!["v1".into()],
            sbom: Some("sha256:5b0".into()),
            binary: Some(BinaryStatus { name: "a.exe".into(), bytes: 5_923_840, sha256: "0123456789abcdef".into(), inputs: None }),
            pull_bytes: Some(PullBytes { base_cached: 2_467_565, cold: 122_846_208 }),
            platforms: vec![PlatformStatus {
                os_version: "10.0.20348.5499".into(),
                release: Some("ltsc2022".into()),
                app_bytes: 2_466_000,
                app_unpacked_bytes: Some(5_923_840),
                base_bytes: 120_378_643,
                total_bytes: 122_846_208,
                layers: 2,
                ..PlatformStatus::default()
            }],
            warnings: vec!["AbsentApi|netapi32.dll|os/user".into()],
            ..ImageStatus::default()
        };
        let expected = "\
image    r.example/a@sha256:abc
digest   sha256:abc
tags     v1
program  a.exe, 5.9 MB (sha256 0123456789ab)
to pull  2.5 MB on a node that has the base, 122.8 MB on one that has nothing
sbom     sha256:5b0
warning  Package os/user needs netapi32.dll, which the base lacks: build on ServerCore (image.base.flavor), or look up no users and groups (user.Current does not need it).

RELEASE   OS VERSION            APP LAYER   UNPACKED       BASE      TOTAL  LAYERS
ltsc2022  10.0.20348.5499          2.5 MB     5.9 MB   120.4 MB   122.8 MB       2
";
        assert_eq!(table(&status), expected);
        let platforms = vec![status.platforms[0].clone(), PlatformStatus { app_unpacked_bytes: None, ..status.platforms[0].clone() }];
        let several = table(&ImageStatus { platforms, stored_bytes: Some(243_000_000), ..status });
        assert!(several.contains("stored   243.0 MB for all releases") && several.contains("2.5 MB          -   120.4 MB"), "{several}");
    }
}
