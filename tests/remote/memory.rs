//! What a remote's answers take of memory, measured of a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use build_graph::{NodeKey, Tree};
use pynbox_build::remote::DigestFunction;
use pynbox_build::remote::caches::Caches;
use pynbox_build::remote::envelope::{Envelope, SignedEnvelope};
use pynbox_build::remote::settings::{RemoteSettings, TrustSettings};
use pynbox_build::remote::trust::Trust;
use pynbox_build::store::Store;
use testing::helper;

/// What an answer unpacks to.
const LONG: u64 = 128 << 20;
/// So many answers come at once from a web server, and four times as many from a bucket.
const KEYS: u8 = 200;
/// What the process may take: the budget of all answers, and what it takes anyway.
const MOST: u64 = 320 << 20;

/// Serves the same frame, whatever is asked for.
fn serve(frame: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let frame = Arc::new(frame);
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let frame = Arc::clone(&frame);
            std::thread::spawn(move || answer(stream, &frame));
        }
    });
    port
}

fn answer(stream: TcpStream, frame: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", frame.len())?;
        stream.write_all(frame)?;
    }
}

/// A frame of what an envelope begins with and zeros without end.
fn frame(head: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    std::io::copy(&mut head.chain(std::io::repeat(0).take(LONG)), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Asks a remote for many results, and measures how much memory that took: its argument is the URL.
pub(crate) fn look_up() {
    let url = helper::argument();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let remote = RemoteSettings { timeout: 300, ..RemoteSettings::parse(&format!("r:unsigned={url}")).unwrap() };
    let trust = Trust::new(&TrustSettings::default(), None).unwrap();
    let caches = Caches::open(vec![remote], trust, Path::new("/"), &store).unwrap();
    let keys: Vec<_> = (0..KEYS).map(|number| NodeKey::from_bytes([number; 32])).collect();
    assert!(caches.look_up(&keys).is_empty());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes << 10 < MOST, "{kilobytes} kB");
}

#[test]
fn answers_take_a_bounded_sum_of_memory() {
    let envelope = Envelope {
        key: NodeKey::from_bytes([0; 32]),
        tree: Tree::new(),
        engine: None,
        signed_at: 0,
        function: DigestFunction::Blake3,
        blobs: Vec::new(),
    };
    let bytes = SignedEnvelope::new(envelope, None).to_bytes().to_owned();
    for (head, window_log) in [(&b""[..], 19), (&bytes[..25], 19), (&bytes[..25], 27)] {
        let port = serve(frame(head, window_log));
        for url in
            [format!("http://127.0.0.1:{port}/"), format!("s3://KEY:SECRET@bucket/?endpoint=http://127.0.0.1:{port}")]
        {
            let output = helper::command("look up", &url).env("AWS_REGION", "us-east-1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{url}: {said}");
        }
    }
}
