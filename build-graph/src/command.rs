//! What actions run.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Text;

/// A program and its arguments. Commands may share the words that they begin with: those of 100,000
/// compile actions differ only in the names of files, which stand last.
#[derive(Debug, Clone, Default)]
pub struct Command {
    beginning: Arc<[Text]>,
    rest: Box<[Text]>,
}

impl Command {
    /// A command of these words.
    pub fn new<T: Into<Text>>(words: impl IntoIterator<Item = T>) -> Self {
        Self { beginning: Arc::default(), rest: words.into_iter().map(Into::into).collect() }
    }

    /// A command that begins with words which others share.
    pub fn beginning_with(beginning: &Arc<[Text]>, rest: impl Into<Box<[Text]>>) -> Self {
        Self { beginning: Arc::clone(beginning), rest: rest.into() }
    }

    /// The program, then its arguments.
    pub fn words(&self) -> impl Iterator<Item = &Text> + Clone {
        self.beginning.iter().chain(&self.rest)
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.beginning.len() + self.rest.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.words().eq(other.words())
    }
}

impl Eq for Command {}

/// The words with spaces between them, for people: a shell may read them otherwise.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, word) in self.words().enumerate() {
            write!(f, "{}{word}", if number == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Text>::deserialize(deserializer).map(Self::new)
    }
}
