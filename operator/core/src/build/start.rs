//! With what does the next attempt begin?

use super::{Building, Release, gate, hold, memory, windows};
use crate::read::proof::{self, Proof};
use gowindows_crds::v1alpha1::{ImageStatus, NodeSystem};
use gowindows_model::attest::Testimony;
use gowindows_model::facts::{Order, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::names::job_name;
use gowindows_model::plan::{Aspect, BuildOrder, BuildProgress, Queued, Step, Write};
use gowindows_model::question::Need;
use gowindows_model::settings::Settings;
use gowindows_model::wire::assemble::ReusedProgram;
use kube_core::ResourceExt;

impl Release<'_> {
    /// Plans the next attempt, unless its pods would wait in silence for something that is not there.
    pub(super) fn start(&self, part: &mut Building, attempt: i32, token: Option<String>) -> Result<(), Need> {
        let order = self.order(attempt, token)?;
        if let Some(trouble) = hold::trouble(self, &order)? {
            part.requeue_after(hold::wait(self.world, &trouble));
            part.verdict.progress = BuildProgress::Blocked(trouble);
            return Ok(());
        }
        let BuildOrder { job, attempt, cause, rebuild_token, .. } = &order;
        part.verdict.progress = BuildProgress::Starting { job: job.clone(), attempt: *attempt, cause: cause.clone() };
        let acknowledges = rebuild_token.clone().map(Order::Rebuild);
        part.steps.push(Step { aspect: Aspect::Build, write: Write::StartBuild(Box::new(order)), acknowledges, after: None });
        Ok(())
    }

    fn order(&self, attempt: i32, rebuild_token: Option<String>) -> Result<BuildOrder, Need> {
        let Self { world, request, settings, inputs, cause, source: _ } = self;
        let memory = memory::of_next(world, request, inputs);
        // Whoever orders a build gets all of it.
        let reused_program = if attempt == 1 && rebuild_token.is_none() { self.reused_program()? } else { None };
        let gated = if rebuild_token.is_some() { !inputs.tests.is_empty() } else { gate::is_needed(self)? };
        let [nodes, test_nodes] = [windows::of_build(request, inputs), windows::of_tests(request, inputs)]
            .map(|demand| demand.map(|demand| windows::allowed_nodes(world, &demand)).unwrap_or_default());
        let compiles = reused_program.is_none() && !request.build.engine.is_elsewhere();
        Ok(BuildOrder {
            job: name(world, inputs, attempt, rebuild_token.as_deref()),
            request: memory.given_to(request),
            inputs: (*inputs).clone(),
            attempt,
            cause: cause.map_or_else(|| recorded_cause(world, attempt), ToString::to_string),
            rebuild_token,
            reused_program,
            gated,
            memory: (compiles || gated).then(|| memory.told()),
            git_keys: world.answers.git_login.value().map(|login| login.keys.clone()).unwrap_or_default(),
            // Until the Secret was looked at there is none, and no Job either.
            credentials: request.modules.secret.as_ref().and_then(|_| world.answers.modules.value().map(|login| login.credentials)),
            nodes,
            test_nodes,
            queued: queued(settings),
        })
    }

    /// The image of the status that has the program of these inputs already, as its provenance says.
    fn reused_program(&self) -> Result<Option<ReusedProgram>, Need> {
        let Self { world, request, inputs, .. } = self;
        let claims_it = |image: &&ImageStatus| {
            let of_these = image.binary.as_ref().and_then(|binary| binary.inputs.as_deref()) == Some(inputs.program_fingerprint());
            inputs.dockerfile.is_none() && of_these && image.reference == request.run.reference(&image.digest)
        };
        let Some(image) = world.status().image.as_ref().filter(claims_it) else { return Ok(None) };
        let is_it = |told: &Testimony| told.program.as_ref().is_some_and(|program| program.inputs == inputs.program_fingerprint());
        let Proof::Given(told) = proof::of(world, &request.run, &image.digest, is_it)? else { return Ok(None) };
        Ok(told.program.map(|program| ReusedProgram { image: image.reference.clone(), sha256: program.sha256 }))
    }
}

fn name(world: &World, inputs: &Inputs, attempt: i32, token: Option<&str>) -> String {
    job_name(&world.object.name_any(), &world.object.uid().unwrap_or_default(), inputs.fingerprint(), attempt, token)
}

fn recorded_cause(world: &World, attempt: i32) -> String {
    world.status().build.as_ref().and_then(|build| build.cause.clone()).unwrap_or_else(|| format!("Retry: attempt {attempt}"))
}

fn queued(settings: &Settings) -> Queued {
    let limited = |system| settings.slots.of(system).is_some();
    Queued { linux: limited(NodeSystem::Linux), windows: limited(NodeSystem::Windows) }
}
