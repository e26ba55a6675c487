//! What can the stage that makes the Windows image be made of? `FROM` the base, one `COPY`, and what says how the program is started; and
//! `RUN`, where buildkitd is on Windows itself.
//!
//! Each rule is a way in which BuildKit's images of Windows are broken or slow, as measured with BuildKit 0.32 on Linux.

use super::Linter;
use super::images::{Kind, is_plain};
use super::parse::{From, Instruction, Stage};
use super::stages::{environment, names_a_stage, remote, without_userinfo};
use crate::System;

/// Folders of Windows: what is copied into them replaces their permissions.
const SYSTEM: [&str; 7] = ["windows", "program files", "program files (x86)", "programdata", "users", "perflogs", "$recycle.bin"];
const ADMINISTRATOR: &str = "ContainerAdministrator";
const USER: &str = "USER ContainerUser";

impl Linter<'_> {
    pub(super) fn last_stage(&mut self, stage: &Stage, before: &[Stage]) {
        self.last_from(&stage.from, before);
        let on_windows = self.images.system == System::Windows;
        let (mut copied, mut started) = (false, false);
        for instruction in &stage.instructions {
            match instruction.keyword.as_str() {
                "COPY" | "ADD" => self.copy(instruction, std::mem::replace(&mut copied, true)),
                "ENTRYPOINT" => {
                    started = true;
                    self.entrypoint(instruction);
                }
                "ENV" => self.path(instruction),
                "RUN" | "SHELL" if on_windows => {}
                _ => self.forbidden(instruction),
            }
        }
        let line = stage.from.lines.0;
        if !copied {
            self.add(line, "the last stage", "it copies nothing: COPY --from an earlier stage the folder that holds the program");
        }
        if !started {
            let why = r#"it has no ENTRYPOINT, so nothing of yours would be started; add one such as ENTRYPOINT ["C:\\app\\shop.exe"]"#;
            self.add(line, "the last stage", why);
        }
        // Commands before it may need more rights than the program.
        match stage.instructions.iter().rfind(|instruction| instruction.keyword == "USER") {
            Some(instruction) => self.user(instruction),
            None if self.images.base.user.is_empty() => {
                self.add(line, "the last stage", format!("its base names no user, which means {ADMINISTRATOR}; add {USER}"));
            }
            None => {}
        }
    }

    fn last_from(&mut self, from: &From, before: &[Stage]) {
        let (line, image, base) = (from.lines.0, from.image.as_str(), self.images.base_name().to_owned());
        let what = format!("FROM {image}");
        if names_a_stage(image, before) {
            self.add(
                line,
                what,
                format!("the last stage must begin with the base itself, and not with what another stage made of it: FROM {base}"),
            );
        } else if image == "scratch" {
            self.add(line, what, format!("an image without a base has no os.version, and no Windows node takes it; use FROM {base}"));
        } else if !is_plain(image) {
            self.add(line, what, format!("what this becomes can be changed elsewhere; write the base out: FROM {base}"));
        } else if self.images.kind(image) != Kind::Base {
            self.add(line, what, format!("the base of this object is {base} (image.base); name the same one here and there"));
        }
        let for_windows = ["windows/amd64", "$TARGETPLATFORM", "${TARGETPLATFORM}"];
        if let Some(platform) = from.platform.as_deref().filter(|platform| !for_windows.contains(platform)) {
            self.add(line, format!("FROM --platform={platform}"), "the image is for windows/amd64; leave it out");
        }
    }

    /// A `COPY` or an `ADD`; `again`: there was one before.
    fn copy(&mut self, instruction: &Instruction, again: bool) {
        let (line, keyword) = (instruction.lines.0, instruction.keyword.as_str());
        if again {
            let why = "a second layer: Windows nodes import layers one after the other; gather all files in an earlier stage and copy that folder";
            self.add(line, keyword, why);
        }
        for flag in &instruction.flags {
            match flag.name.as_str() {
                "link" if flag.value != "false" => {
                    let why =
                        "BuildKit makes a layer of Linux of it, without the folder Files, and no Windows node can import it; leave it out";
                    self.add(line, format!("{keyword} --link"), why);
                }
                "chown" => {
                    self.add(line, format!("{keyword} --chown"), "a Windows image has no file of users to look it up in; leave it out")
                }
                _ => {}
            }
        }
        if let Some(url) = remote(instruction).filter(|_| keyword == "ADD") {
            let why = "what is in the image should come from the repository; fetch it in an earlier stage, with --checksum";
            self.add(line, format!("ADD {}", without_userinfo(&url)), why);
        }
        let dest = instruction.words().pop().unwrap_or_default();
        let below = dest.replace('\\', "/").to_lowercase();
        let below = below.strip_prefix("c:").unwrap_or(&below).trim_start_matches('/');
        if SYSTEM.contains(&below.split('/').next().unwrap_or_default()) {
            let why = "it would replace the permissions of a folder of Windows; copy to a folder of your own such as C:/app/";
            self.add(line, format!("{keyword} to {dest}"), why);
        }
    }

    fn entrypoint(&mut self, instruction: &Instruction) {
        let Some(words) = instruction.json() else {
            let why = r#"without brackets it becomes a command line of cmd; use ["C:\\app\\shop.exe"]"#;
            self.add(instruction.lines.0, "ENTRYPOINT", why);
            return;
        };
        let program = words.first().map_or("", String::as_str);
        let full = matches!(program.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
        if !full || !program.to_ascii_lowercase().ends_with(".exe") {
            let why = r#"Windows looks for no folder and no extension; name the program in full, as in ["C:\\app\\shop.exe"]"#;
            self.add(instruction.lines.0, format!("ENTRYPOINT {program:?}"), why);
        }
    }

    fn user(&mut self, instruction: &Instruction) {
        let name = instruction.rest.as_str();
        if name.is_empty() || name.trim_matches('"').eq_ignore_ascii_case(ADMINISTRATOR) {
            let why = format!("programs need no rights of an administrator; use {USER}");
            self.add(instruction.lines.0, format!("USER {name}"), why);
        }
    }

    fn path(&mut self, instruction: &Instruction) {
        for (_, value) in environment(&instruction.rest).into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("PATH")) {
            if !value.to_ascii_lowercase().replace(['/', '\\'], "").contains("windowssystem32") {
                let why = r"on Windows it replaces the base's own PATH; leave it out, or name C:\Windows\System32 in it";
                self.add(instruction.lines.0, "ENV PATH", why);
            }
        }
    }

    fn forbidden(&mut self, instruction: &Instruction) {
        let why = match instruction.keyword.as_str() {
            "RUN" => {
                "nothing of Windows can run on the Linux machine that builds; do it in an earlier stage and copy what it makes, or build by the buildkitd of a Windows node (a named pipe in build.buildkit.address)"
            }
            "WORKDIR" => "it adds a layer of its own, and a folder without a drive; write full paths in COPY and ENTRYPOINT",
            "CMD" => {
                "BuildKit sets ArgsEscaped for it, with which nodes read the command line differently; put the arguments into ENTRYPOINT"
            }
            "SHELL" => "it is of use to RUN and CMD alone, which cannot be here; leave it out",
            _ => return,
        };
        self.add(instruction.lines.0, instruction.keyword.as_str(), why);
    }
}
