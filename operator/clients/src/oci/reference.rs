//! Which image is meant by a text?
//!
//! By the grammar of github.com/distribution/reference, and with its short forms: `golang` is `docker.io/library/golang:latest`. Read by hand,
//! because the parser of `oci-spec`, whose type is used here, compiles a regular expression for 40 ms in every process that reads a
//! single reference: a quarter of what `gowindows build` takes beside the compiler. A test holds both against each other.

use super::OciError;
use oci_spec::distribution::Reference;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_LEGACY: &str = "index.docker.io";
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Reads an image reference; without tag and digest it means `latest`.
///
/// # Errors
/// [`OciError::Local`] with the text and what is wrong with it.
pub fn parse_reference(text: &str) -> Result<Reference, OciError> {
    read(text).map_err(|problem| OciError::local(format!("read the image reference {text:?}"), problem))
}

fn read(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon before a slash is that of a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DOCKER_HUB, name),
    };
    let registry = if registry == DOCKER_HUB_LEGACY { DOCKER_HUB } else { registry };
    if path.is_empty() {
        return Err("it names no repository");
    }
    if !is_host(registry) {
        return Err("its host is none: wanted is as in registry.example.com:5000");
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("names of repositories are in lower case");
    }
    if !path.split('/').all(is_component) {
        return Err("its repository is none: wanted are parts of a-z 0-9, with . _ - between them, and / between parts");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is none: wanted are at most 128 of A-Z a-z 0-9 . _ - that do not begin with . or -");
    }
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("its digest is none: wanted is as in sha256:<64 hex digits>");
    }
    let path = if registry == DOCKER_HUB && !path.contains('/') { format!("{OFFICIAL}/{path}") } else { path.to_owned() };
    if path.len() > LONGEST_NAME {
        return Err("its repository has more than 255 characters");
    }
    let registry = registry.to_owned();
    Ok(match (tag, digest) {
        (Some(tag), Some(digest)) => Reference::with_tag_and_digest(registry, path, tag.to_owned(), digest.to_owned()),
        (None, Some(digest)) => Reference::with_digest(registry, path, digest.to_owned()),
        (tag, None) => Reference::with_tag(registry, path, tag.unwrap_or(DEFAULT_TAG).to_owned()),
    })
}

/// Labels of letters, digits and inner dashes, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.split('.').all(is_label) && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower-case letters and digits, between which there is one dot, one or two underscores, or any number of dashes.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut between = text.split(|character: char| u8::try_from(character).is_ok_and(is_word)).filter(|part| !part.is_empty());
    let is_separator = |part: &str| [".", "_", "__"].contains(&part) || part.bytes().all(|byte| byte == b'-');
    text.bytes().next().is_some_and(is_word) && text.bytes().last().is_some_and(is_word) && between.all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= LONGEST_TAG && text.bytes().next().is_some_and(is_word) && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// Of an algorithm that registries have.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let digits = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can follow what in a reference, good and bad. All of it ASCII: the library has letters of any script in tags, the grammar has not.
    const PARTS: &str = "a A 9 localhost a.b -a a- a--b a__b a___b a..b _ / : @ 5000 docker.io index.docker.io \
        sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn agree(text: &str) {
        // The library takes `A/b` for `docker.io/A/b`, which it refuses itself.
        let again = |reference: &Reference| reference.to_string().parse().is_ok_and(|again: Reference| again == *reference);
        let (ours, theirs) = (read(text), text.parse::<Reference>().ok().filter(again));
        assert_eq!(ours.as_ref().ok(), theirs.as_ref(), "{text:?}: {ours:?} and {theirs:?}");
    }

    #[test]
    fn texts_mean_what_the_library_takes_them_for() {
        let mut texts = vec![String::new()];
        for _ in 0..3 {
            texts = texts.iter().flat_map(|text| PARTS.split(' ').map(move |part| format!("{text}{part}"))).collect();
            texts.iter().for_each(|text| agree(text));
        }
        let (long, digest) = ("a".repeat(128), "0".repeat(63));
        for text in [
            format!("r.example.com/a:{long}"),
            format!("r.example.com/a:{long}a"),
            format!("r.example.com/{long}/{long}"),
            format!("r.example.com/{long}/{}", &long[..126]),
            format!("{long}/{}", &long[..126]),
            format!("r.example.com/a@sha256:{digest}"),
            format!("r.example.com/a@sha256:{digest}F"),
            format!("r.example.com/a:b@sha384:{}", "0".repeat(96)),
            format!("r.example.com/a@sha512:{}", "0".repeat(128)),
            format!("r.example.com/a@md5:{}", "0".repeat(32)),
            "r.example.com:5000/team/shop:1.2.3-rc.1_x".into(),
            "registry.example.com./a".into(),
            "http://registry.example.com/a".into(),
        ] {
            agree(&text);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "no repository"),
            ("r.example.com/", "no repository"),
            ("r_x.example.com:5000/a", "its host"),
            ("r.example.com/Shop", "lower case"),
            ("r.example.com/a//b", "its repository"),
            ("r.example.com/a:", "its tag"),
            ("r.example.com/a:é", "its tag"),
            ("r.example.com/a@sha256:12", "its digest"),
        ] {
            let error = parse_reference(text).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }
}
