//! The sandbox's iconv, compiled for this machine, against the one of this machine's C library,
//! whose encodings it has tables of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a program to its end, and gives what it wrote.
fn run(program: &mut Command) -> String {
    let ended = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let text = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(ended.status.success(), "{program:?}: {text}");
    text
}

fn compile(flags: &[&str], sources: &[&Path], program: &Path) {
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .args(sources)
        .arg("-o")
        .arg(program));
}

#[test]
fn all_encodings_are_those_of_glibc() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let work = tempfile::tempdir().unwrap();
    let (tables, compare, folder) =
        (work.path().join("tables"), work.path().join("compare"), work.path().join("encodings"));
    fs::create_dir(&folder).unwrap();
    let files = project.join("recipes/files/encodings");
    compile(&[], &[&files.join("tables.c")], &tables);
    let lists = Path::new("/usr/lib/x86_64-linux-gnu/gconv");
    run(Command::new(&tables)
        .arg(files.join("labels.txt"))
        .arg(lists.join("gconv-modules"))
        .arg(lists.join("gconv-modules.d/gconv-modules-extra.conf"))
        .arg(&folder));

    // The functions under names of their own, beside the C library's.
    let own = work.path().join("iconv.o");
    let place = format!("-DENCODINGS=\"{}/\"", folder.display());
    let names = ["-Diconv=own_iconv", "-Diconv_open=own_iconv_open", "-Diconv_close=own_iconv_close"];
    let headers = format!("-I{}", files.display());
    let flags = [&["-std=gnu99", "-c", &place, &headers][..], &names].concat();
    compile(&flags, &[&project.join("recipes/files/sandbox_inner/src/iconv.c")], &own);
    compile(&[], &[&project.join("tests/encodings/compare.c"), &own], &compare);

    let names = fs::read_to_string(folder.join("names")).unwrap();
    let names: BTreeSet<_> = names.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name).collect();
    assert!(names.len() > 1000, "{names:?}");
    let encodings = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let encodings: BTreeSet<_> = encodings.filter(|file| names.contains(file.as_str())).collect();
    assert!(encodings.len() > 200, "{encodings:?}");
    let unicode =
        ["UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32BE", "UCS-2", "UCS-2BE", "UCS-4", "UNICODE"];
    println!("{}", run(Command::new(&compare).args(&encodings).args(unicode)));
}
