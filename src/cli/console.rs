//! What rooms report, on a terminal or in a log.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use support::report::{Reporter, Transfer};

/// Writes warnings to standard error, and notes to standard output. Says nothing of downloads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Console;

impl Reporter for Console {
    fn warn(&self, message: &str) {
        errln!("warning: {message}");
    }

    fn note(&self, message: &str) {
        outln!("{message}");
    }

    fn transfer(&self, _name: &str, _transfer: Transfer<'_>) {}
}

/// Writes a line to standard error for each download that ends, too: for logs.
struct Lines;

impl Reporter for Lines {
    fn warn(&self, message: &str) {
        Console.warn(message);
    }

    fn note(&self, message: &str) {
        Console.note(message);
    }

    fn transfer(&self, name: &str, transfer: Transfer<'_>) {
        match transfer {
            Transfer::At { .. } => {}
            Transfer::Finished { bytes, origin } => errln!("fetched `{name}` ({bytes} bytes) from {origin}"),
            Transfer::Failed { origin, reason } => errln!("`{name}` did not come from {origin}: {reason}"),
        }
    }
}

/// Draws a bar for all downloads and one for each that is under way.
struct Bars {
    bars: MultiProgress,
    all: ProgressBar,
    each: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new(files: usize) -> Self {
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

impl Reporter for Bars {
    fn warn(&self, message: &str) {
        self.bars.suspend(|| Console.warn(message));
    }

    fn note(&self, message: &str) {
        self.bars.suspend(|| Console.note(message));
    }

    fn transfer(&self, name: &str, transfer: Transfer<'_>) {
        match transfer {
            Transfer::At { bytes, total } => {
                let mut each = self.each();
                let bar = each.entry(name.to_owned()).or_insert_with(|| {
                    let bar = ProgressBar::new(total.unwrap_or(0)).with_message(name.to_owned());
                    self.bars.add(bar.with_style(style("{bytes:>12}/{total_bytes} {bytes_per_sec:>12}  {wide_msg}")))
                });
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(bytes);
            }
            Transfer::Finished { .. } => {
                if let Some(bar) = self.each().remove(name) {
                    bar.finish_and_clear();
                }
                self.all.inc(1);
            }
            Transfer::Failed { origin, reason } => {
                self.bars.suspend(|| errln!("`{name}` did not come from {origin}: {reason}"));
            }
        }
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

/// Returns a reporter of so many downloads: bars on a terminal, lines elsewhere.
pub(super) fn with_transfers(files: usize) -> Box<dyn Reporter> {
    if io::stderr().is_terminal() { Box::new(Bars::new(files)) } else { Box::new(Lines) }
}
