//! The wall around the engine.

use crate::common::{Dest, users};

#[test]
fn what_a_guest_does_not_need_is_refused() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        let ended = dest.run_as(user, [program.as_str(), "do:attack"]);
        let succeeded: Vec<_> = ended.lines().into_iter().filter(|line| line.ends_with("=0")).collect();
        assert_eq!((ended.status, succeeded), (0, vec![]), "{user:?}: {ended:?}");
        // All were tried.
        assert!(ended.lines().len() > 95, "{ended:?}");
    }
}

#[test]
fn of_all_calls_only_those_of_the_engine_are_made() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let ended = dest.run([&program as &str, "do:calls", "do:calls,x32"]);
    assert_eq!(ended.lines(), ["calls 59", "calls 0"], "{ended:?}");
}

#[test]
fn what_the_engine_needs_works() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    for user in users() {
        let ended = dest.run_as(user, [program.as_str(), "do:needs", "do:pid", "do:host"]);
        let lines = ended.lines();
        let (works, rest) = lines.split_at(8);
        assert!(works.iter().all(|line| line.ends_with("=0")), "{user:?}: {ended:?}");
        assert_eq!(rest, ["pid 2", "host pynbox"], "{ended:?}");
    }
}

#[test]
fn memory_is_bounded() {
    let dest = Dest::new();
    let program = dest.program("hello", false);
    let ended = dest.run(["--max-memory", "64", &program, "do:hog", "do:share"]);
    assert_eq!(ended.lines(), ["hog bounded", "share bounded"], "{ended:?}");
}
