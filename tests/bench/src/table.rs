//! How do figures become a Markdown table?

use std::fmt::Write as _;
use std::time::Duration;

/// Rows below a header.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).into()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// As Markdown, the columns aligned for whoever reads the source.
    pub fn markdown(&self) -> String {
        let cell = |text: &String| text.replace('|', "\\|").replace('\n', " ");
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                widths.iter().for_each(|width| text.push_str(&format!("|-{}-", "-".repeat(*width))));
                text.push_str("|\n");
            }
        }
        text
    }
}

/// `2.47 MB`
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// The middle one of some figures, or the mean of the two in the middle.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

/// What so many hundredths of the figures do not exceed (nearest rank); 0 of nothing.
pub fn percentile(figures: &[f64], hundredths: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (hundredths / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or_default()
}

/// `0.21 s (0.19 to 0.25)`: the median and the range.
pub fn seconds(took: &[Duration]) -> String {
    seconds_to(2, took)
}

/// The same with so many digits behind the point; `-` of nothing.
pub fn seconds_to(digits: usize, took: &[Duration]) -> String {
    let all: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
    let (least, most) = all.iter().fold((f64::MAX, 0_f64), |(least, most), one| (least.min(*one), most.max(*one)));
    match all.len() {
        0 => "-".into(),
        1 => format!("{most:.digits$} s"),
        _ => format!("{:.digits$} s ({least:.digits$} to {most:.digits$})", median(&all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["tool", "bytes"]);
        table.row(["a|b".into(), "12".into()]);
        assert_eq!(table.markdown(), "| tool | bytes |\n|------|-------|\n| a\\|b | 12    |\n");
    }

    #[test]
    fn figures_are_shown_with_their_range() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0, 0.0].map(|hundredths| percentile(&hundred, hundredths)), [50.0, 99.0, 100.0, 1.0]);
        assert_eq!((percentile(&[7.0], 99.0), percentile(&[], 99.0)), (7.0, 0.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(seconds(&[Duration::from_millis(210)]), "0.21 s");
        assert_eq!(seconds(&[200, 100, 300].map(Duration::from_millis)), "0.20 s (0.10 to 0.30)");
        assert_eq!(seconds_to(0, &[17, 19, 21].map(Duration::from_secs)), "19 s (17 to 21)");
        assert_eq!(seconds_to(1, &[]), "-");
        assert_eq!(megabytes(2_465_000), "2.46 MB");
    }
}
