//! Flags that name folders for headers: a compiler says nothing of one that is not there.

use crate::contract::BUILD_DIR;

/// Returns the flags of a command that name a folder for headers below `/build`, each with the
/// folder's absolute path. Folders elsewhere belong to the image or to the runtime. The one beside
/// the unit is left out: each unit gets it, whether headers lie there or not.
pub fn header_folders<'a, T: AsRef<str> + 'a>(
    command: impl IntoIterator<Item = &'a T, IntoIter: Clone>,
) -> Vec<(String, String)> {
    let mut folders = Vec::new();
    let mut words = command.into_iter().map(AsRef::as_ref);
    let beside_the_unit = words.clone().skip_while(|word| *word != "-c").nth(1).and_then(|unit| {
        let (folder, _) = unit.strip_prefix("src/")?.rsplit_once('/')?;
        Some(format!("headers/{folder}"))
    });
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
        if found.is_some_and(|(flag, _)| flag == "-iquote") && beside_the_unit.as_deref() == Some(folder) {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_beside_the_unit_is_left_out() {
        let folders = |command: &str| {
            let command: Vec<_> = command.split(' ').map(str::to_owned).collect();
            header_folders(&command).into_iter().map(|(_, folder)| folder).collect::<Vec<_>>()
        };
        assert!(folders("cc -iquote headers/lib -c src/lib/md5.c -o md5.o").is_empty());
        assert_eq!(folders("cc -iquote headers/lib -c src/md5.c -o md5.o"), ["/build/headers/lib"]);
        assert_eq!(folders("cc -Iheaders/lib -c src/lib/md5.c -o md5.o"), ["/build/headers/lib"]);
    }
}
