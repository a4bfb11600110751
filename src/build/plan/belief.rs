//! What `gen` believed of the store: by this a later verb tells that a plan may name results of
//! somebody who is not trusted any more.

use std::fs;

use serde::{Deserialize, Serialize};

use super::super::BuildError;
use super::{OutDir, write_if_changed};

/// Below `out/`: what `gen` believed of the store.
const BELIEF: &str = "belief";

/// What `gen` believed of the store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Believed {
    /// The digest of the project's belief.
    pub digest: String,
    /// The store's mark of results that were dropped, as it was before any look-up.
    pub drops: String,
    /// The places from which `gen` was told, not by settings, to take unsigned results.
    pub unsigned: Vec<String>,
}

impl Believed {
    /// Notes it beside the plan.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn write(&self, out: &OutDir) -> Result<(), BuildError> {
        let path = out.path().join(BELIEF);
        let json = serde_json::to_vec(self).map_err(|error| BuildError::io("write", &path)(error.into()))?;
        write_if_changed(&path, &json).map(drop)
    }
}

/// The places from which `gen` was told to take unsigned results, if it believed what is believed
/// now. What it noted as known may else come of somebody who is not believed any more.
///
/// # Errors
/// [`BuildError::Plan`] if it believed otherwise.
pub fn read_belief(out: &OutDir, digest: &str, drops: &str) -> Result<Vec<String>, BuildError> {
    let path = out.path().join(BELIEF);
    let stale = |problem: &str| BuildError::Plan { path: path.clone(), problem: problem.to_owned() };
    let bytes = fs::read(&path).map_err(|error| stale(&format!("can't be read ({error})")))?;
    let believed: Believed = serde_json::from_slice(&bytes).map_err(|_| stale("is damaged"))?;
    if believed.digest != digest {
        return Err(stale("is of a time when other keys, remotes or engines were trusted"));
    }
    if believed.drops != drops {
        return Err(stale("is of a time before results were dropped from the store"));
    }
    Ok(believed.unsigned)
}
