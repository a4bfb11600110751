//! `pynbox-build publish REPOSITORY [PACKAGE…]`: puts packages of the local build into a signed
//! repository.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;

use build_graph::Entry;
use build_graph::node::{NodeName, Package, Target};
use build_graph::untrusted::{is_printable, printable};
use clap::Args;
use ed25519_dalek::{SigningKey, VerifyingKey};
use network::parallel;
use serde::Serialize;

use super::install::packages_to_give;
use super::json::{Answer, JsonOption};
use super::provenance::{Run, of_package};
use super::repository::{LOADER_PACKAGE, Named, named_key};
use super::{CommandError, Session, Workplace};
use crate::build::builder::Stamps;
use crate::install::Destination;
use crate::install::package::{self, Manifest};
use crate::remote::dsse;
use crate::remote::trust::{key_id, now, public_text};
use crate::repository::RepositoryError;
use crate::repository::bootstrap::{self, Tool};
use crate::repository::code::{self, processor};
use crate::repository::index::{CodeEntry, Index, MAX_DAYS, Object, PackageEntry, Provenance};
use crate::repository::publish::{Additions, KeyChange, Publisher, Withdrawal, object_of};
use crate::repository::statement;
use crate::store::Area;

/// So many objects are put at once.
const WIDTH: usize = 4;

/// Options of `publish`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The repository: its name in `pynbox.toml`, a folder or a URL
    repository: String,
    /// The packages, with all that they need [default: those that are built unasked]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// The target of the packages, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// How long installs take the index before it has to be published anew
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=MAX_DAYS))]
    expires: u64,
    /// Publish no packages: only sign what is there anew, so that it does not expire
    #[arg(long, conflicts_with_all = ["packages", "target", "anew", "no_code", "no_tool", "builder", "invocation", "finished_now"])]
    renew: bool,
    /// Publish no packages: have no install choose this version any more, unless it is asked for.
    /// Those who have it keep it
    #[arg(long, value_name = "NAME=VERSION", requires = "reason")]
    #[arg(conflicts_with_all = ["packages", "anew", "no_code", "no_tool", "renew", "builder", "invocation", "finished_now"])]
    withdraw: Vec<String>,
    /// Why it is withdrawn: installs and `search` say it
    #[arg(long, value_name = "TEXT", requires = "withdraw")]
    reason: Option<String>,
    /// Publish no packages: have installs choose a withdrawn version again
    #[arg(long, value_name = "NAME=VERSION")]
    #[arg(conflicts_with_all = ["packages", "anew", "no_code", "no_tool", "renew", "builder", "invocation", "finished_now"])]
    reinstate: Vec<String>,
    /// Trust this key's indexes, too; with `:root`, also its changes of keys
    #[arg(long, value_name = "KEY[:root]")]
    add_key: Vec<String>,
    /// Never trust this key again, named by its id or by itself
    #[arg(long, value_name = "KEY")]
    revoke_key: Vec<String>,
    /// Put what is there already once more, for it may be damaged
    #[arg(long)]
    anew: bool,
    /// Publish no compiled code: installs compile it
    #[arg(long)]
    no_code: bool,
    /// Publish neither this tool and the loader nor `install.sh`
    #[arg(long)]
    no_tool: bool,
    #[command(flatten)]
    run: Run,
    #[command(flatten)]
    json: JsonOption,
}

/// The answer of `publish`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Published {
    /// The repository.
    repository: String,
    /// The number of the index that was signed.
    index: u64,
    /// Until when the index is of use, in seconds since 1970.
    expires: u64,
    /// The packages, by name.
    packages: Vec<PublishedPackage>,
}

/// A package in the repository.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PublishedPackage {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// The node that it comes from.
    node: String,
    /// The digest of its archive.
    digest: String,
    /// Whether it was put there now; otherwise it was there already.
    new: bool,
}

impl Answer for Published {
    const SCHEMA: &'static str = "publish/1";
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let withdrawals = withdrawals(options)?;
    let only_signs = options.renew || !withdrawals.is_empty();
    let workplace = if only_signs { None } else { Some(session.workplace()?) };
    let named = Named::find(session, &options.repository)?;
    let key = signing_key(session)?;
    let keys = key_change(options)?;
    let Some(workplace) = workplace else {
        let store = session.store()?;
        let memory = named.memory(&store)?;
        let publisher = Publisher::new(named.open()?, named.anchors(&[])?, &key, &memory, options.expires);
        if publisher.index().map_err(|error| named.failed(error))?.is_none() {
            return Err(named.failed(RepositoryError::NoIndex));
        }
        let additions = Additions { withdrawals, ..Additions::default() };
        let index = publisher.publish(&additions, &keys, now()).map_err(|error| named.failed(error))?;
        for Withdrawal { name, version, reason, .. } in &additions.withdrawals {
            let done = if reason.is_some() { "withdrawn" } else { "reinstated" };
            outln!("publish: {} {} {done}", printable(name), printable(version));
        }
        return say(options, &publisher, &index, Vec::new());
    };
    let memory = named.memory(&workplace.store)?;
    let publisher = Publisher::new(named.open()?, named.anchors(&[])?, &key, &memory, options.expires);
    Publication { session, options, named: &named, workplace: &workplace, publisher: &publisher, key: &key, keys }.run()
}

/// The key that signs what is put on remotes.
fn signing_key(session: &Session) -> Result<SigningKey, CommandError> {
    let trust = session.trust_of(session.project_if_any()?.as_ref())?;
    trust.signing_key().cloned().ok_or_else(|| {
        CommandError::input("there is no key to sign the index with").hint(
            "make one with `cache keygen FILE`, and name it in `PYNBOX_SIGNING_KEY` or as `signing-key` of `[trust]`",
        )
    })
}

/// The versions that are withdrawn and reinstated.
fn withdrawals(options: &Options) -> Result<Vec<Withdrawal>, CommandError> {
    let target = options.target.as_ref().map(|target| Target(target.into()));
    let reason = options.reason.as_deref();
    if let Some(reason) = reason.filter(|reason| reason.trim().is_empty() || !is_printable(reason)) {
        return Err(CommandError::input(format!("`{}` is no reason", printable(reason)))
            .hint("give one line of text that others can read"));
    }
    let all =
        options.withdraw.iter().map(|word| (word, reason)).chain(options.reinstate.iter().map(|word| (word, None)));
    all.map(|(word, reason)| {
        // `NAME@VERSION` is how cargo and npm write it.
        let Some((name, version)) = word.split_once(['=', '@']) else {
            return Err(CommandError::input(format!("`{}` names no version", printable(word)))
                .hint("name a package in one version: `NAME=VERSION`"));
        };
        let (name, version, reason) = (name.to_owned(), version.to_owned(), reason.map(str::to_owned));
        Ok(Withdrawal { name, version, target: target.clone(), reason })
    })
    .collect()
}

fn key_change(options: &Options) -> Result<KeyChange, CommandError> {
    let mut change = KeyChange::default();
    for word in &options.add_key {
        let (text, keys): (_, &mut Vec<VerifyingKey>) = match word.strip_suffix(":root") {
            Some(text) => (text, &mut change.root),
            None => (word.as_str(), &mut change.index),
        };
        keys.push(named_key(text)?);
    }
    change.revoked = options.revoke_key.iter().map(|text| key_id(text)).collect::<Result<_, _>>()?;
    Ok(change)
}

fn say(
    options: &Options,
    publisher: &Publisher<'_>,
    index: &Index,
    packages: Vec<PublishedPackage>,
) -> Result<(), CommandError> {
    let until = crate::repository::time(index.expires);
    outln!("publish: index {} of `{}`, of use until {until}", index.number, publisher.place());
    let (repository, number, expires) = (publisher.place(), index.number, index.expires);
    options.json.answer(|| Published { repository, index: number, expires, packages })
}

/// A package of the local build.
struct Local {
    node: NodeName,
    entry: PackageEntry,
    manifest: Manifest,
    archive: Entry,
}

struct Publication<'a> {
    session: &'a Session,
    options: &'a Options,
    named: &'a Named,
    workplace: &'a Workplace,
    publisher: &'a Publisher<'a>,
    key: &'a SigningKey,
    keys: KeyChange,
}

impl Publication<'_> {
    fn run(&self) -> Result<(), CommandError> {
        let failed = |error| self.named.failed(error);
        let mut packages = self.packages()?;
        let before = self.publisher.index().map_err(failed)?.unwrap_or_else(Index::empty);
        // Said before anything is sent.
        for package in &packages {
            let there = before.packages.iter().find(|there| there.is_same_version(&package.entry));
            if there.is_some_and(|there| there.object != package.entry.object) {
                let (name, version) = (package.entry.name.clone(), package.entry.version.clone());
                return Err(failed(RepositoryError::Published { name, version }));
            }
        }
        let published = self.put_packages(&packages)?;
        self.put_statements(&mut packages, &before)?;
        let code = if self.options.no_code { Vec::new() } else { self.code(&packages, &before)? };
        let tools = if self.options.no_tool { Vec::new() } else { self.tools(&packages)? };
        let packages = packages.into_iter().map(|package| package.entry).collect();
        let additions = Additions { packages, code, tools, withdrawals: Vec::new() };
        let index = self.publisher.publish(&additions, &self.keys, now()).map_err(failed)?;
        self.put_script(&index)?;
        say(self.options, self.publisher, &index, published)
    }

    /// The packages to publish.
    fn packages(&self) -> Result<Vec<Local>, CommandError> {
        let workplace = self.workplace;
        let target = self.session.target(&workplace.project, self.options.target.as_deref())?;
        let chosen = packages_to_give(self.session, &workplace.plan, &target, &self.options.packages)?;
        chosen.into_iter().map(|(node, package)| self.local(node, package)).collect()
    }

    fn local(&self, node: NodeName, package: Package) -> Result<Local, CommandError> {
        let store = &self.workplace.store;
        let obtained = self.workplace.builder(Stamps::Old).obtain(&node)?;
        let lost = || CommandError::environment(format!("the store has lost `{node}`"));
        let tree = store.tree(obtained.tree)?.ok_or_else(lost)?;
        let archive = tree.iter().next().map(|(_, entry)| entry.clone()).ok_or_else(lost)?;
        let Entry::File { digest, size, .. } = archive else { return Err(lost()) };
        let manifest = package::describe(store.open_blob(&archive)?)
            .map_err(|source| crate::install::InstallError::Package { name: package.name.clone(), source })?;
        let sizes = manifest.content.iter().map(|(_, entry)| match entry {
            Entry::File { size, .. } => *size,
            _ => 0,
        });
        let entry = PackageEntry {
            name: package.name,
            version: package.version,
            target: package.target,
            requires: package.requires,
            object: Object { digest, size },
            content: manifest.content.digest(),
            installed_size: sizes.sum(),
            provenance: Provenance { node: node.to_string(), key: obtained.key, statement: None },
            published: now(),
            withdrawn: None,
        };
        Ok(Local { node, entry, manifest, archive })
    }

    fn put_packages(&self, packages: &[Local]) -> Result<Vec<PublishedPackage>, CommandError> {
        parallel::map(WIDTH, packages, |package| {
            let name = package.entry.object_name();
            let open = || -> io::Result<Box<dyn Read + Send>> {
                Ok(Box::new(self.workplace.store.open_blob(&package.archive).map_err(io::Error::other)?))
            };
            let put = self.publisher.put(&name, package.entry.object.size, self.options.anew, open);
            let label = format!("{} {}", package.entry.name, package.entry.version);
            let new = put.map_err(|error| self.named.failed(error))?;
            outln!("publish: {label}{}", if new { "" } else { " is there already" });
            Ok::<_, CommandError>(PublishedPackage {
                name: package.entry.name.clone(),
                version: package.entry.version.clone(),
                node: package.node.to_string(),
                digest: package.entry.object.digest.to_string(),
                new,
            })
        })
    }

    /// States how packages were built, unless the index has a statement.
    fn put_statements(&self, packages: &mut [Local], before: &Index) -> Result<(), CommandError> {
        for package in packages {
            let there = before.packages.iter().find(|there| there.is_same_version(&package.entry));
            let known = there.and_then(|there| there.provenance.statement);
            if known.is_some() && !self.options.anew {
                package.entry.provenance.statement = known;
                continue;
            }
            let statement = of_package(self.session, self.workplace, &package.node, &self.options.run)?;
            let envelope = dsse::Signed::new(statement::KIND, statement, &[self.key]).to_bytes();
            let object = object_of(&envelope);
            let put = self.publisher.put_bytes(&Provenance::object_name(object), &envelope);
            put.map_err(|error| self.named.failed(error))?;
            package.entry.provenance.statement = Some(object);
        }
        Ok(())
    }

    /// Compiles what the index has no code for; puts the code there.
    fn code(&self, packages: &[Local], before: &Index) -> Result<Vec<CodeEntry>, CommandError> {
        let Some(loader) = packages.iter().find(|package| package.entry.name == LOADER_PACKAGE) else {
            return Ok(Vec::new());
        };
        let (processor, loader) = (processor(), loader.entry.object.digest);
        let is_known = |package: &&Local| before.code(package.entry.object.digest, loader, &processor).is_some();
        let new: Vec<_> = packages.iter().filter(|package| self.options.anew || !is_known(package)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error| self.named.failed(error);
        let (scratch, cache) = (self.workplace.store.scratch()?, self.workplace.store.area(Area::Compiled));
        let destination = Destination::open(&scratch.path().join("dest"))?;
        let mut transaction = destination.begin()?;
        for package in packages {
            transaction.add(&package.entry.name, self.workplace.store.open_blob(&package.archive)?)?;
        }
        let mut packed = Ok(Vec::new());
        transaction.commit("publish", [], |installation| {
            let compiled = new.iter().map(|package| {
                Ok(code::compile(installation, &package.manifest, &cache)?.map(|packed| (*package, packed)))
            });
            packed = compiled.filter_map(Result::transpose).collect();
            Ok(())
        })?;
        let mut entries = Vec::new();
        for (package, packed) in packed.map_err(failed)? {
            let entry = CodeEntry {
                package: package.entry.object.digest,
                loader,
                processor: processor.clone(),
                object: Object { digest: packed.digest(), size: packed.bytes.len() as u64 },
                unpacked: packed.unpacked,
            };
            self.publisher.put_bytes(&entry.object_name(), &packed.bytes).map_err(failed)?;
            outln!("publish: compiled code of {} {}", package.entry.name, package.entry.version);
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Puts this program and the loader there.
    fn tools(&self, packages: &[Local]) -> Result<Vec<crate::repository::index::ToolEntry>, CommandError> {
        let failed = |error| self.named.failed(error);
        let program = std::env::current_exe().map_err(CommandError::named("find", PathBuf::from("this program")))?;
        let mut tools: Vec<Tool> = vec![bootstrap::tool(&program).map_err(failed)?];
        let loader = packages.iter().find(|package| package.entry.name == LOADER_PACKAGE);
        if let Some(package) = loader {
            tools.push(bootstrap::loader(self.archive(package)?).map_err(failed)?);
        }
        for tool in &tools {
            let open = || Ok(Box::new(io::Cursor::new(tool.bytes.clone())) as Box<dyn Read + Send>);
            let (name, length) = (tool.entry.object_name(), tool.entry.object.size);
            self.publisher.put(&name, length, self.options.anew, open).map_err(failed)?;
        }
        Ok(tools.into_iter().map(|tool| tool.entry).collect())
    }

    fn archive(&self, package: &Local) -> Result<File, CommandError> {
        let mut file = self.workplace.store.open_blob(&package.archive)?;
        file.rewind().map_err(CommandError::named("read", PathBuf::from(package.node.to_string())))?;
        Ok(file)
    }

    /// Puts `install.sh` there, for readers of the address that they have.
    fn put_script(&self, index: &Index) -> Result<(), CommandError> {
        let settings = &self.named.settings;
        let address = settings.public_url.clone().unwrap_or_else(|| self.publisher.place());
        if let Some(script) = bootstrap::script(&address, &public_text(&self.key.verifying_key()), &index.tools) {
            let put = self.publisher.put_bytes("install.sh", script.as_bytes());
            put.map_err(|error| self.named.failed(error))?;
        }
        Ok(())
    }
}
