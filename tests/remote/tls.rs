//! Web servers and buckets behind TLS, with an authority of one's own, and servers that want a
//! certificate.

use std::fs;

use pynbox_build::remote::access::TlsSettings;
use pynbox_build::remote::settings::RemoteSettings;

use crate::side::{Room, remote};
use testing::certificates::Authority;
use testing::web;

/// Whether a writer can put a result there, and a reader get it, or one that was put there before.
fn works(room: &Room, remote: &RemoteSettings) -> bool {
    let writer = room.writer("writer", remote);
    let put = writer.push(writer.result(1, &[b"alpha", b"beta"])) == 1;
    let reader = room.reader("reader", vec![remote.clone()]);
    let got = reader.ask(1).is_some() && reader.get(1);
    assert_eq!(put, got);
    // So that circuits are closed for the next.
    let _ = fs::remove_dir_all(room.path("writer.store"));
    let _ = fs::remove_dir_all(room.path("reader.store"));
    got
}

#[test]
#[ignore = "needs nginx and s3s-fs"]
fn nginx_and_a_bucket_behind_tls() {
    let room = Room::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let [ca, shown, key] = authority.write(&room.path(""), "server");
    let [wrong, ..] = stranger.write(&room.path(""), "stranger");
    let (web, bucket) = (web::nginx(&room.path("nginx")), web::s3(&room.path("s3")));
    let front = |name: &str, port| web::tls_before(port, &room.path(name), [&*shown, &*key], None);
    let (web, bucket) = (front("front", web.port), front("other front", bucket.port));
    let tls = |ca: Option<&std::path::PathBuf>| TlsSettings { ca: ca.cloned(), ..TlsSettings::default() };
    let web = remote("web", &format!("https://127.0.0.1:{}", web.port));
    let url = format!("s3://KEY:SECRET@bucket/prefix?endpoint=https://127.0.0.1:{}", bucket.port);
    let bucket = RemoteSettings { timeout: 20, ..remote("s3", &url) };
    for place in [web, bucket] {
        assert!(works(&room, &RemoteSettings { tls: tls(Some(&ca)), ..place.clone() }), "{}", place.name);
        for ca in [None, Some(&wrong)] {
            assert!(!works(&room, &RemoteSettings { tls: tls(ca), ..place.clone() }), "{} with {ca:?}", place.name);
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn nginx_may_want_a_certificate() {
    let room = Room::new();
    let (authority, clients) = (Authority::new(), Authority::new());
    let [ca, shown, key] = authority.write(&room.path(""), "server");
    let [vouching, own, own_key] = clients.write(&room.path(""), "client");
    let web = web::nginx(&room.path("nginx"));
    let front = web::tls_before(web.port, &room.path("front"), [&*shown, &*key], Some(&*vouching));
    let place = remote("web", &format!("https://127.0.0.1:{}", front.port));
    let with = |certificate, key| RemoteSettings {
        tls: TlsSettings { ca: Some(ca.clone()), certificate, key },
        ..place.clone()
    };
    assert!(works(&room, &with(Some(own), Some(own_key))));
    assert!(!works(&room, &with(None, None)));
    assert!(!works(&room, &with(Some(shown.clone()), Some(key.clone()))), "the server's own is no client's");
}
