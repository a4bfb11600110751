//! A fetch that is interrupted loses nothing that arrived.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::Digest as _;

use crate::space::{Space, ended};
use testing::scripted::{Server, answer, ranged};

/// Locks in which two sources come from this server.
fn pin(space: &Space, server: &Server, sources: [(&str, &[u8]); 2]) {
    let mut text = String::new();
    for (name, bytes) in sources {
        // That of the recipe, which `gen` and `fetch` compare.
        let version = if name == "zlib" { "1.2.13" } else { "1.0.8" };
        let digest: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!(
            "[sources.{name}]\nversion = \"{version}\"\nfile = \"{name}.tar.gz\"\nsha256 = \"{digest}\"\nsize = {}\n\
             [[sources.{name}.origins]]\nfrom = \"url\"\nurl = \"{}\"\n",
            bytes.len(),
            server.url(&format!("/{name}"))
        ));
    }
    fs::create_dir_all(space.path("project/recipes/locks")).unwrap();
    fs::write(space.path("project/recipes/locks/sources.toml"), text).unwrap();
}

#[test]
fn an_interrupted_fetch_keeps_what_arrived() {
    let space = Space::new();
    let (small, large) = (b"arrives whole".to_vec(), vec![b'x'; 300_000]);
    let (small_body, large_body) = (small.clone(), large.clone());
    // The first answer about the large one stops in the middle, until the test lets go of it.
    let (let_go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let server = Server::start(move |request, _, stream| match request.path.as_str() {
        "/zlib" => answer(stream, 200, &[], &small_body),
        _ => match wait.lock().unwrap().take() {
            None => ranged(request, stream, &large_body),
            Some(wait) => {
                let length = format!("Content-Length: {}", large_body.len());
                answer(stream, 200, &[&length], &large_body[..200_000])?;
                let _ = wait.recv();
                Ok(())
            }
        },
    });
    pin(&space, &server, [("zlib", &small), ("bzip2", &large)]);
    let mut fetch = space.tool(["fetch", "bzip2", "zlib"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let part = || {
        let parts = fs::read_dir(space.path("store/partial")).into_iter().flatten();
        parts.map(|part| part.unwrap().metadata().map_or(0, |part| part.len())).sum::<u64>()
    };
    let kept = || space.tool(["--offline", "fetch", "zlib"]).output().unwrap().status.success();
    while part() < 200_000 || !kept() {
        assert!(began.elapsed() < Duration::from_secs(60), "the small one was not kept while the large one came");
        std::thread::sleep(Duration::from_millis(20));
    }
    fetch.kill().unwrap();
    fetch.wait().unwrap();
    drop(let_go);

    let before = server.requests().len();
    let (status, out, err) = ended(&space.tool(["fetch", "bzip2", "zlib"]).output().unwrap());
    assert!(status == Some(0) && out.contains("(1 new)"), "{out}{err}");
    let after: Vec<_> =
        server.requests().into_iter().skip(before).map(|request| (request.path, request.range)).collect();
    assert_eq!(after, [("/bzip2".to_owned(), Some(200_000))]);
}

/// The last error ends the command; each is said.
#[test]
fn a_source_that_fails_stops_no_other() {
    let space = Space::new();
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        "/zlib" => answer(stream, 200, &[], b"right"),
        _ => answer(stream, 404, &[], b""),
    });
    pin(&space, &server, [("zlib", b"right"), ("bzip2", b"not there")]);
    let (status, _, err) = ended(&space.tool(["fetch", "bzip2", "zlib"]).output().unwrap());
    assert!(status == Some(3) && err.contains("source `bzip2` can't be fetched"), "{status:?} {err}");
    let (status, out, err) = ended(&space.tool(["--offline", "fetch", "zlib"]).output().unwrap());
    assert!(status == Some(0) && out.contains("(0 new)"), "{out}{err}");
}
