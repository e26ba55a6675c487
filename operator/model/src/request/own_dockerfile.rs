//! What cannot be said beside a Dockerfile that makes the image itself? What it says, and what BuildKit cannot do.

use super::Refusal;
use super::checks::invalid;
use gowindows_crds::v1alpha1::{BaseSpec, CompressionAlgorithm, GoSpec, GoWindowsImageSpec, ImageSpec};
use windows_image::Compression;

/// Where no level is asked for: BuildKit packs with Go's gzip, whose own level is 6, and whose levels are not those of our writer.
pub(super) const COMPRESSION: Compression = Compression::Gzip(6);

/// # Errors
/// The first field that has no effect there.
pub(super) fn check(spec: &GoWindowsImageSpec) -> Result<(), Refusal> {
    let ImageSpec {
        repository: _,
        tags: _,
        push_secret_ref: _,
        identity,
        base,
        args,
        env,
        ports,
        compression,
        size_budget: _,
        labels: _,
        annotations,
        files,
    } = &spec.image;
    let BaseSpec { flavor: _, releases, image: _, pull_secret_ref } = base.clone().unwrap_or_default();
    let GoSpec { version: _, image: _, package, tags, ldflags, env: go_env, strip, timezone_data, cgo: _, test, modules } =
        spec.go.clone().unwrap_or_default();
    let zstd = compression.as_ref().is_some_and(|compression| compression.algorithm == Some(CompressionAlgorithm::Zstd));
    let tested = test.is_some();
    let (said, tests) = ("it is for the Dockerfile of build.buildkit.dockerfile to say", "it holds for go.test alone");
    let fields = [
        ("image.args", !args.is_empty(), format!("{said} (ENTRYPOINT); leave it out")),
        ("image.env", !env.is_empty(), format!("{said} (ENV); leave it out")),
        ("image.ports", !ports.is_empty(), format!("{said} (EXPOSE); leave it out")),
        ("image.files", !files.is_empty(), format!("{said} (COPY); leave it out")),
        (
            "image.annotations",
            !annotations.is_empty(),
            "the image of a Dockerfile (build.buildkit.dockerfile) gets none; use image.labels".into(),
        ),
        ("image.compression", zstd, "BuildKit writes layers of Windows with gzip alone (build.buildkit.dockerfile); use gzip".into()),
        (
            "image.base.releases",
            releases.is_some_and(|releases| releases.len() > 1),
            "a Dockerfile (build.buildkit.dockerfile) has one base; name one release, or use an object for each".into(),
        ),
        (
            "image.base.pullSecretRef",
            pull_secret_ref.is_some(),
            "buildctl takes one Docker configuration (build.buildkit.dockerfile); put that login into the Secret of image.pushSecretRef"
                .into(),
        ),
        (
            "image.identity",
            identity.is_some(),
            "buildctl, which pushes the image of a Dockerfile (build.buildkit.dockerfile), has no use for it; use image.pushSecretRef"
                .into(),
        ),
        (
            "go.modules.secretRef",
            modules.is_some_and(|modules| modules.secret_ref.is_some()),
            "whatever a Dockerfile of the repository runs (build.buildkit.dockerfile) could keep that login; vendor the modules, or name a proxy without a login in go.modules.proxy"
                .into(),
        ),
        ("go.package", package.is_some(), format!("{said}; leave it out")),
        ("go.ldflags", !ldflags.is_empty(), format!("{said}, which gets the commit as the build argument REVISION; leave it out")),
        ("go.strip", strip.is_some(), format!("{said}; leave it out")),
        ("go.tags", !tags.is_empty() && !tested, format!("{tests} where a Dockerfile compiles (build.buildkit.dockerfile); leave it out")),
        ("go.env", !go_env.is_empty() && !tested, format!("{tests} where a Dockerfile compiles (build.buildkit.dockerfile); leave it out")),
        (
            "go.timezoneData",
            timezone_data.is_some() && !tested,
            format!("{tests} where a Dockerfile compiles (build.buildkit.dockerfile); leave it out"),
        ),
    ];
    match fields.into_iter().find(|(_, set, _)| *set) {
        Some((field, _, remedy)) => Err(invalid(field, "", &remedy)),
        None => Ok(()),
    }
}
