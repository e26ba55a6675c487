//! What must hold for an image of any tool, as far as its manifest and configuration tell?

use super::rule::Rule;
use super::{Finding, ReadBack, Verdict, layer_count, os_version, platform};
use crate::config::{Execution, ImageConfig, USER, WORKING_DIR};
use crate::manifest::{Manifest, media_type};

/// The user that an empty one means.
const ADMINISTRATOR: &str = "ContainerAdministrator";

/// Checks one release's image without knowing who made it, or on which base.
pub fn any_image(image: &ReadBack) -> Vec<Finding> {
    let ReadBack { entry, digest: _, manifest, config } = image;
    let execution = &config.config;
    vec![
        platform(config),
        os_version(entry.as_ref(), config),
        media_types(manifest),
        layer_count(manifest, config),
        user(execution),
        entrypoint(execution),
        args_escaped(execution),
        path(execution),
        working_dir(execution),
    ]
}

/// Where in the layers the program is that an image starts, `Files/app/hello.exe`; none if it is not named by a path.
pub fn program_path(config: &ImageConfig) -> Option<String> {
    let program = program(&config.config)?.replace('/', r"\");
    let below = match program.as_bytes() {
        [drive, b':', b'\\', ..] if drive.eq_ignore_ascii_case(&b'c') => program[3..].to_owned(),
        [b'\\', ..] => program[1..].to_owned(),
        _ => return None,
    };
    Some(format!("Files/{}", below.replace('\\', "/")))
}

fn program(execution: &Execution) -> Option<&str> {
    execution.entrypoint.first().or_else(|| execution.cmd.first()).map(String::as_str)
}

/// Nodes read both families, also mixed; the specification does not foresee the mixture.
fn media_types(manifest: &Manifest) -> Finding {
    if let Some(layer) = manifest.layers.iter().find(|layer| media_type::oci_layer(&layer.media_type).is_none()) {
        return Finding::of(Rule::MediaTypes, false, format!("a layer is of type {:?}, which no node can import", layer.media_type));
    }
    let all = manifest.layers.iter().map(|layer| &layer.media_type).chain([&manifest.config.media_type]);
    let (docker, oci): (Vec<_>, Vec<_>) = all.partition(|name| name.starts_with("application/vnd.docker."));
    match (docker.first(), oci.first()) {
        (Some(docker), Some(oci)) => Finding::new(Rule::MediaTypes, Verdict::Warning, format!("{docker} and {oci} stand in one manifest")),
        _ => Finding::of(Rule::MediaTypes, true, "configuration and layers are of one family"),
    }
}

fn user(execution: &Execution) -> Finding {
    let user = execution.user.as_str();
    let (verdict, message) = match user {
        USER => (Verdict::Passed, format!("the user is {USER}")),
        "" => (Verdict::Failed, format!("no user is named, which means {ADMINISTRATOR}; name {USER}")),
        _ if user.eq_ignore_ascii_case(ADMINISTRATOR) => (Verdict::Failed, format!("the user is {ADMINISTRATOR}; name {USER}")),
        _ => (Verdict::Warning, format!("the user is {user:?}, which the base may not have; {USER} is in every base")),
    };
    Finding::new(Rule::User, verdict, message)
}

fn entrypoint(execution: &Execution) -> Finding {
    let Some(program) = program(execution) else {
        return Finding::of(Rule::Entrypoint, false, "neither an entrypoint nor a command is named: nothing can be started");
    };
    let is_full = matches!(program.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let is_exe = program.to_ascii_lowercase().ends_with(".exe");
    let (verdict, message) = match (is_full, is_exe) {
        (true, true) => (Verdict::Passed, format!("{program} is a full path")),
        (false, _) => (Verdict::Failed, format!("the entrypoint {program:?} is no full path such as C:\\app\\name.exe")),
        (true, false) => (
            Verdict::Warning,
            format!("the entrypoint {program:?} has no .exe at its end: Windows starts it only if a file of exactly this name is there"),
        ),
    };
    Finding::new(Rule::Entrypoint, verdict, message)
}

fn args_escaped(execution: &Execution) -> Finding {
    let verdict = match (execution.args_escaped, program(execution).is_some_and(|program| program.contains(' '))) {
        (false, _) => return Finding::of(Rule::ArgsEscaped, true, "ArgsEscaped is not set"),
        (true, false) => Verdict::Warning,
        (true, true) => Verdict::Failed,
    };
    let message = "ArgsEscaped is set (a CMD in a Dockerfile does that): containerd takes the first element as it is, so a blank in it breaks the command line";
    Finding::new(Rule::ArgsEscaped, verdict, message)
}

fn path(execution: &Execution) -> Finding {
    let found = execution.env.iter().find_map(|item| item.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("PATH")));
    let Some((_, value)) = found else { return Finding::of(Rule::Path, true, "PATH is the base's own") };
    let folders: Vec<String> = value.split(';').map(|folder| folder.to_ascii_lowercase().replace('/', r"\")).collect();
    let system = folders.iter().any(|folder| folder.trim_end_matches('\\') == r"c:\windows\system32");
    // Behind the drive's colon there is no other in a Windows path.
    let mixed = folders
        .iter()
        .any(|folder| folder.starts_with('\\') || folder.matches(':').count() > 1 || folder.find(':').is_some_and(|at| at != 1));
    let message = match (mixed, system) {
        (true, _) => format!("PATH is {value:?}: folders of Linux, or colons between folders; it replaces the base's own PATH"),
        (false, false) => format!("PATH is {value:?}: it replaces the base's own and lacks C:\\Windows\\System32"),
        (false, true) => format!("PATH is {value:?}"),
    };
    Finding::of(Rule::Path, system && !mixed, message)
}

fn working_dir(execution: &Execution) -> Finding {
    let folder = execution.working_dir.as_str();
    let is_full = matches!(folder.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let verdict = if folder.is_empty() || is_full { Verdict::Passed } else { Verdict::Warning };
    let message = match verdict {
        Verdict::Passed => format!("the working folder is {folder:?}"),
        _ => format!("the working folder is {folder:?}, without a drive; name one such as {WORKING_DIR}"),
    };
    Finding::new(Rule::WorkingDir, verdict, message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_on, read_back};
    use super::*;

    fn one() -> ReadBack {
        read_back(&image_on(&["10.0.20348.5499"])).remove(0)
    }

    fn verdicts(image: &ReadBack) -> Vec<(Rule, Verdict)> {
        let all = any_image(image).into_iter().map(|finding| (finding.rule, finding.verdict));
        all.filter(|(_, verdict)| *verdict != Verdict::Passed).collect()
    }

    #[test]
    fn ours_passes_here_too() {
        assert_eq!(verdicts(&one()), []);
        assert_eq!(program_path(&one().config).as_deref(), Some("Files/app/hello.exe"));
    }

    #[test]
    fn each_tools_configuration_is_judged() {
        type Case = (&'static str, fn(&mut Execution), &'static [(Rule, Verdict)]);
        let changes: [Case; 12] = [
            ("Server Core", |e| e.user.clear(), &[(Rule::User, Verdict::Failed)]),
            ("an administrator", |e| e.user = "containeradministrator".into(), &[(Rule::User, Verdict::Failed)]),
            ("an own account", |e| e.user = "app".into(), &[(Rule::User, Verdict::Warning)]),
            ("ko", |e| e.entrypoint = vec![r"C:\ko-app\hello".into()], &[(Rule::Entrypoint, Verdict::Warning)]),
            ("a shell form", |e| e.entrypoint = vec!["cmd".into(), "/S".into()], &[(Rule::Entrypoint, Verdict::Failed)]),
            ("nothing", |e| e.entrypoint.clear(), &[(Rule::Entrypoint, Verdict::Failed)]),
            ("BuildKit, CMD", |e| e.args_escaped = true, &[(Rule::ArgsEscaped, Verdict::Warning)]),
            (
                "BuildKit, CMD, a blank",
                |e| (e.args_escaped, e.entrypoint) = (true, vec![r"C:\my app\a.exe".into()]),
                &[(Rule::ArgsEscaped, Verdict::Failed)],
            ),
            ("ko's PATH", |e| e.env = vec![r"PATH=C:\ko-app".into()], &[(Rule::Path, Verdict::Failed)]),
            (
                "ko's PATH on another",
                |e| e.env = vec![r"Path=C:\Windows\System32;C:\Windows:C:\ko-app".into()],
                &[(Rule::Path, Verdict::Failed)],
            ),
            ("Kaniko's PATH", |e| e.env = vec!["PATH=/usr/local/sbin:/usr/bin".into()], &[(Rule::Path, Verdict::Failed)]),
            ("BuildKit's WORKDIR", |e| e.working_dir = r"\app".into(), &[(Rule::WorkingDir, Verdict::Warning)]),
        ];
        for (name, change, expected) in changes {
            let mut image = one();
            change(&mut image.config.config);
            assert_eq!(verdicts(&image), expected, "{name}");
        }
    }

    #[test]
    fn a_mixture_of_families_is_a_warning_and_an_unknown_type_a_failure() {
        let typed = |layers: &[&str]| {
            let mut image = one();
            for (layer, name) in image.manifest.layers.iter_mut().zip(layers) {
                layer.media_type = (*name).into();
            }
            verdicts(&image)
        };
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(typed(&[docker]), [(Rule::MediaTypes, Verdict::Warning)]);
        assert_eq!(typed(&["application/x-estargz"]), [(Rule::MediaTypes, Verdict::Failed)]);
        let mut all_docker = one();
        all_docker.manifest.layers.iter_mut().for_each(|layer| layer.media_type = docker.into());
        all_docker.manifest.config.media_type = "application/vnd.docker.container.image.v1+json".into();
        assert_eq!(verdicts(&all_docker), []);
    }

    #[test]
    fn what_kaniko_leaves_is_named() {
        // Kaniko 1.28 on a Windows base, as measured: os.version lost, a Linux PATH.
        let mut image = one();
        image.config.os_version = None;
        image.config.config.env = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()];
        assert_eq!(verdicts(&image), [(Rule::OsVersion, Verdict::Failed), (Rule::Path, Verdict::Failed)]);
    }

    #[test]
    fn a_complete_windows_path_passes() {
        for value in [r"C:\app;C:\Windows\System32;C:\Windows", r"c:/windows/system32\;D:\x", r"C:\Windows\System32"] {
            let mut image = one();
            image.config.config.env = vec![format!("PATH={value}")];
            assert_eq!(verdicts(&image), [], "{value}");
        }
    }

    #[test]
    fn programs_are_found_by_any_spelling_of_their_path() {
        for (entrypoint, expected) in [
            (r"c:\app\A.exe", Some("Files/app/A.exe")),
            ("C:/app/a.exe", Some("Files/app/a.exe")),
            (r"\app\a.exe", Some("Files/app/a.exe")),
            ("/ko-app/dlv", Some("Files/ko-app/dlv")),
            ("a.exe", None),
            (r"D:\a.exe", None),
            (r"C:a.exe", None),
            ("", None),
        ] {
            let mut config = one().config;
            config.config.entrypoint = vec![entrypoint.into()];
            assert_eq!(program_path(&config).as_deref(), expected, "{entrypoint}");
        }
    }
}
