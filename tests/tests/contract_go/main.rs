//! Is what we read out of programs what the real Go wrote into them? Compiles small programs for windows/amd64, stripped and
//! not, and compares with `go version -m` and with what is known of their source.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gowindows_tests::lab::go::go;
use tempfile::TempDir;
use windows_image::Flavor;
use windows_image::build_info::{BuildInfo, Module};
use windows_image::pclntab;
use windows_image::pe_file::PeFile;
use windows_image::warnings::Learned;
use windows_image::windows_apis::WindowsApis;

const STRIPPED: &str = "-s -w -buildid=";

/// A program of one file, in a module that replaces a dependency by a folder beside it.
struct Source {
    folder: TempDir,
}

impl Source {
    fn new(main: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let dep = folder.path().join("dep");
        fs::create_dir_all(&dep)?;
        fs::write(dep.join("go.mod"), "module example.com/dep\n\ngo 1.24\n")?;
        fs::write(dep.join("dep.go"), "package dep\n\n// Name is used by the program.\nfunc Name() string { return \"dep\" }\n")?;
        let requires = "require example.com/dep v1.2.3\n\nreplace example.com/dep => ./dep\n";
        fs::write(folder.path().join("go.mod"), format!("module example.com/shop\n\ngo 1.24\n\n{requires}"))?;
        fs::write(folder.path().join("main.go"), main)?;
        Ok(Self { folder })
    }

    fn compile(&self, ldflags: &str) -> Result<PathBuf> {
        self.compile_with(&["-trimpath"], ldflags)
    }

    fn compile_with(&self, flags: &[&str], ldflags: &str) -> Result<PathBuf> {
        let program = self.folder.path().join("shop.exe");
        let mut command = go(self.folder.path())?;
        command.args(["build", "-buildvcs=false", "-tags=timetzdata", "-ldflags", ldflags]).args(flags).arg("-o").arg(&program).arg(".");
        command.envs([("GOOS", "windows"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")]);
        run(&mut command)?;
        Ok(program)
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn open(program: &Path) -> Result<PeFile<File>> {
    Ok(PeFile::open(File::open(program)?)?)
}

fn functions(program: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    pclntab::function_names(&mut open(program)?, |name| {
        names.insert(name.to_owned());
    })?;
    Ok(names)
}

fn warnings(program: &Path) -> Result<(Vec<String>, bool)> {
    let learned = Learned::read(File::open(program)?, WindowsApis::shipped(), &BTreeSet::from([Flavor::NanoServer]))?;
    Ok((learned.warnings.iter().map(ToString::to_string).collect(), learned.fallback_roots))
}

/// `go version -m`, made from what we read.
fn printed(program: &Path, info: &BuildInfo) -> String {
    let module = |kind: &str, module: &Module| {
        // As `BuildInfo.String` of Go: a replaced module's own sum is not printed.
        let own = if module.replace.is_some() { String::new() } else { format!("\t{}", module.sum) };
        let replacement = module.replace.as_ref().map(|by| format!("\t=>\t{}\t{}\t{}\n", by.path, by.version, by.sum)).unwrap_or_default();
        format!("\t{kind}\t{}\t{}{own}\n{replacement}", module.path, module.version)
    };
    let quoted = |text: &str| if text.contains([' ', '"', '`', '\t']) { format!("{text:?}") } else { text.to_owned() };
    let mut text = format!("{}: {}\n\tpath\t{}\n", program.display(), info.go_version, info.path);
    text += &module("mod", &info.main);
    text.extend(info.deps.iter().map(|dep| module("dep", dep)));
    text.extend(info.settings.iter().map(|(key, value)| format!("\tbuild\t{key}={}\n", quoted(value))));
    text
}

const PLAIN: &str =
    "package main\n\nimport \"example.com/dep\"\n\nvar Version = \"none\"\n\nfunc main() { println(dep.Name(), Version) }\n";

#[test]
fn build_info_is_what_go_prints_stripped_and_not() -> Result<()> {
    let source = Source::new(PLAIN)?;
    // Without -trimpath Go writes -ldflags too, quoted.
    for (flags, ldflags) in [(&["-trimpath"][..], ""), (&["-trimpath"], STRIPPED), (&[], "-s -w -X \"main.Version=a 'b' ä\"")] {
        let program = source.compile_with(flags, ldflags)?;
        let info = BuildInfo::read(&mut open(&program)?)?;
        let go_prints = run(go(source.folder.path())?.args(["version", "-m"]).arg(&program))?;
        // Go leaves an empty line behind a replacement.
        let lines: Vec<&str> = go_prints.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(printed(&program, &info).lines().collect::<Vec<_>>(), lines, "{ldflags}");
        assert_eq!((info.path.as_str(), info.setting("-tags")), ("example.com/shop", Some("timetzdata")));
        assert!(info.deps.iter().any(|dep| dep.path == "example.com/dep" && dep.replace.as_ref().is_some_and(|by| by.path == "./dep")));
    }
    Ok(())
}

#[test]
fn function_names_are_those_of_the_symbol_table() -> Result<()> {
    let source = Source::new(PLAIN)?;
    // Only an unstripped program has symbols to compare with; the table of functions is the same afterwards.
    let program = source.compile("")?;
    let ours = functions(&program)?;
    let symbols = run(go(source.folder.path())?.args(["tool", "nm", "-type"]).arg(&program))?;
    let text = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        (columns.next()? == "T").then(|| columns.collect::<Vec<_>>().join(" "))
    };
    let go_functions = symbols.lines().filter_map(text).filter(|name| name.contains('.') && !name.starts_with(['_', '.']));
    let (mut seen, mut missing) = (0, Vec::new());
    for name in go_functions {
        seen += 1;
        // Assembly has symbols per ABI; the table has plain names.
        let plain = name.trim_end_matches(".abi0").trim_end_matches(".abiinternal");
        if !ours.contains(plain) && !plain.starts_with("runtime.text") && !plain.starts_with("runtime.etext") {
            missing.push(name);
        }
    }
    ensure!(seen > 1000, "go tool nm named {seen} functions");
    ensure!(missing.is_empty(), "{} of {seen} are missing: {:?}", missing.len(), &missing[..missing.len().min(10)]);
    let stripped = functions(&source.compile(STRIPPED)?)?;
    ensure!(stripped.is_subset(&ours) && stripped.contains("main.main"), "stripping changes no name");
    Ok(())
}

#[test]
fn warnings_follow_what_is_linked_and_never_strings() -> Result<()> {
    let user = |call: &str| {
        format!(
            "package main\n\nimport (\n\t\"example.com/dep\"\n\t\"os/user\"\n)\n\nfunc main() {{ dep.Name(); u, err := {call}; println(u, err) }}\n"
        )
    };
    let http = |call: &str| {
        format!("package main\n\nimport (\n\t\"example.com/dep\"\n\t\"net/http\"\n)\n\nfunc main() {{ dep.Name(); {call} }}\n")
    };
    let cases: [(&str, String, &[&str]); 5] = [
        (
            "hello",
            "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/dep\"\n)\n\nfunc main() { fmt.Println(dep.Name()) }\n".into(),
            &[],
        ),
        ("user.Current", user("user.Current()"), &[]),
        ("user.Lookup", user("user.Lookup(\"x\")"), &["AbsentApi|netapi32.dll|os/user"]),
        ("a server", http("http.ListenAndServe(\":80\", nil)"), &[]),
        ("a client", http("r, err := http.Get(\"https://example.com\"); println(r, err)"), &["TlsRoots"]),
    ];
    for (name, source, expected) in cases {
        let program = Source::new(&source)?;
        let program = program.compile(STRIPPED)?;
        let mut bytes = Vec::new();
        File::open(&program)?.read_to_end(&mut bytes)?;
        ensure!(bytes.windows(8).any(|window| window == b"netapi32"), "every Go program has the name among its strings: {name}");
        assert_eq!(warnings(&program)?, (expected.iter().map(ToString::to_string).collect(), false), "{name}");
    }
    Ok(())
}

#[test]
fn linked_roots_of_trust_are_seen() -> Result<()> {
    // A folder with the package's path stands for it: what counts is the name that is linked.
    let main = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"example.com/dep\"\n\t_ \"golang.org/x/crypto/x509roots/fallback\"\n)\n\nfunc main() { dep.Name(); r, err := http.Get(\"https://example.com\"); println(r, err) }\n";
    let source = Source::new(main)?;
    let roots = source.folder.path().join("roots");
    fs::create_dir_all(&roots)?;
    fs::write(roots.join("go.mod"), "module golang.org/x/crypto/x509roots/fallback\n\ngo 1.24\n")?;
    let package = "package fallback\n\nimport \"crypto/x509\"\n\nfunc init() { x509.SetFallbackRoots(x509.NewCertPool()) }\n";
    fs::write(roots.join("fallback.go"), package)?;
    let go_mod = source.folder.path().join("go.mod");
    let module = "golang.org/x/crypto/x509roots/fallback";
    let more = format!("\nrequire {module} v0.0.0\n\nreplace {module} => ./roots\n");
    fs::write(&go_mod, fs::read_to_string(&go_mod)? + &more)?;
    assert_eq!(warnings(&source.compile(STRIPPED)?)?, (vec![], true));
    Ok(())
}

/// Counts what is read of a file, and the largest piece.
struct Counted<F>(F, u64, usize);

impl<F: Read> Read for Counted<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.2 = self.2.max(buffer.len());
        let read = self.0.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

impl<F: Seek> Seek for Counted<F> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_program_is_read_in_small_pieces() -> Result<()> {
    let source = Source::new(PLAIN)?;
    let program = source.compile("")?;
    let mut counted = Counted(File::open(&program)?, 0, 0);
    Learned::read(&mut counted, WindowsApis::shipped(), &BTreeSet::new())?;
    let size = fs::metadata(&program)?.len();
    ensure!(counted.1 < size, "{} of {size} bytes were read", counted.1);
    ensure!(counted.2 <= 128 * 1024, "a piece of {} bytes", counted.2);
    Ok(())
}
