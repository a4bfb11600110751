//! What loading a library takes: the files of all that it needs, read. A [`LoadPlan`] changes
//! nothing that the guest sees.

use std::sync::Arc;

use super::scope::{breadth_first, needed_first};
use super::state::{Libraries, LibraryFile, LibraryId};
use super::{LOADS_MAX, LinkError, Linker, Parts, words};
use crate::engine::{Library, NoCode, PendingCode};
use crate::linking::{SideModule, candidates};
use crate::vfs::{Errno, FileStat};

/// The libraries that one call of `dl_open` loads.
pub(in crate::engine) struct LoadPlan<P: Parts> {
    pub(in crate::engine) pending: Vec<PendingLibrary<P>>,
    /// What the first of them will be.
    pub(in crate::engine) first: LibraryId,
    /// The one that was asked for, which may be loaded already.
    pub(super) root: LibraryId,
    global: bool,
}

/// A library that is about to be loaded.
pub(in crate::engine) struct PendingLibrary<P: Parts> {
    pub(in crate::engine) name: String,
    path: Vec<u8>,
    pub(in crate::engine) file: LibraryFile,
    pub(in crate::engine) side: SideModule,
    code: Code<P::Code>,
    pub(in crate::engine) needed: Vec<LibraryId>,
    pub(in crate::engine) sources: P::Sources,
}

/// The code of a library.
enum Code<C> {
    /// It is on its way.
    Pending(PendingCode<C>),
    Here(C),
    /// It did not come, or was taken.
    Gone,
}

impl<P: Parts> LoadPlan<P> {
    /// Plans to load the library at `path`: nothing is pending if it is loaded already. With
    /// `loaded_only`, no other is found.
    ///
    /// # Errors
    ///
    /// [`LinkError`], of this library or of one that it needs.
    pub(super) fn new<L: Linker<Parts = P>>(
        linker: &mut L,
        path: &[u8],
        global: bool,
        loaded_only: bool,
    ) -> Result<Self, LinkError> {
        let first = linker.libraries().next();
        let mut plan = Self { pending: Vec::new(), first, root: first, global };
        let missing = || LinkError::new(Errno::NOENT, format!("`{}`: there is no such file", shown(path)));
        plan.root = plan.add(linker, path, loaded_only)?.ok_or_else(missing)?;
        let mut index = 0;
        while index < plan.pending.len() {
            plan.add_needed(linker, index)?;
            index += 1;
        }
        for index in 0..plan.pending.len() {
            linker.prepare(&mut plan, index)?;
        }
        Ok(plan)
    }

    pub(in crate::engine) fn pending(&self, id: LibraryId) -> Option<&PendingLibrary<P>> {
        self.pending.get(id.places_after(self.first)?)
    }

    /// What the pending library at this index will be.
    pub(in crate::engine) fn id(&self, index: usize) -> LibraryId {
        self.first.after(index)
    }

    /// Adds the library at `path`, unless it is there; `None` if there is no such file.
    fn add<L: Linker<Parts = P>>(
        &mut self,
        linker: &mut L,
        path: &[u8],
        loaded_only: bool,
    ) -> Result<Option<LibraryId>, LinkError> {
        let name = shown(path);
        let failed = |errno: Errno| LinkError::new(errno, format!("`{name}`: {}", words(errno)));
        let file = match linker.vfs().open_named_file(path) {
            Ok(file) => Arc::new(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let file = LibraryFile { device: stat.st_dev, inode: stat.st_ino, file };
        let libraries = linker.libraries();
        if let Some(id) = libraries.of_file(&file) {
            return Ok(Some(id));
        }
        if let Some(index) = self.pending.iter().position(|pending| pending.file.is(&file)) {
            return Ok(Some(self.id(index)));
        }
        if loaded_only {
            return Ok(None);
        }
        let refused = |error: LinkError| LinkError::new(error.errno, format!("`{name}`: {}", error.text));
        if libraries.loads >= LOADS_MAX {
            return Err(refused(LinkError::new(Errno::NOMEM, format!("more than {LOADS_MAX} libraries were loaded"))));
        }
        libraries.loads += 1;
        let Library { side, code } = linker.read(&file, &FileStat::from(stat)).map_err(refused)?;
        self.pending.push(PendingLibrary {
            name,
            path: path.to_vec(),
            file,
            side,
            code: Code::Pending(code),
            needed: Vec::new(),
            sources: P::Sources::default(),
        });
        Ok(Some(self.id(self.pending.len() - 1)))
    }

    /// Adds what the pending library at this index needs.
    fn add_needed<L: Linker<Parts = P>>(&mut self, linker: &mut L, index: usize) -> Result<(), LinkError> {
        for name in self.pending[index].side.needed.clone() {
            let this = &self.pending[index];
            let mut found = None;
            for path in candidates(name.as_bytes(), &this.path, &this.side.runtime_paths) {
                found = self.add(linker, &path, false)?;
                if found.is_some() {
                    break;
                }
            }
            let this = &mut self.pending[index];
            let missing =
                || LinkError::new(Errno::NOENT, format!("`{}` needs `{name}`, which is not there", this.name));
            this.needed.push(found.ok_or_else(missing)?);
        }
        Ok(())
    }

    /// Where the symbols of a library are looked for, after the program.
    pub(in crate::engine) fn scope(&self, libraries: &Libraries<P>, id: LibraryId) -> Vec<LibraryId> {
        let needed = |id: LibraryId| match self.pending(id) {
            Some(pending) => pending.needed.as_slice(),
            None => libraries.get(id).map_or(&[][..], |library| &library.needed),
        };
        let mut all = libraries.globals.clone();
        if self.global {
            all.extend(breadth_first(self.root, needed));
        }
        all.extend(breadth_first(id, needed));
        all
    }

    /// Waits for the code of all pending libraries.
    pub(super) fn receive(&mut self) -> Result<(), LinkError> {
        for pending in &mut self.pending {
            if let Code::Pending(code) = std::mem::replace(&mut pending.code, Code::Gone) {
                let code = code().map_err(|why| LinkError::of(&why, format!("`{}`: {why}", pending.name)))?;
                pending.code = Code::Here(code);
            }
        }
        Ok(())
    }

    /// The pending libraries, each after those that it needs as far as circles allow.
    pub(in crate::engine) fn order(&self) -> Vec<usize> {
        needed_first(self.pending.len(), |index| &self.pending[index].needed, |id| id.places_after(self.first))
    }
}

impl<P: Parts> PendingLibrary<P> {
    /// Its code, which has been [waited for](LoadPlan::receive).
    pub(in crate::engine) fn code(&self) -> Result<&P::Code, LinkError> {
        match &self.code {
            Code::Here(code) => Ok(code),
            Code::Pending(_) | Code::Gone => Err(self.lost()),
        }
    }

    /// The same, to be kept.
    pub(in crate::engine) fn take_code(&mut self) -> Result<P::Code, LinkError> {
        match std::mem::replace(&mut self.code, Code::Gone) {
            Code::Here(code) => Ok(code),
            Code::Pending(_) | Code::Gone => Err(self.lost()),
        }
    }

    fn lost(&self) -> LinkError {
        LinkError::new(Errno::IO, format!("`{}`: its code is not there", self.name))
    }
}

impl LinkError {
    /// For code that did not come.
    pub(in crate::engine) fn of(why: &NoCode, text: String) -> Self {
        let errno = if matches!(why, NoCode::Memory(_)) { Errno::NOMEM } else { Errno::NOEXEC };
        Self::new(errno, text)
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
