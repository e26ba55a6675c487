//! What does a `GoWindowsImage` in a file declare?
//!
//! Read as strictly as the API server would with `--validate=strict`: an unknown field is an error, not a wish unheard; and
//! judged by the same rules as in the cluster.

use anyhow::{Context as _, bail};
use gowindows_crds::v1alpha1::{GoWindowsImage, GoWindowsImageSpec};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use serde::Deserialize as _;
use serde_norway::Value;
use std::path::Path;

/// Reads the only `GoWindowsImage` of a YAML file; other kinds may stand beside it.
///
/// # Errors
/// Why it cannot be used, with the file's name.
pub fn read(path: &Path, settings: &Settings) -> anyhow::Result<GoWindowsImageSpec> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = parse(&text).and_then(|object| judge(&object, settings).map(|()| object));
    Ok(object.with_context(|| format!("{} cannot be used", path.display()))?.spec)
}

/// Applies the operator's own validation. Images of toolchains and engines play no part here: the local `go` compiles.
fn judge(object: &GoWindowsImage, settings: &Settings) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    let version = object.spec.go.as_ref().and_then(|go| go.version.clone()).unwrap_or_else(|| "1".into());
    settings.toolchains.insert(version, "local".into());
    let local = || Some("local".into());
    (settings.buildctl_image, settings.windows_buildctl_image, settings.kaniko_image) = (local(), local(), local());
    let request = Request::new(object, &settings).map_err(|refusal| anyhow::anyhow!(refusal.message))?;
    if object.spec.go.as_ref().and_then(|go| go.cgo) == Some(true) {
        bail!("go.cgo: C code is compiled in the cluster, on Windows nodes, by the C compiler of the toolchain's image");
    }
    if let Some(dockerfile) = request.build.engine.dockerfile() {
        bail!(
            "build.buildkit.dockerfile: {dockerfile} makes the image in the cluster, by BuildKit; build it here with `docker buildx build`"
        );
    }
    Ok(())
}

fn parse(text: &str) -> anyhow::Result<GoWindowsImage> {
    let mut declared = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if value.get("kind").and_then(Value::as_str) == Some("GoWindowsImage") {
            declared.push(value);
        }
    }
    let [value] = declared.as_slice() else { bail!("it holds {} objects of kind GoWindowsImage, wanted is one", declared.len()) };
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != "gowindows.dev/v1alpha1" {
        bail!("its apiVersion is {version:?}, known is gowindows.dev/v1alpha1");
    }
    let object = GoWindowsImage::deserialize(value)?;
    let understood = serde_norway::to_value(&object.spec)?;
    if let Some(field) = value.get("spec").and_then(|given| first_unknown(given, &understood, "spec")) {
        bail!("the field {field} is unknown; `kubectl explain gwi.spec` lists all fields");
    }
    Ok(object)
}

/// The first field that was given and did not survive reading. What is empty may vanish without a loss.
fn first_unknown(given: &Value, understood: &Value, path: &str) -> Option<String> {
    match (given, understood) {
        (Value::Mapping(given), understood) => given.iter().find_map(|(key, value)| {
            let key = key.as_str().unwrap_or("?");
            let path = format!("{path}.{key}");
            match understood.get(key) {
                Some(understood) => first_unknown(value, understood, &path),
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Sequence(given), Value::Sequence(understood)) => given
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(at, (given, understood))| first_unknown(given, understood, &format!("{path}[{at}]"))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "apiVersion: gowindows.dev/v1alpha1\nkind: GoWindowsImage\nmetadata: {name: a}\nspec:\n  source: {git: {url: https://git.example.com/a.git}}\n  image: {repository: r.example/a, env: [{name: A, value: b}], args: []}\n";

    #[test]
    fn one_object_among_others_is_found() {
        let spec = parse(&format!("apiVersion: v1\nkind: Service\n---\n{SMALL}")).expect("an object").spec;
        assert_eq!(spec.image.repository, "r.example/a");
        assert!(parse("kind: Service").is_err());
        assert!(parse(&format!("{SMALL}---\n{SMALL}")).is_err());
        assert!(parse(&SMALL.replace("v1alpha1", "v9")).is_err());
    }

    #[test]
    fn the_rules_are_those_of_the_cluster() {
        let judged = |text: &str| judge(&parse(text).expect("an object"), &Settings::default());
        assert!(judged(SMALL).is_ok());
        let both = "  go: {version: '1.26', image: r.example/go}\n";
        for (from, to, field) in [
            ("https://", "ext::", "source.git.url"),
            ("spec:\n", &format!("spec:\n{both}"), "go.version"),
            ("r.example/a,", "R.example/A:b,", "image.repository"),
        ] {
            let error = judged(&SMALL.replace(from, to)).expect_err("refused");
            assert!(error.to_string().contains(field), "{error}");
        }
        let own = "  build: {engine: BuildKit, buildkit: {address: 'tcp://b:1234', tlsSecretRef: {name: tls}, dockerfile: Dockerfile}}\n";
        let bare = SMALL.replace(", env: [{name: A, value: b}], args: []", "");
        let error = judged(&bare.replace("spec:\n", &format!("spec:\n{own}"))).expect_err("refused");
        assert!(error.to_string().contains("docker buildx"), "{error}");
    }

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        for (from, to, field) in [
            ("args:", "arguments: [a], args:", "spec.image.arguments"),
            ("value: b", "value: b, from: c", "spec.image.env[0].from"),
            ("spec:\n", "spec:\n  paused: true\n", "spec.paused"),
        ] {
            let error = parse(&SMALL.replace(from, to)).expect_err("unknown");
            assert!(format!("{error:#}").contains(field), "{error:#}");
        }
    }
}
