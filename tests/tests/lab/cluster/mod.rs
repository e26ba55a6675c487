//! Does the lab itself keep its promises? Every other lab test stands on what is proved here.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::record::{Record, Thing};
use gowindows_tests::lab::registry::{PASSWORD, USER};
use gowindows_tests::lab::run::Run;
use gowindows_tests::lab::{GO_CACHE, Lab, go, host};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use libtest_mimic::{Failed, Trial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

/// A namespace under Pod Security `restricted`.
const NAMESPACE: &str = "restricted";
const DATE: &str = "2026-01-02T03:04:05Z";

/// They make labs of their own.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<()>| {
        Trial::test(format!("lab_cluster::{name}"), move || test().map_err(|error| Failed::from(format!("{error:#}"))))
    };
    vec![
        trial("a_lab_is_a_cluster", a_lab_is_a_cluster),
        trial("a_crashed_lab_is_taken_away_by_the_next", a_crashed_lab_is_taken_away_by_the_next),
    ]
}

/// One lab for all of this: its parts do not disturb each other.
fn a_lab_is_a_cluster() -> Result<()> {
    let progress = Progress::stderr();
    Runtime::new()?.block_on(async {
        let lab = Lab::start(&progress).await?;
        let namespace = json!({"metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        Api::<Namespace>::all(lab.client()).create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        let golang = progress.step("golang image", lab.golang_image()).await?;
        progress.step("a restricted Job compiles for Windows", compiles_for_windows(&lab, &golang)).await?;
        progress.step("a pod uses a Service and a volume", uses_service_and_volume(&lab)).await?;
        progress.step("a program of this machine in a pod", runs_own_program(&lab)).await?;
        progress.step("a registry with a login", wants_a_login(&lab)).await?;
        progress.step("git over HTTPS", serves_git(&lab)).await?;
        progress.step("a second lab beside the first", has_room_for_another(&lab)).await?;
        let dir = lab.dir().to_owned();
        progress.step("taking the lab away", tokio::task::spawn_blocking(move || drop(lab))).await?;
        ensure!(!dir.exists(), "{} is still there", dir.display());
        Ok(())
    })
}

fn a_crashed_lab_is_taken_away_by_the_next() -> Result<()> {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_lab")).arg("up").stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(owner.stdout.take().context("no output")?).lines();
    let first = output.next().context("the lab did not come up")??;
    let kubeconfig = first.strip_prefix("export KUBECONFIG=").context("the lab does not print its kubeconfig first")?;
    let dir = Path::new(kubeconfig).parent().context("the kubeconfig has no directory")?.to_owned();
    let path = output.next().context("the lab prints no path")??;
    let folder = path.trim_start_matches("export PATH=").split(':').next().unwrap_or_default();
    let kubectl = |arguments: &[&str]| host::run(Command::new(format!("{folder}/kubectl")).env("KUBECONFIG", kubeconfig).args(arguments));
    // A pod, so that there are shims, mounts and a pod's network to be taken away.
    let registry = kubectl(&["get", "nodes", "--output", "jsonpath={.items[0].status.addresses[0].address}:5000"])?;
    kubectl(&["create", "deployment", "pod", "--image", &format!("{registry}/lab/pause:latest")])?;
    kubectl(&["wait", "deployment/pod", "--for=condition=Available", "--timeout=60s"])?;
    let things = Record::read(&dir)?;
    owner.kill()?;
    owner.wait()?;
    ensure!(things.iter().any(remains), "the programs of the lab ended with their owner: this test proves nothing");

    let next = Run::reserve(&Progress::stderr())?;
    // Another lab may have been quicker and have the number, and all that is named after it, now.
    let ours = |thing: &&Thing| matches!(thing, Thing::Pid(_)) || next.dir() == dir;
    let left: Vec<_> = things.iter().filter(ours).filter(|thing| remains(thing)).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    ensure!(next.dir() != dir || !mounts.contains(&format!("{}/", dir.display())), "left behind: {mounts}");
    Ok(())
}

/// Whether a recorded thing is still on the machine.
fn remains(thing: &Thing) -> bool {
    match thing {
        Thing::Pid(id) => id.is_alive(),
        Thing::Mount(path) => path.exists(),
        Thing::Netns(name) => Path::new("/run/netns").join(name).exists(),
        Thing::Link(name) => Path::new("/sys/class/net").join(name).exists(),
        Thing::Cgroup(name) => ["", "pids"].iter().any(|root| Path::new("/sys/fs/cgroup").join(root).join(name).exists()),
        Thing::Iptables(rule) => host::run(Command::new("iptables").args(["-w", "-t", &rule[0], "-C"]).args(&rule[1..])).is_ok(),
    }
}

async fn compiles_for_windows(lab: &Lab, golang: &str) -> Result<()> {
    let program = "golang.org/x/example/hello@v0.0.0-20250915201037-7f05d217867b";
    let install = container("compile", golang, &["go", "install", program]);
    let show = container("show", golang, &["go", "version", "-m", "/scratch/go/bin/windows_amd64/hello.exe"]);
    // In a volume that begins as a build cache does: to compile the standard library once more would be most of what this test costs.
    lab.with_warm_caches(&[GO_CACHE]).await?;
    claim(lab, "compile").await?;
    let work = json!({"name": "work", "persistentVolumeClaim": {"claimName": "compile"}});
    run_job(lab, "compile", json!({"initContainers": [install], "containers": [show], "volumes": [work]})).await?;
    let log = kubectl(lab, &["logs", "--namespace", NAMESPACE, "job/compile"]).await?;
    ensure!(log.contains("GOOS=windows"), "`go version -m` in the pod says: {log}");
    Ok(())
}

async fn uses_service_and_volume(lab: &Lab) -> Result<()> {
    let binary = lab.dir().join("probe");
    let mut build = go::go(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster")))?;
    build.env("CGO_ENABLED", "0").args(["build", "-o"]).arg(&binary).arg("probe.go");
    host::run_async(build).await?;
    let image = lab.program_image(&binary, "probe").await?;
    claim(lab, "shared").await?;
    let mut probe = container("probe", &image, &[]);
    probe["volumeMounts"] = json!([{"name": "shared", "mountPath": "/shared"}]);
    let volumes = json!([{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]);
    run_job(lab, "probe", json!({"containers": [probe], "volumes": volumes})).await?;

    let log = kubectl(lab, &["logs", "--namespace", NAMESPACE, "job/probe"]).await?;
    ensure!(log.contains("\"gitVersion\": \"v1.34"), "the API server told the pod: {log}");
    let path = "jsonpath={.items[?(@.spec.claimRef.name=='shared')].spec.hostPath.path}";
    let volume = kubectl(lab, &["get", "persistentvolumes", "--output", path]).await?;
    let written = std::fs::read_to_string(Path::new(&volume).join("from-pod")).context("the pod's file is not in the volume")?;
    ensure!(written == "hello", "the pod wrote `{written}`");
    Ok(())
}

async fn runs_own_program(lab: &Lab) -> Result<()> {
    let image = lab.program_image(&std::env::current_exe()?, "program").await?;
    // No command: the image's entry point is the program.
    let mut program = container("program", &image, &[]);
    program["args"] = json!(["--list"]);
    run_job(lab, "program", json!({"containers": [program], "volumes": [work()]})).await?;
    let log = kubectl(lab, &["logs", "--namespace", NAMESPACE, "job/program"]).await?;
    ensure!(log.contains("a_lab_is_a_cluster"), "this program in a pod says: {log}");
    Ok(())
}

async fn wants_a_login(lab: &Lab) -> Result<()> {
    let ping = format!("http://{}/v2/", lab.start_private_registry().await?);
    let client = reqwest::Client::new();
    let stranger = client.get(&ping).send().await?.status();
    ensure!(stranger == 401, "a stranger was answered {stranger}");
    let friend = client.get(&ping).basic_auth(USER, Some(PASSWORD)).send().await?.status();
    ensure!(friend == 200, "with the login it was answered {friend}");
    Ok(())
}

async fn serves_git(lab: &Lab) -> Result<()> {
    let files = [("go.mod", "module example.test/hello\n"), ("cmd/hello/main.go", "package main\n\nfunc main() {}\n")];
    let open = lab.git().create("open", Access::Public).await?;
    let first = open.commit_files(&files, "First", DATE).await?;
    let second = open.commit_files(&[("README", "hello\n")], "Second", DATE).await?;
    ensure!(clone(lab, open.url(), &[]).await? == second, "the clone's head is not the last commit");

    let login = Access::Password { user: "reader".into(), password: "secret".into() };
    let closed = lab.git().create("team/closed", login).await?;
    let same = closed.commit_files(&files, "First", DATE).await?;
    ensure!(same == first, "the same files, message and date made {same} and {first}");
    ensure!(clone(lab, closed.url(), &[]).await.is_err(), "a closed repository let a stranger in");
    let with_login = closed.url().replace("https://", "https://reader:secret@");
    ensure!(clone(lab, &with_login, &[]).await? == first, "the clone's head is not the commit");

    let token = lab.git().create("token", Access::Token("t0ken".into())).await?;
    token.commit_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/pause")), "Pause", DATE).await?;
    clone(lab, token.url(), &["-c", "http.extraHeader=Authorization: Bearer t0ken"]).await?;

    lab.git().set_reachable(false);
    ensure!(clone(lab, open.url(), &[]).await.is_err(), "an unreachable server answered");
    lab.git().set_reachable(true);
    clone(lab, open.url(), &[]).await?;
    Ok(())
}

/// Clones as anybody would who trusts the private authority, and returns the commit that is checked out.
async fn clone(lab: &Lab, url: &str, settings: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, lab.git().authority())?;
    let target = folder.path().join("clone");
    let mut git = Command::new("git");
    git.env("GIT_SSL_CAINFO", &authority).env("GIT_TERMINAL_PROMPT", "0").args(settings).args(["clone", "--quiet", url]).arg(&target);
    host::run_async(git).await?;
    let mut head = Command::new("git");
    head.arg("-C").arg(&target).args(["rev-parse", "HEAD"]);
    Ok(host::run_async(head).await?.trim().to_owned())
}

/// Another lab runs a pod of the same name in a namespace of the same name at the same time, and goes, and this one does not
/// notice.
async fn has_room_for_another(lab: &Lab) -> Result<()> {
    let other = Lab::start(&Progress::silent()).await?;
    ensure!(other.registry() != lab.registry() && other.network().name() != lab.network().name(), "two labs share a network");
    let names = kubectl(&other, &["get", "namespaces", "--output", "name"]).await?;
    ensure!(!names.contains(NAMESPACE), "the second lab has the first one's namespace");
    let (ours, theirs) = tokio::try_join!(twin(lab), twin(&other))?;
    ensure!(ours.address != theirs.address && in_subnet(lab, &ours)? && in_subnet(&other, &theirs)?, "{ours:?} {theirs:?}");
    let (things, their_things) = (Record::read(lab.dir())?, Record::read(other.dir())?);
    let shared: Vec<_> = their_things.iter().filter(|thing| things.contains(thing)).collect();
    ensure!(shared.is_empty(), "both labs made {shared:?}");
    for (one, group) in [(lab, lab.network().name()), (&other, other.network().name())] {
        let groups = groups(one)?;
        ensure!(groups.iter().all(|own| own == &group), "programs of {group} are in the cgroups {groups:?}");
    }
    let here: Vec<_> = things.into_iter().filter(remains).collect();

    let dir = other.dir().to_owned();
    tokio::task::spawn_blocking(move || drop(other)).await?;
    let left: Vec<_> = their_things.iter().filter(|thing| remains(thing)).collect();
    ensure!(left.is_empty() && !dir.exists(), "of the second lab there is left {left:?}");
    let gone: Vec<_> = here.iter().filter(|thing| !remains(thing)).collect();
    ensure!(gone.is_empty(), "with the second lab went {gone:?} of the first");
    let still = pod(lab).await?;
    ensure!(still == ours, "the pod was {ours:?} and is {still:?}");
    kubectl(lab, &["scale", "deployment/twin", "--replicas=2"]).await?;
    kubectl(lab, &["wait", "deployment/twin", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s"]).await.map(drop)
}

/// A pod as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Twin {
    uid: String,
    address: String,
    restarts: String,
}

/// Starts the Deployment `twin` in a lab.
async fn twin(lab: &Lab) -> Result<Twin> {
    kubectl(lab, &["create", "deployment", "twin", "--image", &format!("{}/lab/pause:latest", lab.registry())]).await?;
    kubectl(lab, &["wait", "deployment/twin", "--for=condition=Available", "--timeout=60s"]).await?;
    pod(lab).await
}

async fn pod(lab: &Lab) -> Result<Twin> {
    let path = "jsonpath={.items[0].metadata.uid} {.items[0].status.podIP} {.items[0].status.containerStatuses[0].restartCount}";
    let shown = kubectl(lab, &["get", "pods", "--selector", "app=twin", "--output", path]).await?;
    let mut words = shown.split(' ').map(str::to_owned);
    let mut word = || words.next().with_context(|| format!("a pod is shown as {shown:?}"));
    Ok(Twin { uid: word()?, address: word()?, restarts: word()? })
}

/// Whether a pod has an address of its lab.
fn in_subnet(lab: &Lab, pod: &Twin) -> Result<bool> {
    let subnet = lab.network().pod_subnet();
    let prefix = subnet.split_once("0/24").with_context(|| format!("{subnet} is cut otherwise"))?.0;
    Ok(pod.address.starts_with(prefix))
}

/// The topmost cgroup of every program of a lab that runs.
fn groups(lab: &Lab) -> Result<Vec<String>> {
    let mut groups = Vec::new();
    for thing in Record::read(lab.dir())? {
        let Thing::Pid(id) = &thing else { continue };
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/cgroup", id.pid)) else { continue };
        // `12:pids:/gwlab1/components`, or `0::/gwlab1/components` with cgroup v2.
        let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).filter(|path| path.starts_with("/gwlab"));
        groups.extend(paths.filter_map(|path| path.split('/').nth(1)).map(str::to_owned));
    }
    ensure!(!groups.is_empty(), "no program of {} is in a cgroup of a lab", lab.network().name());
    Ok(groups)
}

async fn claim(lab: &Lab, name: &str) -> Result<()> {
    let access = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
    create::<PersistentVolumeClaim>(lab, json!({"metadata": {"name": name}, "spec": access})).await
}

/// A container that Pod Security `restricted` admits, with all that may be written in `/scratch`.
fn container(name: &str, image: &str, command: &[&str]) -> Value {
    json!({
        "name": name,
        "image": image,
        "command": command,
        "volumeMounts": [{"name": "work", "mountPath": "/scratch"}],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
    })
}

fn work() -> Value {
    json!({"name": "work", "emptyDir": {}})
}

fn environment(lab: &Lab) -> Value {
    let own = [
        ("HOME", "/scratch"),
        ("TMPDIR", "/scratch"),
        ("GOCACHE", &format!("/scratch/{GO_CACHE}")),
        ("GOPATH", "/scratch/go"),
        ("GOOS", "windows"),
        // As what the cache begins with was compiled.
        ("GOFLAGS", "-trimpath -tags=timetzdata"),
    ];
    let own = own.map(|(name, value)| (name, value.to_owned()));
    own.into_iter().chain(lab.toolchain().module_environment()).map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// Runs a Job whose pod is restricted, and waits until it has succeeded.
async fn run_job(lab: &Lab, name: &str, mut pod: Value) -> Result<()> {
    pod["restartPolicy"] = json!("Never");
    pod["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}});
    for list in ["initContainers", "containers"] {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            container["env"] = environment(lab);
        }
    }
    create::<Job>(lab, json!({"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}})).await?;
    let jobs: Api<Job> = Api::namespaced(lab.client(), NAMESPACE);
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let status = jobs.get(name).await?.status.unwrap_or_default();
        if status.succeeded == Some(1) {
            return Ok(());
        }
        if status.failed.is_some() || Instant::now() > deadline {
            let pods = kubectl(lab, &["describe", "pods", "--namespace", NAMESPACE]).await?;
            let log = kubectl(lab, &["logs", "--namespace", NAMESPACE, "--all-containers", &format!("job/{name}")]).await;
            bail!("the Job {name} did not succeed: {status:?}\n{pods}\n{}", log.unwrap_or_else(|error| format!("{error:#}")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn create<K>(lab: &Lab, object: Value) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(lab.client(), NAMESPACE);
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

async fn kubectl(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let mut kubectl = Command::new(lab.tool("kubectl")?);
    kubectl.arg("--kubeconfig").arg(lab.kubeconfig()).args(arguments);
    host::run_async(kubectl).await
}
