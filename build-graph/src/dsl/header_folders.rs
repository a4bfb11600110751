//! Flags that name folders for headers: a compiler says nothing of one that is not there.

use crate::contract::BUILD_DIR;

/// Returns the flags of a command that name a folder for headers below `/build`, each with the
/// folder's absolute path. Folders elsewhere belong to the image or to the runtime.
pub fn header_folders(command: &[String]) -> Vec<(String, String)> {
    let mut folders = Vec::new();
    let mut words = command.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let found = ["-I", "-iquote", "-isystem", "-idirafter"]
            .iter()
            .find_map(|flag| Some((*flag, word.strip_prefix(*flag)?)));
        let (shown, folder) = match found {
            None => continue,
            Some((flag, "")) => match words.next() {
                Some(folder) => (format!("{flag} {folder}"), folder),
                None => continue,
            },
            Some((_, folder)) => (word.to_owned(), folder),
        };
        let absolute =
            normal(&if folder.starts_with('/') { folder.to_owned() } else { format!("{BUILD_DIR}/{folder}") });
        if below(&absolute, BUILD_DIR).is_some() {
            folders.push((shown, absolute));
        }
    }
    folders
}

/// A path without `.`, `..` and doubled slashes.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns what is left of a path below a directory; empty for the directory itself.
pub fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}
