//! Indices, settings, lock files, and the tool's own files in `out/`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use pynbox_build::build::plan::{OutDir, Plan};
use pynbox_build::build::record::Record;
use pynbox_build::fuzzing;
use pynbox_build::lock::{ImagesLock, SourcesLock, Wanted, outdated};
use pynbox_build::project::Settings;
use serde_json::to_string;
use tempfile::TempDir;

use crate::archives::shown;

/// Debian's indices: of packages, of sources, and versions, a zero byte between them.
pub(crate) fn debian(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    fuzzing::debian_index(part(), part());
    fuzzing::debian_versions([part(), part(), part()]);
}

/// A page of an index of Python packages.
pub(crate) fn pypi(data: &[u8]) {
    fuzzing::python_index(data);
}

/// Settings and lock files: what is read is the same after it was written and read.
pub(crate) fn toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match toml::from_str::<Settings>(text) {
        Ok(settings) => {
            let written = toml::to_string(&settings).expect("settings can be written");
            assert_eq!(toml::from_str::<Settings>(&written).as_ref(), Ok(&settings), "{written}");
        }
        Err(error) => assert!(!error.message().is_empty()),
    }
    let images = toml::from_str::<ImagesLock>(text).ok();
    if let Some(lock) = &images {
        let written = toml::to_string(lock).expect("a lock can be written");
        assert_eq!(toml::from_str::<ImagesLock>(&written).as_ref(), Ok(lock), "{written}");
    }
    let sources = toml::from_str::<SourcesLock>(text).ok();
    if let Some(lock) = &sources {
        let written = toml::to_string(lock).expect("a lock can be written");
        assert_eq!(toml::from_str::<SourcesLock>(&written).as_ref(), Ok(lock), "{written}");
    }
    if let Ok(wanted) = toml::from_str::<Wanted>(text) {
        let written = toml::to_string(&wanted).expect("what is wanted can be written");
        let back = toml::from_str::<Wanted>(&written).expect("it was written just now");
        assert_eq!(to_string(&back).ok(), to_string(&wanted).ok());
        let _ = outdated(Some(&wanted), &BTreeMap::new(), &sources.unwrap_or_default(), images.as_ref());
    }
}

thread_local! {
    static OUT: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A folder `out/`.
pub(crate) fn make_out() {
    OUT.set(Some(tempfile::tempdir_in("/dev/shm").expect("a folder in memory")));
}

/// A plan, or the record of a `gen`.
pub(crate) fn plan(data: &[u8]) {
    OUT.with_borrow(|folder| {
        let out = OutDir::new(folder.as_ref().expect("it was prepared").path());
        fs::write(out.plan(), data).expect("a file in memory");
        fs::write(out.path().join("record"), data).expect("a file in memory");
        if let Some(record) = Record::read(&out) {
            for seen in &record.seen {
                let _ = seen.is_current();
            }
        }
        let plan = match Plan::open(&out) {
            Ok(plan) => plan,
            Err(error) => return shown(&error.to_string()),
        };
        let _ = plan.is_whole();
        let names: Vec<String> = plan.names().map(str::to_owned).collect();
        for name in names {
            let Ok(name) = name.parse() else { continue };
            if let Err(error) = plan.node(&name) {
                shown(&error.to_string());
            }
            let _ = (plan.claimed_tree(&name), plan.is_known(&name), plan.no_node(name.as_str()));
        }
    });
}
