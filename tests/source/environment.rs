//! What the environment says of proxies and certificates, in processes of their own.

use std::fs;

use build_graph::RelPath;
use build_graph::node::{Origin, Source};
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchSettings, Fetcher, Job, sha256_of};
use testing::certificates::Authority;
use testing::scripted::{Server, answer};
use testing::{helper, web};

const BYTES: &[u8] = b"the file\n";
const VARIABLES: [&str; 5] = ["http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Fetches the file at a URL, its argument, and says `fetched` or why not.
pub(crate) fn fetch() {
    let folder = tempfile::tempdir().unwrap();
    let right = folder.path().join("right");
    fs::write(&right, BYTES).unwrap();
    let (sha256, size) = sha256_of(&right).unwrap();
    let origins = vec![Origin::Url { url: helper::argument() }];
    let source = Source { file: RelPath::new("x").unwrap(), sha256, size: Some(size), origins };
    let job = Job { name: "x".to_owned(), source: &source, dest: folder.path().join("dest") };
    let settings = FetchSettings { rounds: 1, ..FetchSettings::new(folder.path().join("partials")) };
    match Fetcher::new(settings).fetch(&job, &Silent) {
        Ok(_) => helper::say("fetched"),
        Err(error) => helper::say(error),
    }
}

fn fetched(url: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = helper::command("fetch", url);
    for name in VARIABLES {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said == "fetched\n" { Ok(()) } else { Err(said) }
}

#[test]
fn proxies_and_exceptions_from_them() {
    let server = Server::start(|_, _, stream| answer(stream, 200, &[], BYTES));
    let proxy = server.url("");
    fetched("http://origin.invalid/x", &[("http_proxy", &proxy)]).unwrap();
    assert_eq!(server.requests()[0].path, "http://origin.invalid/x");
    let url = server.url("/x");
    let nobody = ("http_proxy", "http://127.0.0.1:1");
    fetched(&url, &[nobody]).unwrap_err();
    fetched(&url, &[nobody, ("no_proxy", "origin.invalid,127.0.0.1")]).unwrap();
    assert_eq!(server.requests()[1].path, "/x");
}

#[test]
#[ignore = "needs nginx"]
fn a_file_of_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let [ca, shown, key] = authority.write(folder.path(), "server");
    let web = web::nginx(&folder.path().join("nginx"));
    fs::write(folder.path().join("nginx/files/x"), BYTES).unwrap();
    let front = web::tls_before(web.port, &folder.path().join("front"), [&*shown, &*key], None);
    let url = format!("https://127.0.0.1:{}/x", front.port);
    fetched(&url, &[("SSL_CERT_FILE", ca.to_str().unwrap())]).unwrap();
    let refused = fetched(&url, &[]).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    let nowhere = folder.path().join("nowhere");
    let refused = fetched(&url, &[("SSL_CERT_FILE", nowhere.to_str().unwrap())]).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    fetched(&format!("http://127.0.0.1:{}/x", web.port), &[("SSL_CERT_FILE", nowhere.to_str().unwrap())]).unwrap();
}
