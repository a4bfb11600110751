//! Packages of Python that are placed as they are: wheels.

use std::collections::BTreeMap;
use std::panic::Location;

use super::near::near;
use super::{Context, Handle, Words};
use crate::RelPath;
use crate::node::{Op, Wheel};

/// What the names of packages begin with that hold projects of Python 3.
const PREFIX: &str = "python3-";

/// Returns the name of the package that holds a project of Python 3, whose name is in normal form:
/// `python3-jinja2`.
pub fn package_of_project(project: &str) -> String {
    format!("{PREFIX}{project}")
}

/// A wheel under description.
#[must_use = "a wheel whose description does not end is not in the graph"]
pub struct WheelBuilder<'c, 'a> {
    context: &'c mut Context<'a>,
    at: &'static Location<'static>,
    needs: Vec<String>,
    extras: Vec<String>,
}

impl<'a> Context<'a> {
    /// The recipe's source, which is a wheel (see [`wheel`](super::wheel)): its recipe is called
    /// `python3-PROJECT`, for Python 3.
    #[track_caller]
    pub fn wheel(&mut self) -> WheelBuilder<'_, 'a> {
        WheelBuilder { context: self, at: Location::caller(), needs: Vec::new(), extras: Vec::new() }
    }
}

impl WheelBuilder<'_, '_> {
    /// Names projects that it needs: each is the recipe `python3-PROJECT`, whose package its own
    /// requires. What the wheel requires and is not here is an error when it is unpacked.
    pub fn needs(mut self, projects: impl Words) -> Self {
        self.needs.extend(projects.words());
        self
    }

    /// Wants these extras of it, with what they need.
    pub fn extras(mut self, extras: impl Words) -> Self {
        self.extras.extend(extras.words());
        self
    }

    /// Makes the nodes, and installs the wheel with bytecode where Python 3 finds it; where nothing
    /// is installed, the recipe's tree has it there. Gives its files from the prefix that Python is
    /// installed in.
    pub fn installed(self) -> Handle {
        let Self { context: cx, at, needs, extras } = self;
        let recipe = cx.recipe.name;
        let Some(project) = recipe.strip_prefix(PREFIX) else {
            let message = format!("a recipe of a wheel is called `{PREFIX}PROJECT`, and this is `{recipe}`");
            cx.mistake_at(at, message);
            return cx.nothing();
        };
        let python = "python3";
        let offered = cx.depend(python, at).into_iter().find_map(|dependency| dependency.offer.python.clone());
        // A mistake is noted already.
        let Some(offered) = offered else { return cx.nothing() };
        let inside = |path: &str| path.find("/lib/").map(|at| (path[..at].to_owned(), path[at + 1..].to_owned()));
        let (Some((prefix, site)), Some((prefix_at, _))) = (inside(offered.site), inside(offered.site_at)) else {
            cx.mistake_at(at, format!("recipe `{python}` has its modules in no folder `lib`"));
            return cx.nothing();
        };
        let mut beside = BTreeMap::new();
        for need in &needs {
            let package = package_of_project(need);
            if cx.offers(&package) {
                beside.insert(need.clone(), cx.version_of(&package).to_owned());
            } else {
                let others = cx.assembly.set.recipes.iter().filter_map(|recipe| recipe.name.strip_prefix(PREFIX));
                let message = format!("it needs `{need}`, and there is no recipe `{package}`{}", near(need, others));
                cx.mistake_at(at, message);
            }
            if cx.toolchain.installs() {
                cx.requires(package);
            }
        }
        let headers = site.replacen("lib/", "include/", 1);
        let headers = headers.trim_end_matches("/site-packages");
        let (Ok(site), Ok(headers)) = (RelPath::new(site.as_str()), RelPath::new(headers)) else {
            cx.mistake_at(at, format!("recipe `{python}` has its modules where no path leads"));
            return cx.nothing();
        };
        let archive = cx.pinned(recipe);
        let wheel = Wheel {
            archive: archive.name().clone(),
            project: project.to_owned(),
            version: cx.version().to_owned(),
            extras,
            beside,
            python: cx.version_of(python).to_owned(),
            interpreter: format!("{prefix_at}/bin/{python}{}", cx.toolchain.program_suffix()),
            site: site.clone(),
            headers,
        };
        let files = cx.node_at(at, "files", Op::Wheel(Box::new(wheel)));
        if !cx.toolchain.installs() {
            cx.tree(&files, &prefix);
            return files;
        }
        cx.install_tree(&files, &prefix);
        if let Some(compile) = offered.bytecode {
            let modules = cx.merge_at(at, "library", [(files.below(site.as_str()), "")]);
            let bytecode = compile(cx, &modules, offered.site_at);
            cx.install_tree(bytecode, offered.site);
        }
        cx.requires(python);
        files
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Assembled, Materials, Python, Recipe, RecipeSet, Toolchain, assemble, recipe};
    use super::*;
    use crate::Sha256;
    use crate::node::{Source, Target};

    const SITE: &str = "root/python3/lib/python3.13/site-packages";
    const PYTHON: Recipe = recipe("python3", "3.13.5").describe(|cx| {
        let tree = cx.text_file("file", "include/x.h", "", false);
        cx.tree(&tree, "");
        cx.install_tree(&tree, "root/python3");
        let site_at = "/python3/lib/python3.13/site-packages";
        let bytecode =
            Some((|_, library, _| library.all()) as fn(&mut Context<'_>, &Handle, &str) -> super::super::Take);
        cx.offers_python(None, "include", Python { site: SITE, site_at, flags: "", bytecode });
    });
    const MARKUPSAFE: Recipe = recipe("python3-markupsafe", "3.0.3").describe(|cx| {
        let tree = cx.text_file("file", "x", "", false);
        cx.install_tree(&tree, "root");
    });

    fn assembled(recipes: &[Recipe]) -> Result<Assembled, String> {
        let mut materials = Materials::default();
        for recipe in recipes {
            let file = RelPath::new("x-1-py3-none-any.whl").unwrap();
            let source = Source { file, sha256: Sha256::from_bytes([1; 32]), size: None, origins: Vec::new() };
            materials.locks.source.insert(recipe.name().to_owned(), source);
        }
        materials.locks.image.insert("tools".into(), Vec::new());
        let toolchains = vec![Toolchain::new("one", "tools")];
        let recipes = [PYTHON, MARKUPSAFE].into_iter().chain(recipes.iter().copied()).collect();
        let set = RecipeSet { toolchains, recipes, ..RecipeSet::default() };
        assemble(&set, &Arc::new(materials), &Target("one".into())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wheel_is_laid_out_for_its_python() {
        let jinja2 = recipe("python3-jinja2", "3.1.6")
            .describe(|cx| drop(cx.wheel().needs("markupsafe").extras("x").installed()));
        let graph = assembled(&[jinja2]).unwrap().graph;
        let node = |name: &str| graph.nodes().iter().find(|node| node.name.as_str() == name).unwrap().op.clone();
        let Op::Wheel(wheel) = node("one/python3-jinja2/files") else { panic!() };
        assert_eq!((wheel.project.as_str(), wheel.version.as_str()), ("jinja2", "3.1.6"));
        assert_eq!((wheel.python.as_str(), wheel.interpreter.as_str()), ("3.13.5", "/python3/bin/python3"));
        assert_eq!(wheel.site.as_str(), "lib/python3.13/site-packages");
        assert_eq!(wheel.headers.as_str(), "include/python3.13");
        assert_eq!(wheel.beside.into_iter().collect::<Vec<_>>(), [("markupsafe".to_owned(), "3.0.3".to_owned())]);
        assert_eq!(wheel.extras, ["x"]);
        let Op::Package(package) = node("one/python3-jinja2/package") else { panic!() };
        assert_eq!(package.requires, ["python3-markupsafe", "python3"]);
        let places: Vec<_> = package.content.iter().map(|part| part.at.as_ref().unwrap().as_str()).collect();
        assert_eq!(places, ["root/python3", SITE]);
    }

    #[test]
    fn mistakes_in_recipes_of_wheels() {
        let unknown = recipe("python3-a", "1").describe(|cx| drop(cx.wheel().needs("markupsave").installed()));
        let message = assembled(&[unknown]).unwrap_err();
        assert!(message.contains("it needs `markupsave`, and there is no recipe `python3-markupsave`"), "{message}");
        assert!(message.contains("`markupsafe`"), "the nearest is named: {message}");
        let misnamed = recipe("a", "1").describe(|cx| drop(cx.wheel().installed()));
        let message = assembled(&[misnamed]).unwrap_err();
        assert!(message.contains("a recipe of a wheel is called `python3-PROJECT`"), "{message}");
    }
}
