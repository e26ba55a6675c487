//! Does an image depend on anything but its inputs? The whole command on two machines that share nothing.
//!
//! The clock of `gowindows` and of all that it links is another one on each machine (`libfaketime`), and `status.builtAt` shows that it is.
//! The Go compiler is a static program that no library reaches: it sees the machine's clock, and other times on every file.

use crate::laptop::{Built, Laptop, Machine, Origin};
use crate::server::{BASE, RealRegistry};
use anyhow::{Context, Result, ensure};

fn text<'a>(built: &'a Built, field: &str) -> Result<&'a str> {
    built.image[field].as_str().with_context(|| format!("{field} in {}", built.image))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_on_two_days_make_the_same_digest() -> Result<()> {
    let (registry, origin) = (RealRegistry::start().await?, Origin::new()?);
    let door = registry.door().await?;
    let here = Machine {
        clone: "shop",
        clock: "2024-02-29 23:59:58",
        zone: "Pacific/Kiritimati",
        locale: "C",
        processors: 1,
        files_of: 1_000_000_000,
    };
    let there = Machine {
        clone: "a place/far below/Geschäft",
        clock: "2038-01-19 03:14:06",
        zone: "America/St_Johns",
        locale: "tr_TR.UTF-8",
        processors: 2,
        files_of: 1_600_000_001,
    };
    let laptops = [Laptop::new(here, &origin).await?, Laptop::new(there, &origin).await?];
    let base = format!("{}/{BASE}", door.host);
    let declaration = tempfile::NamedTempFile::new()?;
    let spec = serde_json::json!({
        "apiVersion": "gowindows.dev/v1alpha1",
        "kind": "GoWindowsImage",
        "metadata": {"name": "shop"},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/shop.git"}},
            "image": {
                "repository": "registry.example.com/shop",
                "base": {"image": base},
                "files": [{"from": "web", "to": "C:\\app\\web"}],
                "labels": {"of": "$(revision)"},
            },
        },
    });
    std::fs::write(declaration.path(), spec.to_string())?;
    let declaration = declaration.path().to_str().context("UTF-8")?;
    let mut digests = Vec::new();
    for compression in ["gzip", "zstd"] {
        let mut built = Vec::new();
        for (number, laptop) in laptops.iter().enumerate() {
            let target = format!("{}/machine-{number}/{compression}", door.host);
            let arguments =
                ["-f", declaration, "--insecure-registry", &door.host, "--compression", compression, "--tag", "v1", "--push", &target];
            built.push(laptop.build(&arguments).await.with_context(|| format!("{compression} on machine {number}"))?);
        }
        // That the machines do differ.
        let (here, there) = (&built[0], &built[1]);
        ensure!(text(here, "builtAt")?.starts_with("2024-02-29T"), "{}", here.image);
        ensure!(text(there, "builtAt")?.starts_with("2038-01-19T"), "{}", there.image);
        ensure!(here.said.contains("with 1 thread") && there.said.contains("with 2 threads"), "{}\n{}", here.said, there.said);
        ensure!(here.said.contains("commit ") && text(here, "revision")?.contains("@sha1:"), "{}", here.said);
        // And that what they made does not.
        ensure!(text(here, "digest")? == text(there, "digest")?, "{compression}:\n{}\n{}", here.image, there.image);
        ensure!(here.image["binary"] == there.image["binary"] && text(here, "sbom")? == text(there, "sbom")?);
        digests.push(text(here, "digest")?.to_owned());
    }
    ensure!(digests[0] != digests[1], "another compression is another image");
    Ok(())
}
