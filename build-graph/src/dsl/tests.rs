mod python;

use super::*;
use crate::node::{Op, Origin, Source};
use crate::{Glob, Sha256};

pub(super) fn toolchain(target: &str) -> Toolchain {
    Toolchain::new(target, "tools").with_cc("cc")
}

const BOTH: &[&str] = &["one", "two"];

fn lib() -> Recipe {
    recipe("lib", "1.0").targets(BOTH).describe(library)
}

pub(super) fn materials() -> Arc<Materials> {
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

fn library(context: &mut Context<'_>) {
    context.c_library("lib").sources("a sub/b").headers("*.h").public_headers("lib.h").archive();
    let text = context.text_file("text", "text", "", false);
    context.install_tree(&text, "root");
}

pub(super) fn set() -> RecipeSet {
    RecipeSet { toolchains: vec![toolchain("one"), toolchain("two")], recipes: vec![lib()], mistakes: Vec::new() }
}

#[test]
fn a_patch_that_no_recipe_reads_is_an_error() {
    let attempt = |patches: &[&str]| {
        let patches = patches.iter().map(|path| RelPath::new(*path).unwrap()).collect();
        let materials = Arc::new(Materials { patches, ..Materials::clone(&materials()) });
        assemble(&set(), &materials, &Target("one".into())).map_err(|error| error.to_string())
    };
    assert!(attempt(&["patches/lib-1.0/two/0001-x.patch", "patches/README.md", "patches/lib-1.0/README"]).is_ok());
    let places = "its recipe looks in `patches/lib-1.0/all` and `patches/lib-1.0/one` and `patches/lib-1.0/two`; move it \
                  there, or remove it";
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
fn patches_for_all_targets_are_laid_beside_those_of_one() {
    let with = |path: &str, bytes: &'static [u8]| {
        let mut materials = Materials::clone(&materials());
        materials.files.insert(RelPath::new(path).unwrap(), ProjectFile { bytes: bytes.into() });
        Arc::new(materials)
    };
    let assembled =
        assemble(&set(), &with("patches/lib-1.0/all/0002-y.patch", b"--- a/y\n"), &Target("one".into())).unwrap();
    for (target, expected) in [("one", &["0002-y.patch"][..]), ("two", &["0001-x.patch", "0002-y.patch"])] {
        let node = &assembled.graph.nodes()
            [assembled.graph.index_of(&format!("{target}/lib/patches").parse().unwrap()).unwrap()];
        let Op::Local { tree } = &node.op else { panic!("{node:?}") };
        let names: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, expected);
    }
    let said = mistakes(&set(), &with("patches/lib-1.0/all/0001-x.patch", b"--- a/z\n"));
    let line = "recipe `lib` for two: the patch `0001-x.patch` is in `patches/lib-1.0/two` and in `all` beside it: give \
                one of them another number";
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with(line), "{said:?}");
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
fn every_mistake_is_reported_with_its_place_and_its_targets() {
    const WRONG: Recipe = recipe("wrong", "1.0").targets(BOTH).describe(|context| {
        context.unpacked("absent", 1);
        context.action("none").finish();
        context.dependency("nowhere");
        context.files("recipes/files/absent");
        let text = context.text_file("text", "text", "", false);
        context.tree(&text, "");
    });
    let error = assemble(&set().with(WRONG), &materials(), &Target("one".into())).unwrap_err();
    insta::assert_snapshot!(without_places(&error.to_string()).join("\n"));
    let first = WRONG.at.line() + 1;
    for (line, message) in
        error.to_string().lines().zip(["no lock file has", "action", "action", "it needs", "the project"])
    {
        assert!(line.starts_with("build-graph/src/dsl/tests.rs:") && line.contains(message), "{line}");
    }
    assert!(error.to_string().starts_with(&format!("build-graph/src/dsl/tests.rs:{first}: ")), "{error}");
}

/// The lines of an error, each without the place that it begins with.
fn without_places(text: &str) -> Vec<String> {
    let line = |line: &str| match line.strip_prefix("build-graph/src/dsl/tests.rs:") {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, rest)| rest).to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

#[test]
fn recipes_that_need_each_other_are_named() {
    let chicken = recipe("chicken", "1").targets(BOTH).describe(|context| drop(context.dependency("egg")));
    let egg = recipe("egg", "1").targets(BOTH).describe(|context| drop(context.dependency("chicken")));
    let set = set().with(chicken).with(egg);
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

/// The mistakes of a set of recipes, a line each, without their places.
fn mistakes(set: &RecipeSet, materials: &Arc<Materials>) -> Vec<String> {
    match assemble(set, materials, &Target("one".into())) {
        Ok(_) => Vec::new(),
        Err(error) => without_places(&error.to_string()),
    }
}

/// The mistakes of one recipe beside the library, for the target `one`.
pub(super) fn mistakes_of(describe: fn(&mut Context<'_>)) -> Vec<String> {
    let wrong = recipe("wrong", "1.0").targets(&["one"]).source_of("lib").describe(describe);
    mistakes(&set().with(wrong), &materials())
}

#[test]
fn recipes_of_one_name_are_named_and_replacing_is_said() {
    let other = |targets| {
        recipe("lib", "2.0").targets(targets).source_of("none").describe(|context| {
            let text = context.text_file("text", "text", "", false);
            context.install_tree(&text, "");
        })
    };
    let said = mistakes(&set().with(other(&["two"])), &materials());
    assert_eq!(
        said,
        ["2 recipes for two are called `lib` (version 1.0, version 2.0): give one another name, or have it take the \
          other's place with `replacing`"]
    );
    let replaced = assemble(&set().replacing(other(BOTH)), &materials(), &Target("one".into())).unwrap();
    let package = replaced.graph.find("one/lib/package").unwrap();
    assert!(matches!(&replaced.graph.nodes()[package].op, Op::Package(package) if package.version == "2.0"));
    let nobody = set().replacing(recipe("nobody", "1.0"));
    assert!(mistakes(&nobody, &materials())[0].starts_with("recipe `nobody` (version 1.0) is to replace one"));
    // Two ports of a package are two recipes.
    let only_one = RecipeSet { recipes: vec![lib().targets(&["one"]), other(&["two"])], ..set() };
    let both = assemble(&only_one, &materials(), &Target("one".into())).unwrap().graph;
    assert!(both.find("one/lib/package").is_some() && both.find("two/lib/package").is_some());
}

#[test]
fn names_and_targets_that_are_none() {
    let lost = recipe("lost", "1").targets(&["won"]).describe(library);
    let nowhere = recipe("no where", "1").targets(&[]).describe(library);
    let two = recipe("two", "1.0").source_of("lib").targets(&["one"]).describe(library);
    let src = recipe("src", "1.0").source_of("lib").targets(&["one"]).describe(library);
    assert_eq!(
        mistakes(&set().with(lost).with(nowhere).with(two).with(src), &materials()),
        [
            "recipe `lost` is for the target `won`, which there is no toolchain for; there are one, two",
            "a recipe can't be called `no where`: use letters, digits and `+-._`, and no target's name",
            "recipe `no where` is for no target: name some in `targets`",
            "a recipe can't be called `src`: actions that depend on it would see it at `/build/src`, where their own \
             files are; give it another name",
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
    assert_eq!(said.len(), 1, "once for both targets: {said:?}");
    assert!(said[0].starts_with("recipe `lib` for one, two: its version is `1.0`, and the source `lib`"), "{said:?}");
    assert!(said[0].contains("is pinned in version `1.0.1`"), "{said:?}");
    let with = |name, version| {
        let recipe = recipe(name, version).targets(BOTH).source_of("lib").describe(library);
        mistakes(&RecipeSet { recipes: vec![recipe], ..set() }, &materials)
    };
    assert_eq!(with("lib", "1.0.1-2"), [""; 0]);
    assert_eq!(with("lib", "1.0.10").len(), 1);
    // By its only source, whatever the recipe is called.
    assert_eq!(with("another", "2").len(), 1);
    assert_eq!(with("another", "1.0.1"), [""; 0]);
}

#[test]
fn packages_that_need_nobody_and_recipes_that_give_nothing() {
    let said = mistakes_of(|context| {
        context.c_library("w").sources("a").without_headers().shared();
        context.requires("lib libb wrong nobody");
    });
    assert_eq!(
        said,
        [
            "recipe `wrong` for one: its package requires `libb`, and no recipe gives a package of that name for one; \
             did you mean `lib`?",
            "recipe `wrong` for one: its package requires itself",
            "recipe `wrong` for one: its package requires `nobody`, and no recipe gives a package of that name for one; \
             there are lib, wrong",
        ]
    );
    let said = mistakes_of(|_| ());
    assert!(said[0].starts_with("recipe `wrong` for one: it gives neither a tree nor a package"), "{said:?}");
    let said = mistakes_of(|context| drop(context.c_library("w").sources("a").archive()));
    assert!(said[0].contains("the library `w` exports nothing, because nobody finds a header of it"), "{said:?}");
}

#[test]
fn dependencies_are_found_with_what_they_offer() {
    let said = mistakes_of(|context| {
        context.program("w").sources("a").dep("lip").dep("lib:lob").dep("lib:lib").finish();
        context.c_library("w").sources("b").dep("lib").without_headers().shared();
    });
    assert_eq!(
        said,
        [
            "recipe `wrong` for one: it needs recipe `lip`, which does not exist; did you mean `lib`?",
            "recipe `wrong` for one: recipe `lib` offers no library `lob`; there are lib",
            "recipe `wrong` for one: a shared library can't take in the library `lib`, which is offered as an archive for \
             programs alone",
        ]
    );
    fn text(context: &mut Context<'_>) {
        let text = context.text_file("text", "text", "", false);
        context.tree(&text, "");
    }
    let texts = recipe("texts", "1").targets(&["one"]).describe(text);
    let user = recipe("user", "1").source_of("lib").targets(&["one"]).describe(|context| {
        context.program("w").sources("a").dep("texts").finish();
        let texts = context.dependency("texts");
        context.tree(&texts, "");
    });
    let said = mistakes(&set().with(texts).with(user), &materials());
    assert!(
        said[0].starts_with("recipe `user` for one: recipe `texts` offers neither headers nor libraries"),
        "{said:?}"
    );
    // What a target needs is not there for another one.
    let alone = recipe("alone", "1").targets(&["two"]).describe(text);
    let user = recipe("user", "1").targets(&["one"]).describe(|context| {
        let alone = context.dependency("alone");
        context.tree(&alone, "");
    });
    let said = mistakes(&set().with(alone).with(user), &materials());
    assert_eq!(said, ["recipe `user` for one: it needs recipe `alone`, which is not for one"]);
}

/// The action of a node.
pub(super) fn action<'g>(assembled: &'g Assembled, name: &str) -> &'g crate::node::Action {
    let at = assembled.graph.find(name).unwrap_or_else(|| panic!("there is no node `{name}`"));
    let Op::Action(action) = &assembled.graph.nodes()[at].op else { panic!("`{name}` is no action") };
    action
}

#[test]
fn include_paths_links_and_requirements_follow_from_dependencies() {
    let base = recipe("base", "1.0").targets(BOTH).source_of("lib").describe(|context| {
        context.c_library("base").sources("a").public_headers("include/base.h").shared();
    });
    let middle = recipe("middle", "1.0").targets(BOTH).source_of("lib").describe(|context| {
        let config = context.configure("--fast").reads("configure").writes("config.h include/made.h").finish();
        let library = context.c_library("middle").sources_in("src", "b").headers("include/*.h").include("include");
        let library = library.configured_by(&config).public_dep("base").dep("lib:lib").quiet();
        library.public_headers("include/*.h !include/old.h").shared();
    });
    let top = recipe("top", "1.0").targets(&["one"]).source_of("lib").describe(|context| {
        context.program("top").sources("c").dep("middle").defines("-DTOP").installed("root/bin");
    });
    let lib = recipe("lib", "1.0").targets(BOTH).describe(|context| {
        context.c_library("lib").sources("a").public_headers("lib.h").pic_archive();
    });
    let toolchains = vec![toolchain("one").with_dlopen("").with_sysroot("base"), toolchain("two").for_actions()];
    let set = RecipeSet { toolchains, recipes: vec![base, middle, top, lib], ..RecipeSet::default() };
    let mut materials = (*materials()).clone();
    materials.files = ProjectFiles::default();
    let assembled = assemble(&set, &Arc::new(materials), &Target("one".into())).unwrap();
    let unit = action(&assembled, "one/middle/src/b.o").command.to_string();
    assert!(
        unit.contains(
            "-iquote headers/src -DHAVE_CONFIG_H -Iconfig -Iconfig/include -Iheaders/include -Ibase/include \
             -Ilib/include -w -c src/src/b.c"
        ),
        "{unit}"
    );
    let link = action(&assembled, "one/middle/lib/libmiddle.so").command.words().last().unwrap();
    assert!(link.ends_with("$objects needed/lib/libbase.so needed/lib/liblib.a"), "{link}");
    let unit = action(&assembled, "one/top/c.o").command.to_string();
    assert!(unit.contains("-DTOP -Ibase/include -Imiddle/include -c"), "{unit}");
    let link = action(&assembled, "one/top/top").command.words().last().unwrap();
    assert!(link.ends_with("-Llibraries/lib -lbase -Llibraries/lib -lmiddle"), "{link}");
    let requires = |name: &str| {
        let Op::Package(package) = &assembled.graph.nodes()[assembled.graph.find(name).unwrap()].op else { panic!() };
        package.requires.clone()
    };
    assert_eq!(requires("one/base/package"), [""; 0], "the sysroot does not need itself");
    assert_eq!(requires("one/middle/package"), ["base"]);
    assert_eq!(requires("one/top/package"), ["base", "middle"]);
    assert!(assembled.graph.find("two/base/package").is_none(), "what is for actions is installed nowhere");
    let tree = &assembled.graph.nodes()[assembled.graph.find("one/middle/tree").unwrap()].op;
    let parts: Vec<_> = tree
        .selections()
        .iter()
        .map(|part| (part.node.to_string(), part.part.include().len(), part.part.exclude().len()))
        .collect();
    assert_eq!(
        parts,
        [
            ("one/middle/lib/libmiddle.so".to_owned(), 0, 0),
            ("one/middle/configure".to_owned(), 1, 0),
            ("source/lib/tree".to_owned(), 1, 1)
        ]
    );
}

#[test]
fn cxx_has_its_library_of_which_programs_that_load_hold_all() {
    let runtime = recipe("runtime", "1.0").targets(&["one"]).describe(|context| {
        let part = context.unpacked_part("lib", 1, "a.cc include/**");
        let library = context.c_library("c++").source(&part).sources("a.cc").public_headers("include/vector");
        library.archive_and_shared();
    });
    let user =
        recipe("user", "1.0").targets(&["one"]).source_of("runtime").files("recipes/files/user").describe(|context| {
            let module = context.module("m.so").cxx("17").sources("m.cpp").flags("-Wall").finish();
            context.install_tree(&module, "root");
            context.program("loading").cxx("17").sources("p.cpp").loads_libraries().installed("root");
            context.program("alone").cxx("17").sources("q.cpp").installed("root");
        });
    let cxx = Cxx { library: "runtime", flags: "-fexceptions" };
    let toolchains = vec![toolchain("one").with_cxx(cxx), toolchain("two")];
    let mut materials = (*materials()).clone();
    materials.files = ProjectFiles::default();
    let file = ProjectFile { bytes: b"".as_slice().into() };
    materials.files.insert(RelPath::new("recipes/files/user/m.cpp").unwrap(), file);
    let lock = materials.locks.source["lib"].clone();
    materials.locks.source.insert("runtime".into(), lock);
    let set = RecipeSet { toolchains, recipes: vec![runtime, user], ..RecipeSet::default() };
    let assembled = assemble(&set, &Arc::new(materials.clone()), &Target("one".into())).unwrap();
    let unpack = &assembled.graph.nodes()[assembled.graph.find("source/lib/tree").unwrap()].op;
    let Op::Unpack { part, .. } = unpack else { panic!("{unpack:?}") };
    assert_eq!(part.include().iter().map(Glob::as_str).collect::<Vec<_>>(), ["a.cc", "include/**"]);
    let unit = action(&assembled, "one/user/m.o").command.to_string();
    assert!(unit.contains("-std=c++17 -fexceptions -Iruntime/include -Wall -c src/m.cpp"), "{unit}");
    let link = |name: &str| action(&assembled, name).command.words().last().unwrap().clone();
    assert!(link("one/user/m.so").ends_with("$objects needed/lib/libc++.so"), "{}", link("one/user/m.so"));
    let whole = "-Llibraries/lib -Wl,--whole-archive -lc++ -Wl,--no-whole-archive";
    assert!(link("one/user/loading").trim_end().ends_with(whole), "{}", link("one/user/loading"));
    assert!(link("one/user/alone").trim_end().ends_with("-Llibraries/lib -lc++"), "{}", link("one/user/alone"));

    let without = recipe("without", "1.0").targets(&["two"]).source_of("lib").describe(|context| {
        context.program("p").cxx("17").sources("p.cpp").installed("root");
    });
    let set = RecipeSet { recipes: vec![without], ..set };
    assert_eq!(mistakes(&set, &Arc::new(materials)), ["recipe `without` for two: the toolchain of two has no C++"]);
}

#[test]
fn what_is_on_request_is_built_for_those_that_ask_or_need_it() {
    fn text(context: &mut Context<'_>) {
        let text = context.text_file("text", "text", "", false);
        context.install_tree(&text, "root");
    }
    let asked = recipe("asked", "1.0").targets(&["one"]).on_request().describe(text);
    let needed = recipe("needed", "1.0").targets(&["one"]).on_request().describe(text);
    let user = recipe("user", "1.0").targets(&["one"]).describe(|context| {
        text(context);
        context.requires("needed");
    });
    let assembled = assemble(&set().with(asked).with(needed).with(user), &materials(), &Target("one".into())).unwrap();
    let name = |index: &usize| assembled.graph.nodes()[*index].name.to_string();
    let all: Vec<_> = assembled.graph.aliases()["one"].iter().map(name).collect();
    assert_eq!(all, ["one/lib/package", "one/needed/package", "one/user/package"]);
    assert!(assembled.graph.aliases().contains_key("asked"));
}

#[test]
fn objects_without_pic_are_none_for_a_shared_library() {
    let said = mistakes_of(|context| {
        let objects = context.compile().sources("a").finish();
        context.module("w.so").objects(objects).finish();
        let text = context.text_file("text", "text", "", false);
        context.tree(&text, "");
    });
    assert_eq!(
        said,
        ["recipe `wrong` for one: the shared library `w.so` has objects that were compiled without `pic` \
          (`one/wrong/a.o`): compile them with `pic`"]
    );
    // An archive in a tree with other things, too.
    fn exported(context: &mut Context<'_>, libraries: &str) {
        let lib = context.dependency("lib");
        let text = context.text_file("text", "text", "", false);
        let merged = context.merge("merged", [(lib.all(), ""), (text.all(), "")]);
        context.exports(&merged, libraries);
    }
    let of = |describe| recipe("exported", "1").source_of("lib").targets(&["one"]).describe(describe);
    let user = recipe("user", "1").source_of("lib").targets(&["one"]).describe(|context| {
        context.c_library("u").sources("a").dep("exported").without_headers().shared();
    });
    let good = of(|context| exported(context, "lib/liblib.a"));
    let said = mistakes(&set().with(good).with(user), &materials());
    assert!(said.len() == 1 && said[0].contains("takes in `lib/liblib.a` of `one/exported/merged`"), "{said:?}");
    assert!(said[0].contains("`one/lib/a.o`"), "{said:?}");
    let bad = of(|context| exported(context, "lib/liblib.a share/nothing.txt"));
    let said = mistakes(&set().with(bad).with(user), &materials());
    assert!(said.len() == 1 && said[0].contains("`share/nothing.txt` is no library that can be exported"), "{said:?}");
}

#[test]
fn units_and_objects_that_are_not_there_or_there_twice() {
    let said = mistakes_of(|context| {
        context.compile().sources("a b a.c b.S").finish();
        context.compile().sources("b").finish();
        context.compile().finish();
        context.c_library("w").without_headers().archive();
        context.program("w").finish();
        context.module("w.so").finish();
    });
    let said: Vec<_> = said.iter().map(|line| line.replacen("recipe `wrong` for one: ", "", 1)).collect();
    assert_eq!(
        said,
        [
            "the unit `a.c` is listed twice: list it once",
            "the units `b.c` and `b.S` have one object, `b.o`: compile one of them by itself, with `compile` and a `prefix`",
            "it declares `one/wrong/b.o` twice: give one of the steps another name (units that are compiled twice: a \
             `prefix`)",
            "nothing is compiled: list C files with `sources`",
            "the library `w` has no code: list its C files with `sources`",
            "the program `w` has no code: list its C files with `sources`",
            "the shared library `w.so` has no code: list its C files with `sources`",
        ]
    );
}

#[test]
fn a_folder_for_headers_that_can_hold_none() {
    let said = mistakes_of(|context| {
        let source = context.unpacked("lib", 1);
        let own = context.text_file("own", "include/own.h", "", false);
        let code = context.compile().source(&source).sources("a").headers("*.h");
        code.sees(&own, "/build/own")
            .sees(&source, "/build/later")
            .flags(
                "-Iheaders -I headers/include -I. -I/build/own/include -isystem /usr/include -Iown -Ilater/include \
                 -Iinclude -Isrc/include -iquote nowhere -Iown/includes -I/build/headers/../other -DI=-Iz",
            )
            .finish();
        context.tree(&own, "");
    });
    let flags: Vec<_> = said.iter().filter_map(|line| line.split('`').nth(3)).collect();
    assert_eq!(flags, ["-Iinclude", "-Isrc/include", "-iquote nowhere", "-Iown/includes", "-I/build/headers/../other"]);
    assert_eq!(
        said[0],
        "recipe `wrong` for one: the flag `-Iinclude` names `/build/include`, where no header is. Units see headers at: \
         `/build/headers`, `/build/own`, `/build/later`; paths in flags are relative to `/build`, so name a folder below \
         one of these, or put headers there with `headers`, `dep` or `sees`"
    );
}

#[test]
fn selections_without_patterns_and_sources_taken_in_two_ways() {
    let said = mistakes_of(|context| {
        let source = context.unpacked("lib", 2);
        context.merge("merged", [(source.select("!a"), "")]);
        context.tree(&source, "");
    });
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

/// Runs a script as an action would, with this machine's shells.
fn run_script(script: &str) -> (Option<i32>, String) {
    static SCRIPT: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
    static COMMAND: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    fn describe(context: &mut Context<'_>) {
        let script = SCRIPT.lock().unwrap().clone();
        let action = context.action("act").shell(&script).output("out").finish();
        if let Op::Action(action) = &context.assembly.node(action.name()).unwrap().op {
            *COMMAND.lock().unwrap() = action.command.words().map(ToString::to_string).collect();
        }
        context.tree(&action, "");
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
