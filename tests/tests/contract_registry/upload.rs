//! Does a large blob arrive when the connection breaks, at whichever byte, and is only the broken piece sent again?

use crate::server::{Fault, How, RealRegistry};
use anyhow::{Context, Result, ensure};
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use gowindows_clients::oci::{Credentials, Progress, Reference, Registry};
use gowindows_crds::conditions::Reason;
use gowindows_model::settings::RegistrySettings;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;
use windows_image::Digest;
use windows_image::manifest::Descriptor;

const PIECE: u64 = 64 * 1024;
const SIZE: usize = 5 * 64 * 1024 + 1234;
/// Connections are cut at so many places, evenly over all that an upload sends.
const CUTS: i64 = 48;
const NEVER: i64 = i64::MAX;

/// A wire to the registry that breaks once, after so many bytes.
struct Wire {
    host: String,
    left: Arc<AtomicI64>,
    sent: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Wire {
    async fn to(socket: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (host, socket) = (listener.local_addr()?.to_string(), socket.to_owned());
        let (left, sent) = (Arc::new(AtomicI64::new(NEVER)), Arc::new(AtomicU64::new(0)));
        let shared = (left.clone(), sent.clone());
        let carry = async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(registry) = UnixStream::connect(&socket).await else { return };
                let (left, sent) = shared.clone();
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_registry, mut to_registry) = registry.into_split();
                    // Whichever way ends first ends both: a cut connection is dead at both ends.
                    tokio::select! {
                        () = carry(&mut from_client, &mut to_registry, &left, &sent) => {}
                        _ = tokio::io::copy(&mut from_registry, &mut to_client) => {}
                    }
                });
            }
        };
        Ok(Self { host, left, sent, _task: AbortOnDropHandle::new(tokio::spawn(carry)) })
    }

    fn registry(&self) -> Result<Registry> {
        let settings = RegistrySettings { host: self.host.clone(), plain_http: true, ..RegistrySettings::default() };
        Ok(Registry::new(&[settings], Credentials::none())?.with_tries(4).with_pieces_of(PIECE))
    }

    fn repository(&self, name: &str) -> Result<Reference> {
        Ok(format!("{}/{name}", self.host).parse()?)
    }
}

async fn carry(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), left: &AtomicI64, sent: &AtomicU64) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let before = left.load(Ordering::SeqCst);
        let cut = before < i64::try_from(read).unwrap_or(NEVER);
        let passing = if cut { usize::try_from(before).unwrap_or(0) } else { read };
        if before != NEVER {
            left.store(if cut { NEVER } else { before - i64::try_from(read).unwrap_or(0) }, Ordering::SeqCst);
        }
        sent.fetch_add(passing as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..passing]).await.is_err() || cut {
            let _ = to.flush().await;
            return;
        }
    }
}

/// Other bytes for each number.
fn content(number: i64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::try_from(number).unwrap_or(0);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..SIZE).map(|_| next()).collect()
}

async fn upload(wire: &Wire, number: i64) -> Result<()> {
    let (bytes, file) = (content(number), tempfile::NamedTempFile::new()?);
    std::fs::write(file.path(), &bytes)?;
    let (digest, repository, registry) = (Digest::of(&bytes), wire.repository("cut/app")?, wire.registry()?);
    registry.upload_file(&repository, &digest, bytes.len() as u64, file.path(), &Progress::default()).await?;
    let blob = Descriptor::new("application/octet-stream", digest, bytes.len() as u64);
    let back = registry.blob(&repository, &blob, SIZE).await.context("read back")?;
    ensure!(back == bytes, "other bytes came back");
    Ok(())
}

/// How many bytes an upload sends over a wire that is cut after so many.
async fn sent_over_a_cut(socket: &Path, number: i64, at: i64) -> Result<u64> {
    let wire = Wire::to(socket).await?;
    wire.left.store(at, Ordering::SeqCst);
    upload(&wire, number).await.with_context(|| format!("cut after {at} bytes"))?;
    ensure!(wire.left.load(Ordering::SeqCst) == NEVER, "nothing was cut at {at}");
    Ok(wire.sent.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_cut_at_any_byte() -> Result<()> {
    let registry = RealRegistry::start().await?;
    let wire = Wire::to(registry.socket()).await?;
    upload(&wire, -1).await.context("on a sound wire")?;
    let whole = i64::try_from(wire.sent.load(Ordering::SeqCst))?;
    ensure!(whole > SIZE as i64, "the wire carried {whole} bytes");
    // Each on a wire of its own: they wait for their second try more than they send.
    let cuts = stream::iter(0..CUTS).map(|number| sent_over_a_cut(registry.socket(), number, whole * number / CUTS));
    let most = cuts.buffer_unordered(8).try_fold(0, |most, sent| ready(Ok(sent.max(most)))).await?;
    let again = most.saturating_sub(u64::try_from(whole)?);
    eprintln!("{CUTS} cuts over {whole} bytes: at most {again} bytes were sent again, a piece has {PIECE}");
    // A piece, and the requests around it.
    ensure!(again <= PIECE + 8 * 1024, "{again} bytes were sent again");
    Ok(())
}

/// Pieces and their end, and the question of where an upload stands.
fn forgets(pieces: How, after: u64, end: How) -> [Fault; 3] {
    let path = "/blobs/uploads/";
    let unknown = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#;
    [
        Fault { method: "PATCH", path, after, how: pieces },
        Fault { method: "PUT", path, after: 0, how: end },
        Fault { method: "GET", path, after: 0, how: How::Status(404, unknown) },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_forgets_every_upload_is_given_up_soon() -> Result<()> {
    let real = RealRegistry::start().await?;
    let unknown = How::Status(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
    let away = How::Status(503, "");
    let cases = [
        ("every piece is unknown, and all at once too", forgets(unknown, 0, unknown), Reason::RegistryInvalid),
        ("the second piece is unknown", forgets(unknown, 1, unknown), Reason::RegistryInvalid),
        ("the end is unknown", forgets(unknown, 100, unknown), Reason::RegistryInvalid),
        ("its servers go away, and the others know nothing of it", forgets(away, 1, unknown), Reason::RegistryUnreachable),
        ("each end breaks, and then nothing is known of it", forgets(unknown, 1000, away), Reason::RegistryUnreachable),
        ("pieces are taken and kept nowhere", forgets(How::Swallowed, 0, unknown), Reason::RegistryInvalid),
    ];
    for (number, (name, faults, reason)) in (100..).zip(cases) {
        let door = real.door().await?;
        let registry = Registry::new(&door.settings(), Credentials::none())?.with_tries(4).with_pieces_of(PIECE);
        let repository = format!("{}/forgetful/app", door.host).parse()?;
        let (bytes, file) = (content(number), tempfile::NamedTempFile::new()?);
        let digest = Digest::of(&bytes);
        std::fs::write(file.path(), &bytes)?;
        let upload = || async { registry.upload_file(&repository, &digest, SIZE as u64, file.path(), &Progress::default()).await };
        door.set(faults);
        let error = upload().await.err().context(name)?;
        ensure!(error.reason() == reason, "{name}: {error:?}");
        ensure!(error.to_string().contains("upload blob forgetful/app@sha256:"), "{name}: {error}");
        // Four tries of six pieces each, at the very most.
        let asked = door.passed().len() as u64 + door.struck();
        ensure!(asked <= 40, "{name}: {asked} requests");
        eprintln!("{name}: given up after {asked} requests: {error}");
        door.set(None);
        ensure!(!registry.blob_exists(&repository, &digest).await?, "{name}: nothing arrived");
        upload().await.with_context(|| format!("{name}: once it is mended"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_reads_its_source_in_pieces() -> Result<()> {
    let (ours, theirs) = (RealRegistry::start().await?, RealRegistry::start().await?);
    let (here, there) = (Wire::to(ours.socket()).await?, Wire::to(theirs.socket()).await?);
    upload(&there, 7).await?;
    let bytes = content(7);
    let blob = Descriptor::new("application/octet-stream", Digest::of(&bytes), bytes.len() as u64);
    let settings =
        [&here, &there].map(|wire| RegistrySettings { host: wire.host.clone(), plain_http: true, ..RegistrySettings::default() });
    let registry = Registry::new(&settings, Credentials::none())?.with_tries(4).with_pieces_of(PIECE);
    let to = here.repository("copied/app")?;
    here.left.store(150_000, Ordering::SeqCst);
    registry.copy_blob(&registry, &there.repository("cut/app")?, &to, &blob, &Progress::default()).await?;
    ensure!(here.left.load(Ordering::SeqCst) == NEVER, "nothing was cut");
    ensure!(registry.blob(&to, &blob, SIZE).await? == bytes, "other bytes arrived");
    Ok(())
}
