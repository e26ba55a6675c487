//! How does the outside world answer what a decision asks? Through the books, each question within its time and with the permits that it takes.

use super::books::{Book, Page, seen};
use super::cluster::source_key;
use super::git_logins::GIT_SECRET;
use super::{Cluster, Guarded};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::Reason;
use gowindows_model::access::Repository;
use gowindows_model::attest::Testimony;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Answers, Revision, Seen, World};
use gowindows_model::ports::SecretData;
use gowindows_model::question::Question;
use gowindows_model::wire::source::Reference;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::time::Duration;

/// Every question to the outside world ends within this time, waiting for its host's permit included; and so long is waited for the namespace's.
const OUTSIDE_DEADLINE: Duration = Duration::from_secs(45);

/// Who asks.
struct Asker<'a> {
    cluster: &'a Cluster,
    namespace: String,
    now: Timestamp,
}

impl Cluster {
    /// Puts questions to the outside world; the answers land in the world and in the books.
    pub async fn answer(&self, world: &mut World, questions: Vec<Question>) {
        let object = world.object.clone();
        let asker = Asker { cluster: self, namespace: object.namespace().unwrap_or_default(), now: world.now };
        let (uid, of) = (object.uid().unwrap_or_default(), source_key(&object));
        for question in questions {
            let page = Page::new(&asker.namespace, question.clone());
            self.memory.follow(&uid, &of, &reference_of(&object), &page);
            asker.answer(&page, &mut world.answers).await;
            world.answers.asked.push(question);
        }
    }

    async fn source(&self, namespace: &str, url: &str, reference: &Reference, secret: Option<&str>) -> Result<Revision, CallError> {
        in_time(url, async {
            let data = self.git_secret(namespace, url, secret).await?;
            let asked = self.git.resolve(url, reference, data.as_ref());
            self.outside.at_host(url, asked).await.map_err(of_secret(GIT_SECRET, secret))
        })
        .await
    }

    /// Which of the two Secrets is at fault the registry's client says.
    async fn provenance(
        &self,
        namespace: &str,
        repository: &Repository,
        digest: &str,
        key: Option<&str>,
    ) -> Result<Vec<Testimony>, CallError> {
        let Repository { name, access } = repository;
        let asked = async {
            let (secret, key) = (self.key(namespace, access).await?, self.signing_secret(namespace, key).await?);
            self.registry.provenance(name, digest, secret.as_ref(), key.as_ref()).await
        };
        in_time(name, self.outside.at_host(name, asked)).await.inspect_err(|error| self.refused(access, error))
    }
}

impl Asker<'_> {
    async fn answer(&self, page: &Page, answers: &mut Answers) {
        let Self { cluster, namespace, .. } = self;
        let (registry, books) = (&cluster.registry, &cluster.memory.books);
        match page.question() {
            Question::Source { url, reference, secret } => {
                let call = cluster.source(namespace, url, reference, secret.as_deref());
                self.ask(&books.sources, page, &mut answers.source, call).await;
            }
            Question::GitLogin { url, secret } => {
                self.ask(&books.git_logins, page, &mut answers.git_login, cluster.git_login(namespace, url, secret)).await;
            }
            Question::Digest { reference, access } => {
                let read = |secret: Option<SecretData>| async move { registry.digest(reference, secret.as_ref()).await };
                let call = cluster.with_access(namespace, reference, access, read);
                self.ask(&books.digests, page, answers.digests.entry(reference.clone()).or_default(), call).await;
            }
            Question::Base { reference, access } => {
                let read = |secret: Option<SecretData>| async move { registry.base(reference, secret.as_ref()).await };
                let call = cluster.with_access(namespace, reference, access, read);
                self.ask(&books.bases, page, answers.bases.entry(reference.clone()).or_default(), call).await;
            }
            Question::Published { repository: Repository { name, access }, tag, author } => {
                let read = |secret: Option<SecretData>| async move { registry.published(name, tag, *author, secret.as_ref()).await };
                let call = cluster.with_access(namespace, name, access, read);
                self.ask(&books.published, page, answers.published.entry(tag.clone()).or_default(), call).await;
            }
            Question::Provenance { repository, digest, key } => {
                let call = cluster.provenance(namespace, repository, digest, key.as_deref());
                self.ask(&books.provenance, page, answers.provenance.entry(digest.clone()).or_default(), call).await;
            }
            Question::Builder { secret } => {
                self.ask(&books.usable, page, &mut answers.builder, cluster.builder(namespace, secret)).await;
            }
            Question::Workspace { claim } => {
                self.ask(&books.usable, page, &mut answers.workspace, cluster.workspace(namespace, claim)).await;
            }
            Question::CacheClaim { claim } => {
                self.ask(&books.usable, page, &mut answers.cache_claim, cluster.cache_claim(namespace, claim)).await;
            }
            Question::Modules { secret } => {
                self.ask(&books.modules, page, &mut answers.modules, cluster.modules(namespace, secret)).await;
            }
        }
    }

    async fn ask<T: Clone + PartialEq>(
        &self,
        book: &Book<T>,
        page: &Page,
        mine: &mut Seen<T>,
        call: impl Future<Output = Result<T, CallError>>,
    ) {
        let whom = page.whom();
        // Before the book's turn, and told to nobody else: what a namespace asks too much at a time is its own affair.
        let Ok(_permit) = tokio::time::timeout(OUTSIDE_DEADLINE, self.cluster.outside.of_namespace(&self.namespace, whom)).await else {
            let message = format!("{whom} has not answered other questions of namespace {} yet; it is asked again.", self.namespace);
            *mine = seen(mine, Err(CallError { reason: Reason::Timeout, message }), self.now);
            return;
        };
        let (answer, concerned) = book.ask(page, mine, self.now, call).await;
        *mine = answer;
        self.cluster.memory.wake(concerned);
    }
}

fn reference_of(object: &GoWindowsImage) -> ObjectRef<Guarded> {
    ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default())
}

/// Names the Secret whose content is at fault: the clients know only what is in it.
fn of_secret(field: &str, name: Option<&str>) -> impl FnOnce(CallError) -> CallError {
    move |error| match (error.reason, name) {
        (Reason::SecretInvalid, Some(name)) => CallError { message: format!("{field}: Secret {name}: {}", error.message), ..error },
        _ => error,
    }
}

/// An answer, or that there was none in time.
pub(super) async fn in_time<T>(what: &str, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    match tokio::time::timeout(OUTSIDE_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(CallError { reason: Reason::Timeout, message: format!("{what} did not answer within {} s.", OUTSIDE_DEADLINE.as_secs()) })
        }
    }
}
