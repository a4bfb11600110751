//! The sessions that the guide shows: every block of `console` is run, page by page, in the project
//! of the tests, and what it prints is compared with the page.
//!
//! `…` in a line stands for any text, and a line of `…` alone for any lines. A comment
//! `<!-- run: COMMAND -->` runs a command that the page does not show; a block after a comment
//! `<!-- not run: REASON -->` is not run.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::space::{EXECUTABLE, Space, ninjas};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide");
/// The page with a session for every verb.
const ALL_VERBS: &str = "sessions.md";

/// What a page has to be run, in order.
#[derive(Debug)]
enum Step {
    /// Something that the page does not show.
    Hidden(String),
    /// A command and what it prints.
    Shown(String, Vec<String>),
}

/// The steps of a page, and the commands that it shows and that are not run.
fn steps(page: &str) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut passed_over) = (Vec::new(), Vec::new());
    let mut why_not = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let comment = |name: &str| line.strip_prefix(name).and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(command) = comment("<!-- run: ") {
            steps.push(Step::Hidden(command.to_owned()));
        } else if let Some(reason) = comment("<!-- not run: ") {
            why_not = Some(reason).filter(|reason| reason.len() > 10);
            assert!(why_not.is_some(), "a block that is not run needs a reason: {line}");
        } else if line == "```console" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let is_run = why_not.take().is_none();
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) if is_run => steps.push(Step::Shown(command.to_owned(), Vec::new())),
                    (Some(command), _) => passed_over.push(command.to_owned()),
                    (None, Some(Step::Shown(_, output))) if is_run => output.push(line.to_owned()),
                    (None, _) => assert!(!is_run, "output without a command: {line}"),
                }
            }
        }
    }
    (steps, passed_over)
}

/// Whether a line is as the page has it.
fn is_line(expected: &str, found: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = found.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether lines are as the page has them.
fn are_lines(expected: &[String], found: &[&str]) -> bool {
    match (expected.split_first(), found.split_first()) {
        (None, _) => found.is_empty(),
        (Some((first, others)), _) if first.trim() == "…" => {
            (0..=found.len()).any(|left_out| are_lines(others, &found[left_out..]))
        }
        (Some((first, others)), Some((line, rest))) => is_line(first, line) && are_lines(others, rest),
        (Some(_), None) => false,
    }
}

fn run_page(name: &str, page: &str) {
    let (steps, _) = steps(page);
    if steps.is_empty() {
        return;
    }
    let mut space = Space::new(&ninjas()[0]);
    if page.contains(" cache gc") {
        space.use_own_store();
    }
    let programs = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(EXECUTABLE, programs.path().join("pynbox-build")).unwrap();
    let mut path = OsString::from(programs.path());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let run = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(space.path(""));
        shell.env("PATH", &path).env_remove("NO_COLOR");
        shell.envs(space.tool(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = shell.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    for step in steps {
        match step {
            Step::Hidden(command) => {
                let (success, said) = run(&command);
                assert!(success, "{name}: {command}: {said}");
            }
            Step::Shown(command, expected) => {
                let (_, said) = run(&command);
                let found: Vec<_> = said.lines().map(str::trim_end).collect();
                assert!(are_lines(&expected, &found), "{name}: $ {command}\n{said}\nand not\n{}", expected.join("\n"));
            }
        }
    }
}

#[test]
fn the_sessions_of_the_guide_are_as_shown() {
    let pages = fs::read_dir(GUIDE).unwrap().map(|page| page.unwrap().path());
    let mut pages: Vec<_> = pages.filter(|page| page.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    for page in pages {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        run_page(&name, &fs::read_to_string(&page).unwrap());
    }
}

#[test]
fn there_is_a_session_for_every_verb() {
    let page = fs::read_to_string(Path::new(GUIDE).join(ALL_VERBS)).unwrap();
    let (steps, passed_over) = steps(&page);
    let shown = steps.iter().filter_map(|step| match step {
        Step::Shown(command, _) => Some(command),
        Step::Hidden(_) => None,
    });
    let words = shown.chain(&passed_over).flat_map(|command| command.split_whitespace());
    let words: BTreeSet<_> = words.map(str::to_owned).collect();
    let help = Command::new(EXECUTABLE).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let verbs: Vec<_> = help.lines().take_while(|line| !line.starts_with("Options:")).collect();
    let verbs = verbs.iter().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let missing: Vec<_> = verbs.filter(|verb| !words.contains(*verb)).collect();
    assert!(missing.is_empty(), "`{ALL_VERBS}` has no session for {missing:?}");
}

#[test]
fn a_page_is_compared_line_by_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |expected: &str, found: &str| are_lines(&lines(expected), &found.lines().collect::<Vec<_>>());
    assert!(same("a … c\n…\nend", "a b c\n1\n2\nend") && same("…", "") && same("", "") && same("a…", "a"));
    for (expected, found) in [("a … c", "a b"), ("a", "a\nb"), ("a\nb", "a"), ("…\nend", "end\nmore"), ("", "a")] {
        assert!(!same(expected, found), "{expected:?} {found:?}");
    }
    let page =
        "<!-- run: x -->\n```console\n$ a\nb\n$ c\n```\n<!-- not run: takes an hour -->\n```console\n$ d\ne\n```\n";
    let (steps, passed_over) = steps(page);
    assert_eq!(format!("{steps:?}"), r#"[Hidden("x"), Shown("a", ["b"]), Shown("c", [])]"#);
    assert_eq!(passed_over, ["d"]);
}
