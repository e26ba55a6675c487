//! How long does a push take over a slow line, with one transfer at a time and with several?
//!
//! The line is a door in front of a registry on loopback: each transfer gets so many bytes a second, as a window and a distance give
//! them, all together get no more than the line has, and so many are let through at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use gowindows_bench::{Results, Table, seconds};
use gowindows_tests::peers::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::builders::{Runs, TAG, ours};
use crate::stand::Stand;

/// Bytes a second.
const LINE: f64 = 32e6;
const TRANSFER: f64 = 8e6;
/// As many as the image writer has.
const MANY: usize = 4;

struct Line {
    address: String,
    _task: AbortOnDropHandle<()>,
}

struct Door {
    behind: String,
    all: Bucket,
    transfer: Option<f64>,
    turns: Semaphore,
    http: reqwest::Client,
}

/// Lets so many bytes a second through.
struct Bucket {
    rate: f64,
    free: Mutex<Instant>,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Self { rate, free: Mutex::new(Instant::now()) }
    }

    async fn take(&self, bytes: usize) {
        let until = {
            let mut free = self.free.lock().await;
            *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.rate);
            *free
        };
        sleep_until(until).await;
    }
}

impl Line {
    async fn start(behind: &str, transfer: Option<f64>, at_once: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let (all, turns) = (Bucket::new(LINE), Semaphore::new(at_once));
        let router = Router::new().fallback(answer).with_state(Arc::new(Door { behind: behind.to_owned(), all, transfer, turns, http }));
        // It ends only with the task.
        let serve = async move { drop(axum::serve(listener, router).await) };
        Ok(Self { address, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    pass_on(&door, request).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// The `Host` goes along, so that the registry names this door in the addresses of its uploads.
async fn pass_on(door: &Arc<Door>, request: Request) -> Result<Response> {
    let _turn = door.turns.acquire().await?;
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut onward = door.http.request(head.method, format!("http://{}{path}", door.behind)).headers(head.headers.clone());
    if head.headers.contains_key("content-length") || head.headers.contains_key("transfer-encoding") {
        onward = onward.body(reqwest::Body::wrap_stream(slowly(door.clone(), body.into_data_stream())));
    }
    let answer = onward.send().await?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    Ok(response.body(Body::from_stream(answer.bytes_stream()))?)
}

fn slowly<E>(door: Arc<Door>, stream: impl Stream<Item = Result<Bytes, E>>) -> impl Stream<Item = Result<Bytes, E>> {
    let own = Arc::new(door.transfer.map(Bucket::new));
    stream.then(move |piece| {
        let (door, own) = (door.clone(), own.clone());
        async move {
            if let Ok(piece) = &piece {
                door.all.take(piece.len()).await;
                if let Some(own) = own.as_ref() {
                    own.take(piece.len()).await;
                }
            }
            piece
        }
    })
}

/// Pushes an image for six releases to a registry that has none of its bases.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    results.heading("Pushing over a slow line, one transfer at a time and several");
    let bytes: usize = stand.bases.iter().flat_map(|base| &base.layers).map(|layer| layer.bytes.len()).sum();
    results.text(&format!(
        "The storefront for six releases into a registry that has no base yet: {:.0} MB of base layers in {} blobs. The line carries {:.0} \
         MB/s in all; the time is of the whole build without compiling.",
        bytes as f64 / 1e6,
        stand.bases.iter().map(|base| base.layers.len()).sum::<usize>(),
        LINE / 1e6
    ));
    let mut table = Table::new(["one transfer has at most", "1 at a time", "4 at a time", "ratio of the medians"]);
    for (name, transfer) in [("8 MB/s (a long way)", Some(TRANSFER)), ("the whole line", None)] {
        let mut runs = [(1, Runs::default()), (MANY, Runs::default())];
        for _ in 0..repeats {
            for (at_once, runs) in &mut runs {
                runs.add(push(stand, transfer, *at_once).await?);
            }
        }
        let [(_, one), (_, many)] = &runs;
        let ratio = many.median() / one.median().max(1e-9);
        table.row([name.to_owned(), seconds(&one.took), seconds(&many.took), format!("{ratio:.2}")]);
    }
    results.table(&table);
    Ok(())
}

async fn push(stand: &Stand, transfer: Option<f64>, at_once: usize) -> Result<crate::measure::Cost> {
    let program = stand.storefront();
    let (source, target) = (stand.registry().await?, Registry::start(&gowindows_tests::lab::progress::Progress::silent()).await?);
    let line = Line::start(&target.host, transfer, at_once).await?;
    let (base, image) = (format!("{}/windows/nanoserver:six", source.host), format!("{}/ours:{TAG}", line.address));
    let mut command = ours(stand, &program.module, &program, &base, &image, &source.host);
    command.args(["--insecure-registry", &line.address]);
    stand.go.cost(command).await
}
