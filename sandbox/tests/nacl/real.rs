//! What only code that `sel_ldr` runs can show: ignored unless asked for, with an SDK.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::common::{Dest, GUEST, Run, refused, users};

#[test]
#[ignore = "needs an SDK: PYNBOX_TEST_NACL_SDK"]
fn code_is_loaded_from_any_mount_and_never_run_where_a_guest_can_change_it() {
    let dest = Dest::real().expect("an SDK in PYNBOX_TEST_NACL_SDK");
    let job = dest.job("job");
    fs::copy(dest.root().join("test/answer.so"), job.join("answer.so")).unwrap();
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display())];
    for user in users() {
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        // Mapped, code would be what the file says after it was validated.
        let deeds = [
            "guest:load,/test/answer.so",
            "guest:load,/job/answer.so",
            "guest:map,/test/answer.so",
            "guest:map,/job/answer.so",
        ];
        let ended = dest.run_as(user, options.chain([GUEST]).chain(deeds));
        let no = libc::EINVAL;
        let expected = [
            "load /test/answer.so: 42".to_owned(),
            "load /job/answer.so: 42".to_owned(),
            format!("map /test/answer.so={no}"),
            format!("map /job/answer.so={no}"),
        ];
        assert_eq!(ended.lines(), expected, "{user:?}: {ended:?}");
    }
}

#[test]
#[ignore = "needs an SDK: PYNBOX_TEST_NACL_SDK"]
fn code_that_no_guest_may_have_is_not_run() {
    let dest = Dest::real().expect("an SDK in PYNBOX_TEST_NACL_SDK");
    // A program is loaded by the guest's own loader, which is told that it can't be.
    let ended = dest.run(["/test/unsafe.nexe"]);
    ended.assert_error(127, "/test/unsafe.nexe");
    for deed in ["guest:jump", "guest:halt"] {
        dest.run([GUEST, deed]).assert_error(134, "was ended: it did what no program may");
    }
    // The loader itself is loaded by `sel_ldr`: a system call in its code (which begins 64 KiB into
    // the file or later), and a piece of it.
    let loader = dest.root().join("slib/runnable-ld.so");
    let whole = fs::read(&loader).unwrap();
    fs::File::options().write(true).open(&loader).unwrap().write_all_at(&[0x0f, 0x05].repeat(64), 200_000).unwrap();
    dest.run([GUEST])
        .assert_error(2, "sel_ldr refuses to load what loads programs, `/slib/runnable-ld.so`: Validation failure");
    fs::write(&loader, &whole[..100_000]).unwrap();
    dest.run([GUEST]).assert_error(2, "sel_ldr refuses to load what loads programs, `/slib/runnable-ld.so`");
    fs::write(&loader, whole).unwrap();
    // A library is none of a program's.
    dest.run(["/test/answer.so"]).assert_error(2, "sel_ldr refuses to load it");
}

#[test]
#[ignore = "needs an SDK: PYNBOX_TEST_NACL_SDK"]
fn whatever_a_guest_asks_of_the_engine_it_ends_by_itself_or_is_ended() {
    let dest = Dest::real().expect("an SDK in PYNBOX_TEST_NACL_SDK");
    let job = dest.job("job");
    let mounts = [format!("{}:/:ro", dest.root().display()), format!("{}:/job:rw", job.display())];
    // Not those that wait, nor the end of a thread.
    for number in (1..=150).filter(|number| ![42, 61, 64, 71, 75, 79, 81, 101, 120].contains(number)) {
        let options = mounts.iter().flat_map(|mount| ["-m", mount]);
        let ended = dest.run(options.chain([GUEST, &format!("guest:call,{number}")]));
        assert!([0, 134].contains(&ended.status) || number == 30, "{number}: {ended:?}");
    }
    assert_eq!(fs::read_dir(dest.path()).unwrap().count(), 5, "only bin, lib, packages, root and job are there");
}

#[test]
#[ignore = "needs an SDK: PYNBOX_TEST_NACL_SDK"]
fn descriptors_are_the_guests_by_their_new_numbers() {
    let dest = Dest::real().expect("an SDK in PYNBOX_TEST_NACL_SDK");
    let (out, both) = (dest.path().join("out"), dest.path().join("both"));
    fs::write(dest.path().join("in"), "in").unwrap();
    let script = format!(
        "cd {}; exec 5>out 6<>both 7<in; exec bin/run -w 5:9 -h 6:12 -r 7:4 {GUEST} guest:read,4 guest:put,9 guest:put,12 \
         guest:put,4 guest:read,9 guest:put,5 guest:put,6 guest:put,7 guest:put,3",
        dest.path().display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let ended = Run(command).ended();
    let lines = ended.lines();
    assert_eq!(lines[..3], ["read 4: in", "put 9=0", "put 12=0"], "{ended:?}");
    // What was handed in for one use is for no other, and nothing else of this process is there.
    assert!(lines.len() == 9 && refused(&lines[3..]), "{ended:?}");
    assert_eq!([fs::read(out).unwrap(), fs::read(both).unwrap()], [b"put\n", b"put\n"]);
}
