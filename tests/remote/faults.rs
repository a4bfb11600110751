//! A remote that is down, slow, truncating, lying or evicting: nothing wrong comes of it, and the
//! next remote is asked.

use std::fs;

use pynbox_build::remote::settings::RemoteSettings;

use crate::faulty::{Fault, Faulty};
use crate::side::{Room, remote};
use testing::free_port;

/// What a reader sees of a server with a fault.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Whether the result is believed to be there.
    known: bool,
    /// Whether all of its bytes came.
    whole: bool,
}

/// As a web server and as one that keeps buckets: the same comes of it.
fn with(fault: Fault) -> Outcome {
    let web = Faulty::start();
    let as_web = at(fault, &web, remote("faulty", &web.url()));
    let bucket = Faulty::start();
    let place = remote("faulty", &format!("s3://KEY:SECRET@bucket/prefix?endpoint={}", bucket.url()));
    let as_bucket = at(fault, &bucket, place);
    assert_eq!(as_web, as_bucket, "{fault:?}");
    as_web
}

fn at(fault: Fault, server: &Faulty, place: RemoteSettings) -> Outcome {
    let room = Room::new();
    let large: Vec<u8> = (0..3_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let writer = room.writer("writer", &place);
    assert_eq!(writer.push(writer.result(1, &[b"alpha", b"beta", &large])), 1);
    server.set(fault);
    let reader = room.reader("reader", vec![place.clone()]);
    // Whatever comes, the store holds right bytes only: `get` sees to that.
    let outcome = Outcome { known: reader.ask(1).is_some(), whole: reader.get(1) };
    // A second remote that works makes up for the first.
    let folder = room.path("good");
    fs::create_dir(&folder).unwrap();
    let good = remote("good", folder.to_str().unwrap());
    let writer = room.writer("writer", &good);
    assert_eq!(writer.push(writer.result(1, &[b"alpha", b"beta", &large])), 1);
    assert!(room.reader("second reader", vec![place, good]).get(1), "{fault:?}");
    outcome
}

#[test]
fn a_server_in_order_serves() {
    let outcome = with(Fault::None);
    assert!(outcome.known && outcome.whole);
}

#[test]
fn a_busy_server_is_asked_again() {
    let outcome = with(Fault::Busy);
    assert!(outcome.known && outcome.whole);
}

#[test]
fn a_server_that_turns_many_away_gives_much_all_the_same() {
    let server = Faulty::start();
    let url = server.url();
    for place in [url.clone(), format!("s3://KEY:SECRET@bucket/prefix?endpoint={url}")] {
        let room = Room::new();
        let place = remote("faulty", &place);
        let files: Vec<_> = (0..300).map(u32::to_le_bytes).collect();
        let files: Vec<&[u8]> = files.iter().map(|file| &file[..]).collect();
        server.set(Fault::None);
        let writer = room.writer("writer", &place);
        assert_eq!(writer.push(writer.result(1, &files)), 1);
        server.set(Fault::Stumbling);
        assert!(room.reader("reader", vec![place]).get(1));
    }
}

#[test]
fn a_server_that_does_not_answer_has_nothing() {
    for fault in [Fault::Closing, Fault::Silent, Fault::Failing, Fault::Forbidding, Fault::Asking, Fault::Trickling] {
        assert!(!with(fault).known, "{fault:?}");
    }
}

#[test]
fn what_is_no_envelope_is_no_result() {
    for fault in [Fault::Halving, Fault::Garbage, Fault::Page] {
        assert!(!with(fault).known, "{fault:?}");
    }
}

#[test]
fn files_that_are_not_what_was_promised_are_refused() {
    for fault in [Fault::Lying, Fault::Endless, Fault::BreakingOff, Fault::Evicting] {
        let outcome = with(fault);
        assert!(outcome.known && !outcome.whole, "{fault:?}");
    }
}

#[test]
fn a_server_that_is_down_is_left_alone_by_other_processes_too() {
    let room = Room::new();
    let server = Faulty::start();
    server.set(Fault::Closing);
    let place = remote("faulty", &server.url());
    assert!(room.reader("reader", vec![place.clone()]).ask(1).is_none());
    let connections = server.connections();
    assert!(connections > 1, "it was asked more than once");
    assert!(room.reader("reader", vec![place.clone()]).ask(1).is_none());
    assert_eq!(server.connections(), connections);
    // When its time is over it is asked again, and an answer closes the circuit.
    let circuits = room.path("reader.store/remotes");
    for circuit in fs::read_dir(&circuits).unwrap() {
        fs::write(circuit.unwrap().path(), "1 30\n").unwrap();
    }
    server.set(Fault::None);
    assert!(room.reader("reader", vec![place]).ask(1).is_none());
    assert!(server.connections() > connections);
    assert_eq!(fs::read_dir(&circuits).unwrap().count(), 0);
}

#[test]
fn nobody_listens() {
    let room = Room::new();
    let place = remote("nobody", &format!("http://127.0.0.1:{}", free_port()));
    assert!(room.reader("reader", vec![place.clone()]).ask(1).is_none());
    let writer = room.writer("writer", &place);
    assert_eq!(writer.push(writer.result(1, &[b"alpha"])), 0);
    let gone = remote("gone", room.path("not mounted").to_str().unwrap());
    assert!(room.reader("reader", vec![gone]).ask(1).is_none());
}
