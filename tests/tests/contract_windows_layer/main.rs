//! Who may do what with the files of a layer, by what Windows is told? Microsoft's own library reads the layer as it does in containerd on
//! Windows, and `AccessCheck` is asked of each descriptor. Both run under Wine: Wine's server answers, not Windows' kernel, and nothing is imported.

mod access;
mod images;
mod loosened;
mod windows;

use access::{Entry, complaints};
use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_tests::lab::available;
use gowindows_tests::lab::packages;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::peers::workshop::{Workshop, buildkit, ko, ours};
use images::{declaration, layers};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use windows::Windows;

type Test = fn() -> BoxFuture<'static, Result<()>>;

const TESTS: [(&str, Test); 4] = [
    ("ours_may_be_read_and_executed_alone", || ours_may_be_read_and_executed_alone().boxed()),
    ("a_looser_descriptor_is_told", || a_looser_descriptor_is_told().boxed()),
    ("with_the_program_of_ko_everything_may_be_done", || with_the_program_of_ko_everything_may_be_done().boxed()),
    ("to_the_folder_of_buildkit_files_may_be_added", || to_the_folder_of_buildkit_files_may_be_added().boxed()),
];

/// On a folder and on a file of ours, as `windows_image::descriptor` documents them.
const STRICT_FOLDER: &str = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)";
const STRICT_FILE: &str = "O:BAG:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;BU)";
/// `FILE_ATTRIBUTE_DIRECTORY` and `FILE_ATTRIBUTE_ARCHIVE`.
const FOLDER: u32 = 0x10;
const ARCHIVE: u32 = 0x20;

fn main() {
    let arguments = Arguments::from_args();
    let reason = if arguments.list { None } else { unfit().err() };
    if let Some(reason) = &reason {
        eprintln!("ignored: {reason}");
    }
    let trials = TESTS.iter().map(|(name, test)| {
        let run = || Runtime::new()?.block_on(test()).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(*name, run).with_ignored_flag(reason.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// Whether Wine can be had here; if not, why.
fn unfit() -> Result<(), String> {
    available()?;
    let wine = async { packages::ensure(packages::WINE, &Progress::stderr()).await };
    Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(wine)).map_err(|error| format!("Wine: {error:#}"))
}

/// Name, attributes and descriptor of each.
fn told(entries: &[Entry]) -> Vec<(&str, u32, Option<&str>)> {
    entries.iter().map(|entry| (entry.name(), entry.attributes, entry.descriptor.as_deref())).collect()
}

async fn ours_may_be_read_and_executed_alone() -> Result<()> {
    let (windows, workshop, declaration) = (Windows::open().await?, Workshop::open().await?, declaration()?);
    let file = declaration.path().to_str().context("a path in UTF-8")?;
    // The roots have no descriptor: `C:\` keeps its own.
    let roots = [("Hives", FOLDER, None), ("Files", FOLDER, None), ("Files/app", FOLDER, Some(STRICT_FOLDER))];
    let program = [("Files/app/hello.exe", ARCHIVE, Some(STRICT_FILE))];
    let files = [("Files/app/web", FOLDER, Some(STRICT_FOLDER)), ("Files/app/web/index.html", ARCHIVE, Some(STRICT_FILE))];
    for compression in ["gzip", "zstd"] {
        let image = ours(&workshop, &["-f", file, "--compression", compression]).await?;
        let layers = layers(&workshop, &image).await?;
        ensure!(layers.len() == 2, "{compression}: the files' and the program's, not {}", layers.len());
        for (layer, above) in layers.iter().zip([&files[..], &program]) {
            let entries = windows.read(layer).await?;
            let (told, expected) = (told(&entries), [&roots, above].concat());
            ensure!(told == expected, "{compression}: {told:#?}");
            let complaints = complaints(&entries);
            ensure!(complaints.is_empty(), "{compression}: {complaints:#?}");
            for entry in entries.iter().filter(|entry| entry.descriptor.is_some()) {
                // That it is the missing group which is refused, and not everybody.
                let all = entry.administrator.as_deref().is_some_and(|rights| rights.iter().any(|right| right == "write-dac"));
                ensure!(all, "{compression}: an administrator may change everything: {entry:?}");
            }
        }
    }
    Ok(())
}

/// So the test above fails where a descriptor of ours gets looser, or is left out.
async fn a_looser_descriptor_is_told() -> Result<()> {
    let windows = Windows::open().await?;
    let complaints_of = async |layer: &[u8]| Ok::<_, anyhow::Error>(complaints(&windows.read(layer).await?));
    let strict = loosened::strict()?;
    ensure!(complaints_of(&strict).await? == [""; 0], "the layer before it is changed");
    for (what, change, expected) in loosened::CASES {
        let told = complaints_of(&change(strict.clone())?).await.context(what)?;
        ensure!(told == [expected], "{what}: {told:#?}");
    }
    Ok(())
}

/// Its folders have no descriptor: what Windows then gives them is not known here.
async fn with_the_program_of_ko_everything_may_be_done() -> Result<()> {
    let (windows, workshop) = (Windows::open().await?, Workshop::open().await?);
    let mut entries = Vec::new();
    for layer in layers(&workshop, &ko(&workshop).await?).await? {
        entries.extend(windows.read(&layer).await?);
    }
    let expected = [
        "Files/var: no descriptor",
        "Files/var/run: no descriptor",
        "Files/var/run/ko: no descriptor",
        "Files/ko-app: no descriptor",
        "Files/ko-app/hello: may write, append, write-extended-attributes, delete-child, write-attributes, delete, write-dac, write-owner",
    ];
    let complaints = complaints(&entries);
    ensure!(complaints == expected, "{complaints:#?}");
    let program = entries.iter().find(|entry| entry.name() == "Files/ko-app/hello").context("no program")?;
    // Owner and group are Users, and there is no list of who may do what; nor are there attributes.
    ensure!((program.descriptor.as_deref(), program.attributes) == (Some("O:BUG:BU"), 0), "{program:?}");
    Ok(())
}

/// Its program is as strict as ours.
async fn to_the_folder_of_buildkit_files_may_be_added() -> Result<()> {
    let (windows, workshop) = (Windows::open().await?, Workshop::open().await?);
    let layers = layers(&workshop, &buildkit(&workshop, "COPY").await?).await?;
    ensure!(layers.len() == 1, "{} layers", layers.len());
    let entries = windows.read(&layers[0]).await?;
    let complaints = complaints(&entries);
    ensure!(complaints == ["Files/app: may write, append"], "{complaints:#?}");
    let names: Vec<_> = entries.iter().map(Entry::name).collect();
    ensure!(names == ["Hives", "Files", "Files/app", "Files/app/hello.exe"], "{names:?}");
    Ok(())
}
