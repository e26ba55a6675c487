//! What does every part need? The programs, what the operator makes of an object, what the API server allows, and new clusters.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gowindows_bench::{Results, percentile};
use gowindows_tests::lab::host;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::build_operator;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::calibration::Calibration;
use crate::ground::{Created, Ground, space};
use crate::populate::{self, Build, populate};
use crate::seen::Key;
use crate::servers::Servers;
use crate::subject::{Files, Kind, Subject};
use crate::template::Template;

/// A digest that stands for any image.
const DIGEST: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
/// Objects by which is measured what the API server allows.
const CALIBRATES: usize = 1_000;
/// How long a controller may take with one object that it has to itself.
pub const ONE: Duration = Duration::from_secs(60);
/// No controller has written anything for so long: it has done all that it has to do.
const QUIET: Duration = Duration::from_secs(3);

/// What every part shares.
pub struct Bench {
    /// How often comparisons are made.
    pub repeats: usize,
    /// What is said meanwhile.
    pub progress: Progress,
    /// What the operator makes of an object.
    pub template: Template,
    /// What the API server allows.
    pub calibration: Calibration,
    files: Files,
    servers: Servers,
    divide: usize,
    _folder: TempDir,
}

/// A controller on a cluster of its own.
pub struct Run {
    /// The cluster.
    pub ground: Ground,
    /// The controller.
    pub subject: Subject,
}

impl Bench {
    /// Builds the operator, takes the template from it, and measures what the API server allows.
    pub async fn set_up(
        operator: Option<&Path>,
        repeats: usize,
        divide: usize,
        progress: &Progress,
        results: &mut Results,
    ) -> Result<Self> {
        let operator = match operator {
            Some(program) => program.canonicalize().with_context(|| format!("there is no {}", program.display()))?,
            None => progress.step("the operator's program", build_operator()).await?,
        };
        let folder = tempfile::tempdir()?;
        let servers = Servers::start(progress).await?;
        let file = |name: &str| -> PathBuf { folder.path().join(name) };
        let files = Files { operator, bench: std::env::current_exe()?, settings: file("settings.yaml"), template: file("template.json") };
        std::fs::write(&files.settings, serde_norway::to_string(&settings(&servers.registry))?)?;
        let ground = progress.step("a cluster", Ground::start(progress, &servers.registry, &servers.git)).await?;
        let template = progress.step("what the operator makes of an object", harvest(&ground, &files)).await?;
        template.write(&files.template)?;
        let count = (CALIBRATES / divide).max(100);
        let calibration = progress.step("what the API server allows", Calibration::measure(&ground, &template, count)).await?;
        ground.end().await?;
        let [job, status] = template.sizes();
        results.heading("What this API server allows");
        results.table(&calibration.table());
        results.text(&format!(
            "Measured without a controller, on {count} objects. The Job is {job} bytes of JSON, the status {status}. Limits of time are \
             multiplied by {:.2}, which is how much longer the last line takes here.",
            calibration.factor()
        ));
        Ok(Self { repeats, progress: progress.clone(), template, calibration, files, servers, divide, _folder: folder })
    }

    /// Measures again what the API server allows: a machine that was busy with other things meanwhile is told by that.
    pub async fn calibrate_again(&self, results: &mut Results) -> Result<()> {
        let ground = self.ground().await?;
        let count = (CALIBRATES / self.divide).max(100);
        let measured = Calibration::measure(&ground, &self.template, count);
        let again = self.progress.step("what the API server allows, again", measured).await?;
        ground.end().await?;
        let [first, last] = [&self.calibration, &again].map(|calibration| format!("{:.0}", calibration.objects_a_second()));
        results.heading("Was the machine the same all the time?");
        results.text(&format!("Objects a second that the API server allowed before the first part: {first}. After the last part: {last}."));
        Ok(())
    }

    /// So many objects, or fewer where the benchmark is only tried.
    pub fn count(&self, count: usize) -> usize {
        (count / self.divide).max(10)
    }

    /// Waits, and says so.
    pub async fn nothing_happens(&self, time: Duration) -> Result<()> {
        let wait = async {
            tokio::time::sleep(time).await;
            anyhow::Ok(())
        };
        self.progress.step("nothing happens", wait).await
    }

    /// A new cluster.
    pub async fn ground(&self) -> Result<Ground> {
        self.progress.step("a cluster", Ground::start(&self.progress, &self.servers.registry, &self.servers.git)).await
    }

    /// A controller on a cluster.
    pub fn subject(&self, ground: &Ground, kind: Kind) -> Result<Subject> {
        Subject::start(&ground.plane, kind, &self.files)
    }

    /// A controller on a new cluster, warm: it has made one Job.
    pub async fn run(&self, kind: Kind) -> Result<Run> {
        self.run_on(self.ground().await?, kind).await
    }

    /// The same on a cluster that is there.
    pub async fn run_on(&self, ground: Ground, kind: Kind) -> Result<Run> {
        let subject = self.subject(&ground, kind)?;
        let run = Run { ground, subject };
        run.alone("warm", 1).await?;
        Ok(run)
    }

    /// The operator on a new cluster with so many objects, settled.
    pub async fn settled(&self, waiting: usize, ended: usize, limit: Duration) -> Result<(Run, bool)> {
        let ground = self.populated(waiting, ended).await?;
        self.settled_on(ground, waiting + ended, limit).await
    }

    /// The operator on a cluster with so many objects, settled.
    pub async fn settled_on(&self, ground: Ground, objects: usize, limit: Duration) -> Result<(Run, bool)> {
        let mut subject = self.subject(&ground, Kind::Operator)?;
        subject.ready(ONE).await?;
        let run = Run { ground, subject };
        let settled = self.progress.step("the operator settles", run.settle(objects, limit)).await?;
        Ok((run, settled))
    }

    /// A new cluster with so many objects.
    pub async fn populated(&self, waiting: usize, ended: usize) -> Result<Ground> {
        let ground = self.ground().await?;
        populate(&ground, &self.template, "ended", ended, Build::Ended).await?;
        if waiting > 0 {
            populate(&ground, &self.template, "waiting", waiting, Build::Waiting).await?;
        }
        Ok(ground)
    }

    /// `<= 2.60 s (2.00 s x 1.30)`: a limit of time on this machine, in seconds and as text.
    pub fn limit(&self, seconds: f64) -> (f64, String) {
        let factor = self.calibration.factor();
        let here = seconds * factor;
        let shown = |seconds: f64| if seconds < 0.5 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") };
        (here, format!("<= {} ({} x {factor:.2})", shown(here), shown(seconds)))
    }
}

impl Run {
    /// Creates objects one after the other, each when the one before has its Job. Returns the milliseconds that each took.
    pub async fn alone(&self, prefix: &str, count: usize) -> Result<Vec<f64>> {
        let mut took = Vec::new();
        let spec = self.ground.pinned();
        for number in 0..count {
            let key: Key = (space(number % 10), format!("{prefix}-one-{number}"));
            let at = Instant::now();
            self.ground.create(&key, &spec).await?;
            if !self.ground.seen.until(&[&key], ONE, |reached| reached == [1, 1]).await? {
                bail!("{}/{} has no Job and no status after {} s", key.0, key.1, ONE.as_secs());
            }
            let seen = self.ground.seen.job(&key).context("its Job was not seen")?;
            took.push(seen.duration_since(at).as_secs_f64() * 1e3);
            // What the controller still does for it does not count for the next one.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(took)
    }

    /// Waits until there was one pass for each of so many objects, and nothing is written any more; false if it takes too long.
    pub async fn settle(&self, objects: usize, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        let (mut writes, mut since) = (0, Instant::now());
        while since.elapsed() < QUIET || self.subject.passes().await? < objects as u64 {
            if Instant::now() > end {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.ground.requests().await?.of_controller().tally().writes();
            if now != writes {
                (writes, since) = (now, Instant::now());
            }
        }
        Ok(true)
    }

    /// Creates ten objects a second. Returns the milliseconds from each to its Job, and how many have none in time.
    pub async fn ten_a_second(&self, prefix: &str, count: usize) -> Result<Latencies> {
        let created = self.ground.ten_a_second(prefix, count, &self.ground.pinned()).await?;
        let keys: Vec<&Key> = created.keys().collect();
        self.ground.seen.until(&keys, ONE, |[jobs, _]| jobs == count).await?;
        Ok(Latencies::of(&self.ground, &created))
    }

    /// Takes both away.
    pub async fn end(self) -> Result<()> {
        self.subject.stop().await?;
        self.ground.end().await
    }
}

/// Milliseconds from each object to its Job.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Of those that have one.
    pub milliseconds: Vec<f64>,
    /// How many have none.
    pub missing: usize,
}

impl Latencies {
    /// Of these objects, now.
    pub fn of(ground: &Ground, created: &Created) -> Self {
        let took = |(key, at): (&Key, &Instant)| Some(ground.seen.job(key)?.duration_since(*at).as_secs_f64() * 1e3);
        let milliseconds: Vec<f64> = created.iter().filter_map(took).collect();
        Self { missing: created.len() - milliseconds.len(), milliseconds }
    }

    /// Those of another round as well.
    pub fn add(&mut self, other: Self) {
        self.milliseconds.extend(other.milliseconds);
        self.missing += other.missing;
    }

    /// In milliseconds. Where more are missing than this leaves room for there is none.
    pub fn percentile(&self, hundredths: f64) -> f64 {
        let all: Vec<f64> = self.milliseconds.iter().copied().chain(std::iter::repeat_n(f64::INFINITY, self.missing)).collect();
        percentile(&all, hundredths)
    }

    /// The same for people.
    pub fn shown(&self, hundredths: f64) -> String {
        milliseconds(self.percentile(hundredths))
    }
}

/// `12.3 ms`, and `never` for what was not reached in time.
pub fn milliseconds(value: f64) -> String {
    if value.is_finite() { format!("{value:.1} ms") } else { "never".into() }
}

/// `1 000`
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn settings(registry: &str) -> Value {
    json!({
        "stepImage": format!("{registry}/gowindows@{DIGEST}"),
        "toolchains": {"1.26": format!("{registry}/golang@{DIGEST}")},
        "registries": [{"host": registry, "plainHTTP": true}],
    })
}

/// Has the operator deal with one object, and its Job fail.
async fn harvest(ground: &Ground, files: &Files) -> Result<Template> {
    let subject = Subject::start(&ground.plane, Kind::Operator, files)?;
    let key: Key = (space(0), "bench-template".into());
    ground.create(&key, &ground.pinned()).await?;
    if !ground.seen.until(&[&key], ONE, |reached| reached == [1, 1]).await? {
        bail!("the operator makes no Job of an object; its log is {}", subject.log()?);
    }
    ground.silence(QUIET, ONE).await?;
    let (images, jobs) = (ground.images(&key.0), Api::<Job>::namespaced(ground.client.clone(), &key.0));
    let object = serde_json::to_value(images.get(&key.1).await?)?;
    let job = jobs.list(&ListParams::default()).await?.items.into_iter().next().context("there is no Job")?;
    populate::end(&jobs, job.metadata.name.as_deref().unwrap_or_default()).await?;
    ground.silence(QUIET, ONE).await?;
    let ended = serde_json::to_value(images.get(&key.1).await?)?;
    if ended["status"] == object["status"] {
        bail!("the operator does not see that a Job has failed; its log is {}", subject.log()?);
    }
    subject.stop().await?;
    Template::new(&object, &serde_json::to_value(job)?, &ended["status"])
}

/// What a log ends with.
pub fn end_of(log: &Path) -> Result<String> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(host::tail(&text, 2_000).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_for_people() {
        assert_eq!([7, 1_000, 50_000].map(grouped), ["7", "1 000", "50 000"]);
        assert_eq!([1.25, f64::INFINITY].map(milliseconds), ["1.2 ms", "never"]);
    }

    #[test]
    fn what_never_came_counts() {
        let mut all = Latencies { milliseconds: vec![1.0; 98], missing: 0 };
        assert_eq!(all.percentile(99.0), 1.0);
        all.add(Latencies { milliseconds: vec![], missing: 2 });
        assert_eq!((all.shown(50.0), all.shown(99.0)), ("1.0 ms".into(), "never".into()));
    }
}
