//! How does the lab run a short program of this machine to its end?
//!
//! Programs that stay are [`super::process::Process`]es.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` to its end and returns its standard output. A status other than 0 is an error that carries the end of
/// what the program wrote to standard error, unless `command` sends that elsewhere. Blocks.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = Some(tail(&stderr, 2000)).filter(|said| !said.is_empty()).map(|said| format!(": {said}"));
        bail!("`{shown}` ended with {}{}", output.status, said.unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// [`run`] for programs that take longer than a moment: the runtime's other tasks go on meanwhile.
pub async fn run_async(mut command: Command) -> Result<String> {
    tokio::task::spawn_blocking(move || run(&mut command)).await.context("the thread that waits for a program broke")?
}

/// A program and its arguments from words: `argv(["ip", "link", "show"])`.
pub fn argv<const N: usize>(words: [&str; N]) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// The last `bytes` bytes of a text, at a character border, without surrounding white space.
pub fn tail(text: &str, bytes: usize) -> &str {
    let text = text.trim();
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
