//! Servers that are down, slow or wrong: nothing but what was published is ever taken, and every
//! fetch ends.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pynbox_build::remote::RemoteError;
use pynbox_build::repository::RepositoryError;
use pynbox_build::repository::publish::KeyChange;
use testing::free_port;
use testing::scripted::{Request, Server, answer, ranged};

use crate::room::{Built, NOW, Room, at};

type Fault = dyn Fn(&Request, &[u8], &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A repository on a server with a fault in the answers about packages, or about the index.
struct Faulty {
    room: Room,
    package: Built,
    server: Server,
}

impl Faulty {
    fn new(
        faulty: &'static str,
        fault: impl Fn(&Request, &[u8], &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let room = Room::new();
        let package = room.large("tool", "1", 1_000_000);
        let folder = PathBuf::from(room.folder());
        let published =
            room.publish(&at(&room.folder()), 1, std::slice::from_ref(&package), &KeyChange::default(), NOW);
        published.unwrap();
        let fault: Arc<Fault> = Arc::new(fault);
        let server = Server::start(move |request, _, stream| {
            match fs::read(folder.join(request.path.trim_start_matches('/'))) {
                Ok(bytes) if request.path.contains(faulty) => fault(request, &bytes, stream),
                Ok(bytes) => ranged(request, stream, &bytes),
                Err(_) => answer(stream, 404, &[], b""),
            }
        });
        Self { room, package, server }
    }

    /// What comes of opening it and fetching the package.
    fn fetch(&self) -> Result<(), RepositoryError> {
        let reader = self.room.reader("reader", &[1]);
        let repository = reader.open(&at(&self.server.url("")), NOW)?;
        let fetched = reader.fetch(&repository, "tool");
        assert_eq!(fetched.is_ok(), reader.has(&self.package));
        fetched.map(|bytes| assert_eq!(bytes, self.package.bytes))
    }
}

#[test]
fn a_transfer_that_breaks_off_is_resumed() {
    let room = Faulty::new("packages/", |request, bytes, stream| {
        let start = usize::try_from(request.range.unwrap_or(0)).unwrap();
        let end = bytes.len().min(start + 200_000);
        let length = format!("Content-Length: {}", bytes.len() - start);
        match request.range {
            None => answer(stream, 200, &[&length], &bytes[..end]),
            Some(_) => {
                let range = format!("Content-Range: bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                answer(stream, 206, &[&length, &range], &bytes[start..end])
            }
        }
    });
    room.fetch().unwrap();
    let ranges: Vec<_> = room.server.requests().iter().filter_map(|request| request.range).collect();
    assert!(ranges.len() >= 4 && ranges.is_sorted(), "{ranges:?}");
}

#[test]
fn a_server_without_ranges_gives_the_whole_again() {
    let broken = AtomicBool::new(false);
    let room = Faulty::new("packages/", move |_, bytes, stream| {
        let end = if broken.swap(true, Ordering::SeqCst) { bytes.len() } else { bytes.len() / 2 };
        answer(stream, 200, &[&format!("Content-Length: {}", bytes.len())], &bytes[..end])
    });
    room.fetch().unwrap();
}

/// What an earlier fetch left is completed by the next one, and dropped if it was wrong.
#[test]
fn the_next_process_resumes() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let room = Faulty::new("packages/", move |request, bytes, stream| {
        if !is_down.load(Ordering::SeqCst) {
            return ranged(request, stream, bytes);
        }
        match request.range {
            None => answer(stream, 200, &[&format!("Content-Length: {}", bytes.len())], &bytes[..600_000]),
            Some(_) => answer(stream, 503, &[], b""),
        }
    });
    assert!(room.fetch().unwrap_err().is_environment());
    down.store(false, Ordering::SeqCst);
    let reader = room.room.reader("reader", &[1]);
    let partial = reader.store.root().join("partial").join(format!("{}.part", room.package.entry.object.digest));
    assert_eq!(fs::metadata(&partial).unwrap().len(), 600_000);
    room.fetch().unwrap();
    assert!(room.server.requests().iter().any(|request| request.range == Some(600_000)));
    assert!(!partial.exists());
    let other = room.room.reader("other", &[1]);
    let partial = other.store.root().join("partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join(format!("{}.part", room.package.entry.object.digest)), [7; 1000]).unwrap();
    let repository = other.open(&at(&room.server.url("")), NOW).unwrap();
    assert_eq!(other.fetch(&repository, "tool").unwrap(), room.package.bytes);
}

#[test]
fn other_bytes_are_refused() {
    let room = Faulty::new("packages/", |_, bytes, stream| {
        let mut bytes = bytes.to_vec();
        bytes[500_000] ^= 1;
        answer(stream, 200, &[], &bytes)
    });
    assert!(matches!(room.fetch(), Err(RepositoryError::WrongBytes { .. })));
}

#[test]
fn what_does_not_end_is_refused() {
    let endless = |_: &Request, _: &[u8], stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b' '; 1 << 16])?;
        }
    };
    assert!(matches!(Faulty::new("packages/", endless).fetch(), Err(RepositoryError::TooLong { .. })));
    let index = Faulty::new("index.json", endless).fetch();
    assert!(matches!(index, Err(RepositoryError::TooLong { most: 16_777_216, .. })), "{index:?}");
}

/// A server that serves a byte at a time holds nobody for long.
#[test]
fn what_comes_too_slowly_is_given_up() {
    let trickling = |_: &Request, bytes: &[u8], stream: &mut TcpStream| {
        stream.write_all(format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes())?;
        for byte in bytes {
            stream.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    };
    let slow = Faulty::new("keys/1.json", trickling).fetch().unwrap_err();
    assert!(slow.is_environment(), "{slow}");
}

#[test]
fn a_package_that_is_gone_is_named() {
    let room = Faulty::new("packages/", |_, _, stream| answer(stream, 404, &[], b""));
    let error = room.fetch().unwrap_err();
    assert!(matches!(&error, RepositoryError::Missing { name } if name.starts_with("packages/")), "{error}");
}

#[test]
fn a_page_for_people_is_no_index() {
    let room =
        Faulty::new("index.json", |_, _, stream| answer(stream, 200, &[], b"<!DOCTYPE html><html>Log in</html>"));
    let error = room.fetch().unwrap_err();
    assert!(matches!(error, RepositoryError::WebPage { .. }) && error.to_string().contains("proxy"), "{error}");
    let room = Faulty::new("index.json", |_, bytes, stream| answer(stream, 200, &[], &bytes[..bytes.len() / 2]));
    assert!(matches!(room.fetch(), Err(RepositoryError::NoDocument { .. })));
}

#[test]
fn statuses_have_their_meaning() {
    for (status, words) in [(401, "401"), (403, "403"), (407, "407"), (500, "500"), (302, "302")] {
        let room = Faulty::new("index.json", move |_, _, stream| answer(stream, status, &[], b""));
        let error = room.fetch().unwrap_err();
        assert!(error.is_environment() && error.to_string().contains(words), "{status}: {error}");
    }
    let busy = AtomicBool::new(true);
    let room = Faulty::new("index.json", move |request, bytes, stream| {
        if busy.swap(false, Ordering::SeqCst) { answer(stream, 503, &[], b"") } else { ranged(request, stream, bytes) }
    });
    room.fetch().unwrap();
}

#[test]
fn nobody_there() {
    let room = Room::new();
    let reader = room.reader("reader", &[1]);
    let error = reader.open(&at(&format!("http://127.0.0.1:{}", free_port())), NOW).map(|_| ()).unwrap_err();
    assert!(matches!(error, RepositoryError::Remote(RemoteError::Unavailable(_))), "{error}");
    let error = reader.open(&at(room.path("nowhere").to_str().unwrap()), NOW).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
