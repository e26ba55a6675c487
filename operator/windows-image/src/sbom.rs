//! What is in the image, for those who look for vulnerable parts?
//!
//! An SPDX 2.3 document: the image, the bases that it stands on, the program, the Go release and every module that the linker
//! says it has put in. SPDX and not CycloneDX, because it is the ISO standard and what the other image tools attach. The bill
//! of a static Go program is complete without a scanner: the linker wrote it.
//!
//! Same image, same document: its only time is the image's, and its name is the image's digest. The repository is not in it,
//! so that a copy of the image has the same bill.

use crate::assemble::Blob;
use crate::base::Base;
use crate::build_info::{BuildInfo, Module};
use crate::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

/// Media type and artifact type of the document.
pub const MEDIA_TYPE: &str = "application/spdx+json";

const NOT_SAID: &str = "NOASSERTION";
const IMAGE: &str = "SPDXRef-Image";
const PROGRAM: &str = "SPDXRef-Program";
const MAIN: &str = "SPDXRef-Main";
const STDLIB: &str = "SPDXRef-Go";

/// What a bill is made of, beside the image's digest and the bases.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The program's file name. Example: `storefront.exe`.
    pub program: &'a str,
    /// The program's digest.
    pub digest: &'a Digest,
    /// What the linker wrote into it; none for a program that Go did not make.
    pub info: Option<&'a BuildInfo>,
    /// The image's time, in seconds since 1970.
    pub epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The bill of the image with this digest, which stands on these bases: one for a manifest, all for an index.
///
/// # Errors
/// Never in practice: plain structs become JSON.
pub fn document(image: &Digest, bases: &[&Base], contents: &Contents<'_>) -> serde_json::Result<Blob> {
    let name = contents.program.strip_suffix(".exe").unwrap_or(contents.program);
    let mut packages = vec![image_package(name, image)];
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE), relation(IMAGE, "CONTAINS", PROGRAM)];
    for (number, base) in bases.iter().enumerate() {
        let package = base_package(number, base);
        relationships.push(relation(IMAGE, "DESCENDANT_OF", &package.id));
        packages.push(package);
    }
    packages.push(Package {
        package_file_name: Some(format!("app/{}", contents.program)),
        checksums: vec![sha256(contents.digest.hex().into())],
        ..package(PROGRAM, contents.program, None, "APPLICATION")
    });
    if let Some(info) = contents.info {
        packages.push(go_package(info));
        packages.push(module(MAIN.into(), &info.main));
        relationships.push(relation(PROGRAM, "GENERATED_FROM", MAIN));
        relationships.push(relation(MAIN, "DEPENDS_ON", STDLIB));
        for (number, dep) in info.deps.iter().enumerate() {
            let package = module(format!("SPDXRef-Module-{number}"), dep);
            relationships.push(relation(MAIN, "DEPENDS_ON", &package.id));
            packages.push(package);
        }
    }
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: name.into(),
        document_namespace: format!("https://gowindows.dev/spdx/{name}/sha256-{}", image.hex()),
        creation_info: CreationInfo {
            created: Timestamp::from_second(contents.epoch).unwrap_or_default().to_string(),
            creators: vec![concat!("Tool: gowindows-", env!("CARGO_PKG_VERSION")).into()],
        },
        packages,
        relationships,
    };
    Blob::of(MEDIA_TYPE, &document)
}

fn package(id: &str, name: &str, version: Option<String>, purpose: &'static str) -> Package {
    Package {
        id: id.into(),
        name: name.into(),
        version_info: version,
        package_file_name: None,
        download_location: NOT_SAID,
        files_analyzed: false,
        checksums: Vec::new(),
        external_refs: Vec::new(),
        primary_package_purpose: purpose,
        comment: None,
    }
}

fn image_package(name: &str, digest: &Digest) -> Package {
    Package {
        checksums: vec![sha256(digest.hex().into())],
        external_refs: vec![purl(format!("pkg:oci/{}@{}", escaped(name), escaped(digest.as_str())))],
        ..package(IMAGE, name, Some(digest.to_string()), "CONTAINER")
    }
}

fn base_package(number: usize, base: &Base) -> Package {
    let repository = repository(&base.reference);
    let name = repository.and_then(|repository| repository.rsplit('/').next()).unwrap_or("windows-base");
    let place = repository.map(|repository| format!("?repository_url={}", escaped(repository))).unwrap_or_default();
    Package {
        checksums: vec![sha256(base.digest.hex().into())],
        external_refs: vec![purl(format!("pkg:oci/{}@{}{place}", escaped(name), escaped(base.digest.as_str())))],
        ..package(&format!("SPDXRef-Base-{number}"), repository.unwrap_or(name), Some(base.os_version.clone()), "CONTAINER")
    }
}

/// Host and path of a reference; none for a folder, whose path is nobody's business.
fn repository(reference: &str) -> Option<&str> {
    if reference.starts_with("oci:") {
        return None;
    }
    let named = reference.split('@').next().unwrap_or(reference);
    let path = named.rfind('/').map_or(0, |slash| slash + 1);
    Some(named[path..].find(':').map_or(named, |colon| &named[..path + colon]))
}

/// The standard library under the names by which vulnerability databases know it.
fn go_package(info: &BuildInfo) -> Package {
    let version = info.go_version.split_whitespace().next().unwrap_or_default();
    let version = version.strip_prefix("go").unwrap_or(version);
    let cpe = ExternalRef {
        reference_category: "SECURITY",
        reference_type: "cpe23Type",
        reference_locator: format!("cpe:2.3:a:golang:go:{}:-:*:*:*:*:*:*", cpe_escaped(version)),
    };
    Package {
        external_refs: vec![purl(format!("pkg:golang/stdlib@{}", escaped(version))), cpe],
        ..package(STDLIB, "stdlib", Some(version.into()), "LIBRARY")
    }
}

/// What was compiled: the replacement of a module where there is one.
fn module(id: String, module: &Module) -> Package {
    let compiled = match &module.replace {
        // A folder has no version, and stands in for the module that it replaces.
        Some(replace) if !replace.version.is_empty() => replace,
        _ => module,
    };
    let comment = module.replace.as_ref().map(|replace| match replace.version.is_empty() {
        true => "Replaced by a folder of the source.".into(),
        false => format!("Replaces {} {}.", module.path, module.version),
    });
    let version = Some(compiled.version.clone()).filter(|version| !version.is_empty() && version != "(devel)");
    let at = version.as_deref().map(|version| format!("@{}", escaped(version))).unwrap_or_default();
    let path = compiled.path.split('/').map(escaped).collect::<Vec<_>>().join("/");
    Package {
        checksums: sum(&compiled.sum).into_iter().collect(),
        external_refs: vec![purl(format!("pkg:golang/{path}{at}"))].into_iter().filter(|_| !compiled.path.is_empty()).collect(),
        comment,
        ..package(&id, if compiled.path.is_empty() { "main" } else { &compiled.path }, version, "LIBRARY")
    }
}

/// `h1:` is a sha256 over the list of the module's files with theirs. Other tools that write bills put it here too.
fn sum(h1: &str) -> Option<Checksum> {
    let bytes = STANDARD.decode(h1.strip_prefix("h1:")?).ok().filter(|bytes| bytes.len() == 32)?;
    Some(sha256(hex::encode(bytes)))
}

fn sha256(hex: String) -> Checksum {
    Checksum { algorithm: "SHA256", checksum_value: hex }
}

fn purl(locator: String) -> ExternalRef {
    ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: locator }
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship { spdx_element_id: from.into(), relationship_type: kind, related_spdx_element: to.into() }
}

/// One part of a package URL.
fn escaped(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte);
    part.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn cpe_escaped(version: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    version.chars().filter(|character| plain(*character)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tests::base;
    use serde_json::{Value, json};

    const INFO: &str = "path\tshop.example/storefront/cmd/storefront
mod\tshop.example/storefront\t(devel)\t
dep\tgithub.com/BurntSushi/toml\tv1.5.0+incompatible\th1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
dep\texample.com/old\tv1.0.0
=>\texample.com/fork\tv1.0.1\th1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
dep\texample.com/local\tv0.0.0
=>\t./local\t\t
";

    fn bill(bases: &[&str]) -> Value {
        let info = BuildInfo::parse("go1.26.8 X:jsonv2".into(), INFO).expect("build info");
        let bases: Vec<Base> = bases.iter().map(|version| base(version)).collect();
        let contents = Contents { program: "storefront.exe", digest: &Digest::of(b"exe"), info: Some(&info), epoch: 1_767_323_045 };
        let blob = document(&Digest::of(b"image"), &bases.iter().collect::<Vec<_>>(), &contents).expect("a bill");
        serde_json::from_slice(&blob.bytes).expect("JSON")
    }

    fn named<'a>(bill: &'a Value, name: &str) -> &'a Value {
        bill["packages"].as_array().expect("packages").iter().find(|package| package["name"] == name).expect(name)
    }

    #[test]
    fn everything_that_was_linked_is_listed_under_names_that_databases_know() {
        let bill = bill(&["10.0.20348.5499"]);
        assert_eq!(bill["creationInfo"]["created"], "2026-01-02T03:04:05Z");
        let purls = |name: &str| named(&bill, name)["externalRefs"][0]["referenceLocator"].clone();
        assert_eq!(purls("stdlib"), "pkg:golang/stdlib@1.26.8");
        assert_eq!(named(&bill, "stdlib")["externalRefs"][1]["referenceLocator"], "cpe:2.3:a:golang:go:1.26.8:-:*:*:*:*:*:*");
        assert_eq!(purls("github.com/BurntSushi/toml"), "pkg:golang/github.com/BurntSushi/toml@v1.5.0%2Bincompatible");
        let checksum = json!([{"algorithm": "SHA256", "checksumValue": Digest::of(b"").hex()}]);
        assert_eq!(named(&bill, "github.com/BurntSushi/toml")["checksums"], checksum);
        assert_eq!(purls("shop.example/storefront"), "pkg:golang/shop.example/storefront");
        assert_eq!(named(&bill, "storefront.exe")["checksums"][0]["checksumValue"], Digest::of(b"exe").hex());
    }

    #[test]
    fn what_was_compiled_counts_and_not_what_it_replaces() {
        let bill = bill(&[]);
        assert_eq!(named(&bill, "example.com/fork")["versionInfo"], "v1.0.1");
        assert_eq!(named(&bill, "example.com/fork")["comment"], "Replaces example.com/old v1.0.0.");
        assert_eq!(named(&bill, "example.com/local")["comment"], "Replaced by a folder of the source.");
        assert!(!bill.to_string().contains("./local"));
    }

    #[test]
    fn every_relationship_leads_from_something_to_something() {
        let bill = bill(&["10.0.26100.33296", "10.0.20348.5499"]);
        let ids: Vec<&Value> = bill["packages"].as_array().expect("packages").iter().map(|package| &package["SPDXID"]).collect();
        let relationships = bill["relationships"].as_array().expect("relationships");
        let bases = relationships.iter().filter(|relation| relation["relationshipType"] == "DESCENDANT_OF").count();
        assert_eq!((bases, ids.len()), (2, 9), "{ids:?}");
        for relation in relationships {
            assert!(ids.contains(&&relation["relatedSpdxElement"]), "{relation}");
            assert!(relation["spdxElementId"] == "SPDXRef-DOCUMENT" || ids.contains(&&relation["spdxElementId"]), "{relation}");
        }
    }

    #[test]
    fn bases_are_named_by_repository_and_digest() {
        for (reference, named) in [
            ("mcr.example.com/windows/nanoserver:ltsc2022@sha256:abc", Some("mcr.example.com/windows/nanoserver")),
            ("localhost:5000/nanoserver", Some("localhost:5000/nanoserver")),
            ("localhost:5000/nanoserver:v1", Some("localhost:5000/nanoserver")),
            ("oci:/home/alice/base", None),
        ] {
            assert_eq!(repository(reference), named, "{reference}");
        }
    }
}
