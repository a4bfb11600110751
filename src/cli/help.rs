//! The command line as `--help` shows it: verbs in groups, and colours only where they are wanted.

use std::fmt::Write as _;
use std::io::IsTerminal;

use clap::{ColorChoice, Command, CommandFactory as _};

use super::Cli;

/// The verbs in the groups of `--help`. A name that is no verb of this program is passed over.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Build", &["gen", "build", "watch", "fetch", "shell", "log", "report", "checkout", "check", "ci", "clean"]),
    ("Ask", &["list", "why", "diff", "query", "graph", "which"]),
    ("Install", &["install", "upgrade", "rollback", "prune", "uninstall", "search", "verify"]),
    ("Give to others", &["export", "publish", "provenance", "sbom", "sign"]),
    ("Look after", &["source", "lock", "cache"]),
    ("Set up", &["init", "completions", "man"]),
];

/// Returns the command line with its help in groups.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let header = *command.get_styles().get_header();
    let literal = *command.get_styles().get_literal();
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    let width = shown(&command).map(|verb| verb.get_name().len()).max().unwrap_or(0);
    for (group, verbs) in GROUPS {
        let verbs: Vec<_> =
            verbs.iter().filter_map(|name| shown(&command).find(|verb| verb.get_name() == *name)).collect();
        if verbs.is_empty() {
            continue;
        }
        // Writing to a string can't fail.
        let _ = write!(text, "\n{header}{group}:{header:#}\n");
        for verb in verbs {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let name = verb.get_name();
            let _ = writeln!(text, "  {literal}{name}{literal:#}{:1$}  {about}", "", width - name.len());
        }
    }
    let _ = write!(text, "\n{header}Options:{header:#}\n{{options}}\n\n`{{name}} VERB --help` says more of a verb.");
    command.help_template(text)
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// Returns what `--color` says among the arguments, before they are parsed: what is wrong with them
/// is said in colours, too.
pub(super) fn asked_color() -> ColorChoice {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        match value.as_deref() {
            Some("always") => return ColorChoice::Always,
            Some("never") => return ColorChoice::Never,
            _ => {}
        }
    }
    ColorChoice::Auto
}

/// Whether a stream gets colours.
pub(super) fn has_colors(choice: ColorChoice, stream: &impl IsTerminal) -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            stream.is_terminal() && unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Paints the words with which the lines of a message begin.
pub(super) fn painted(message: &str) -> String {
    let paint = |line: &str| {
        for (word, color) in [("error:", "1;31"), ("hint:", "1;36"), ("note:", "1;33")] {
            if let Some(rest) = line.strip_prefix(word) {
                return format!("\u{1b}[{color}m{word}\u{1b}[0m{rest}");
            }
        }
        line.to_owned()
    };
    message.split('\n').map(paint).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_every_verb_in_one_group() {
        let command = command();
        for verb in shown(&command) {
            let groups = GROUPS.iter().filter(|(_, verbs)| verbs.contains(&verb.get_name())).count();
            assert_eq!(groups, 1, "`{}` has to be in one group of `GROUPS`", verb.get_name());
        }
        let help = command.clone().render_help().to_string();
        assert!(help.contains("\nAsk:\n  list  ") && help.contains("--no-remote"), "{help}");
        assert!(!help.contains('\u{1b}'), "{help}");
    }
}
