//! What the operator is measured against: a controller as kube's own examples have it, with all of kube's defaults.
//!
//! It creates the same Job by a plain POST and applies a status of the same fields. It asks no registry, writes no event, checks nothing
//! before it writes, and does nothing when a Job ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt;
use gowindows_crds::GoWindowsImage;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::template::Template;

/// What a pass needs.
struct Context {
    client: Client,
    template: Template,
}

/// A pass that could not be finished.
#[derive(Debug)]
struct Failed(anyhow::Error);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Failed {}

/// Runs until it is ended.
pub async fn run(template: &Path) -> Result<()> {
    let client = Client::try_default().await.context("find the cluster")?;
    let context = Arc::new(Context { client: client.clone(), template: Template::read(template)? });
    Controller::new(Api::<GoWindowsImage>::all(client.clone()), Config::default())
        .owns(Api::<Job>::all(client), Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(5)), context)
        .for_each(|result| async move {
            if let Err(error) = result {
                eprintln!("a pass failed: {error}");
            }
        })
        .await;
    Ok(())
}

async fn reconcile(object: Arc<GoWindowsImage>, context: Arc<Context>) -> Result<Action, Failed> {
    pass(&object, &context).await.map_err(Failed)?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

async fn pass(object: &GoWindowsImage, context: &Context) -> Result<()> {
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let made = context.template.made(&namespace, &name, &object.uid().unwrap_or_default())?;
    let job: Job = serde_json::from_value(made.job)?;
    match Api::<Job>::namespaced(context.client.clone(), &namespace).create(&PostParams::default(), &job).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error.into()),
    }
    let patch = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "status": made.waiting});
    let images = Api::<GoWindowsImage>::namespaced(context.client.clone(), &namespace);
    images.patch_status(&name, &PatchParams::apply("naive").force(), &Patch::Apply(&patch)).await?;
    Ok(())
}
