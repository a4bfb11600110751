//! Why a method may not pass in the sandbox: named reasons, and the signs that each is told by.

use std::path::Path;

use build_graph::untrusted::printable_path;
use serde::Deserialize;

use crate::regular;

/// The reason of what does not pass natively either.
pub const NATIVE: &str = "native";
/// The reason of what has none: an error.
pub const UNEXPLAINED: &str = "unexplained";

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Its name in files of expectations.
    pub name: String,
    /// What it means, in a sentence.
    pub meaning: String,
    /// What is found in `FILE METHOD MESSAGE` of the methods that it stops; parts of the text,
    /// joined by ` ... ` if there are several.
    #[serde(default)]
    pub signs: Vec<String>,
}

/// All reasons. The first that has a matching sign is the one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasons {
    /// In the order in which they are tried.
    pub reason: Vec<Reason>,
}

impl Reasons {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with the file, as text.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = regular::read_to_string(path)
            .map_err(|error| format!("can't read `{}`: {error}", printable_path(&path)))?;
        toml::from_str(&text).map_err(|error| format!("`{}` is malformed: {error}", printable_path(&path)))
    }

    /// The name of the reason of a method that did not pass.
    pub fn of(&self, file: &str, method: &str, message: &str) -> &str {
        let text = format!("{file} {method} {message}");
        let matches = |sign: &String| {
            let mut rest = text.as_str();
            sign.split(" ... ").all(|part| match rest.find(part) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        };
        let found = self.reason.iter().find(|reason| reason.signs.iter().any(matches));
        found.map_or(UNEXPLAINED, |reason| &reason.name)
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        name == NATIVE || self.reason.iter().any(|reason| reason.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sign_that_matches_is_the_reason() {
        let reasons: Reasons = toml::from_str(
            "[[reason]]\nname = \"one\"\nmeaning = \"\"\nsigns = [\"test_a A.x ... Errno 38\"]\n\
             [[reason]]\nname = \"two\"\nmeaning = \"\"\nsigns = [\"fork\"]\n",
        )
        .unwrap();
        assert_eq!(reasons.of("test_a", "A.x", "[Errno 38] < os.fork()"), "one");
        assert_eq!(reasons.of("test_a", "A.y", "[Errno 38] < os.fork()"), "two");
        assert_eq!(reasons.of("test_a", "A.y", "[Errno 38]"), UNEXPLAINED);
    }
}
