//! `provenance NODE|DEST` and `sbom NODE|DEST`: what a result comes from, as documents that other
//! tools read.

mod shipped;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use build_graph::node::{NodeName, Op, Target};
use build_graph::untrusted::printable;
use build_graph::{Entry, RelPath, Tree};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::print;
use super::{CommandError, Session, Workplace};
use crate::build::BuildError;
use crate::build::evaluate::open_single;
use crate::called::called;
use crate::install::package::{self, Manifest, WheelOrigin};
use crate::install::{InstallError, Installed, verify};
use crate::model::{At, Model};
use crate::provenance::bill::{self, Bill, Component, Kind, Relation};
use crate::provenance::statement::{Build, Subject, parameters, statement};
use crate::provenance::{cyclonedx, ingredients, spdx, wheel};
use crate::regular;
use crate::remote::dsse::Signed;
use crate::remote::trust::read_signing_key;
use crate::repository::statement::KIND;
use crate::store::Store;

/// Options of `provenance`.
#[derive(Debug, Args)]
pub(super) struct Provenance {
    /// The node, a recipe with one package, or a folder in which packages of this build are
    /// installed
    #[arg(value_name = "NODE|DEST")]
    of: String,
    /// Sign the statement with this key, which `cache keygen` makes, and print a DSSE envelope
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    run: Run,
    /// Of packages that came from a repository: only take statements that one of these keys signed
    #[arg(long, value_name = "KEY", conflicts_with_all = ["sign", "builder", "invocation", "finished_now"])]
    trust: Vec<String>,
}

/// Who built, and in which run.
#[derive(Debug, Default, Args)]
pub(super) struct Run {
    /// Who built, as a URI
    #[arg(long, value_name = "URI")]
    builder: Option<String>,
    /// Which run it was, such as a CI job's URL; without it, the same build states the same
    #[arg(long, value_name = "ID")]
    invocation: Option<String>,
    /// State the time now as the end of the build
    #[arg(long)]
    finished_now: bool,
}

impl Run {
    fn is_given(&self) -> bool {
        self.builder.is_some() || self.invocation.is_some() || self.finished_now
    }
}

/// Options of `sbom`.
#[derive(Debug, Args)]
pub(super) struct Sbom {
    /// The node, a recipe with one package, or a folder in which packages of this build are
    /// installed
    #[arg(value_name = "NODE|DEST")]
    of: String,
    /// The format
    #[arg(long, value_enum, default_value = "spdx")]
    format: Format,
}

/// A format of bills of materials.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// SPDX 2.3
    Spdx,
    /// CycloneDX 1.6
    Cyclonedx,
}

pub(super) fn provenance(session: &Session, options: &Provenance) -> Result<(), CommandError> {
    let key = options.sign.as_deref().map(read_signing_key).transpose()?;
    if key.is_none() && !options.run.is_given() && shipped::print(&options.of, &options.trust)? {
        return Ok(());
    }
    let workplace = session.workplace()?;
    let model = Model::new(&workplace.plan, &workplace.store);
    let product = Product::find(session, &workplace, &model, &options.of)?;
    let statement = product.statement(session, &workplace, &model, &options.run)?;
    match key {
        None => say(&statement),
        Some(key) => {
            let envelope = Signed::new(KIND, statement.to_string().into_bytes(), &[&key]).to_bytes();
            let envelope = serde_json::from_slice(&envelope).map_err(|error| CommandError::input(error.to_string()))?;
            say(&envelope);
        }
    }
    Ok(())
}

/// The statement about a package of this build, as its bytes are signed and published.
pub(super) fn of_package(
    session: &Session,
    workplace: &Workplace,
    node: &NodeName,
    run: &Run,
) -> Result<Vec<u8>, CommandError> {
    let model = Model::new(&workplace.plan, &workplace.store);
    let product = Product::find(session, workplace, &model, node.as_str())?;
    Ok(product.statement(session, workplace, &model, run)?.to_string().into_bytes())
}

pub(super) fn sbom(session: &Session, options: &Sbom) -> Result<(), CommandError> {
    let workplace = session.workplace()?;
    let model = Model::new(&workplace.plan, &workplace.store);
    let product = Product::find(session, &workplace, &model, &options.of)?;
    let bill = product.bill(session, &model)?;
    say(&match options.format {
        Format::Spdx => spdx::document(&bill),
        Format::Cyclonedx => cyclonedx::document(&bill),
    });
    Ok(())
}

/// Prints a document, with nothing in it that a terminal obeys: JSON escapes control characters.
fn say(document: &Value) {
    print::out(format!("{document:#}\n").as_bytes());
}

/// What a document is about.
struct Product {
    /// The node's name, or `DEST`.
    name: String,
    /// The installation, if it is one.
    installed: Option<Installed>,
    target: Option<Target>,
    /// The nodes, with the receipts of those that are installed packages.
    packages: Vec<(At, Option<Manifest>)>,
    /// Installed packages that were made of wheels.
    wheels: Vec<OfWheel>,
}

/// An installed package that was made of a wheel.
struct OfWheel {
    receipt: Manifest,
    origin: WheelOrigin,
    /// What its metadata states.
    license: Option<String>,
}

/// The license that the metadata of an installed wheel states.
pub(super) fn wheel_license(installed: &Installed, receipt: &Manifest) -> Result<Option<String>, CommandError> {
    let is_metadata = |path: &&RelPath| path.as_str().ends_with(".dist-info/METADATA");
    let Some(path) = receipt.content.iter().map(|(path, _)| path).find(is_metadata) else { return Ok(None) };
    let host = installed.current.path.join(path);
    Ok(wheel::license(&regular::read(&host).map_err(CommandError::named("open", &host))?))
}

impl OfWheel {
    /// Looks at a receipt; `None` if it is not of a wheel.
    fn of(installed: &Installed, receipt: &Manifest) -> Result<Option<Self>, CommandError> {
        let Some(origin) = receipt.wheel.clone() else { return Ok(None) };
        let license = wheel_license(installed, receipt)?;
        Ok(Some(Self { receipt: receipt.clone(), origin, license }))
    }

    fn ingredient(&self) -> Option<ingredients::Ingredient> {
        let Self { receipt, origin, license } = self;
        wheel::ingredient(&receipt.name, &origin.file, origin.sha256, license.clone())
    }

    fn component(&self) -> Component {
        let Self { receipt, license, .. } = self;
        let (name, version) = (receipt.name.clone(), receipt.version.clone());
        Component {
            id: bill::id_of(&format!("wheel-package/{name}")),
            purl: Some(format!("pkg:generic/{}@{}", bill::encoded(&name), bill::encoded(&version))),
            name,
            version: Some(version),
            license: license.clone(),
            url: None,
            sha256: None,
            tree: Some(receipt.content.digest().to_string()),
            kind: Kind::Package,
        }
    }
}

impl Product {
    /// Finds what a word means: a folder with an installation, or a node.
    fn find(session: &Session, workplace: &Workplace, model: &Model<'_>, word: &str) -> Result<Self, CommandError> {
        if let Some(installed) = Installed::find(Path::new(word))? {
            return Self::installed(workplace, model, installed);
        }
        let mut nodes = model.named(word)?;
        if nodes.len() > 1 {
            nodes.retain(|at| model.table().verb(*at) == "package");
        }
        let [at] = nodes[..] else {
            return Err(CommandError::input(format!("`{}` means {} packages", printable(word), nodes.len()))
                .hint(format!("name one node; `{} list '{}/**'` shows them", called(), printable(word))));
        };
        let default = || session.bundle.default_target.clone();
        let target = model.target(at).map(|target| Target(target.into())).or_else(|| Some(default()));
        Ok(Self {
            name: model.table().name(at).to_owned(),
            installed: None,
            target,
            packages: vec![(at, None)],
            wheels: Vec::new(),
        })
    }

    /// An installation whose every package is as this build makes it.
    fn installed(workplace: &Workplace, model: &Model<'_>, installed: Installed) -> Result<Self, CommandError> {
        let mut packages = Vec::new();
        let mut wheels = Vec::new();
        let mut target = None;
        for receipt in installed.current.receipts()? {
            if let Some(wheel) = OfWheel::of(&installed, &receipt)? {
                wheels.push(wheel);
                continue;
            }
            let found = package_of(model, &workplace.store, &receipt)?;
            let Some((at, true)) = found.map(|(at, made)| (at, made.as_ref() == Some(&receipt))) else {
                let not = format!("package `{}` is not as this project's build makes it", printable(&receipt.name));
                return Err(CommandError::input(not).hint(format!(
                    "go to the project, and the revision, that built it; `{} verify` says what differs",
                    called()
                )));
            };
            target = Some(receipt.target.clone());
            packages.push((at, Some(receipt)));
        }
        let verified = verify::verify(&installed.dest, &installed.current, &[])?;
        if let Some(first) = verified.differences.first() {
            let damaged = format!("`{}` {}", printable(first.path.as_str()), first.fault.words());
            return Err(CommandError::input(damaged).hint("install the packages again, which restores them"));
        }
        let name = installed.dest.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, installed: Some(installed), target, packages, wheels })
    }

    /// The receipts of all installed packages.
    fn receipts(&self) -> impl Iterator<Item = &Manifest> {
        let of_nodes = self.packages.iter().filter_map(|(_, receipt)| receipt.as_ref());
        of_nodes.chain(self.wheels.iter().map(|wheel| &wheel.receipt))
    }

    /// What it is built from.
    fn statement(
        &self,
        session: &Session,
        workplace: &Workplace,
        model: &Model<'_>,
        run: &Run,
    ) -> Result<Value, CommandError> {
        let nodes: Vec<_> = self.packages.iter().map(|(at, _)| *at).collect();
        let mut ingredients = ingredients::of(model, &session.bundle.set, &nodes)?;
        ingredients.extend(self.wheels.iter().filter_map(OfWheel::ingredient));
        let finished = run.finished_now.then(|| humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
        let build = Build {
            external: self.external(model, &workplace.overrides),
            internal: self.internal(model)?,
            builder: run.builder.clone(),
            invocation: run.invocation.clone(),
            finished,
        };
        Ok(statement(&self.subjects(model)?, &ingredients, build))
    }

    /// The files that were made, and what packages install, with their digests.
    fn subjects(&self, model: &Model<'_>) -> Result<Vec<Subject>, CommandError> {
        let store = model.store();
        let mut subjects = Vec::new();
        if let Some(installed) = &self.installed {
            for receipt in self.receipts() {
                for (path, entry) in receipt.content.iter() {
                    let host = installed.current.path.join(path);
                    subjects.extend(subject(path, entry, || {
                        regular::open(&host).map_err(CommandError::named("open", &host))
                    })?);
                }
            }
        }
        subjects.sort();
        subjects.dedup();
        for (at, receipt) in &self.packages {
            if receipt.is_none() {
                let tree = whole(model, *at)?;
                for (path, entry) in tree.iter() {
                    subjects.extend(subject(path, entry, || Ok(store.open_blob(entry)?))?);
                }
                if let Op::Package(package) = model.description(*at)?.op {
                    let content = describe(store, &tree, &package.name)?.content.digest().to_string();
                    subjects.push(Subject { name: package.name, digests: BTreeMap::from([("pynboxTree", content)]) });
                }
            }
        }
        Ok(subjects)
    }

    /// What the caller chose.
    fn external(&self, model: &Model<'_>, overrides: &[String]) -> Map<String, Value> {
        let mut external = Map::new();
        if self.installed.is_some() {
            let versions: BTreeMap<_, _> = self.receipts().map(|receipt| (&receipt.name, &receipt.version)).collect();
            external.insert("packages".to_owned(), json!(versions));
        } else if let [(at, _)] = self.packages[..] {
            external.insert("node".to_owned(), model.table().name(at).into());
        }
        if let Some(target) = &self.target {
            external.insert("target".to_owned(), target.as_str().into());
        }
        if !overrides.is_empty() {
            external.insert("overrides".to_owned(), json!(overrides));
        }
        external
    }

    /// What follows from that.
    fn internal(&self, model: &Model<'_>) -> Result<Map<String, Value>, CommandError> {
        let of = |at: At| -> Result<Map<String, Value>, CommandError> {
            Ok(parameters(&model.description(at)?.op, model.record(at, true)?.key))
        };
        if let ([(at, _)], None) = (&self.packages[..], &self.installed) {
            return of(*at);
        }
        let nodes = self.packages.iter().map(|(at, _)| Ok((model.table().name(*at).to_owned(), of(*at)?.into())));
        Ok(Map::from_iter([("nodes".to_owned(), Value::Object(nodes.collect::<Result<_, CommandError>>()?))]))
    }

    /// The bill of materials.
    fn bill(&self, session: &Session, model: &Model<'_>) -> Result<Bill, CommandError> {
        let recipes = &session.bundle.set;
        let component = |at: At, receipt: Option<&Manifest>| -> Result<Component, CommandError> {
            let node = model.description(at)?;
            let (name, version) = match &node.op {
                Op::Package(package) => (package.name.clone(), Some(package.version.clone())),
                _ => (node.name.to_string(), None),
            };
            let tree = receipt.map(|receipt| receipt.content.digest()).or(model.current.tree(&node.name)?);
            Ok(Component {
                id: bill::id_of(node.name.as_str()),
                purl: version
                    .as_ref()
                    .map(|version| format!("pkg:generic/{}@{}", bill::encoded(&name), bill::encoded(version))),
                name,
                version,
                license: ingredients::license_of(recipes, &node.recipe)?,
                url: None,
                sha256: None,
                tree: tree.map(|tree| tree.to_string()),
                kind: Kind::Package,
            })
        };
        let mut bill = match (&self.packages[..], &self.installed) {
            ([(at, _)], None) => Bill::of(component(*at, None)?),
            _ => Bill::of(Component {
                id: "installation".to_owned(),
                name: self.name.clone(),
                version: None,
                license: None,
                purl: None,
                url: None,
                sha256: None,
                tree: None,
                kind: Kind::Installation,
            }),
        };
        let mut ids = BTreeMap::new();
        for (at, receipt) in &self.packages {
            let package = component(*at, receipt.as_ref())?;
            let id = package.id.clone();
            if id != bill.root.id {
                bill.relations.insert((bill.root.id.clone(), Relation::Contains, id.clone()));
            }
            bill.add(package);
            bill.add_ingredients(&id, &ingredients::of(model, recipes, &[*at])?);
            if let Some(receipt) = receipt {
                ids.insert(receipt.name.clone(), id);
            }
        }
        for wheel in &self.wheels {
            let package = wheel.component();
            let id = package.id.clone();
            bill.relations.insert((bill.root.id.clone(), Relation::Contains, id.clone()));
            bill.add(package);
            bill.add_ingredients(&id, wheel.ingredient().as_slice());
            ids.insert(wheel.receipt.name.clone(), id);
        }
        for receipt in self.receipts() {
            for needs in &receipt.requires {
                if let (Some(from), Some(to)) = (ids.get(&receipt.name), ids.get(needs)) {
                    bill.relations.insert((from.clone(), Relation::Needs, to.clone()));
                }
            }
        }
        Ok(bill)
    }
}

/// A node's tree with all its bytes; nothing is built for a question.
fn whole(model: &Model<'_>, at: At) -> Result<Arc<Tree>, CommandError> {
    let name = model.name(at)?;
    if let Some(digest) = model.current.tree(&name)?
        && let Some(tree) = model.store().tree(digest)?
        && model.store().missing(&tree)?.is_empty()
    {
        return Ok(tree);
    }
    Err(CommandError::input(format!("`{name}` is not built, or the store has not got its bytes"))
        .hint(format!("run `{} checkout {name} DIR`, which builds it, then this again", called())))
}

/// A file as the subject of a statement; links and directories are none.
fn subject<R: std::io::Read>(
    path: &RelPath,
    entry: &Entry,
    open: impl FnOnce() -> Result<R, CommandError>,
) -> Result<Option<Subject>, CommandError> {
    let Entry::File { digest, .. } = entry else { return Ok(None) };
    let sha256 = ingredients::sha256_of(open()?).map_err(BuildError::io("read", path.as_str()))?;
    let digests = BTreeMap::from([("blake3", digest.to_string()), ("sha256", sha256)]);
    Ok(Some(Subject { name: path.to_string(), digests }))
}

/// The node of a plan that makes a package, with its name.
pub(super) fn package_node(model: &Model<'_>, receipt: &Manifest) -> Result<Option<(At, NodeName)>, BuildError> {
    for at in model.all().filter(|at| model.table().verb(*at) == "package") {
        let node = model.description(at)?;
        if let Op::Package(package) = &node.op
            && (&package.name, &package.target) == (&receipt.name, &receipt.target)
        {
            return Ok(Some((at, node.name)));
        }
    }
    Ok(None)
}

/// The node of a plan that makes a package, and what it makes, if that is known.
pub(super) fn package_of(
    model: &Model<'_>,
    store: &Store,
    receipt: &Manifest,
) -> Result<Option<(At, Option<Manifest>)>, CommandError> {
    let Some((at, node)) = package_node(model, receipt)? else { return Ok(None) };
    let tree = model.current.tree(&node)?.map(|digest| store.tree(digest)).transpose()?.flatten();
    let made = match tree {
        Some(tree) if store.missing(&tree)?.is_empty() => Some(describe(store, &tree, &receipt.name)?),
        _ => None,
    };
    Ok(Some((at, made)))
}

fn describe(store: &Store, tree: &Tree, name: &str) -> Result<Manifest, CommandError> {
    let archive: File = open_single(store, tree)?;
    Ok(package::describe(archive).map_err(|source| InstallError::Package { name: name.to_owned(), source })?)
}
