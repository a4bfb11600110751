//! Programs on a machine that has less than this one: some calls give an error.

#![allow(unreachable_pub, reason = "shared by several test programs")]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Has a program and all that it starts get this error from these calls.
pub fn without(command: &mut Command, calls: &[i64], error: i32) {
    let rules: BTreeMap<_, _> = calls.iter().map(|&call| (call, Vec::new())).collect();
    let action = SeccompAction::Errno(error.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64).unwrap();
    let program = BpfProgram::try_from(filter).unwrap();
    let apply = move || seccompiler::apply_filter(&program).map_err(|_| std::io::Error::last_os_error());
    // SAFETY: two system calls are made, with memory that the closure owns.
    unsafe {
        command.pre_exec(apply);
    }
}
