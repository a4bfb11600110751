//! Recipes for one Python of several, and recipes on request.

use super::*;

/// A Python whose modules lie in this directory.
fn python(site: &'static str) -> Python {
    Python { site, site_at: "/site", flags: "", bytecode: None }
}

fn offer(context: &mut Context<'_>, site: &'static str) {
    let header = context.text_file("header", "include/Python.h", "", false);
    context.tree(&header, "");
    context.install_tree(&header, "root");
    context.short_name("snake", "/bin/snake");
    context.offers_python(None, "include", python(site));
}

fn old(context: &mut Context<'_>) {
    offer(context, "old/site");
}

fn new(context: &mut Context<'_>) {
    offer(context, "new/site");
}

fn spam(context: &mut Context<'_>) {
    let text = context.text_file("text", "spam.py", "", false);
    context.python_files(&text, "");
}

fn package<'g>(assembled: &'g Assembled, recipe: &str) -> &'g crate::node::Package {
    let name = format!("one/{recipe}/package");
    let node = assembled.graph.nodes().iter().find(|node| node.name.as_str() == name);
    let Op::Package(package) = &node.unwrap().op else { panic!("`{name}` is no package") };
    package
}

fn assembled(recipes: Vec<Recipe>) -> Assembled {
    let recipes = recipes.into_iter().map(|recipe| recipe.targets(&["one"])).collect();
    let set = RecipeSet { toolchains: vec![toolchain("one")], recipes, mistakes: Vec::new() };
    assemble(&set, &materials(), &Target("one".into())).unwrap()
}

/// The packages that a target's name stands for.
fn of_target(assembled: &Assembled) -> Vec<String> {
    let nodes = assembled.graph.aliases()["one"].iter().map(|at| assembled.graph.nodes()[*at].name.to_string());
    let mut names: Vec<_> = nodes.collect();
    names.sort();
    names
}

#[test]
fn a_recipe_says_which_python_its_files_are_for() {
    let both = [recipe("python", "2").describe(old), recipe("python3", "3").describe(new)];
    let spams = [recipe("spam", "1").describe(spam), recipe("spam3", "1").for_python("python3").describe(spam)];
    let assembled = assembled([both, spams].concat());
    for (name, python, site) in [("spam", "python", "old/site"), ("spam3", "python3", "new/site")] {
        let package = package(&assembled, name);
        assert_eq!(package.requires, [python]);
        let places: Vec<_> = package.content.iter().filter_map(|part| part.at.as_ref()).map(RelPath::as_str).collect();
        assert_eq!(places, [site]);
    }
    let places: Vec<_> = package(&assembled, "python3").content.iter().filter_map(|part| part.at.as_ref()).collect();
    assert!(places.iter().any(|place| place.as_str() == "lib/programs"), "{places:?}");
}

#[test]
fn a_project_is_called_as_its_source_and_has_its_entry_points() {
    let places = |describe| {
        let python = recipe("python3", "3").describe(new);
        let other = recipe("python3-lib-host", "2").source_of("lib").for_python("python3").describe(describe);
        let assembled = assembled(vec![python, other]);
        let content = &package(&assembled, "python3-lib-host").content;
        content
            .iter()
            .map(|part| (part.selection.node.as_str().to_owned(), part.at.as_ref().unwrap().to_string()))
            .collect::<Vec<_>>()
    };
    let info = "new/site/lib-2.egg-info".to_owned();
    let stated = ("source/lib/tree".to_owned(), info.clone());
    assert_eq!(places(|context| context.python_metadata("")), std::slice::from_ref(&stated));
    let entry_points = ("one/python3-lib-host/entry_points".to_owned(), info);
    assert_eq!(places(|context| context.python_metadata("[group]\nspam = spam\n")), [stated, entry_points]);
}

#[test]
fn what_is_on_request_is_built_for_who_requires_it() {
    let python = || recipe("python", "2").on_request().describe(old);
    let only = assembled(vec![python(), recipe("spam", "1").on_request().describe(spam)]);
    assert_eq!(of_target(&only), [""; 0]);
    assert_eq!(only.graph.aliases()["one/python"].len(), 2);
    assert!(only.graph.aliases().contains_key("spam"));
    let required = assembled(vec![python(), recipe("spam", "1").describe(spam)]);
    assert_eq!(of_target(&required), ["one/python/package", "one/spam/package"]);
}
