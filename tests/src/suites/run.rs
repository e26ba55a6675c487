//! In which order do test programs run, and what is shown meanwhile? What a program says is shown when it has ended, in one piece; until then a
//! line now and then tells how far it is.

use super::programs::Program;
use super::verdict::Verdict;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// It takes longest and waits most: it has a lane of its own, and all others are beside it, one after another.
const LONGEST: &str = "lab";
/// It waits for nothing. It is the last one, and works when nobody else does: what others wait for comes in time.
const TIRELESS: &str = "sim_thread";
/// The longest silence.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What happens to a program.
enum Event {
    Begins(String),
    Ends(Ended),
}

/// A program that has ended.
struct Ended {
    program: Program,
    output: String,
    succeeded: bool,
    took: Duration,
}

/// Runs them all with these arguments, and says whether all passed.
///
/// # Errors
/// Something but a test failed.
pub fn all(programs: Vec<Program>, arguments: Vec<String>) -> Result<bool> {
    let (began, folder, number) = (Instant::now(), tempfile::tempdir()?, programs.len());
    let (sender, events) = channel();
    for lane in lanes(programs) {
        let (sender, arguments, folder) = (sender.clone(), arguments.clone(), folder.path().to_owned());
        thread::spawn(move || lane.into_iter().try_for_each(|program| perform(program, &arguments, folder.clone(), &sender)));
    }
    // The channel closes with the last lane.
    drop(sender);
    let ended = watch(&events, &folder, began)?;
    ensure!(ended.len() == number, "{} of {number} programs have ended", ended.len());
    Ok(summary(&ended, began.elapsed()))
}

/// Programs that run one after another.
fn lanes(programs: Vec<Program>) -> Vec<Vec<Program>> {
    let (longest, mut others): (Vec<_>, Vec<_>) = programs.into_iter().partition(|program| program.name == LONGEST);
    others.sort_by_key(|program| program.name == TIRELESS);
    vec![longest, others]
}

/// Runs one. An error to send is that nobody listens any more.
fn perform(program: Program, arguments: &[String], folder: PathBuf, events: &Sender<Event>) -> Result<()> {
    events.send(Event::Begins(program.name.clone()))?;
    let (began, file) = (Instant::now(), folder.join(&program.name));
    let status = File::create(&file).map_err(anyhow::Error::from).and_then(|output| {
        let mut command = command(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().with_context(|| format!("start {}", program.path.display()))?;
        if program.name == TIRELESS {
            give_way(child.id());
        }
        Ok(child.wait()?)
    });
    let mut output = fs::read(&file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let succeeded = status.as_ref().is_ok_and(|status| status.success());
    match status {
        Ok(status) if !succeeded => output.push_str(&format!("{} ended with {status}\n", program.name)),
        Err(error) => output.push_str(&format!("{error:#}\n")),
        Ok(_) => {}
    }
    events.send(Event::Ends(Ended { program, output, succeeded, took: began.elapsed() }))?;
    Ok(())
}

/// The kernel shares processors among sessions first where it groups by them (`sched_autogroup_enabled`), and among what is in one second:
/// what is to give way to the daemons of the lab, each in a session of its own, needs one too. A terminal's Ctrl-C does not reach it there, so
/// it ends with this process.
fn command(program: &Program) -> Command {
    if !cfg!(target_os = "linux") || program.name != TIRELESS {
        return Command::new(&program.path);
    }
    let mut alone = Command::new("setsid");
    alone.args(["setpriv", "--pdeathsig", "TERM", "nice", "-n", "19"]).arg(&program.path);
    alone
}

/// Makes the session of a process the last one to be given a processor, once it has one of its own. A kernel that does not group by sessions
/// has no such file, and nothing to do.
fn give_way(process: u32) {
    let file = |process: &str| format!("/proc/{process}/autogroup");
    let group = |process: &str| fs::read_to_string(file(process)).ok().and_then(|text| Some(text.split_once(' ')?.0.to_owned()));
    let (ours, process) = (group("self"), process.to_string());
    for _ in 0..100 {
        match group(&process) {
            None => return,
            theirs if theirs == ours => thread::sleep(Duration::from_millis(10)),
            Some(_) => {
                if let Err(error) = fs::write(file(&process), "19") {
                    println!("suites: {TIRELESS} does not give way to the others: {error}");
                }
                return;
            }
        }
    }
}

/// Shows what happens until all have ended.
fn watch(events: &Receiver<Event>, folder: &TempDir, began: Instant) -> Result<Vec<Ended>> {
    let (mut running, mut all) = (Vec::new(), Vec::new());
    let say = |what: &str| println!("suites {:>5.0} s: {what}", began.elapsed().as_secs_f64());
    loop {
        match events.recv_timeout(HEARTBEAT) {
            Ok(Event::Begins(name)) => {
                say(&format!("{name} begins"));
                running.push(name);
            }
            Ok(Event::Ends(ended)) => {
                running.retain(|name| *name != ended.program.name);
                show(&ended);
                all.push(ended);
            }
            Err(RecvTimeoutError::Timeout) => {
                let far = |name: &String| {
                    let output = fs::read(folder.path().join(name)).unwrap_or_default();
                    format!("{name} ({})", Verdict::so_far(&String::from_utf8_lossy(&output)))
                };
                say(&running.iter().map(far).collect::<Vec<_>>().join(", "));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(all),
        }
    }
}

/// As cargo does, so that whoever reads its output finds a program in the same way.
fn show(ended: &Ended) {
    let Ended { program, output, .. } = ended;
    let path = program.path.components().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect::<PathBuf>();
    println!("\n     Running tests/{}/main.rs ({})\n{output}", program.name, path.display());
}

/// The end of a long output is what is read: how long each took, why tests were ignored, what failed.
fn summary(all: &[Ended], took: Duration) -> bool {
    let failed = all.iter().filter(|ended| !ended.succeeded).count();
    println!("suites: seconds  program, {} side by side", all.len());
    for Ended { program, output, succeeded, took } in all {
        let Verdict { results, passed, failed, ignored, failures, reasons } = Verdict::read(output);
        let said = if results == 0 { "no result".to_owned() } else { format!("{passed} passed, {failed} failed, {ignored} ignored") };
        let how = if *succeeded { "" } else { ": FAILED" };
        println!("suites: {:>7.1}  {}{how}: {said}", took.as_secs_f64(), program.name);
        reasons.iter().for_each(|reason| println!("suites:          {reason}"));
        failures.iter().for_each(|name| println!("suites:          failed: {name}"));
    }
    println!(
        "suites: {}; {failed} of {} programs failed; finished in {:.2}s",
        if failed == 0 { "ok" } else { "FAILED" },
        all.len(),
        took.as_secs_f64()
    );
    failed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, path: &str) -> Program {
        Program { name: name.into(), path: path.into() }
    }

    #[test]
    fn the_longest_has_a_lane_and_the_tireless_is_last() {
        let names = |programs: &[Program]| programs.iter().map(|program| program.name.clone()).collect::<Vec<_>>();
        let programs = ["sim_thread", "a", "lab", "b"].map(|name| program(name, name)).to_vec();
        let lanes: Vec<_> = lanes(programs).iter().map(|lane| names(lane)).collect();
        assert_eq!(lanes, [vec!["lab"], vec!["a", "b", "sim_thread"]]);
    }

    #[test]
    fn one_that_fails_or_cannot_start_fails_all() {
        let run = |programs: &[(&str, &str)], arguments: &[&str]| {
            let programs = programs.iter().map(|(name, path)| program(name, path)).collect();
            all(programs, arguments.iter().map(|text| (*text).to_owned()).collect()).expect("nothing but tests fails")
        };
        assert!(run(&[("lab", "true"), ("a", "true"), ("sim_thread", "true")], &["argument"]));
        assert!(!run(&[("lab", "true"), ("a", "false"), ("sim_thread", "true")], &[]));
        assert!(!run(&[("lab", "/there/is/none"), ("a", "true")], &[]));
    }
}
