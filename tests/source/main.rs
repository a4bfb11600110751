//! Fetching from servers that are well, ill and evil. All of them listen on loopback.

mod environment;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use build_graph::node::{Origin, Source};
use build_graph::{RelPath, Sha256};
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchError, FetchSettings, Fetched, Fetcher, Job, sha256_of};
use tempfile::TempDir;
use testing::scripted::{Request, Server, answer, ranged};

testing::helpers!("fetch" => environment::fetch);

const HTML: &[u8] = b"<!DOCTYPE html><html><body>Please log in</body></html>";

fn content() -> Vec<u8> {
    (0..200_000u32).flat_map(u32::to_le_bytes).collect()
}

struct Setup {
    dir: TempDir,
    source: Source,
    settings: FetchSettings,
}

impl Setup {
    fn new(origins: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let right = dir.path().join("right");
        fs::write(&right, content()).unwrap();
        let (sha256, size) = sha256_of(&right).unwrap();
        let mut settings = FetchSettings::new(dir.path().join("partials"));
        settings.connect_timeout = Duration::from_secs(5);
        settings.stall_timeout = Duration::from_millis(500);
        settings.pause = Duration::from_millis(10);
        settings.max_size = 2_000_000;
        let origins = origins.iter().map(|url| Origin::Url { url: url.clone() }).collect();
        let source = Source { file: RelPath::new("x.tar.gz").unwrap(), sha256, size: Some(size), origins };
        Self { dir, source, settings }
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn partial(&self) -> PathBuf {
        self.settings.partials.join(format!("{}.part", self.source.sha256))
    }

    fn leave_partial(&self, bytes: &[u8]) {
        fs::create_dir_all(&self.settings.partials).unwrap();
        fs::write(self.partial(), bytes).unwrap();
    }

    fn fetch(&self) -> Result<Fetched, FetchError> {
        let job = Job { name: "x-1.0".into(), source: &self.source, dest: self.dest() };
        let result = Fetcher::new(self.settings.clone()).fetch(&job, &Silent);
        assert_eq!(result.is_ok(), self.dest().exists());
        if result.is_ok() {
            assert_eq!(fs::read(self.dest()).unwrap(), content());
            assert!(!self.partial().exists());
        }
        result
    }

    /// The reasons of a failure, one an attempt.
    fn reasons(&self) -> Vec<String> {
        match self.fetch() {
            Err(FetchError::Unavailable { tried, .. }) => tried.0.into_iter().map(|tried| tried.reason).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_first_origin_that_has_it() {
    let bad = Server::start(|request, _, stream| match request.path.as_str() {
        "/gone" => answer(stream, 404, &[], b"gone"),
        "/page" => answer(stream, 200, &["Content-Type: text/html; charset=utf-8"], HTML),
        "/untold-page" => answer(stream, 200, &[], HTML),
        "/padded-page" => answer(stream, 200, &[], &[HTML, &vec![b' '; content().len() - HTML.len()]].concat()),
        "/other" => answer(stream, 200, &[], &vec![1; content().len()]),
        _ => answer(stream, 403, &[], b"no"),
    });
    let good = Server::start(|_, _, stream| answer(stream, 200, &[], &content()));
    let paths = ["/gone", "/page", "/untold-page", "/padded-page", "/other", "/no"];
    let mut origins: Vec<String> = paths.iter().map(|path| bad.url(path)).collect();
    let reasons = Setup::new(&origins).reasons();
    assert_eq!(reasons[0], "status 404");
    assert!(reasons[1].contains("web page"), "{}", reasons[1]);
    assert!(reasons[2].contains("size is 54 bytes, expected 800000"), "{}", reasons[2]);
    assert!(reasons[3].contains("web page"), "{}", reasons[3]);
    assert!(reasons[4].contains("checksum is wrong"), "{}", reasons[4]);
    assert_eq!(reasons[5], "status 403");
    assert_eq!(bad.requests().len(), paths.len(), "nothing here passes by waiting");

    origins.push("http://127.0.0.1:1/refused".into());
    origins.push(good.url("/x"));
    let fetched = Setup::new(&origins).fetch().unwrap();
    assert_eq!((fetched.size, fetched.origin), (800_000, good.url("/x")));
}

#[test]
fn the_error_names_every_origin_and_the_ways_out() {
    let setup = Setup::new(&["http://user:secret@127.0.0.1:1/a".into(), "ftp://127.0.0.1/b".into()]);
    let error = setup.fetch().unwrap_err();
    let message = format!("{error}\n{}", error.hint());
    assert!(message.starts_with("source `x-1.0` can't be fetched:\n  http://127.0.0.1:1/a: "), "{message}");
    assert!(message.contains("`ftp` can't be fetched"), "{message}");
    assert!(message.contains(" source add FILE`"), "{message}");
    assert!(message.contains("--override-source x-1.0=PATH"), "{message}");
    assert!(message.contains(&setup.source.sha256.to_string()), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn offline_asks_nobody() {
    let server = Server::start(|_, _, stream| answer(stream, 200, &[], &content()));
    let mut setup = Setup::new(&[server.url("/x")]);
    setup.source.origins.push(Origin::Debian { path: RelPath::new("pool/x").unwrap() });
    setup.settings.offline = true;
    let error = setup.fetch().unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }));
    let message = format!("{error}\n{}", error.hint());
    for part in ["`x-1.0`", "--offline", "source add FILE", "--override-source x-1.0=PATH", "pool/x"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(server.requests().is_empty());
    let file = format!("file://{}", setup.dir.path().join("right").display());
    setup.source.origins.push(Origin::Url { url: file });
    setup.fetch().unwrap();
}

#[test]
fn what_passes_is_tried_again() {
    let server = Server::start(|_, before, stream| match before {
        0 => answer(stream, 503, &[], b""),
        1 => answer(stream, 429, &[], b""),
        _ => answer(stream, 200, &[], &content()),
    });
    Setup::new(&[server.url("/x")]).fetch().unwrap();
    let down = Server::start(|_, _, stream| answer(stream, 503, &[], b""));
    assert_eq!(Setup::new(&[down.url("/x")]).reasons(), ["status 503"]);
    assert_eq!(down.requests().len(), 3);
}

/// Sends half and hangs up, the first time.
fn breaks_once(
    rest: impl Fn(&Request, &mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |request, before, stream| match before {
        0 => answer(stream, 200, &["Content-Length: 800000"], &content()[..300_000]),
        _ => rest(request, stream),
    })
}

#[test]
fn a_broken_transfer_goes_on_where_it_ended() {
    let server = breaks_once(|request, stream| ranged(request, stream, &content()));
    Setup::new(&[server.url("/x")]).fetch().unwrap();
    assert_eq!(server.requests().iter().map(|request| request.range).collect::<Vec<_>>(), [None, Some(300_000)]);
}

#[test]
fn a_server_without_ranges_sends_it_whole_again() {
    let server = breaks_once(|_, stream| answer(stream, 200, &[], &content()));
    Setup::new(&[server.url("/x")]).fetch().unwrap();
}

#[test]
fn a_wrong_range_is_not_believed() {
    let server = breaks_once(|request, stream| match request.range {
        Some(_) => answer(stream, 206, &["Content-Range: bytes 10-799999/800000"], &content()[10..]),
        None => answer(stream, 200, &[], &content()),
    });
    Setup::new(&[server.url("/x")]).fetch().unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn an_earlier_runs_part_is_resumed_or_dropped() {
    let server = Server::start(|request, _, stream| ranged(request, stream, &content()));
    let setup = Setup::new(&[server.url("/x")]);
    setup.leave_partial(&content()[..500_000]);
    setup.fetch().unwrap();
    assert_eq!(server.requests().last().unwrap().range, Some(500_000));

    let setup = Setup::new(&[server.url("/x")]);
    setup.leave_partial(&[7; 500_000]);
    setup.fetch().unwrap();
    let ranges: Vec<_> = server.requests().iter().map(|request| request.range).collect();
    assert_eq!(ranges[1..], [Some(500_000), None]);

    for length in [800_000, 900_000] {
        let setup = Setup::new(&[server.url("/x")]);
        setup.leave_partial(&vec![7; length]);
        setup.fetch().unwrap();
    }

    let asked = server.requests().len();
    let setup = Setup::new(&[server.url("/x")]);
    setup.leave_partial(&content());
    setup.fetch().unwrap();
    assert_eq!(server.requests().len(), asked, "it was there whole");
}

#[test]
fn without_a_known_size_a_range_beyond_the_end_starts_over() {
    let server = Server::start(|request, _, stream| ranged(request, stream, &content()));
    let mut setup = Setup::new(&[server.url("/x")]);
    setup.source.size = None;
    setup.leave_partial(&vec![7; 900_000]);
    setup.fetch().unwrap();
}

#[test]
fn a_part_from_one_origin_is_completed_by_the_next() {
    let cut = Server::start(|_, _, stream| answer(stream, 200, &["Content-Length: 800000"], &content()[..123_456]));
    let good = Server::start(|request, _, stream| ranged(request, stream, &content()));
    Setup::new(&[cut.url("/x"), good.url("/x")]).fetch().unwrap();
    assert_eq!(good.requests()[0].range, Some(123_456));
}

#[test]
fn what_arrived_survives_the_failure() {
    let cut = Server::start(|request, _, stream| match request.range {
        None => answer(stream, 200, &["Content-Length: 800000"], &content()[..123_456]),
        Some(_) => answer(stream, 404, &[], b""),
    });
    let setup = Setup::new(&[cut.url("/x")]);
    setup.fetch().unwrap_err();
    assert_eq!(fs::read(setup.partial()).unwrap(), content()[..123_456]);
}

#[test]
fn lies_about_the_length() {
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        // Less than it says, more than it says, and an end that is not said.
        "/less" => answer(stream, 200, &["Content-Length: 800000"], &content()[..10]),
        "/more" => answer(stream, 200, &["Content-Length: 900000"], &content()),
        _ => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            stream.write_all(&content()[..10])
        }
    });
    for (path, expected) in [("/less", "ended after 10 bytes"), ("/more", "900000 bytes"), ("/open", "after 10 bytes")]
    {
        let reasons = Setup::new(&[server.url(path)]).reasons();
        assert!(reasons[0].contains(expected), "{path}: {}", reasons[0]);
    }
}

#[test]
fn an_endless_body_is_left() {
    let server = Server::start(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        // Bounded, should the client go on listening.
        (0..10_000).try_for_each(|_| stream.write_all(&[0; 65_536]))
    });
    let mut setup = Setup::new(&[server.url("/x")]);
    assert_eq!(setup.reasons(), ["it does not end within 800000 bytes"]);
    setup.source.size = None;
    assert_eq!(setup.reasons(), ["it does not end within 2000000 bytes"]);
    assert!(!setup.partial().exists());
}

#[test]
fn redirects_are_followed_but_not_forever() {
    let server = Server::start(|request, before, stream| match request.path.as_str() {
        "/start" => answer(stream, 302, &["Location: /end"], b""),
        "/end" => answer(stream, 200, &[], &content()),
        "/file" => answer(stream, 302, &["Location: file:///etc/passwd"], b""),
        _ => answer(stream, 302, &[&format!("Location: /loop{before}")], b""),
    });
    Setup::new(&[server.url("/start")]).fetch().unwrap();
    let before = server.requests().len();
    assert_eq!(Setup::new(&[server.url("/loop")]).reasons(), ["more redirects than are followed"]);
    assert!(server.requests().len() - before < 12);
    Setup::new(&[server.url("/file")]).fetch().unwrap_err();
}

#[test]
fn silence_and_crawling_end() {
    let server = Server::start(|request, _, stream| {
        if request.path != "/silent" {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 800000\r\n\r\n")?;
        }
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(50));
            if request.path == "/crawl" {
                stream.write_all(b"x")?;
            }
        }
        Ok(())
    });
    for (path, reason) in [("/silent", "no answer in time"), ("/stall", "stalled"), ("/crawl", "stalled")] {
        let mut setup = Setup::new(&[server.url(path)]);
        setup.settings.rounds = 1;
        let reasons = setup.reasons();
        assert!(reasons[0].contains(reason), "{path}: {}", reasons[0]);
    }
}

#[test]
fn logins_are_sent_and_not_shown() {
    let server = Server::start(|request, _, stream| match request.authorization.as_deref() {
        Some("Basic dXNlcjpwQHNz") => answer(stream, 200, &[], &content()),
        _ => answer(stream, 401, &[], b""),
    });
    let url = format!("http://user:p%40ss@127.0.0.1:{}/x", server.port());
    let fetched = Setup::new(&[url]).fetch().unwrap();
    assert_eq!(fetched.origin, server.url("/x"));
    assert_eq!(Setup::new(&[server.url("/x")]).reasons(), ["status 401"]);
}

#[test]
fn debian_mirrors_are_tried_in_order() {
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        "/two/pool/main/x/x+1_1.2~a.orig.tar.gz" => answer(stream, 200, &[], &content()),
        _ => answer(stream, 404, &[], b""),
    });
    let mut setup = Setup::new(&[]);
    setup.settings.debian_mirrors = Some(vec![server.url("/one/"), server.url("/two")]);
    setup.source.origins = vec![Origin::Debian { path: RelPath::new("pool/main/x/x+1_1.2~a.orig.tar.gz").unwrap() }];
    setup.fetch().unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn package_indexes_in_both_forms() {
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        "/json/an-x/" => {
            let page = r#"{"files": [{"filename": "x-2.tar.gz", "url": "/no", "hashes": {}},
                {"filename": "x-1.tar.gz", "url": "../../files/x-1.tar.gz", "hashes": {}}]}"#;
            answer(stream, 200, &["Content-Type: application/vnd.pypi.simple.v1+json"], page.as_bytes())
        }
        "/html/an-x/" => {
            let page = br#"<html><a href="../../files/x-1.tar.gz#sha256=00">x-1.tar.gz</a></html>"#;
            answer(stream, 200, &["Content-Type: text/html"], page)
        }
        "/bad/an-x/" => answer(stream, 200, &["Content-Type: application/vnd.pypi.simple.v1+json"], b"{"),
        "/files/x-1.tar.gz" => answer(stream, 200, &[], &content()),
        _ => answer(stream, 404, &[], b""),
    });
    let setup = |index: &str, file: &str| {
        let mut setup = Setup::new(&[]);
        setup.settings.pypi_index = Some(server.url(index));
        setup.source.origins = vec![Origin::Pypi { project: "An_X".into(), file: file.into() }];
        setup
    };
    setup("/json", "x-1.tar.gz").fetch().unwrap();
    setup("/html/", "x-1.tar.gz").fetch().unwrap();
    assert!(setup("/json", "x-3.tar.gz").reasons()[0].contains("no file `x-3.tar.gz` of project `An_X`"));
    assert!(setup("/bad", "x-1.tar.gz").reasons()[0].contains("makes no sense"));
    assert_eq!(setup("/none", "x-1.tar.gz").reasons(), ["status 404"]);
}

#[test]
fn many_at_once_and_each_with_its_own_result() {
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        "/3" => answer(stream, 404, &[], b""),
        _ => answer(stream, 200, &[], request.path.as_bytes()),
    });
    let dir = tempfile::tempdir().unwrap();
    let sources: Vec<Source> = (0..20)
        .map(|i| {
            let file = dir.path().join(format!("right{i}"));
            fs::write(&file, format!("/{i}")).unwrap();
            let sha256: Sha256 = sha256_of(&file).unwrap().0;
            let origins = vec![Origin::Url { url: server.url(&format!("/{i}")) }];
            Source { file: RelPath::new("x").unwrap(), sha256, size: None, origins }
        })
        .collect();
    let jobs: Vec<Job<'_>> = sources
        .iter()
        .enumerate()
        .map(|(i, source)| Job { name: format!("s{i}"), source, dest: dir.path().join(format!("dest{i}")) })
        .collect();
    let results = Fetcher::new(FetchSettings::new(dir.path().join("p"))).fetch_all(&jobs, &Silent, |_, result| result);
    for (i, result) in results.iter().enumerate() {
        match result {
            Ok(fetched) => assert_eq!(fs::read_to_string(&fetched.path).unwrap(), format!("/{i}")),
            Err(error) => assert!(i == 3 && error.to_string().contains("`s3`"), "{error}"),
        }
    }
    assert_eq!(fs::read_dir(dir.path().join("p")).unwrap().count(), 0);
}

#[test]
fn two_fetchers_of_one_source_take_turns() {
    let server = Server::start(|request, _, stream| ranged(request, stream, &content()));
    let setup = Setup::new(&[server.url("/x")]);
    std::thread::scope(|scope| {
        for i in 0..4 {
            let setup = &setup;
            scope.spawn(move || {
                let dest = setup.dir.path().join(format!("dest{i}"));
                let job = Job { name: "x".into(), source: &setup.source, dest: dest.clone() };
                Fetcher::new(setup.settings.clone()).fetch(&job, &Silent).unwrap();
                assert_eq!(fs::read(dest).unwrap(), content());
            });
        }
    });
    assert_eq!(fs::read_dir(&setup.settings.partials).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_the_machines_fault() {
    let server = Server::start(|_, _, stream| answer(stream, 200, &[], &content()));
    let mut setup = Setup::new(&[server.url("/x")]);
    setup.settings.partials = setup.dir.path().join("right");
    let error = setup.fetch().unwrap_err();
    assert!(matches!(error, FetchError::Local { .. }), "{error}");
}
