//! Progress of fetching, for people.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Receives what happens. Calls come from several threads.
pub trait Progress: Sync {
    /// So many bytes of a source have arrived, of `total` if that is known.
    fn at(&self, name: &str, bytes: u64, total: Option<u64>);
    /// A source is complete.
    fn finished(&self, name: &str, bytes: u64, origin: &str);
    /// An origin failed; the next one is tried.
    fn failed(&self, name: &str, origin: &str, reason: &str);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn at(&self, _name: &str, _bytes: u64, _total: Option<u64>) {}
    fn finished(&self, _name: &str, _bytes: u64, _origin: &str) {}
    fn failed(&self, _name: &str, _origin: &str, _reason: &str) {}
}

/// Writes a line to standard error when a transfer ends: for logs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

impl Progress for Lines {
    fn at(&self, _name: &str, _bytes: u64, _total: Option<u64>) {}

    fn finished(&self, name: &str, bytes: u64, origin: &str) {
        errln!("fetched `{name}` ({bytes} bytes) from {origin}");
    }

    fn failed(&self, name: &str, origin: &str, reason: &str) {
        errln!("`{name}` did not come from {origin}: {reason}");
    }
}

/// Draws a bar for all files, and one for each that is being fetched.
pub struct Bars {
    bars: MultiProgress,
    all: ProgressBar,
    each: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// For so many files.
    pub fn new(files: usize) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::new(files as u64).with_style(style("fetching {pos}/{len} {wide_bar}")));
        Self { bars, all, each: Mutex::default() }
    }

    fn each(&self) -> std::sync::MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The templates are constants; were one wrong, the default style would be drawn.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn at(&self, name: &str, bytes: u64, total: Option<u64>) {
        let mut each = self.each();
        let bar = each.entry(name.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::new(total.unwrap_or(0)).with_message(name.to_owned());
            self.bars.add(bar.with_style(style("  {msg} {bytes}/{total_bytes} {bytes_per_sec}")))
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(bytes);
    }

    fn finished(&self, name: &str, _bytes: u64, _origin: &str) {
        if let Some(bar) = self.each().remove(name) {
            bar.finish_and_clear();
        }
        self.all.inc(1);
    }

    fn failed(&self, name: &str, origin: &str, reason: &str) {
        // A line that can't be written above the bars is no reason to stop.
        let _ = self.bars.println(format!("`{name}` did not come from {origin}: {reason}"));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.each().values() {
            bar.finish_and_clear();
        }
        self.all.finish_and_clear();
    }
}

/// Bars on a terminal, lines elsewhere.
pub fn for_stderr(files: usize) -> Box<dyn Progress> {
    if io::stderr().is_terminal() { Box::new(Bars::new(files)) } else { Box::new(Lines) }
}
