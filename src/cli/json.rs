//! Answers as JSON, for `--json`.
//!
//! An answer is one object on one line. Its `schema` says what is in it and in which version:
//! `pynbox-build/VERB/NUMBER`. A new field keeps the number; a field that goes or means something
//! else makes a new one. `docs/reference/json.md` has the fields, from the types that are written.

use std::io;

use clap::{ArgMatches, Args};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::CommandError;
use super::print;

/// The option of every verb that answers something.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct JsonOption {
    /// Print the answer as one line of JSON, whose schema the reference has
    #[arg(long)]
    pub(super) json: bool,
}

/// Whether the verb was called with [`JsonOption`].
pub(super) fn is_asked_for(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, verb)) => is_asked_for(verb),
        None => matches.try_get_one::<bool>("json").is_ok_and(|given| given.copied().unwrap_or(false)),
    }
}

/// What can be printed as JSON.
pub(super) trait Answer: Serialize {
    /// The verb and the number of the version of what it answers: `list/1`.
    const SCHEMA: &'static str;
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    schema: String,
    #[serde(flatten)]
    answer: &'a T,
}

/// Prints an answer.
///
/// # Errors
/// [`CommandError`] for what JSON can't hold, which is a bug.
pub(super) fn print<T: Answer>(answer: &T) -> Result<(), CommandError> {
    print::out(&to_line(answer)?);
    Ok(())
}

impl JsonOption {
    /// Prints an answer if it was asked for as JSON.
    ///
    /// # Errors
    /// As [`print`].
    pub(super) fn answer<T: Answer>(self, answer: impl FnOnce() -> T) -> Result<(), CommandError> {
        if self.json { print(&answer()) } else { Ok(()) }
    }
}

/// Returns the name of a schema as it stands in answers.
pub(super) fn schema_name<T: Answer>() -> String {
    format!("pynbox-build/{}", T::SCHEMA)
}

fn to_line<T: Answer>(answer: &T) -> Result<Vec<u8>, CommandError> {
    let mut line = Vec::new();
    let envelope = Envelope { schema: schema_name::<T>(), answer };
    envelope
        .serialize(&mut Serializer::with_formatter(&mut line, Ascii))
        .map_err(|error| CommandError::new(super::Kind::Bug, format!("the answer is no JSON: {error}")))?;
    line.push(b'\n');
    Ok(line)
}

/// Writes nothing but printable ASCII: a terminal obeys some of what JSON takes as it is.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(|char: char| !(' '..='~').contains(&char)) {
            let plain = part.trim_end_matches(|char: char| !(' '..='~').contains(&char));
            CompactFormatter.write_string_fragment(writer, plain)?;
            for unit in part[plain.len()..].encode_utf16() {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Said {
        text: &'static str,
    }

    impl Answer for Said {
        const SCHEMA: &'static str = "said/1";
    }

    #[test]
    fn an_answer_is_one_line_of_ascii_and_says_its_schema() {
        let said = Said { text: "a \"b\"\n\u{1b}[31m \u{7f}\u{9b} ä€ \u{202e} \u{1f600}" };
        let line = String::from_utf8(to_line(&said).unwrap()).unwrap();
        assert!(line.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, serde_json::json!({"schema": "pynbox-build/said/1", "text": said.text}));
    }
}
