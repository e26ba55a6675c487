//! What does the go command say when it fails?
//!
//! What is told names the field that mends it, and the first place in the source, whichever engine and system compiled.

use super::downloads;
use gowindows_crds::conditions::Reason;

/// What the end of `go build`'s output means.
pub(super) fn compiler_said(output: &str) -> (Reason, String) {
    toolchain_said(output).unwrap_or_else(|| {
        let first = first_place(output);
        (Reason::CompileError, format!("The program does not compile: {first}. Push a commit that compiles; it is built at once."))
    })
}

/// What the go command says before it compiles anything.
pub(super) fn toolchain_said(output: &str) -> Option<(Reason, String)> {
    if let Some(fault) = downloads::fault(output) {
        return Some(fault);
    }
    if let Some(compiler) = output.lines().find_map(no_c_compiler) {
        let message = format!(
            "go.cgo: the toolchain image has no C compiler ({compiler:?} is not in its PATH). Set go.image to an image of Go for Windows with one, such as MinGW-w64's gcc, or leave go.cgo out."
        );
        return Some((Reason::CompileError, message));
    }
    let (wanted, running) = output.lines().find_map(newer_go)?;
    let message = format!(
        "go.mod needs Go {wanted} and the toolchain is Go {running}. Set go.version (or go.image) to a release that has it, or lower the go line of go.mod."
    );
    Some((Reason::CompileError, message))
}

/// The first place in the source that the compiler names, with what is wrong there; else the first thing that was said.
pub(super) fn first_place(output: &str) -> String {
    // The compiler names places as path:line:column, the assembler as path:line; everything else is the go command's own complaint.
    let first = output.lines().find(|line| names_a_place(line));
    // It also says which package it is about, and where it worked when it could not tidy up.
    let says_something = |line: &&str| {
        let noise = ["#", "WORK=", "go: no module dependencies to download"];
        !noise.iter().any(|noise| line.starts_with(noise)) && !line.trim().is_empty()
    };
    let first = first.or_else(|| output.lines().find(says_something));
    let first = first.unwrap_or("the compiler left no message");
    // The same place reads the same, whichever system compiled.
    match place(first) {
        Some((path, rest)) => clip(&format!("{}{rest}", path.replace('\\', "/"))),
        None => clip(first),
    }
}

pub(super) fn names_a_place(line: &str) -> bool {
    place(line).is_some()
}

/// A line in two: the path of a source file, and what follows from its ending on.
fn place(line: &str) -> Option<(&str, &str)> {
    [".go:", ".s:"].into_iter().find_map(|ending| {
        let at = line.find(ending)?;
        let digit = line[at + ending.len()..].starts_with(|c: char| c.is_ascii_digit());
        digit.then(|| line.split_at(at))
    })
}

/// The compiler that is looked for in vain: `cgo: C compiler "gcc" not found: exec: "gcc": executable file not found in %PATH%`.
fn no_c_compiler(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once("C compiler \"")?.1.split_once('"')?;
    rest.starts_with(" not found").then_some(name)
}

/// The release that a module wants and the one that there is: `go: go.mod requires go >= 1.99 (running go 1.26.1; GOTOOLCHAIN=local)`.
fn newer_go(line: &str) -> Option<(&str, &str)> {
    let (wanted, rest) = line.split_once(" requires go >= ")?.1.split_once(" (running go ")?;
    Some((wanted, rest.split([';', ')']).next()?))
}

/// A line as it stands in a sentence.
pub fn clip(line: &str) -> String {
    line.trim().trim_end_matches('.').chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 and BuildKit leave of a file for the assembler that includes one which is not there.
    #[test]
    fn the_assembler_names_places_too() {
        let said = "go: no module dependencies to download\n# example.com/evil\n./leak_amd64.s:3: #include: open /a/.netrc: no such file or directory\nasm: assembly of ./leak_amd64.s failed\n";
        assert_eq!(first_place(said), "./leak_amd64.s:3: #include: open /a/.netrc: no such file or directory");
        assert_eq!(first_place("go: no module dependencies to download\nsomething else\n"), "something else");
    }

    #[test]
    fn a_module_for_a_newer_go_names_the_field_and_both_releases() {
        for said in
            ["go: go.mod requires go >= 1.99 (running go 1.26.1; GOTOOLCHAIN=local)\n", "go: x@v1 requires go >= 1.99 (running go 1.26.1)"]
        {
            let (reason, message) = compiler_said(said);
            assert_eq!(reason, Reason::CompileError);
            assert!(["go.version", "Go 1.99 ", "Go 1.26.1."].iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn an_absent_c_compiler_is_named_with_the_field() {
        let said = "# runtime/cgo\ncgo: C compiler \"gcc\" not found: exec: \"gcc\": executable file not found in %PATH%\n";
        let (reason, message) = compiler_said(said);
        assert_eq!(reason, Reason::CompileError);
        assert!(message.starts_with("go.cgo: ") && ["\"gcc\"", "go.image"].iter().all(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn a_place_reads_the_same_from_both_systems() {
        assert_eq!(first_place("# example.com/shop\n.\\till\\main.go:3:9: undefined: x\n"), "./till/main.go:3:9: undefined: x");
        let linker = "WORK=C:\\tmp\\go-build1\n# example.com/shop\ngo: error obtaining buildID for go tool link: exit status 1\n";
        assert_eq!(first_place(linker), "go: error obtaining buildID for go tool link: exit status 1");
    }
}
