//! File systems that are interfaces of the kernel, and no storage.
//!
//! In a procfs, `/proc/PID/mem` is the memory of a process of this machine, as a regular file:
//! whoever may write it runs code there. sysfs, cgroups and the others change the machine in their
//! own ways. No guest gets to see one, not even read-only, because a file of theirs says as much
//! about the machine as writing it would change.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// The names and the magic numbers of statfs(2), from `linux/magic.h` and the kernel's sources of
/// each.
const KERNEL_FILE_SYSTEMS: &[(&str, i64)] = &[
    ("anon_inodefs", 0x0904_1934),
    ("binderfs", 0x6c6f_6f70),
    ("binfmt_misc", 0x4249_4e4d),
    ("bpf", 0xcafe_4a11),
    ("cgroup", 0x0027_e0eb),
    ("cgroup2", 0x6367_7270),
    ("configfs", 0x6265_6570),
    ("debugfs", 0x6462_6720),
    ("devmem", 0x454d_444d),
    ("devpts", 0x1cd1),
    ("dlmfs", 0x76a9_f425),
    ("dmabuf", 0x444d_4142),
    ("efivarfs", 0xde5e_81e4),
    ("functionfs", 0x0a64_7361),
    ("fusectl", 0x6573_5543),
    ("gadgetfs", 0xaee7_1ee7),
    ("mqueue", 0x1980_0202),
    ("nfsd", 0x6e66_7364),
    ("nsfs", 0x6e73_6673),
    ("openpromfs", 0x9fa1),
    ("pidfs", 0x5049_4446),
    ("pipefs", 0x5049_5045),
    ("proc", 0x9fa0),
    ("pstore", 0x6165_676c),
    ("resctrl", 0x0765_5821),
    ("rpc_pipefs", 0x6759_6969),
    ("secretmem", 0x5345_434d),
    ("securityfs", 0x7363_6673),
    ("selinuxfs", 0xf97c_ff8c),
    ("smackfs", 0x4341_5d53),
    ("sockfs", 0x534f_434b),
    ("spufs", 0x23c9_b64e),
    ("sysfs", 0x6265_6572),
    ("tracefs", 0x7472_6163),
    ("usbdevfs", 0x9fa2),
    ("xenfs", 0xabba_1974),
];

/// The name of the kernel's file system that an open file lies on; `None` if it lies on storage, in
/// memory or on a network.
///
/// # Errors
///
/// Those of fstatfs(2).
pub(crate) fn name_of(file: impl AsFd) -> Result<Option<&'static str>, Errno> {
    let magic = rustix::fs::fstatfs(file)?.f_type;
    Ok(KERNEL_FILE_SYSTEMS.iter().find(|(_, known)| *known == magic).map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_told_from_storage() {
        let open = |path: &str| std::fs::File::open(path).unwrap();
        assert_eq!(name_of(open("/proc")), Ok(Some("proc")));
        assert_eq!(name_of(open("/proc/self/status")), Ok(Some("proc")));
        let storage = tempfile::tempdir().unwrap();
        assert_eq!(name_of(open(storage.path().to_str().unwrap())), Ok(None));
    }
}
