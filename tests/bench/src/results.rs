//! What did a benchmark find, as Markdown?

use super::Table;

/// Parts, one after the other, and the goals that were met or not.
#[derive(Default)]
pub struct Results {
    text: String,
    goals: Vec<[String; 4]>,
}

impl Results {
    /// Begins a part.
    pub fn heading(&mut self, text: &str) {
        self.text.push_str(&format!("\n### {text}\n\n"));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(&format!("{text}\n\n"));
    }

    /// Markdown as it is.
    pub fn raw(&mut self, text: &str) {
        self.text.push_str(&format!("{text}\n"));
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        self.text.push_str(&format!("{}\n", table.markdown()));
    }

    /// Whether nothing was found yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.goals.is_empty()
    }

    /// A figure that is to be so. A goal in brackets is none.
    pub fn goal(&mut self, what: &str, wanted: &str, found: String, met: bool) {
        let met = if wanted.starts_with('(') {
            ""
        } else if met {
            "yes"
        } else {
            "**no**"
        };
        self.goals.push([what.to_owned(), wanted.to_owned(), found, met.to_owned()]);
    }

    /// All of it, with the goals first.
    pub fn markdown(self, head: &str) -> String {
        if self.goals.is_empty() {
            return format!("{head}{}", self.text);
        }
        let mut goals = Table::new(["figure", "goal", "measured", "met"]);
        self.goals.into_iter().for_each(|goal| goals.row(goal));
        format!("{head}\n### Goals\n\n{}{}", goals.markdown(), self.text)
    }
}

/// What stands above all results: when they were made, on what, by which arguments of this benchmark, and with which programs.
/// `unoptimized` is what is to be known of figures that were made without `--release`.
pub fn head(benchmark: &str, arguments: &str, unoptimized: &str, versions: &[String]) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (without, release) =
        if cfg!(debug_assertions) { (format!(" (without --release: {unoptimized})"), "") } else { (String::new(), "--release ") };
    let day = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    format!(
        "\nMade on {day}{without}, {cores} cores, by\n\n```console\n$ cargo run {release}--package gowindows-bench --bin {benchmark} -- \
         {arguments}\n```\n\nwith {}.\n",
        versions.join(", ")
    )
}
