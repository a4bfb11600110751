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
    RecipeSet { toolchains: vec![toolchain("one"), toolchain("two")], recipes: vec![recipe("lib", library)] }
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
