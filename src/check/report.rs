//! The table of a suite, for `docs/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::expected::Expected;
use super::reasons::{NATIVE, Reasons};

/// Draws what is expected of a suite as Markdown: the sum, the reasons, and each file. `target` is
/// named if it is not the default one.
pub fn table(suite: &str, target: Option<&str>, expected: &Expected, reasons: &Reasons) -> String {
    let files = &expected.files;
    let passed: usize = files.values().map(|file| file.passed).sum();
    let native: usize = files.values().map(|file| file.native).sum();
    let stops = |reason: &str| reason != NATIVE;
    let whole = files.values().filter(|file| !file.fails.keys().any(|reason| stops(reason))).count();
    let (of, option, folder) = target.map_or_else(Default::default, |target| {
        (format!(" of {target}"), format!(" --target {target}"), format!("{target}/"))
    });
    let mut text = format!(
        "# The tests of {suite} in the sandbox{of}\n\n\
         Written by `pynbox-build check {suite}{option} --update`, from a run in the sandbox and one of the same tests by a native interpreter of the\n\
         same version; both as an ordinary user, with a library that can't be written to. `tests/expected/{folder}{suite}.toml` names every method\n\
         that does not pass.\n\n\
         Of {} files, {whole} end in the sandbox as natively. {passed} methods pass; natively {native}.\n\n",
        files.len(),
    );
    text.push_str("## What stops the others\n\n| reason | files | meaning |\n|---|---|---|\n");
    for reason in &reasons.reason {
        let count = files.values().filter(|file| file.fails.contains_key(&reason.name)).count();
        if count > 0 {
            let _ = writeln!(text, "| {} | {count} | {} |", reason.name, reason.meaning);
        }
    }
    text.push_str(
        "\n## Files\n\nMethods that pass in the sandbox and natively, and the reasons of those that do not, each with the number of methods or\n\
         classes of methods.\n\n| file | sandbox | native | stopped by |\n|---|---|---|---|\n",
    );
    for (name, file) in files {
        let by: BTreeMap<_, _> = file
            .fails
            .iter()
            .filter(|(reason, _)| stops(reason))
            .map(|(reason, names)| (reason, names.len()))
            .collect();
        let by: Vec<_> = by.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let _ = writeln!(text, "| {name} | {} | {} | {} |", file.passed, file.native, by.join(", "));
    }
    text
}
