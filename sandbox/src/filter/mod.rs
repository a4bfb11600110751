//! The seccomp filters of both fronts: what a process may still ask of the kernel, line by line with
//! the reason.
//!
//! A filter lists what is allowed. Where a call has forms that nobody needs, its arguments are
//! checked: each is judged by the half that the kernel looks at.
//!
//! The filter of build actions (`namespaces`, outside of this workspace) lists what is refused, for
//! two architectures. The two have no line in common, and the loader is built from its own folder.

#[cfg(feature = "nacl")]
pub(crate) mod nacl;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rustix::io::Errno;
pub(crate) use seccompiler::BpfProgram;
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

type Result<T> = std::result::Result<T, BackendError>;

/// Calls of the kernel, with the conditions under which they are meant.
#[derive(Default)]
struct Rules(BTreeMap<i64, Vec<SeccompRule>>);

impl Rules {
    /// These calls, whatever their arguments are.
    fn of(calls: &[i64]) -> Self {
        Self(calls.iter().map(|&call| (call, Vec::new())).collect())
    }

    /// Adds a call, whatever its arguments are.
    fn any(&mut self, call: i64) {
        self.0.insert(call, Vec::new());
    }

    /// Adds a call where all of these conditions hold, besides the conditions that it has.
    fn when(&mut self, call: i64, conditions: Vec<SeccompCondition>) -> Result<()> {
        let rule = SeccompRule::new(conditions)?;
        match self.0.entry(call) {
            Entry::Vacant(entry) => drop(entry.insert(vec![rule])),
            // It needs none.
            Entry::Occupied(entry) if entry.get().is_empty() => {}
            Entry::Occupied(mut entry) => entry.get_mut().push(rule),
        }
        Ok(())
    }

    /// A filter that allows these calls, and answers all others with an error.
    fn allow_only(self, error: Errno) -> Result<BpfProgram> {
        self.program(SeccompAction::Errno(error.raw_os_error().cast_unsigned()), SeccompAction::Allow)
    }

    /// A filter that does this with these calls, and allows all others.
    fn allow_others(self, action: SeccompAction) -> Result<BpfProgram> {
        self.program(SeccompAction::Allow, action)
    }

    fn program(self, otherwise: SeccompAction, listed: SeccompAction) -> Result<BpfProgram> {
        SeccompFilter::new(self.0, otherwise, listed, TargetArch::x86_64)?.try_into()
    }
}

/// The bits of an argument of 32 bits, such as flags.
fn bits(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// The low half of an argument compares so with `value`.
fn low_half(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, value)
}

/// An argument is this.
fn is(argument: u8, value: i32) -> Result<SeccompCondition> {
    low_half(argument, SeccompCmpOp::Eq, bits(value))
}

/// An argument has none of these bits.
fn none_of(argument: u8, refused: i32) -> Result<SeccompCondition> {
    low_half(argument, SeccompCmpOp::MaskedEq(bits(refused)), 0)
}

/// An address compares so with `value`.
fn address(argument: u8, how: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, how, value)
}

/// The bits of a mode that lend an owner's rights to who starts a file.
const SET_ID: i32 = 0o6000;
