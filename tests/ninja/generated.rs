//! What is made of the command line: completions, which their shells try, and manual pages, which
//! mandoc reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::space::{EXECUTABLE, Space, ninjas};

/// Sources the script in bash, and gives what it completes.
fn completed(folder: &Path, name: &str, words: &[&str]) -> String {
    let script = folder.join(format!("{name}.bash"));
    let program = folder.join(name);
    if !program.exists() {
        std::os::unix::fs::symlink(EXECUTABLE, &program).unwrap();
        let done = Command::new(&program).args(["completions", "bash"]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::write(&script, done.stdout).unwrap();
    }
    // As bash calls it: by the function that is registered, with the program, the word and the one
    // before.
    let ask = r#". "$0"; read -ra how <<< "$(complete -p "$1")"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
                 for at in "${!how[@]}"; do [[ ${how[at]} == -F ]] && function=${how[at + 1]}; done
                 "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[@]}""#;
    let done = Command::new("bash").args(["-ec", ask]).arg(&script).arg(name).args(words).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn bash_completes_verbs_options_and_values_for_every_name_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fixture", "pynbox-build", "my.tool-2"] {
        let completed = |words: &[&str]| completed(folder.path(), name, words);
        assert_eq!(completed(&["qu"]), "query", "{name}");
        assert_eq!(completed(&["query", "r"]), "rdeps", "{name}");
        assert_eq!(completed(&["gen", "--dry"]), "--dry-run", "{name}");
        assert_eq!(completed(&["--color", ""]), "auto always never", "{name}");
    }
}

/// Makes a link to the program, and its completions for a shell beside it.
fn script(folder: &Path, name: &str, shell: &str) -> PathBuf {
    let program = folder.join(name);
    std::os::unix::fs::symlink(EXECUTABLE, &program).unwrap();
    let done = Command::new(&program).args(["completions", shell]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let script = folder.join(format!("{name}.{shell}"));
    fs::write(&script, done.stdout).unwrap();
    script
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_verbs_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pynbox-build", "my.tool-2"] {
        let script = script(folder.path(), name, "fish");
        let completed = |words: &str| {
            let mut fish = Command::new("fish");
            fish.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]).env("HOME", folder.path());
            let done = fish.arg(&script).arg(format!("{name} {words}")).output().unwrap();
            assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
            let text = String::from_utf8(done.stdout).unwrap();
            text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(completed("qu"), ["query"], "{name}");
        assert_eq!(completed("query r"), ["rdeps"], "{name}");
        assert_eq!(completed("gen --dry"), ["--dry-run"], "{name}");
        assert_eq!(completed("gen --color "), ["always", "auto", "never"], "{name}");
    }
}

/// A shell at a terminal, in which the program is a function that says its arguments: what is typed
/// with a tab, it gets completed.
const IN_ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -Uz compinit; compinit -D -u; . ${(q)1}; $2() { print -r -- \"di\"d \"\$*.\" }; print rea\"dy\""
zpty -r -m shell line '*ready*'
for words in "${@:3}"; do
    zpty -w shell "$2 $words"$'\t'
    zpty -r -m shell line '*did *.*'
    print -r -- "${${line##*did }%%.*}"
done
"#;

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_verbs_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pynbox-build", "my.tool-2"] {
        let script = script(folder.path(), name, "zsh");
        let words = ["qu", "query r", "gen --dry-", "gen --color al"];
        let mut zsh = Command::new("zsh");
        zsh.args(["-f", "-c", IN_ZSH, "zsh"]).arg(&script).arg(name).args(words);
        let done = zsh.env("HOME", folder.path()).env("TERM", "dumb").output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let said: Vec<_> = said.lines().map(str::trim).collect();
        assert_eq!(said, ["query", "query rdeps", "gen --dry-run", "gen --color always"], "{name}: {done:?}");
    }
}

/// `mandoc` is strict where `man` is not.
#[test]
#[ignore = "needs mandoc"]
fn manual_pages_pass_the_linter_of_mandoc() {
    let space = Space::new(&ninjas()[0]);
    space.run(&["man", "man1"]);
    let pages: Vec<_> = fs::read_dir(space.path("man1")).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(pages.len() > 40, "{pages:?}");
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output().unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
fn manual_pages_are_the_same_at_a_date_that_is_given() {
    let space = Space::new(&ninjas()[0]);
    let man = |epoch: &str| space.tool(&["man", "man1"]).env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
    assert!(man("86400").status.success());
    let page = fs::read_to_string(space.path("man1/pynbox-build-query-path.1")).unwrap();
    assert!(page.contains(".TH pynbox-build-query-path 1 1970-01-02 ") && page.contains("FROM"), "{page}");
    let refused = man("-1");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`SOURCE_DATE_EPOCH` is `-1`"), "{refused:?}");
}
