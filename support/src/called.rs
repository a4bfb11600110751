//! What the user calls this program: with recipes of their own it is not `pynbox-build`.

use std::path::Path;
use std::sync::OnceLock;

/// Returns the program's name for hints, as a shell takes it: the word that the user called it by.
/// ninja calls it by its absolute path; a path below the current folder is shown from there.
pub fn called() -> &'static str {
    static CALLED: OnceLock<String> = OnceLock::new();
    CALLED.get_or_init(|| {
        let word = std::env::args_os().next().filter(|word| !word.is_empty());
        let folder = std::env::current_dir().unwrap_or_default();
        name(&word.map_or_else(String::new, |word| word.to_string_lossy().into_owned()), &folder)
    })
}

fn name(word: &str, folder: &Path) -> String {
    let shorter = match Path::new(word).strip_prefix(folder) {
        // A name alone would be looked up in `PATH`.
        Ok(below) if below.components().nth(1).is_none() => Path::new(".").join(below),
        Ok(below) => below.to_path_buf(),
        Err(_) => word.into(),
    };
    match shorter.to_string_lossy() {
        word if word.is_empty() => "pynbox-build".to_owned(),
        word => quoted(&word),
    }
}

/// Returns a word as a shell takes it.
pub fn quoted(word: &str) -> String {
    // Only a NUL can't be quoted, and no argument holds one.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_as_it_is_called() {
        let name = |word| name(word, Path::new("/home/me/project"));
        assert_eq!(name("own-recipes"), "own-recipes");
        assert_eq!(name("target/release/own-recipes"), "target/release/own-recipes");
        assert_eq!(name("../own/target/release/own"), "../own/target/release/own");
        assert_eq!(name("/home/me/project/target/release/own-recipes"), "target/release/own-recipes");
        assert_eq!(name("/home/me/project/own-recipes"), "./own-recipes");
        assert_eq!(name("/usr/bin/own-recipes"), "/usr/bin/own-recipes");
        assert_eq!(name("/opt/my tools/own"), "'/opt/my tools/own'");
        assert_eq!(name(""), "pynbox-build");
    }
}
