//! Does the Windows program answer?

use anyhow::{Context, Result};
use std::time::Duration;

/// The page at an address, tried for half a minute: a Service needs a moment to know its pods.
///
/// # Errors
/// When nothing answers with success in that time.
pub async fn page(url: &str) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let mut last = None;
    for _ in 0..60 {
        match client.get(url).send().await.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => return answer.text().await.with_context(|| format!("read the page at {url}")),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let error = last.map_or_else(|| anyhow::anyhow!("no attempt was made"), anyhow::Error::from);
    Err(error.context(format!("nothing answers at {url}")))
}
