//! Does a symbolic link lead out of the tree? Pure: decided before any link exists.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many links in a row as Linux follows; what needs more cannot be read at all.
const HOPS: usize = 40;

/// The links of a tree: path and target, both relative to the root of the tree.
pub type Links = BTreeMap<PathBuf, PathBuf>;

/// Whether following the link at `path` touches anything above the root, whether or not that exists.
///
/// Links on the way are followed as the kernel would: `a/..` is not the folder of `a` where `a` is a link.
pub fn leads_out(path: &Path, links: &Links) -> bool {
    let mut at: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut ahead: VecDeque<Step> = links.get(path).map(|target| steps(target)).unwrap_or_default();
    let mut hops = 0;
    while let Some(step) = ahead.pop_front() {
        match step {
            Step::Out => return true,
            Step::Up if !at.pop() => return true,
            Step::Up => {}
            Step::Down(name) => {
                at.push(name);
                if let Some(target) = links.get(&at) {
                    hops += 1;
                    if hops > HOPS {
                        return false;
                    }
                    at.pop();
                    let mut first = steps(target);
                    first.append(&mut ahead);
                    ahead = first;
                }
            }
        }
    }
    false
}

enum Step {
    Out,
    Up,
    Down(OsString),
}

fn steps(target: &Path) -> VecDeque<Step> {
    let step = |component| match component {
        Component::Prefix(_) | Component::RootDir => Some(Step::Out),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir => None,
    };
    target.components().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_found() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let table: [Case; 13] = [
            ("a", &[("a", "b")], false),
            ("a", &[("a", "./b/../c")], false),
            ("a", &[("a", "..")], true),
            ("a", &[("a", "/etc/passwd")], true),
            ("d/a", &[("d/a", "../b")], false),
            ("d/a", &[("d/a", "../../b")], true),
            ("a", &[("a", "gone/../../b")], true),
            // A link to a link that leads out.
            ("a", &[("a", "b"), ("b", "../x")], true),
            ("a", &[("a", "d/b/x"), ("d/b", "..")], false),
            // Inside by its letters, outside once `up` is followed.
            ("a", &[("a", "d/e/up/../x"), ("d/e/up", "../..")], true),
            ("a", &[("a", "d/e/up/x"), ("d/e/up", "../..")], false),
            // Loops lead nowhere.
            ("a", &[("a", "a")], false),
            ("a", &[("a", "b/x"), ("b", "a")], false),
        ];
        for (path, links, expected) in table {
            let links: Links = links.iter().map(|(path, target)| (path.into(), target.into())).collect();
            assert_eq!(leads_out(Path::new(path), &links), expected, "{links:?}");
        }
    }
}
