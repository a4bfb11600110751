//! What is generated from the command line itself: completions of shells and manual pages.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use build_graph::untrusted::printable;
use clap::Args;
use clap_complete::Shell;

use super::print;
use super::{CommandError, help};
use crate::called::called;
use crate::environment;

/// The time that files which are made now say, in seconds since 1970
/// (reproducible-builds.org/specs/source-date-epoch).
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Options of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder that gets a page for each verb, such as `~/.local/share/man/man1`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(options: &Completions) {
    // A shell completes the last part of the path by which it was called.
    let name = called().rsplit('/').next().unwrap_or_default().to_owned();
    let script = match options.shell {
        Shell::Bash => bash(&name),
        shell => script(shell, &name),
    };
    print::out(script.as_bytes());
}

fn script(shell: Shell, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The generator takes a `-` in the name for the end of a verb, so that nothing after the first
/// verb would be completed: it gets a name without one, and `complete` the real one.
fn bash(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut text = String::new();
    for line in script(Shell::Bash, &letters).lines() {
        let registered = line.trim_start().strip_prefix("complete ").and_then(|_| line.strip_suffix(&letters));
        match registered {
            Some(line) => text.extend([line, name]),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

pub(super) fn man(options: &Man) -> Result<(), CommandError> {
    let folder = &options.folder;
    fs::create_dir_all(folder).map_err(CommandError::named("create", folder))?;
    let date = date()?;
    let mut command = help::command().disable_help_subcommand(true);
    command.build();
    let source = format!("{} {}", command.get_name(), command.get_version().unwrap_or_default());
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
        let page = clap_mangen::Man::new(command).date(&date).source(&source).manual("User Commands");
        let path = folder.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text).map_err(CommandError::named("write", &path))?;
        // Breaks around a space, which makes one anyway, are what linters complain of.
        let text = String::from_utf8_lossy(&text).replace("\n.br\n\n.br\n", "\n.sp\n");
        fs::write(&path, text).map_err(CommandError::named("write", &path))?;
    }
    Ok(())
}

/// The date that pages say: today's, or what the environment says.
fn date() -> Result<String, CommandError> {
    let time = match environment::text(SOURCE_DATE_EPOCH)? {
        None => SystemTime::now(),
        Some(text) => {
            let seconds: u32 = text.parse().map_err(|_| {
                CommandError::input(format!(
                    "`{SOURCE_DATE_EPOCH}` is `{}`, and no number of seconds",
                    printable(&text)
                ))
                .hint("unset it, or set it to seconds since 1970")
            })?;
            UNIX_EPOCH + Duration::from_secs(seconds.into())
        }
    };
    let text = humantime::format_rfc3339_seconds(time).to_string();
    Ok(text.split('T').next().unwrap_or_default().to_owned())
}
