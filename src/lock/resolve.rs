//! The closure of packages under their dependencies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use build_graph::Sha256;

use super::relation::Relation;

/// A package of an index.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) version: String,
    pub(super) path: String,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    /// All of them, and any of each.
    pub(super) needs: Vec<Vec<Relation>>,
    /// Names that it also stands for.
    pub(super) provides: Vec<Relation>,
}

/// The packages of an index by name.
#[derive(Debug, Default)]
pub(super) struct Packages {
    packages: BTreeMap<String, Package>,
    providers: BTreeMap<String, BTreeSet<String>>,
}

/// What the index does not have.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) needed_by: String,
    pub(super) relation: String,
}

impl Packages {
    /// Adds a package; of two versions, the higher one stays.
    pub(super) fn insert(&mut self, name: String, package: Package) {
        let older = |there: &Package| super::version::compare(&there.version, &package.version).is_lt();
        if self.packages.get(&name).is_none_or(older) {
            for provided in &package.provides {
                self.providers.entry(provided.name.clone()).or_default().insert(name.clone());
            }
            self.packages.insert(name, package);
        }
    }

    /// Puts a package in place of the one of that name, whatever their versions.
    pub(super) fn replace(&mut self, name: String, package: Package) {
        self.packages.remove(&name);
        self.insert(name, package);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// The packages that satisfy a relation: the one of that name first, then those that provide
    /// it, by name.
    fn satisfying<'a>(&'a self, relation: &'a Relation) -> impl Iterator<Item = &'a str> {
        let real = self
            .packages
            .get_key_value(&relation.name)
            .filter(|(_, package)| relation.allows(Some(&package.version)))
            .map(|(name, _)| name.as_str());
        let providers = self.providers.get(&relation.name).into_iter().flatten().filter(move |provider| {
            self.packages.get(*provider).is_some_and(|package| {
                let version = |provided: &'a Relation| provided.version.as_ref().map(|(_, version)| version.as_str());
                let mut names = package.provides.iter().filter(|provided| provided.name == relation.name);
                names.any(|provided| relation.allows(version(provided)))
            })
        });
        real.into_iter().chain(providers.map(String::as_str))
    }
}

/// The seeds and all that they need, without following `without`.
///
/// Of alternatives, one that is there already is taken, else the first that the index can satisfy:
/// what apt does on an empty system. Seeds come first, so that naming a package as a seed decides
/// an alternative.
pub(super) fn closure(
    packages: &Packages,
    seeds: &[String],
    without: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, Missing> {
    let mut chosen = BTreeSet::new();
    let mut queue: VecDeque<String> = VecDeque::new();
    let sorted: BTreeSet<&String> = seeds.iter().collect();
    for seed in sorted {
        let relation = Relation { name: seed.clone(), version: None };
        let name = packages.satisfying(&relation).next();
        let name = name.ok_or_else(|| Missing { needed_by: "seeds".into(), relation: seed.clone() })?;
        if chosen.insert(name.to_owned()) {
            queue.push_back(name.to_owned());
        }
    }
    while let Some(name) = queue.pop_front() {
        for group in packages.get(&name).map(|package| package.needs.as_slice()).unwrap_or_default() {
            let candidates = || group.iter().flat_map(|relation| packages.satisfying(relation));
            let left_out = group.iter().any(|relation| without.contains(relation.name.as_str()));
            if candidates().any(|candidate| chosen.contains(candidate)) || left_out {
                continue;
            }
            let Some(first) = candidates().find(|candidate| !without.contains(candidate)) else {
                let relation = group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
                return Err(Missing { needed_by: name, relation });
            };
            chosen.insert(first.to_owned());
            queue.push_back(first.to_owned());
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::super::relation::relations;
    use super::*;

    fn index(lines: &[(&str, &str, &str, &str)]) -> Packages {
        let mut packages = Packages::default();
        for (name, version, needs, provides) in lines {
            let package = Package {
                version: (*version).into(),
                path: String::new(),
                sha256: Sha256::from_bytes([0; 32]),
                size: 0,
                needs: relations(needs),
                provides: relations(provides).into_iter().flatten().collect(),
            };
            packages.insert((*name).into(), package);
        }
        packages
    }

    fn names(packages: &Packages, seeds: &[&str], without: &[&str]) -> Result<Vec<String>, String> {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        closure(packages, &seeds, &without.iter().copied().collect())
            .map(|names| names.into_iter().collect())
            .map_err(|missing| format!("{} needs {}", missing.needed_by, missing.relation))
    }

    #[test]
    fn alternatives_provisions_and_circles() {
        let index = index(&[
            ("a", "1", "awk, b (>= 2) | c, d", ""),
            ("b", "1", "", ""),
            ("c", "1", "a", ""),
            ("d", "1", "e (= 5)", ""),
            ("f", "1", "", "e (= 5)"),
            ("g", "1", "", "e"),
            ("gawk", "1", "", "awk"),
            ("mawk", "1", "", "awk"),
        ]);
        assert_eq!(names(&index, &["a"], &[]).unwrap(), ["a", "c", "d", "f", "gawk"]);
        assert_eq!(names(&index, &["a", "mawk"], &[]).unwrap(), ["a", "c", "d", "f", "mawk"]);
        assert_eq!(names(&index, &["a"], &["e", "awk", "gawk"]).unwrap(), ["a", "c", "d"]);
        assert_eq!(names(&index, &["mawk", "zz"], &[]).unwrap_err(), "seeds needs zz");
        assert_eq!(names(&index, &["a"], &["c"]).unwrap(), ["a", "d", "f", "gawk"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let index = index(&[("a", "1", "b (>= 2) | c", ""), ("b", "1", "", "")]);
        assert_eq!(names(&index, &["a"], &[]).unwrap_err(), "a needs b (>= 2) | c");
    }

    #[test]
    fn the_higher_version_stays() {
        let index = index(&[("a", "1.10", "", ""), ("a", "1.9", "b", "")]);
        assert_eq!(names(&index, &["a"], &[]).unwrap(), ["a"]);
    }
}
