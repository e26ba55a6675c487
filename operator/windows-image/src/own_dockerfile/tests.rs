use super::*;
use crate::System;

const GO: &str = "r.example.com:5000/go:1.26";
const TOP: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const ONE: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn images() -> Images {
    let base = Base { reference: format!("m.example.com/nanoserver:ltsc2022@{TOP}"), manifest: ONE.into(), user: "ContainerUser".into() };
    Images { system: System::Linux, base, toolchain: format!("{GO}@{TOP}") }
}

/// A Dockerfile that can be built; the last stage begins on line 6.
const GOOD: &str = r#"# The storefront, as its team builds it.
FROM --platform=linux/amd64 r.example.com:5000/go:1.26 AS build
ARG REVISION
COPY . /src
RUN --mount=type=cache,target=/root/.cache cd /src && GOOS=windows go build -o /out/app/shop.exe .
FROM m.example.com/nanoserver:ltsc2022
COPY --from=build /out/ /
ENTRYPOINT ["C:\\app\\shop.exe", "-listen", ":8080"]
"#;

fn told(text: &str) -> Vec<String> {
    lint(text, &images()).iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect()
}

/// What is found in the good one with `extra` after its line `after`.
fn with(after: usize, extra: &str) -> Vec<String> {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines.insert(after, extra);
    told(&(lines.join("\n") + "\n"))
}

#[test]
fn the_usual_file_is_fine() {
    assert_eq!(told(GOOD), [""; 0]);
    let more = "# escape=`\n\nARG GO=1\nFROM --platform=$BUILDPLATFORM golang@sha256:33 AS tools\nFROM tools AS build\nRUN <<EOF\nCMD x\nEOF\nFROM --platform=windows/amd64 m.example.com/servercore@sha256:44 AS dlls\nFROM m.example.com/nanoserver:ltsc2022@sha256:1111111111111111111111111111111111111111111111111111111111111111 AS image\nLABEL a=b\nEXPOSE 8080\nENV MODE=x `\n  NAME=\"a b\"\nCOPY --from=build /out/ C:/app/\nUSER ContainerUser\nHEALTHCHECK NONE\nENTRYPOINT [\"C:/app/shop.exe\"]\n";
    assert_eq!(told(more), [""; 0]);
}

/// Not demonstrated on Windows: what would be handed to a buildkitd there.
#[test]
fn on_windows_the_last_stage_can_run_commands_and_nothing_is_of_linux() {
    let images = Images { system: System::Windows, ..images() };
    let told = |text: &str| lint(text, &images).iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect::<Vec<_>>();
    let file = r#"FROM r.example.com:5000/go:1.26 AS build
COPY . /src
RUN cd \src && go build -o /out/app/shop.exe .
FROM m.example.com/nanoserver:ltsc2022
SHELL ["cmd", "/S", "/C"]
USER ContainerAdministrator
RUN reg add HKLM\SOFTWARE\Shop /v Mode /d prod
COPY --from=build /out/ /
USER ContainerUser
ENTRYPOINT ["C:\\app\\shop.exe"]
"#;
    assert_eq!(told(file), [""; 0]);
    let of_linux = file.replace("FROM r.example.com", "FROM --platform=linux/amd64 r.example.com");
    assert_eq!(told(&of_linux), ["1 FROM --platform=linux/amd64"]);
    assert_eq!(told(&file.replace("USER ContainerUser\n", "")), ["6 USER ContainerAdministrator"]);
    assert_eq!(told(&file.replace("RUN reg", "RUN --security=insecure reg")), ["7 RUN --security=insecure"]);
    assert_eq!(told(&file.replace("SHELL [\"cmd\", \"/S\", \"/C\"]", "WORKDIR /app")), ["5 WORKDIR"]);
}

#[test]
fn each_construct_that_the_last_stage_cannot_have_is_named_with_its_line() {
    for (construct, expected) in [
        ("RUN dir", "7 RUN"),
        ("run [\"cmd\"]", "7 RUN"),
        ("WORKDIR /app", "7 WORKDIR"),
        ("CMD [\"-x\"]", "7 CMD"),
        ("SHELL [\"powershell\"]", "7 SHELL"),
        ("ONBUILD RUN dir", "7 ONBUILD"),
        ("USER ContainerAdministrator", "7 USER ContainerAdministrator"),
        ("ENV PATH=C:\\app", "7 ENV PATH"),
        ("ENV Path C:\\app", "7 ENV PATH"),
        ("ENV A=1 PATH=\"C:\\app;C:\\x\"", "7 ENV PATH"),
        ("ENV API_TOKEN=abc", "7 ENV API_TOKEN"),
    ] {
        assert_eq!(with(6, construct), [expected], "{construct}");
    }
    for (construct, expected) in [
        ("COPY --link --from=build /out/ /", vec!["8 COPY", "7 COPY --link"]),
        ("ADD --link=true a.txt /app/", vec!["8 COPY", "7 ADD --link"]),
        ("COPY --chown=app:app a.txt /app/", vec!["8 COPY", "7 COPY --chown"]),
        ("ADD https://user:hunter2@x.example.com/a.zip /app/", vec!["8 COPY", "7 ADD https://***@x.example.com/a.zip"]),
        ("ADD git@x.example.com:a/b.git /app/", vec!["8 COPY", "7 ADD git@x.example.com:a/b.git"]),
        ("COPY a.dll /Windows/System32/", vec!["8 COPY", "7 COPY to /Windows/System32/"]),
        ("COPY [\"a\", \"c:\\\\Program Files\\\\a\"]", vec!["8 COPY", "7 COPY to c:\\Program Files\\a"]),
    ] {
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(with(6, construct), expected, "{construct}");
    }
    assert_eq!(with(6, "COPY --link=false a.txt /app/"), ["8 COPY"], "a second layer, and not a link");
    assert_eq!(with(6, "ENV PATH=C:\\app;C:\\Windows\\System32"), [""; 0]);
}

#[test]
fn a_program_is_named_in_full() {
    let with = |entrypoint: &str| told(&GOOD.replace(r#"["C:\\app\\shop.exe", "-listen", ":8080"]"#, entrypoint));
    assert_eq!(with("C:\\app\\shop.exe"), ["8 ENTRYPOINT"]);
    assert_eq!(with(r#"["shop.exe"]"#), [r#"8 ENTRYPOINT "shop.exe""#]);
    assert_eq!(with(r#"["C:\\app\\shop"]"#), [r#"8 ENTRYPOINT "C:\\app\\shop""#]);
    assert_eq!(told(&GOOD.replace("ENTRYPOINT", "LABEL x=y #")), ["6 the last stage"]);
}

#[test]
fn the_base_is_the_objects() {
    let from = |image: &str| told(&GOOD.replace("FROM m.example.com/nanoserver:ltsc2022", &format!("FROM {image}")));
    for image in [
        "scratch",
        "build",
        "m.example.com/nanoserver:ltsc2025",
        "m.example.com/servercore:ltsc2022",
        "m.example.com/nanoserver",
        "${BASE}",
        "m.example.com/nanoserver@sha256:3333333333333333333333333333333333333333333333333333333333333333",
    ] {
        assert_eq!(from(image), [format!("6 FROM {image}")], "{image}");
    }
    assert_eq!(from("--platform=linux/amd64 m.example.com/nanoserver:ltsc2022"), ["6 FROM --platform=linux/amd64"]);
    for image in [format!("m.example.com/nanoserver:ltsc2022@{TOP}"), format!("m.example.com/nanoserver@{ONE}")] {
        assert_eq!(from(&image), [""; 0], "{image}");
    }
    let bare = Images { base: Base { user: String::new(), ..images().base }, ..images() };
    let whose = |text: &str| lint(text, &bare).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(whose(GOOD).concat().starts_with("line 6: the last stage: its base names no user"), "{:?}", whose(GOOD));
    assert_eq!(whose(&GOOD.replace("ENTRYPOINT", "USER ContainerUser\nENTRYPOINT")), [""; 0]);
}

#[test]
fn what_no_stage_can_have_is_named_with_its_line() {
    for (construct, expected) in [
        ("RUN --security=insecure id", "4 RUN --security=insecure"),
        ("RUN --network=host id", "4 RUN --network=host"),
        ("RUN --device=gpu id", "4 RUN --device=gpu"),
        ("RUN --mount=type=ssh git clone x", "4 RUN --mount=type=ssh"),
        ("RUN --mount=type=bind,from=golang:1.26,target=/x id", "4 RUN --mount=from=golang:1.26"),
        ("COPY --from=golang:1.26 /usr/local/go /go", "4 COPY --from=golang:1.26"),
        ("COPY --from=7 /a /b", "4 COPY --from=7"),
        ("ADD https://x.example.com/a.zip /src/", "4 ADD https://x.example.com/a.zip"),
        ("ARG NPM_TOKEN", "4 ARG NPM_TOKEN"),
        ("ARG MODE=x PASSWORD=y", "4 ARG PASSWORD"),
        ("ENV PRIVATE_KEY /x", "4 ENV PRIVATE_KEY"),
        ("ONBUILD COPY . /src", "4 ONBUILD"),
        ("FROM golang:1.26", "4 FROM golang:1.26"),
        ("FROM --platform=linux/amd64 golang:1.26", "4 FROM golang:1.26"),
        ("FROM --platform=linux/amd64 $GO", "4 FROM $GO"),
        ("FROM --platform=linux/arm64 golang@sha256:33", "4 FROM --platform=linux/arm64"),
        ("FROM r.example.com:5000/go:1.26", "4 FROM r.example.com:5000/go:1.26"),
    ] {
        let found = with(3, construct);
        assert!(!found.is_empty() && found.iter().all(|one| one == expected), "{construct}: {found:?}");
    }
    for fine in [
        "ARG PUBLIC_KEY=x",
        "RUN --network=none id",
        "RUN --mount=type=secret,id=netrc id",
        "ADD --checksum=sha256:55 https://x.example.com/a.zip /src/",
        "COPY --from=golang@sha256:33 /usr/local/go /go",
        "FROM scratch",
        "FROM build",
        "SHELL [\"/bin/bash\", \"-c\"]",
        "WORKDIR /src",
    ] {
        assert_eq!(with(3, fine), [""; 0], "{fine}");
    }
    let windows = "FROM --platform=windows/amd64 m.example.com/servercore@sha256:44 AS dlls\nRUN dir\n";
    assert_eq!(told(&GOOD.replace("FROM m.", &format!("{windows}FROM m."))), ["7 RUN"]);
}

#[test]
fn no_frontend_is_named_in_any_spelling() {
    for line in [
        "# syntax=docker/dockerfile:1",
        "#SYNTAX = evil.example.com/frontend",
        "#!/usr/bin/env docker\n# syntax=evil",
        "\u{feff}# syntax=evil",
        "# a comment\n# syntax=evil",
    ] {
        let found = told(&format!("{line}\n{GOOD}"));
        assert!(found.len() == 1 && found[0].to_lowercase().contains("syntax"), "{line}: {found:?}");
    }
    for line in ["// syntax=evil", "{\"syntax\": \"evil\"}"] {
        assert_eq!(told(&format!("{line}\n{GOOD}")), ["1 it cannot be read"], "{line}");
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, line) in
        [("", 1), ("RUN x\n", 1), ("# only\n", 1), ("FROM a\n\nFORM b\n", 3), ("FROM a\nRUN <<EOF\nx\n", 2), ("FROM a b\n", 1)]
    {
        let found = lint(text, &images());
        assert!(found.len() == 1 && found[0].what == "it cannot be read" && found[0].line == line, "{text:?}: {found:?}");
    }
}

#[test]
fn continued_lines_comments_and_quotes_do_not_hide_a_construct() {
    let hidden = "FROM --platform=linux/amd64 \\\n  r.example.com:5000/go:1.26 \\\n  AS build\nFROM m.example.com/nanoserver:ltsc2022\nCO\\\nPY --from=build \\\n# a comment\n  --link \\\n  /out/ /\nENTRYPOINT [\"C:\\\\a.exe\"]\nru\\\nn x\n";
    assert_eq!(told(hidden), ["5 COPY --link", "11 RUN"]);
    // What looks like an instruction and is text.
    let text = GOOD.replace("RUN --mount", "RUN echo \\\n  RUN x ; cat <<A 3<<-\"B C\" > x\nFROM x\nA\nONBUILD\n\tB C\nRUN --mount");
    assert_eq!(told(&text), [""; 0]);
}

#[test]
fn all_findings_are_told_as_far_as_there_is_room() {
    let many = GOOD.to_owned() + &"CMD x\n".repeat(20);
    let sentence = sentence(&lint(&many, &images()));
    assert!(
        sentence.starts_with("line 9: CMD: BuildKit sets ArgsEscaped") && sentence.ends_with("; line 27: CMD; line 28: CMD"),
        "{sentence}"
    );
    assert!(sentence.len() < 2000, "a termination message has no more room: {}", sentence.len());
}

#[test]
fn buildkit_gets_the_base_and_the_toolchain_by_digest_and_the_time() {
    let text = pinned(GOOD, &images(), 1_767_323_045).expect("a Dockerfile");
    let expected = GOOD
        .replace("# The storefront, as its team builds it.", "ARG SOURCE_DATE_EPOCH=1767323045")
        .replace("go:1.26 AS", &format!("go:1.26@{TOP} AS"))
        .replace("nanoserver:ltsc2022\n", &format!("nanoserver:ltsc2022@{ONE}\n"));
    assert_eq!(text, expected);
    let crowded = "# escape=`\nFROM --platform=linux/amd64 `\n  r.example.com:5000/go:1.26 `\n  as build\nFROM build AS more\nFROM --platform=$TARGETPLATFORM m.example.com/nanoserver:ltsc2022 AS x\n";
    let expected = format!(
        "# escape=`\nARG SOURCE_DATE_EPOCH=0\nFROM --platform=linux/amd64 {GO}@{TOP} AS build\n\n\nFROM build AS more\nFROM m.example.com/nanoserver:ltsc2022@{ONE} AS x\n"
    );
    assert_eq!(pinned(crowded, &images(), 0).expect("a Dockerfile"), expected);
}

/// Whatever a file begins with, BuildKit's own search for directives ends at our instruction.
#[test]
fn no_directive_of_the_users_survives() {
    for top in ["#!/bin/x\n# syntax=evil\n", "# check=skip=all\n", "\u{feff}# syntax=evil\n", "# x\n# syntax=evil\n\n"] {
        let text = pinned(&format!("{top}{GOOD}"), &images(), 0).expect("a Dockerfile");
        assert!(text.starts_with("ARG SOURCE_DATE_EPOCH=0\n"), "{text}");
    }
}

/// What nothing is found in can be handed on, and is then of the base alone.
#[test]
fn fuzz_dockerfiles() {
    let crowded =
        "# escape=`\nFROM --platform=linux/amd64 `\n  r.example.com:5000/go:1.26 `\n  as build\nRUN cat <<A 3<<-\"B C\" > x\nA\n\tB C\n";
    let seeds = [GOOD.as_bytes().to_vec(), format!("{crowded}{}", &GOOD[GOOD.find("FROM m.").unwrap_or(0)..]).into_bytes()];
    crate::tests::fuzz("Dockerfile", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let findings = lint(&text, &images());
        assert!(sentence(&findings).len() < 64 * 1024);
        if findings.is_empty() {
            let pinned = pinned(&text, &images(), 1).expect("it was read before");
            let file = Dockerfile::read(&pinned).expect("it can be read again");
            let last = &file.stages.last().expect("a stage").from;
            assert!(last.image == images().base() && last.platform.is_none(), "{pinned}");
            assert_eq!(file.stages.len(), Dockerfile::read(&text).expect("it was read before").stages.len(), "{pinned}");
        }
    });
}

/// The lines of a Dockerfile that was written on Windows stay as they are, but for those that are ours.
#[test]
fn lines_of_windows_stay_so() {
    let text = GOOD.replace('\n', "\r\n");
    assert_eq!(told(&text), [""; 0]);
    let pinned = pinned(&text, &images(), 0).expect("a Dockerfile");
    assert_eq!(pinned.matches("\r\n").count(), GOOD.lines().count() - 3, "{pinned:?}");
    let here = text.replace("ARG REVISION", "COPY <<EOF /x\r\nRUN y\r\nEOF\r\nARG REVISION");
    assert_eq!(told(&here), [""; 0]);
}
