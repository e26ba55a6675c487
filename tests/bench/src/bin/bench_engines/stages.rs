//! What is gained where a Dockerfile's stages do not depend on each other? BuildKit runs them at the same time.

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::Results;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_tests::lab::git::Repository;
use gowindows_tests::thread::engines::names;
use serde_json::json;

use crate::rounds::{Rounds, table};
use crate::stand::Stand;

const DATE: &str = "2026-01-04T03:04:05Z";
const TELLER: (&str, &str) = (
    "cmd/teller/main.go",
    "// Teller asks the storefront for its page.\npackage main\n\nimport (\n\t\"io\"\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n)\n\n\
     func main() {\n\tanswer, err := http.Get(os.Args[1])\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\t_, _ = io.Copy(os.Stdout, answer.Body)\n}\n",
);

/// How two programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stages {
    /// The second stage copies a small file from the first.
    Dependent,
    /// It does not.
    Independent,
    /// The first program alone, which takes longer.
    Alone,
}

/// What a stage's compiler may use.
const ALL_PROCESSORS: (&str, &str) = ("each on all processors", "");
const ONE_PROCESSOR: (&str, &str) = ("each on one processor", "ENV GOMAXPROCS=1\n");

/// Dependent, independent, and so on.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    results.heading("Two stages of a Dockerfile, dependent and independent");
    results.text(
        "A Dockerfile of one's own: two stages each compile a program (the storefront, and a client) with a compiler cache of their own, and \
         the last one has both. Dependent: the second stage begins with `COPY --from` of the first one's `go.mod`. buildkitd is pruned before \
         each build, so that nothing is taken over and the toolchain's image is pulled. From the creation of the Job until the digest is in \
         the status. The bound is the same with the longer stage and its program alone. A Go compiler uses all processors that it may; \
         `GOMAXPROCS=1` stands for stages that cannot (linkers, bundlers, downloads).",
    );
    let mut table = table("stages", ["dependent", "independent", "the longer stage alone"]);
    for (limit, (name, environment)) in [ALL_PROCESSORS, ONE_PROCESSOR].into_iter().enumerate() {
        let mut rounds = Rounds::default();
        for round in 1..=repeats {
            let build = async |stages: Stages| {
                let what = format!("round {round}, {stages:?} stages, {name}");
                one_build(stand, &what, &format!("stages-{limit}-{round}"), stages, environment).await
            };
            rounds.serial.push(build(Stages::Dependent).await?);
            rounds.parallel.push(build(Stages::Independent).await?);
            rounds.bound.push(build(Stages::Alone).await?);
        }
        rounds.rows(name, &mut table);
    }
    results.table(&table);
    Ok(())
}

async fn one_build(stand: &Stand, what: &str, name: &str, stages: Stages, environment: &str) -> Result<Duration> {
    let name = format!("{name}-{}", format!("{stages:?}").to_lowercase());
    let storefront = stand.storefront(&name).await?;
    with_dockerfile(stand, &storefront.repository, stages, environment).await?;
    let (tenant, mut object) = stand.tenant(&name, BuildEngine::BuildKit, storefront.repository.url()).await?;
    object["spec"]["build"]["buildkit"]["dockerfile"] = json!("build/Dockerfile");
    object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
    // What is compiled, and how, the Dockerfile says.
    object["spec"]["go"] = json!({});
    stand.builders.buildkitd.prune().await?;
    Ok(stand.declare(what, &tenant, &object).await?.whole)
}

async fn with_dockerfile(stand: &Stand, repository: &Repository, stages: Stages, environment: &str) -> Result<()> {
    let (toolchain, base) = names(&stand.stage);
    let text = dockerfile(&toolchain, &base, stages, environment);
    repository.commit_files(&[("build/Dockerfile", &text), TELLER], "Build it ourselves", DATE).await.map(drop)
}

fn dockerfile(toolchain: &str, base: &str, stages: Stages, environment: &str) -> String {
    let stage = |name: &str, first: &str| {
        format!(
            r#"FROM --platform=$BUILDPLATFORM {toolchain} AS {name}
{environment}ENV HOME=/tmp GOCACHE=/tmp/cache GOTOOLCHAIN=local CGO_ENABLED=0 GOOS=windows GOARCH=amd64
ENV GOFLAGS="-trimpath -buildvcs=false -tags=timetzdata"
WORKDIR /src
{first}COPY . .
RUN ["go", "build", "-o", "/out/app/", "./cmd/{name}"]

"#
        )
    };
    let (mut text, mut from) = (stage("storefront", ""), "storefront");
    if stages != Stages::Alone {
        let first = if stages == Stages::Dependent { "COPY --from=storefront /src/go.mod /before\n" } else { "" };
        text.push_str(&stage("teller", first));
        // The last stage takes one copy.
        text.push_str("FROM storefront AS both\nCOPY --from=teller /out/ /out/\n\n");
        from = "both";
    }
    text + &format!("FROM {base}\nCOPY --from={from} /out/ /\nENTRYPOINT [\"C:\\\\app\\\\storefront.exe\"]\n")
}
