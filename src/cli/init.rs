//! `pynbox-build init`: a project with recipes of one's own, which compiles as it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use build_graph::untrusted::{printable, printable_path};
use clap::Args;

use super::CommandError;

/// The tested example: its name stands in its files.
const EXAMPLE: &str = "own-recipes";
const FILES: [(&str, &str); 6] = [
    ("src/main.rs", include_str!("../../examples/own-recipes/src/main.rs")),
    ("recipes/files/greeting/main.c", include_str!("../../examples/own-recipes/recipes/files/greeting/main.c")),
    ("recipes/files/greeting/words.c", include_str!("../../examples/own-recipes/recipes/files/greeting/words.c")),
    ("recipes/files/greeting/words.h", include_str!("../../examples/own-recipes/recipes/files/greeting/words.h")),
    ("pynbox.toml", include_str!("../../examples/own-recipes/pynbox.toml")),
    (".gitignore", include_str!("../../examples/own-recipes/.gitignore")),
];

/// Options of `init`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder of the project, which is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The name of the crate; default: the folder's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where pynbox-build is: a folder with its sources, or the URL of a git repository; default: the
    /// folder from which this program was compiled
    #[arg(long, value_name = "PATH|URL")]
    pynbox: Option<String>,
}

pub(super) fn run(options: &Options) -> Result<(), CommandError> {
    let folder = std::path::absolute(&options.folder).map_err(CommandError::named("find", &options.folder))?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.bytes().all(letters) {
        return Err(CommandError::input(format!("`{}` can't name a crate", printable(&name)))
            .hint("give `--name` with letters, digits, `-` and `_`, a letter first"));
    }
    let manifest = manifest(&name, &dependency(options.pynbox.as_deref())?);
    // The program that cargo makes is no file of the project.
    let files = FILES.iter().map(|(path, text)| match *path {
        ".gitignore" => (*path, format!("/target/\n{text}")),
        path => (path, text.replace(EXAMPLE, &name)),
    });
    let files: Vec<_> = files.chain([("Cargo.toml", manifest)]).collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).symlink_metadata().is_ok()) {
        return Err(CommandError::input(format!("`{}` is there already", printable_path(&folder.join(path))))
            .hint("name another folder, or remove the file: `init` replaces nothing"));
    }
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    let shown = printable_path(&options.folder).to_string();
    outln!("`{shown}` is a project with the recipe `greeting`. Next:");
    outln!("  cd {shown} && cargo build --release");
    outln!("  target/release/{name} gen && ninja greeting");
    outln!("  target/release/{name} install DEST greeting && DEST/bin/run /greeting/greeting.wasm");
    Ok(())
}

/// Writes a new file, with its folders.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(CommandError::named("create", parent))?;
    let written = fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(CommandError::named("write", path))
}

/// The dependency on this program's crate.
fn dependency(given: Option<&str>) -> Result<String, CommandError> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let place = given.unwrap_or(env!("CARGO_MANIFEST_DIR"));
    if place.contains("://") {
        return Ok(format!("{{ git = {} }}", quoted(place)));
    }
    let path = std::path::absolute(place).map_err(CommandError::named("find", place))?;
    if !path.join("Cargo.toml").is_file() {
        return Err(CommandError::input(format!(
            "there are no sources of pynbox-build in `{}`",
            printable_path(&path)
        ))
        .hint("say where they are: `--pynbox PATH|URL`"));
    }
    Ok(format!("{{ path = {} }}", quoted(&path.to_string_lossy())))
}

fn manifest(name: &str, dependency: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\npynbox-build = {dependency}\n\n\
         # A project of its own, wherever it lies.\n[workspace]\n"
    )
}
