//! What stands in place of the Remote Execution API where this program was built without it.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};

use store::Store;
use thiserror::Error;

pub use crate::engine::Endpoint;

/// What to do about it.
pub(crate) const MISSING: &str =
    "this program was built without the feature `reapi`; build it with `cargo build --release --features reapi`";

/// A server can't be used. With the feature, there are more reasons.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReapiError {
    /// What the user set makes no sense here.
    #[error("{0}")]
    Settings(String),
    /// A file of this machine can't be read or written.
    #[error("can't {doing} `{}`: {source}", build_graph::untrusted::printable_path(.path))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Actions executed by an engine.
pub mod engine {
    use super::{Infallible, MISSING, Path, ReapiError, Store};
    pub use crate::engine::{EngineSection, EngineSettings, Ran, RemoteAction};

    /// An engine, of which there is none.
    #[derive(Debug)]
    pub struct Engine(Infallible);

    impl Engine {
        /// Says which feature is missing.
        ///
        /// # Errors
        /// [`ReapiError::Settings`], always.
        pub fn open(_settings: EngineSettings, _runner: Vec<u8>) -> Result<Self, ReapiError> {
            Err(ReapiError::Settings(MISSING.to_owned()))
        }

        /// There is no engine whose actions could be cancelled.
        pub fn end_with_signals(&self) {
            match self.0 {}
        }

        /// There is no engine that has a name.
        pub fn name(&self) -> &str {
            match self.0 {}
        }

        /// There is no engine that could run an action.
        ///
        /// # Errors
        /// None.
        pub fn run(
            &self,
            _store: &Store,
            _action: &RemoteAction<'_>,
            _build: &Path,
            _log: &Path,
        ) -> Result<Ran, ReapiError> {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::engine::{Engine, EngineSettings};
    use super::*;
    use crate::settings::RemoteSettings;

    #[test]
    fn what_needs_the_feature_names_it() {
        let settings = RemoteSettings::parse("farm=grpc://127.0.0.1:1").unwrap();
        let refused = crate::transport(&settings, Path::new("/")).err().unwrap().to_string();
        assert!(refused.starts_with("remote `farm`: ") && refused.contains("`reapi`"), "{refused}");
        let endpoint = Endpoint::new("grpc://127.0.0.1:1");
        let patience = Duration::from_secs(1);
        let settings = EngineSettings { name: "farm".into(), endpoint, platform: Default::default(), patience };
        let refused = Engine::open(settings, Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("`reapi`"), "{refused}");
    }
}
