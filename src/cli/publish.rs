//! `pynbox-build publish REPOSITORY [PACKAGE…]`: puts packages of the local build into a signed
//! repository.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;

use build_graph::Entry;
use build_graph::node::{NodeName, Package};
use build_graph::untrusted::printable;
use clap::Args;
use ed25519_dalek::{SigningKey, VerifyingKey};
use network::parallel;

use super::install::local_packages;
use super::repository::{LOADER_PACKAGE, Named};
use super::{CommandError, Session, Workplace};
use crate::build::builder::Stamps;
use crate::install::Destination;
use crate::install::package::{self, Manifest};
use crate::remote::trust::{key_id, now, public_key, public_text};
use crate::repository::RepositoryError;
use crate::repository::bootstrap::{self, Tool};
use crate::repository::code::{self, processor};
use crate::repository::index::{CodeEntry, Index, Object, PackageEntry, Provenance};
use crate::repository::publish::{Additions, KeyChange, Publisher};
use crate::store::Area;

/// So many objects are put at once.
const WIDTH: usize = 4;
/// No index is of use for longer, in days.
const MAX_DAYS: u64 = 3650;

/// Options of `publish`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The repository: its name in `pynbox.toml`, a folder or a URL
    repository: String,
    /// The packages, with all that they need [default: all packages of the target]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// The target of the packages, instead of the default one
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// How long installs take the index before it has to be published anew
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=MAX_DAYS))]
    expires: u64,
    /// Publish no packages: only sign what is there anew, so that it does not expire
    #[arg(long, conflicts_with_all = ["packages", "target", "anew", "no_code", "no_tool"])]
    renew: bool,
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
}

pub(super) fn run(session: &Session, options: &Options) -> Result<(), CommandError> {
    let workplace = if options.renew { None } else { Some(session.workplace()?) };
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
        let index = publisher.publish(&Additions::default(), &keys, now()).map_err(|error| named.failed(error))?;
        return say(&publisher, &index);
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

fn key_change(options: &Options) -> Result<KeyChange, CommandError> {
    let mut change = KeyChange::default();
    for word in &options.add_key {
        let (text, keys): (_, &mut Vec<VerifyingKey>) = match word.strip_suffix(":root") {
            Some(text) => (text, &mut change.root),
            None => (word.as_str(), &mut change.index),
        };
        keys.push(public_key(text).ok_or_else(|| {
            CommandError::input(format!("`{}` is no public key", printable(text)))
                .hint("`cache keygen` prints it: the base64 of 32 bytes")
        })?);
    }
    change.revoked = options.revoke_key.iter().map(|text| key_id(text)).collect::<Result<_, _>>()?;
    Ok(change)
}

fn say(publisher: &Publisher<'_>, index: &Index) -> Result<(), CommandError> {
    let until = crate::repository::time(index.expires);
    outln!("publish: index {} of `{}`, of use until {until}", index.number, publisher.place());
    Ok(())
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
        let packages = self.packages()?;
        let before = self.publisher.index().map_err(failed)?.unwrap_or_else(Index::empty);
        // Said before anything is sent.
        for package in &packages {
            let there = before.packages.iter().find(|there| there.is_same_version(&package.entry));
            if there.is_some_and(|there| there.object != package.entry.object) {
                let (name, version) = (package.entry.name.clone(), package.entry.version.clone());
                return Err(failed(RepositoryError::Published { name, version }));
            }
        }
        self.put_packages(&packages)?;
        let code = if self.options.no_code { Vec::new() } else { self.code(&packages, &before)? };
        let tools = if self.options.no_tool { Vec::new() } else { self.tools(&packages)? };
        let packages = packages.into_iter().map(|package| package.entry).collect();
        let index = self.publisher.publish(&Additions { packages, code, tools }, &self.keys, now()).map_err(failed)?;
        self.put_script(&index)?;
        say(self.publisher, &index)
    }

    /// The packages that were asked for, with what they need.
    fn packages(&self) -> Result<Vec<Local>, CommandError> {
        let workplace = self.workplace;
        let target = self.session.target(&workplace.project, self.options.target.as_deref())?;
        let all = local_packages(&workplace.plan, &target)?;
        let mut open: Vec<String> = self.options.packages.clone();
        if open.is_empty() {
            open.extend(all.iter().map(|(_, package)| package.name.clone()));
        } else {
            open.extend(self.session.bundle.packages.always.iter().cloned());
        }
        let mut chosen: BTreeSet<String> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some((_, package)) = all.iter().find(|(_, package)| package.name == name) else {
                let there = all.iter().map(|(_, package)| (package.name.clone(), package.version.clone()));
                return Err(super::install::no_package(&name, None, there));
            };
            if chosen.insert(name) {
                open.extend(package.requires.iter().cloned());
            }
        }
        let chosen = all.into_iter().filter(|(_, package)| chosen.contains(&package.name));
        chosen.map(|(node, package)| self.local(node, package)).collect()
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
        };
        Ok(Local { node, entry, manifest, archive })
    }

    fn put_packages(&self, packages: &[Local]) -> Result<(), CommandError> {
        parallel::map(WIDTH, packages, |package| {
            let name = package.entry.object_name();
            let open = || -> io::Result<Box<dyn Read + Send>> {
                Ok(Box::new(self.workplace.store.open_blob(&package.archive).map_err(io::Error::other)?))
            };
            let put = self.publisher.put(&name, package.entry.object.size, self.options.anew, open);
            let label = format!("{} {}", package.entry.name, package.entry.version);
            if put.map_err(|error| self.named.failed(error))? {
                outln!("publish: {label}");
            } else {
                outln!("publish: {label} is there already");
            }
            Ok::<_, CommandError>(())
        })?;
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
