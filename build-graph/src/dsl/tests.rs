use super::*;
use crate::Sha256;
use crate::node::{Op, Origin, Source};

fn toolchain(target: &str) -> Toolchain {
    Toolchain {
        target: Target(target.into()),
        image: "tools".into(),
        image_links: Vec::new(),
        image_without: Vec::new(),
        image_sources: Vec::new(),
        cc: vec!["cc".into()],
        cflags: vec!["-O2".into()],
        ldflags: Vec::new(),
        libraries: Vec::new(),
        pic: Vec::new(),
        makefiles_image: String::new(),
        standard: String::new(),
        link_shared: Vec::new(),
        shared_libraries: Vec::new(),
        soname: None,
        strip: String::new(),
        loading: Vec::new(),
        loading_libraries: Vec::new(),
        ar: "ar".into(),
        ranlib: "ranlib".into(),
        configure: Vec::new(),
        program_suffix: String::new(),
        runtime: None,
    }
}

fn recipe(name: &str, describe: fn(&mut Context<'_>) -> Product) -> Recipe {
    Recipe {
        name: name.into(),
        version: "1.0".into(),
        targets: vec![Target("one".into()), Target("two".into())],
        describe,
    }
}

fn materials() -> Arc<Materials> {
    let source = Source {
        file: RelPath::new("lib.tar.gz").unwrap(),
        sha256: Sha256::from_bytes([1; 32]),
        size: None,
        origins: vec![Origin::Url { url: "https://example.org/lib.tar.gz".into() }],
    };
    let mut materials = Materials::default();
    materials.locks.source.insert("lib".into(), source);
    materials.locks.image.insert("tools".into(), Vec::new());
    let patch = ProjectFile { bytes: b"--- a/x\n".as_slice().into() };
    materials.files.insert(RelPath::new("patches/lib-1.0/two/0001-x.patch").unwrap(), patch);
    Arc::new(materials)
}

fn library(context: &mut Context<'_>) -> Product {
    let source = context.source("lib", 1);
    let objects = context.compile(&Compilation {
        units: vec!["a.c".into(), "sub/b.c".into()],
        headers: vec!["*.h".into()],
        source: Some(source),
        ..Compilation::default()
    });
    let library = context.static_library("liblib.a", &objects);
    let package = context.package([(&library, "root")], []);
    Product { tree: Some(library), package: Some(package) }
}

fn set() -> RecipeSet {
    RecipeSet {
        toolchains: vec![toolchain("one"), toolchain("two")],
        recipes: vec![recipe("lib", library)],
        mistakes: Vec::new(),
    }
}

#[test]
fn a_patch_that_no_recipe_reads_is_an_error() {
    let attempt = |patches: &[&str]| {
        let patches = patches.iter().map(|path| RelPath::new(*path).unwrap()).collect();
        let materials = Arc::new(Materials { patches, ..Materials::clone(&materials()) });
        assemble(&set(), &materials, &Target("one".into())).map_err(|error| error.to_string())
    };
    assert!(attempt(&["patches/lib-1.0/two/0001-x.patch", "patches/README.md", "patches/lib-1.0/README"]).is_ok());
    let places = "its recipe looks in `patches/lib-1.0/one` and `patches/lib-1.0/two`; move it there, or remove it";
    for (patch, hint) in [
        ("patches/lib-1.1/two/0001-x.patch", places),
        ("patches/lib-1.0/three/0001-x.patch", places),
        ("patches/lib-1.0/0001-x.patch", places),
        ("patches/lib-1.0/three/0001-x.txt", places),
        ("patches/other-1.0/two/0001-x.patch", "no recipe that takes any has this name"),
        ("patches/0001-x.patch", "no recipe that takes any has this name"),
        ("patches/x.diff", "no recipe that takes any has this name"),
    ] {
        let message = attempt(&["patches/lib-1.0/two/0001-x.patch", patch]).err().unwrap();
        assert!(
            message.starts_with(&format!("no recipe reads the patch `{patch}`: ")) && message.contains(hint),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1);
    }
}

#[test]
fn a_library_becomes_a_node_a_unit_and_targets_share_what_they_can() {
    let assembled = assemble(&set(), &materials(), &Target("one".into())).unwrap();
    let names: Vec<_> = assembled.graph.nodes().iter().map(|node| node.name.to_string()).collect();
    insta::assert_snapshot!(names.join("\n"));
    let aliases: Vec<_> = assembled.graph.aliases().keys().cloned().collect();
    assert_eq!(aliases, ["lib", "one", "one/lib", "two", "two/lib"]);
}

#[test]
fn every_mistake_is_reported_with_its_recipe() {
    fn wrong(context: &mut Context<'_>) -> Product {
        context.source("absent", 1);
        context.action("none").finish();
        context.dependency("nowhere");
        context.files("recipes/files/absent");
        Product::default()
    }
    let set = set().with(recipe("wrong", wrong));
    let error = assemble(&set, &materials(), &Target("one".into())).unwrap_err();
    let text: Vec<_> =
        error.to_string().lines().filter(|line| line.contains("for one")).map(ToOwned::to_owned).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn recipes_that_need_each_other_are_named() {
    fn chicken(context: &mut Context<'_>) -> Product {
        Product { tree: Some(context.dependency("egg")), package: None }
    }
    fn egg(context: &mut Context<'_>) -> Product {
        Product { tree: Some(context.dependency("chicken")), package: None }
    }
    let set = set().with(recipe("chicken", chicken)).with(recipe("egg", egg));
    let error = assemble(&set, &materials(), &Target("one".into())).unwrap_err();
    assert!(error.to_string().contains("recipes need each other: `chicken` → `egg` → `chicken`"), "{error}");
}

#[test]
fn a_folder_takes_the_place_of_a_source_and_is_patched_the_same() {
    let mut materials = (*materials()).clone();
    materials.overrides.insert("lib".into(), Override::Folder(crate::Tree::new()));
    let assembled = assemble(&set(), &Arc::new(materials), &Target("one".into())).unwrap();
    let tree = assembled.graph.find("source/lib/tree").unwrap();
    assert!(matches!(assembled.graph.nodes()[tree].op, Op::Local { .. }));
    assert!(assembled.graph.find("two/lib/patched").is_some());
    assert!(assembled.graph.find("one/lib/patched").is_none());
}

/// The mistakes of a set of recipes, a line each.
fn mistakes(set: &RecipeSet, materials: &Arc<Materials>) -> Vec<String> {
    match assemble(set, materials, &Target("one".into())) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(ToOwned::to_owned).collect(),
    }
}

/// The mistakes of one recipe beside the library, for the target `one`.
fn mistakes_of(describe: fn(&mut Context<'_>) -> Product) -> Vec<String> {
    let mut wrong = recipe("wrong", describe);
    wrong.targets.truncate(1);
    mistakes(&set().with(wrong), &materials())
}

fn one_unit(context: &mut Context<'_>, pic: bool) -> Vec<Handle> {
    let source = Some(context.unpacked("lib", 1));
    context.compile(&Compilation { units: vec!["a.c".into()], source, pic, ..Compilation::default() })
}

#[test]
fn recipes_of_one_name_are_named_and_replacing_is_said() {
    let other = || Recipe { version: "2.0".into(), ..recipe("lib", library) };
    assert_eq!(
        mistakes(&set().with(other()), &materials()),
        ["2 recipes are called `lib` (version 1.0, version 2.0): give one another name, or have it take the other's \
          place with `replacing`"]
    );
    let replaced = assemble(&set().replacing(other()), &materials(), &Target("one".into())).unwrap();
    let package = replaced.graph.find("one/lib/package").unwrap();
    assert!(matches!(&replaced.graph.nodes()[package].op, Op::Package(package) if package.version == "2.0"));
    let nobody = set().replacing(recipe("nobody", library));
    assert!(mistakes(&nobody, &materials())[0].starts_with("recipe `nobody` (version 1.0) is to replace one"));
}

#[test]
fn names_and_targets_that_are_none() {
    let mut lost = recipe("lost", library);
    lost.targets = vec![Target("won".into())];
    let mut nowhere = recipe("no where", library);
    nowhere.targets.clear();
    assert_eq!(
        mistakes(&set().with(lost).with(nowhere).with(recipe("two", library)), &materials()),
        [
            "recipe `lost` is for the target `won`, which there is no toolchain for; there are one, two",
            "a recipe can't be called `no where`: use letters, digits and `+-._`, and no target's name",
            "recipe `no where` is for no target: name some in `targets`",
            "a recipe can't be called `two`: use letters, digits and `+-._`, and no target's name",
        ]
    );
}

#[test]
fn a_version_is_that_of_its_source() {
    let mut materials = (*materials()).clone();
    materials.locks.version.insert("lib".into(), "1.0.1".into());
    let materials = Arc::new(materials);
    let said = mistakes(&set(), &materials);
    assert_eq!(said.len(), 2, "for each target: {said:?}");
    assert!(said[0].contains("its version is `1.0`, and the source `lib` that it builds is pinned in version `1.0.1`"));
    let with = |name: &str, version: &str| {
        let recipe = Recipe { version: version.into(), ..recipe(name, library) };
        mistakes(&RecipeSet { recipes: vec![recipe], ..set() }, &materials)
    };
    assert_eq!(with("lib", "1.0.1-2"), [""; 0]);
    assert_eq!(with("lib", "1.0.10").len(), 2);
    // By its only source, whatever the recipe is called.
    assert_eq!(with("another", "2").len(), 2);
    assert_eq!(with("another", "1.0.1"), [""; 0]);
}

#[test]
fn packages_that_need_nobody_or_hold_nothing() {
    fn wrong(context: &mut Context<'_>) -> Product {
        let objects = one_unit(context, false);
        let library = context.static_library("libw.a", &objects);
        let package = context.package([(&library, "root")], ["lib", "libb", "wrong"]);
        Product { tree: Some(library), package: Some(package) }
    }
    assert_eq!(
        mistakes_of(wrong),
        [
            "recipe `wrong` for one: its package requires `libb`, and no recipe gives a package of that name for one; \
             there are lib, wrong",
            "recipe `wrong` for one: its package requires itself",
        ]
    );
    fn empty(context: &mut Context<'_>) -> Product {
        let nothing: [(Take, &str); 0] = [];
        let package = context.package(nothing, []);
        Product { tree: None, package: Some(package) }
    }
    let said = mistakes_of(empty);
    assert_eq!(said, ["recipe `wrong` for one: its package installs nothing: name what it holds, or make none"]);
    fn forgotten(context: &mut Context<'_>) -> Product {
        let objects = one_unit(context, false);
        let library = context.static_library("libw.a", &objects);
        context.package([(&library, "root")], []);
        Product { tree: Some(library), package: None }
    }
    assert_eq!(
        mistakes_of(forgotten),
        ["recipe `wrong` for one: it makes `one/wrong/package` and does not return it as its `package`"]
    );
    fn swapped(context: &mut Context<'_>) -> Product {
        let objects = one_unit(context, false);
        Product { tree: None, package: Some(context.static_library("libw.a", &objects)) }
    }
    assert!(mistakes_of(swapped)[0].contains("it returns `one/wrong/lib/libw.a` as its `package`, which is none"));
    assert!(
        mistakes_of(|_| Product::default())[0].ends_with("it gives neither a tree nor a package: return one of them")
    );
}

#[test]
fn objects_without_pic_are_none_for_a_shared_library() {
    fn wrong(context: &mut Context<'_>) -> Product {
        let objects = one_unit(context, false);
        let library = SharedLibrary { path: "w.so".into(), objects, ..SharedLibrary::default() };
        Product { tree: Some(context.shared_library(&library)), package: None }
    }
    assert_eq!(
        mistakes_of(wrong),
        ["recipe `wrong` for one: the shared library `w.so` has objects that were compiled without `pic` \
          (`one/wrong/a.o`): set `pic: true` in their `Compilation`"]
    );
    // `lib`'s archive is no more for one, by itself or in a tree with other things.
    fn archive(context: &mut Context<'_>) -> Product {
        let lib = context.dependency("lib");
        let objects = one_unit(context, true);
        let text = context.text_file("text", "text", "", false);
        let merged = context.merge("merged", [(lib.all(), ""), (text.all(), "")]);
        let needed = vec![(merged, "lib/liblib.a".into())];
        let library = SharedLibrary { path: "w.so".into(), objects, needed, ..SharedLibrary::default() };
        Product { tree: Some(context.shared_library(&library)), package: None }
    }
    let said = mistakes_of(archive);
    assert!(said.len() == 1 && said[0].contains("takes in `lib/liblib.a` of `one/wrong/merged`"), "{said:?}");
    assert!(said[0].contains("`one/lib/a.o`"), "{said:?}");
}

#[test]
fn units_and_objects_that_are_not_there_or_there_twice() {
    fn wrong(context: &mut Context<'_>) -> Product {
        let source = Some(context.unpacked("lib", 1));
        let units = ["a.c", "b.c", "a.c", "b.S"].map(Into::into).to_vec();
        context.compile(&Compilation { units, source: source.clone(), ..Compilation::default() });
        context.compile(&Compilation { units: vec!["b.c".into()], source: source.clone(), ..Compilation::default() });
        let none = context.compile(&Compilation { source, ..Compilation::default() });
        context.static_library("libw.a", &none);
        context.program(&Program { name: "w".into(), ..Program::default() });
        let library = context.shared_library(&SharedLibrary { path: "w.so".into(), ..SharedLibrary::default() });
        Product { tree: Some(library), package: None }
    }
    let said: Vec<_> = mistakes_of(wrong).iter().map(|line| line.replacen("recipe `wrong` for one: ", "", 1)).collect();
    assert_eq!(
        said,
        [
            "the unit `a.c` is listed twice: list it once",
            "the units `b.c` and `b.S` have one object, `b.o`: compile one of them in a compilation of its own, with a \
             `prefix`",
            "it declares `one/wrong/b.o` twice: give one of the steps another name (units that are compiled twice: a \
             `prefix`)",
            "a compilation of `source/lib/tree` has no units: list its files in `units`",
            "the static library `libw.a` has no objects: give it what `compile` returns",
            "the program `w` has no objects: give it what `compile` returns",
            "the shared library `w.so` has no objects: give it what `compile` returns",
        ]
    );
}

#[test]
fn a_folder_for_headers_that_can_hold_none() {
    fn wrong(context: &mut Context<'_>) -> Product {
        let source = context.unpacked("lib", 1);
        let own = context.text_file("own", "include/own.h", "", false);
        let flags = "-Iheaders -I headers/include -I. -I/build/own/include -isystem /usr/include -Iown -Ilater/include \
                     -Iinclude -Isrc/include -iquote nowhere -Iown/includes -I/build/headers/../other -DI=-Iz";
        context.compile(&Compilation {
            units: vec!["a.c".into()],
            source: Some(source.clone()),
            headers: vec!["*.h".into()],
            include: vec![(own.all(), "/build/own".into()), (source.all(), "/build/later".into())],
            flags: flags.split_whitespace().map(Into::into).collect(),
            ..Compilation::default()
        });
        Product::default()
    }
    let said = mistakes_of(wrong);
    let flags: Vec<_> = said.iter().filter_map(|line| line.split('`').nth(3)).collect();
    assert_eq!(flags, ["-Iinclude", "-Isrc/include", "-iquote nowhere", "-Iown/includes", "-I/build/headers/../other"]);
    assert_eq!(
        said[0],
        "recipe `wrong` for one: the flag `-Iinclude` names `/build/include`, where no header is. Units see headers at: \
         `/build/headers`, `/build/own`, `/build/later`; paths in flags are relative to `/build`, so name a folder below \
         one of these, or put headers there with `headers` or `include`"
    );
}

#[test]
fn selections_without_patterns_and_sources_taken_in_two_ways() {
    fn wrong(context: &mut Context<'_>) -> Product {
        let source = context.source("lib", 2);
        let nothing: [&str; 0] = [];
        context.merge("merged", [(source.select(nothing), "")]);
        Product { tree: Some(source), package: None }
    }
    let said = mistakes_of(wrong);
    assert!(
        said[0].starts_with("recipe `wrong` for one: it asks for `source/lib/tree` otherwise than recipe `lib` does")
    );
    assert_eq!(
        said[1],
        "recipe `wrong` for one: a selection of `source/lib/tree` has no pattern: name one, or take it whole with `all`"
    );
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn pins_that_nobody_asks_for() {
    let mut materials = (*materials()).clone();
    materials.locks.project.sources = ["lib", "libb"].map(Into::into).into();
    materials.locks.project.images = ["tools", "tool"].map(Into::into).into();
    materials.program = "own-recipes".into();
    let said = mistakes(&set(), &Arc::new(materials));
    assert_eq!(
        said,
        [
            "no recipe takes the source `libb` of the project's lock files: correct the name that a recipe asks for, or \
             take it out of `wanted.toml` and run `own-recipes lock`",
            "no recipe takes the image `tool` of the project's lock files: correct the name that a recipe asks for, or \
             take it out of `wanted.toml` and run `own-recipes lock`",
        ]
    );
}

#[test]
fn a_bundle_tells_what_it_could_not_take() {
    let source = materials().locks.source["lib"].clone();
    let bundle = Bundle {
        set: set(),
        locks: materials().locks.clone(),
        files: ProjectFiles::default(),
        default_target: Target("one".into()),
        sources: None,
        packages: Packages::default(),
        suites: Vec::new(),
    };
    let bundle = bundle.with_file("../patches/x.patch", b"").with_source("lib", source);
    let said = mistakes(&bundle.set, &materials());
    assert!(said[0].starts_with("a file can't be added with `with_file`: `../patches/x.patch`"), "{said:?}");
    assert_eq!(said[1], "the source `lib` is pinned already: give yours another name");
}

/// Runs a script as an action would, with this machine's shells.
fn run_script(script: &str) -> (Option<i32>, String) {
    static SCRIPT: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
    static COMMAND: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    fn describe(context: &mut Context<'_>) -> Product {
        let script = SCRIPT.lock().unwrap().clone();
        let action = context.action("act").shell(&script).output("out").finish();
        if let Op::Action(action) = &context.assembly.node(action.name()).unwrap().op {
            *COMMAND.lock().unwrap() = action.command.clone();
        }
        Product { tree: Some(action), package: None }
    }
    *SCRIPT.lock().unwrap() = script.to_owned();
    assert_eq!(mistakes_of(describe), [""; 0]);
    let command = COMMAND.lock().unwrap().clone();
    let output =
        std::process::Command::new(&command[0]).args(&command[1..]).env("LC_ALL", "no_SUCH.locale").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[test]
fn scripts_end_at_the_first_failure() {
    assert_eq!(run_script("echo fine\necho 'said \"so\"' >&2"), (Some(0), "fine\nsaid \"so\"\n".into()));
    assert_eq!(run_script("sh -c 'exit 3' | cat\necho on"), (Some(3), String::new()));
    assert_eq!(run_script("false\necho on"), (Some(1), String::new()));
    assert_eq!(run_script("found=$(sh -c 'exit 4' | sort)\necho on $found"), (Some(4), String::new()));
    let (status, text) = run_script("echo first\necho $missing\necho on");
    assert!(status != Some(0) && text.contains("missing") && !text.contains("on\n"), "{text}");
    let (status, text) = run_script("echo first\nif then");
    assert!(status != Some(0) && text.contains("syntax error"), "{text}");
    assert_eq!(run_script("grep word /dev/null || true\necho on"), (Some(0), "on\n".into()));
}
