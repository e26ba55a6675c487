//! Which of the references that a remote lists is meant, and which come near? Pure.

use gix::bstr::ByteSlice;
use gix::protocol::handshake::Ref;
use gowindows_model::wire::source::Reference;

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
/// A message names no more than this.
const SUGGESTIONS: usize = 5;

/// What a reference points to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The branch or tag; for `HEAD` the branch that it names (`HEAD` itself where it is detached); for a commit its id.
    pub reference_name: String,
    /// The commit, 40 hexadecimal digits; of an annotated tag the commit it was made for.
    pub commit: String,
}

/// The prefixes that a server is asked for, so that it lists as little as possible.
pub(super) fn prefixes(reference: &Reference) -> Vec<String> {
    match reference {
        Reference::Head => vec!["HEAD".to_owned()],
        Reference::Branch(name) => vec![format!("{HEADS}{name}")],
        Reference::Tag(name) => vec![format!("{TAGS}{name}")],
        Reference::Commit(_) => all_prefixes(),
    }
}

/// The prefixes of every branch and tag.
pub(super) fn all_prefixes() -> Vec<String> {
    vec![HEADS.to_owned(), TAGS.to_owned()]
}

/// What the reference that is meant points to; none for a commit, which is no reference.
pub(super) fn pick(refs: &[Ref], reference: &Reference) -> Option<Resolved> {
    let found = find(refs, reference)?;
    let (_, own_id, peeled) = found.unpack();
    let commit = peeled.or(own_id)?.to_string();
    let reference_name = match (reference, found) {
        (Reference::Head, Ref::Symbolic { target, .. }) => short(&target.to_str_lossy()).to_owned(),
        (Reference::Branch(name) | Reference::Tag(name), _) => name.clone(),
        _ => "HEAD".to_owned(),
    };
    Some(Resolved { reference_name, commit })
}

/// The ids to ask for so that the history of `reference` comes: that of the reference itself, or those of all branches and
/// tags where a commit was named.
pub(super) fn tips(refs: &[Ref], reference: &Reference) -> Vec<gix::ObjectId> {
    let own_id = |found: &Ref| found.unpack().1.map(ToOwned::to_owned);
    let mut ids: Vec<_> = match reference {
        Reference::Commit(_) => refs.iter().filter_map(own_id).collect(),
        named => find(refs, named).and_then(own_id).into_iter().collect(),
    };
    ids.sort();
    ids.dedup();
    ids
}

/// What the remote has instead, as the end of a sentence.
pub(super) fn hint(refs: &[Ref], reference: &Reference) -> String {
    let names = |prefix: &str| -> Vec<String> {
        refs.iter().filter_map(|found| found.unpack().0.to_str().ok()?.strip_prefix(prefix).map(str::to_owned)).collect()
    };
    let (wanted, same_kind, other_kind, plural, other) = match reference {
        Reference::Head => return ": the repository is empty; push a first commit".to_owned(),
        Reference::Commit(_) => return String::new(),
        Reference::Branch(name) => (name, names(HEADS), names(TAGS), "branches", "tag"),
        Reference::Tag(name) => (name, names(TAGS), names(HEADS), "tags", "branch"),
    };
    if other_kind.contains(wanted) {
        return format!(", but it has a {other} of that name: set `ref.{other}` in its place");
    }
    match nearest(wanted, same_kind).as_slice() {
        [] => format!(", and no {plural} at all; push it first"),
        near => format!("; it has {plural} such as {}", near.join(", ")),
    }
}

/// The names that differ least, at most five.
fn nearest(wanted: &str, mut names: Vec<String>) -> Vec<String> {
    names.sort_by_cached_key(|name| (distance(wanted, name), name.clone()));
    names.truncate(SUGGESTIONS);
    names
}

/// How many characters must be put in, left out or changed (Levenshtein), without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().take(255).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn find<'a>(refs: &'a [Ref], reference: &Reference) -> Option<&'a Ref> {
    let name = match reference {
        Reference::Head => "HEAD".to_owned(),
        Reference::Branch(name) => format!("{HEADS}{name}"),
        Reference::Tag(name) => format!("{TAGS}{name}"),
        Reference::Commit(_) => return None,
    };
    refs.iter().find(|found| found.unpack().0 == name.as_bytes())
}

fn short(name: &str) -> &str {
    name.strip_prefix(HEADS).or_else(|| name.strip_prefix(TAGS)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gix::ObjectId;

    fn id(digit: u8) -> ObjectId {
        ObjectId::from([digit; 20])
    }

    fn direct(name: &str, digit: u8) -> Ref {
        Ref::Direct { full_ref_name: name.into(), object: id(digit) }
    }

    fn listing() -> Vec<Ref> {
        vec![
            Ref::Symbolic { full_ref_name: "HEAD".into(), target: "refs/heads/main".into(), tag: None, object: id(1) },
            direct("refs/heads/main", 1),
            direct("refs/heads/main-2", 2),
            direct("refs/heads/develop", 3),
            direct("refs/tags/v1.0.0", 1),
            Ref::Peeled { full_ref_name: "refs/tags/v2.0.0".into(), tag: id(9), object: id(2) },
        ]
    }

    #[test]
    fn the_named_reference_is_picked_and_tags_are_peeled() {
        let table = [
            (Reference::Head, "main", 1),
            (Reference::Branch("main".into()), "main", 1),
            (Reference::Branch("main-2".into()), "main-2", 2),
            (Reference::Tag("v1.0.0".into()), "v1.0.0", 1),
            (Reference::Tag("v2.0.0".into()), "v2.0.0", 2),
        ];
        for (reference, name, digit) in table {
            let expected = Resolved { reference_name: name.into(), commit: id(digit).to_string() };
            assert_eq!(pick(&listing(), &reference), Some(expected), "{reference}");
        }
        assert_eq!(pick(&listing(), &Reference::Branch("mai".into())), None);
        assert_eq!(pick(&[direct("HEAD", 4)], &Reference::Head).map(|found| found.reference_name), Some("HEAD".into()));
        let unborn = Ref::Unborn { full_ref_name: "HEAD".into(), target: "refs/heads/main".into() };
        assert_eq!(pick(&[unborn], &Reference::Head), None);
    }

    #[test]
    fn the_history_of_a_tag_is_asked_for_by_the_tag() {
        assert_eq!(tips(&listing(), &Reference::Tag("v2.0.0".into())), [id(9)]);
        assert_eq!(tips(&listing()[1..], &Reference::Commit("c".into())), [id(1), id(2), id(3), id(9)]);
    }

    #[test]
    fn hints_name_what_comes_near() {
        let table = [
            (Reference::Branch("mian".into()), "; it has branches such as main, main-2, develop"),
            (Reference::Branch("v1.0.0".into()), ", but it has a tag of that name: set `ref.tag` in its place"),
            (Reference::Tag("main".into()), ", but it has a branch of that name: set `ref.branch` in its place"),
            (Reference::Tag("1.0.0".into()), "; it has tags such as v1.0.0, v2.0.0"),
            (Reference::Head, ": the repository is empty; push a first commit"),
        ];
        for (reference, expected) in table {
            assert_eq!(hint(&listing(), &reference), expected);
        }
        assert_eq!(hint(&[], &Reference::Tag("v1".into())), ", and no tags at all; push it first");
        let many: Vec<Ref> = (0..9).map(|n| direct(&format!("refs/heads/b{n}"), n)).collect();
        assert_eq!(hint(&many, &Reference::Branch("b7x".into())), "; it has branches such as b7, b0, b1, b2, b3");
    }
}
