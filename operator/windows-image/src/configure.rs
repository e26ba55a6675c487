//! What does the image's configuration say? The base's, plus our program.
//!
//! `os.version` and `os.features` are the base's to the letter: without them, or with three parts only, nodes choose wrong
//! or refuse. `User` is set because Server Core's base has none, which means ContainerAdministrator. `ArgsEscaped` is never
//! set: containerd would then take the entrypoint as an unescaped command line. There is no `PATH` of ours: on Windows it
//! would replace the one in the base's registry hive instead of adding to it.

use crate::Assembly;
use crate::base::Base;
use crate::config::{Empty, Execution, History, ImageConfig, USER, WORKING_DIR};
use crate::digest::Digest;
use crate::layer::ProgramName;
use crate::standard::{self, rfc3339};
use crate::warnings;

impl ImageConfig {
    /// The configuration of our image on this base.
    pub fn on_base(base: &Base, assembly: &Assembly, program: &ProgramName, diff_id: &Digest, files: Option<&Digest>) -> Self {
        let created = rfc3339(assembly.epoch);
        let mut config = base.config.clone();
        config.created = Some(created.clone());
        config.config = execution(&base.config.config, assembly, program);
        // What the base says of itself under these keys is not true of the image; what the user says is in them already.
        config.config.labels.extend(standard::on_base(assembly, program, base));
        let files = files.map(|files| (files, "image.files".to_owned()));
        for (diff_id, what) in files.into_iter().chain([(diff_id, program.windows_path())]) {
            config.rootfs.diff_ids.push(diff_id.clone());
            config.history.push(History {
                created: Some(created.clone()),
                created_by: Some(format!("gowindows: {what}")),
                ..History::default()
            });
        }
        config
    }
}

fn execution(base: &Execution, assembly: &Assembly, program: &ProgramName) -> Execution {
    let Assembly {
        bases: _,
        releases: _,
        args,
        env,
        ports,
        labels,
        annotations: _,
        revision: _,
        source: _,
        files: _,
        compression: _,
        epoch: _,
        learned,
    } = assembly;
    let replaced = |item: &String| {
        let name = item.split('=').next().unwrap_or_default();
        // Windows does not tell variables apart by case.
        env.iter().any(|ours| ours.name.eq_ignore_ascii_case(name))
    };
    let mut environment: Vec<String> = base.env.iter().filter(|item| !replaced(item)).cloned().collect();
    environment.extend(env.iter().map(|variable| format!("{}={}", variable.name, variable.value)));
    if learned.fallback_roots {
        warnings::use_fallback_roots(&mut environment);
    }
    let mut all_labels = base.labels.clone();
    all_labels.extend(labels.clone());
    let mut exposed_ports = base.exposed_ports.clone();
    exposed_ports.extend(ports.iter().map(|port| (format!("{port}/tcp"), Empty {})));
    Execution {
        user: USER.into(),
        exposed_ports,
        env: environment,
        entrypoint: vec![program.windows_path()],
        cmd: args.clone(),
        working_dir: WORKING_DIR.into(),
        labels: all_labels,
        args_escaped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnvVar;
    use std::collections::BTreeMap;

    const BASE: &str = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.20348.5499","os.features":["win32k"],
        "created":"2026-08-11T00:00:00.123Z","config":{"User":"","Env":null,"Entrypoint":null,"Cmd":["c:\\windows\\system32\\cmd.exe"],"ArgsEscaped":true},
        "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},
        "history":[{"created":"2026-08-11T00:00:00Z","created_by":"Apply image 10.0.20348.5499"}]}"#;

    fn ours(assembly: &Assembly) -> ImageConfig {
        let config = serde_json::from_str(BASE).expect("the base's configuration");
        let base = Base { config, ..crate::base::tests::base("10.0.20348.5499") };
        ImageConfig::on_base(&base, assembly, &"hello.exe".parse().expect("a name"), &Digest::of(b"layer"), None)
    }

    #[test]
    fn the_configuration_is_the_documented_one_to_the_byte() {
        let assembly = Assembly {
            args: vec!["-listen".into(), ":8080".into()],
            env: vec![EnvVar { name: "MODE".into(), value: "a b".into() }],
            ports: vec![8080],
            labels: BTreeMap::from([("team".into(), "shop".into())]),
            revision: Some("c0ffee".into()),
            source: Some("https://git.example.com/hello.git".into()),
            epoch: 1_767_225_600,
            ..Assembly::default()
        };
        let expected = format!(
            concat!(
                r#"{{"created":"2026-01-01T00:00:00Z","architecture":"amd64","os":"windows","os.version":"10.0.20348.5499","os.features":["win32k"],"#,
                r#""config":{{"User":"ContainerUser","ExposedPorts":{{"8080/tcp":{{}}}},"Env":["MODE=a b"],"Entrypoint":["C:\\app\\hello.exe"],"#,
                r#""Cmd":["-listen",":8080"],"WorkingDir":"C:\\app","Labels":{{"org.opencontainers.image.base.digest":"{}","org.opencontainers.image.base.name":"example.com/nanoserver","#,
                r#""org.opencontainers.image.created":"2026-01-01T00:00:00Z","org.opencontainers.image.revision":"c0ffee","#,
                r#""org.opencontainers.image.source":"https://git.example.com/hello.git","org.opencontainers.image.title":"hello","team":"shop"}}}},"#,
                r#""rootfs":{{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","{}"]}},"#,
                r#""history":[{{"created":"2026-08-11T00:00:00Z","created_by":"Apply image 10.0.20348.5499"}},"#,
                r#"{{"created":"2026-01-01T00:00:00Z","created_by":"gowindows: C:\\app\\hello.exe"}}]}}"#
            ),
            Digest::of(b"10.0.20348.5499"),
            Digest::of(b"layer")
        );
        assert_eq!(serde_json::to_string(&ours(&assembly)).expect("JSON"), expected);
    }

    #[test]
    fn the_bases_command_and_its_escaping_mark_do_not_survive() {
        let config = ours(&Assembly::default()).config;
        assert_eq!((config.cmd, config.args_escaped), (vec![], false));
    }

    #[test]
    fn a_variable_replaces_the_bases_whatever_its_case() {
        let base = Execution { env: vec!["Mode=old".into(), "KEEP=1".into()], ..Execution::default() };
        let env = vec![EnvVar { name: "MODE".into(), value: "new".into() }];
        let merged = execution(&base, &Assembly { env, ..Assembly::default() }, &"a.exe".parse().expect("a name"));
        assert_eq!(merged.env, ["KEEP=1", "MODE=new"]);
    }

    #[test]
    fn linked_roots_of_trust_are_switched_on_beside_what_is_set() {
        let base = Execution { env: vec!["GODEBUG=a=1".into()], ..Execution::default() };
        let learned = warnings::Learned { fallback_roots: true, ..warnings::Learned::default() };
        let merged = execution(&base, &Assembly { learned, ..Assembly::default() }, &"a.exe".parse().expect("a name"));
        assert_eq!(merged.env, ["GODEBUG=a=1,x509usefallbackroots=1"]);
    }

    #[test]
    fn what_a_base_says_of_itself_is_not_said_of_the_image() {
        let inherited = |key: &str| (format!("org.opencontainers.image.{key}"), "the base's".to_string());
        let mut base = crate::base::tests::base("10.0.20348.5499");
        base.config.config.labels = [inherited("title"), inherited("vendor")].into();
        let name = "a.exe".parse().expect("a name");
        let labels = ImageConfig::on_base(&base, &Assembly::default(), &name, &Digest::of(b""), None).config.labels;
        assert_eq!(labels.get(&inherited("title").0).map(String::as_str), Some("a"));
        assert_eq!(labels.get(&inherited("vendor").0).map(String::as_str), Some("the base's"), "what we know nothing of is the base's");
    }

    #[test]
    fn times_that_no_calendar_knows_become_1970() {
        assert_eq!((rfc3339(-1), rfc3339(i64::MAX)), ("1970-01-01T00:00:00Z".into(), "1970-01-01T00:00:00Z".into()));
    }
}
