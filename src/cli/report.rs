//! `pynbox-build report`: the last build as a page, as a trace, or as JSON.

use std::path::{Path, PathBuf};

use build_graph::untrusted::printable_path;
use clap::Args;

use super::json::{self, Answer, JsonOption};
use super::{CommandError, Reader, Session};
use crate::build::log::BuildLog;
use crate::build_report::{Report, page, trace};
use crate::called::called;
use crate::model::Model;

/// Options of `report`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where to write the page; default: `out/report.html`
    #[arg(value_name = "FILE")]
    page: Option<PathBuf>,
    /// Write a trace instead, which Perfetto (`ui.perfetto.dev`) and `chrome://tracing` open
    #[arg(long, value_name = "FILE", conflicts_with = "page")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

impl Answer for Report {
    const SCHEMA: &'static str = "report/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = session.workplace_for(Reader::Looker)?;
    let out = workplace.plan.out();
    let Some(build) = BuildLog::of(out).last()? else {
        return Err(CommandError::input("no build has been logged in this project yet")
            .hint(format!("run `{} build`, or `{0} gen && ninja`", called())));
    };
    let report = Report::of(&build, &Model::new(&workplace.plan, &workplace.store))?;
    let failed = |error: serde_json::Error| CommandError::build(format!("can't write the report: {error}"));
    if options.json.json {
        return json::print(&report);
    }
    if let Some(path) = &options.trace {
        let text = serde_json::to_string(&trace::trace(&report)).map_err(failed)?;
        return write(path, &text);
    }
    let path = options.page.clone().unwrap_or_else(|| out.path().join("report.html"));
    write(&path, &page::page(&report).map_err(failed)?)
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(path, text).map_err(CommandError::named("write", path))?;
    outln!("wrote `{}`", printable_path(path));
    Ok(())
}
