//! What does a container run, where, and with which environment?
//!
//! The rules of Kubernetes: the pod's `command` replaces the image's entrypoint *and* its default arguments, `args`
//! replaces the arguments alone; `$(NAME)` is expanded in both. Then the rules of Windows: a program is found without
//! its `.exe`, paths ignore case, and both slashes are good.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Container;

use crate::{
    images::ImageConfig,
    layer::{DRIVE, Stack},
};

/// A program with all it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// As the pod or the image wrote it, such as `C:\app\server.exe`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// A Windows path; empty means `C:\`.
    pub working_dir: String,
    /// The environment: the image's, then the pod's over it.
    pub environment: BTreeMap<String, String>,
}

impl CommandLine {
    /// What `container` runs from an image with `config`, `environment` being the pod's part of it. Nothing when
    /// neither names a program.
    pub fn new(container: &Container, config: &ImageConfig, environment: BTreeMap<String, String>) -> Option<Self> {
        let image = config.env.iter().flatten().filter_map(|pair| pair.split_once('='));
        let mut all: BTreeMap<_, _> = image.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        all.extend(environment.clone());
        let expanded = |words: &[String]| words.iter().map(|word| expand(word, &environment)).collect::<Vec<_>>();
        let command = expanded(container.command.as_deref().unwrap_or_default());
        let args = expanded(container.args.as_deref().unwrap_or_default());
        let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
        let (entrypoint, arguments) = match (command.is_empty(), args.is_empty()) {
            (true, true) => (of_image(&config.entrypoint), of_image(&config.cmd)),
            (true, false) => (of_image(&config.entrypoint), args),
            (false, _) => (command, args),
        };
        let mut words = entrypoint.into_iter().chain(arguments);
        Some(Self {
            program: words.next()?,
            arguments: words.collect(),
            working_dir: container.working_dir.clone().unwrap_or_else(|| config.working_dir.clone()),
            environment: all,
        })
    }

    /// The program as a full Windows path with its ending, if the disk `root` (a Wine prefix) has it.
    pub fn find_program(&self, root: &Path) -> Option<String> {
        let stack = Stack::new(vec![root.to_path_buf()]);
        let path_variable = self.environment.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
        let search = path_variable.map_or("C:\\windows\\system32;C:\\windows", |(_, value)| value);
        let folders: Vec<&str> = if is_bare(&self.program) {
            [self.working_dir.as_str()].into_iter().chain(search.split(';')).collect()
        } else {
            vec![self.working_dir.as_str()]
        };
        let candidates = folders.iter().flat_map(|folder| {
            let relative = on_drive(folder).join(unix(&self.program));
            let path = if is_absolute(&self.program) { on_drive(&self.program) } else { relative };
            [path.clone(), PathBuf::from(format!("{}.exe", path.display()))]
        });
        let found = candidates.map(|path| stack.spelled(&path)).find(|path| root.join(path).is_file())?;
        Some(windows(found.strip_prefix(DRIVE).unwrap_or(&found)))
    }

    /// The working directory in the disk `root`, if it is there.
    pub fn find_working_dir(&self, root: &Path) -> Option<PathBuf> {
        let stack = Stack::new(vec![root.to_path_buf()]);
        Some(root.join(stack.spelled(&on_drive(&self.working_dir)))).filter(|folder| folder.is_dir())
    }
}

/// Replaces `$(NAME)` by what `variables` have; `$$` is a dollar, an unknown name stays as it is.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        expanded.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

/// A Windows path (`C:\data`, `/data`, `\data`) as a path in a Wine prefix (`drive_c/data`).
pub fn on_drive(path: &str) -> PathBuf {
    let path = unix(path);
    let without_drive = path.strip_prefix("C:").or_else(|| path.strip_prefix("c:")).unwrap_or(&path);
    let parts = without_drive.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.fold(PathBuf::from(DRIVE), |folder, part| folder.join(part))
}

fn unix(path: &str) -> String {
    path.replace('\\', "/")
}

fn windows(path: &Path) -> String {
    format!("C:\\{}", path.display().to_string().replace('/', "\\"))
}

fn is_bare(program: &str) -> bool {
    !program.contains(['/', '\\'])
}

fn is_absolute(program: &str) -> bool {
    program.starts_with(['/', '\\']) || program.get(1..2) == Some(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: words(&["C:\\app\\server"]),
            cmd: words(&["-port", "80"]),
            env: words(&["A=image", "B=image"]),
            working_dir: "C:\\app".into(),
            user: "ContainerUser".into(),
        }
    }

    fn argv(container: &Container) -> Vec<String> {
        let pod = BTreeMap::from([("A".to_owned(), "pod".to_owned())]);
        let line = CommandLine::new(container, &image(), pod).unwrap();
        [line.program].into_iter().chain(line.arguments).collect()
    }

    #[test]
    fn command_replaces_both_and_args_the_arguments() {
        let container = |command, args| Container { command, args, ..Container::default() };
        assert_eq!(argv(&container(None, None)), ["C:\\app\\server", "-port", "80"]);
        assert_eq!(argv(&container(None, words(&["-x"]))), ["C:\\app\\server", "-x"]);
        assert_eq!(argv(&container(words(&["a.exe", "$(A) $$(A) $(Z)"]), None)), ["a.exe", "pod $(A) $(Z)"]);
    }

    #[test]
    fn the_pods_environment_lies_over_the_images() {
        let pod = BTreeMap::from([("A".to_owned(), "pod".to_owned())]);
        let line = CommandLine::new(&Container::default(), &image(), pod).unwrap();
        assert_eq!((line.environment["A"].as_str(), line.environment["B"].as_str()), ("pod", "image"));
    }

    #[test]
    fn a_program_is_found_without_ending_and_in_any_case() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("drive_c/App")).unwrap();
        std::fs::write(root.path().join("drive_c/App/Server.exe"), "").unwrap();
        let line = |program: &str| CommandLine {
            program: program.into(),
            arguments: Vec::new(),
            working_dir: "C:\\app".into(),
            environment: BTreeMap::new(),
        };
        for program in ["C:\\app\\server.exe", "c:/app/SERVER", "server", "\\app\\server"] {
            assert_eq!(line(program).find_program(root.path()).as_deref(), Some("C:\\App\\Server.exe"), "{program}");
        }
        assert_eq!(line("C:\\app\\other.exe").find_program(root.path()), None);
        assert!(line("x").find_working_dir(root.path()).is_some());
    }
}
