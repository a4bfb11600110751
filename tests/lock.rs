//! The lock files of the project, and locking against mirrors that are not Debian's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use build_graph::dsl::PinFrom;
use build_graph::node::Origin;
use pynbox_build::lock::{ImagesLock, LockError, SourcesLock, Wanted, lock};
use pynbox_build::report::Silent;
use pynbox_build::source::{FetchSettings, Fetcher, sha256_of};

fn locks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/locks")
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    toml::from_str(&fs::read_to_string(locks().join(name)).unwrap()).unwrap()
}

#[test]
fn the_locked_images_are_those_that_are_wanted() {
    let wanted: Wanted = read("wanted.toml");
    let locked: ImagesLock = read("images.toml");
    assert_eq!(locked.release.suite, wanted.debian.suite);
    assert_eq!(locked.images.keys().collect::<Vec<_>>(), wanted.images.keys().collect::<Vec<_>>());
    let mut used = BTreeSet::new();
    for (name, image) in &locked.images {
        let wanted = &wanted.images[name];
        let seeds: BTreeSet<_> = wanted.seeds.iter().collect();
        assert_eq!(image.seeds.iter().collect::<BTreeSet<_>>(), seeds, "run `pynbox-build lock`");
        for seed in seeds {
            assert!(image.packages.contains(seed), "{seed}");
        }
        for left_out in &wanted.without {
            assert!(!image.packages.contains(left_out), "{left_out}");
        }
        used.extend(image.packages.iter());
    }
    assert_eq!(locked.package.iter().map(|package| &package.name).collect::<BTreeSet<_>>(), used);
    for package in &locked.package {
        assert!(package.path.as_str().starts_with("pool/main/"), "{}", package.path);
        assert!(package.path.as_str().ends_with(".deb") && package.size > 0);
    }
}

#[test]
fn the_locked_sources_are_those_that_are_wanted() {
    let wanted = recipes::bundle().set.wanted_sources();
    let locked: SourcesLock = read("sources.toml");
    assert_eq!(locked.sources.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, locked) in &locked.sources {
        let wanted = &wanted[name.as_str()];
        assert_eq!(locked.version, wanted.version);
        let unseen = matches!(wanted.pin.from, PinFrom::Fixed { unseen: true, .. });
        assert!(locked.source.size.map_or(unseen, |size| size > 0), "{name}");
        let pinned = match (wanted.pin.from, &locked.source.origins[0]) {
            (PinFrom::Debian(_), Origin::Debian { path }) => path.as_str().starts_with("pool/main/"),
            (PinFrom::Pypi(project), Origin::Pypi { project: locked, .. }) => project == locked,
            (PinFrom::Wheel(project), Origin::Pypi { project: locked, file }) => {
                project == locked && file.ends_with("-none-any.whl")
            }
            (PinFrom::Fixed { sha256, .. }, _) => sha256 == locked.source.sha256.to_string(),
            _ => false,
        };
        assert!(pinned, "{name}");
    }
}

/// A mirror in a directory, whose release file nobody signed.
fn unsigned_mirror(root: &Path) -> Fetcher {
    let packed = |text: &str| {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
        std::io::Write::write_all(&mut xz, text.as_bytes()).unwrap();
        xz.finish().unwrap()
    };
    let hash = "ab".repeat(32);
    let packages = format!(
        "Package: a\nVersion: 1\nFilename: pool/main/a/a_1_amd64.deb\nSize: 5\nSHA256: {hash}\nDepends: b\n\n\
                 Package: b\nVersion: 1\nFilename: pool/main/b/b_1_amd64.deb\nSize: 5\nSHA256: {hash}\n"
    );
    let mut sums = String::new();
    for (name, text) in [("main/binary-amd64/Packages.xz", packages.as_str()), ("main/source/Sources.xz", "")] {
        let path = root.join("dists/bookworm").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, packed(text)).unwrap();
        let (sha256, size) = sha256_of(&path).unwrap();
        sums += &format!(" {sha256} {size} {name}\n");
    }
    let release = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nCodename: bookworm\nVersion: 12.1\nSHA256:\n{sums}\
         -----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"
    );
    fs::write(root.join("dists/bookworm/InRelease"), release).unwrap();
    let mut settings = FetchSettings::new(root.join("partials"));
    settings.debian_mirrors = Some(vec![format!("file://{}", root.display())]);
    Fetcher::new(settings)
}

#[test]
fn an_unsigned_release_is_refused_or_said_to_be_unchecked() {
    let dir = tempfile::tempdir().unwrap();
    let fetcher = unsigned_mirror(dir.path());
    let wanted =
        "[debian]\nsuite = \"bookworm\"\ncomponent = \"main\"\narchitecture = \"amd64\"\n[images.x]\nseeds = [\"a\"]\n";
    fs::write(dir.path().join("wanted.toml"), wanted).unwrap();
    match lock(dir.path(), &BTreeMap::new(), None, &dir.path().join("scratch"), &fetcher, &Silent) {
        // Where Debian's keys are installed.
        Err(error @ LockError::Signature { .. }) => {
            assert!(error.to_string().contains("`bookworm` has no good signature"), "{error}");
            assert!(!dir.path().join("images.toml").exists());
        }
        // Where they are not, it works and the report says so.
        Ok(report) => {
            assert!(matches!(report.signature, pynbox_build::lock::Signature::NotChecked(_)));
            let text = fs::read_to_string(dir.path().join("images.toml")).unwrap();
            assert!(text.contains("packages = [\"a\", \"b\"]"), "{text}");
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_cannot_be_locked_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let fetcher = unsigned_mirror(dir.path());
    let locked = |wanted: &str| {
        fs::write(dir.path().join("wanted.toml"), wanted).unwrap();
        lock(dir.path(), &BTreeMap::new(), None, &dir.path().join("scratch"), &fetcher, &Silent)
            .unwrap_err()
            .to_string()
    };
    assert!(locked("x = 1").contains("wanted.toml`: "));
    // Recipes say which sources they build.
    assert!(locked("[sources.x]\nversion = \"1\"").contains("unknown field `sources`"));
    let message = locked("[debian]\nsuite = \"sid\"\ncomponent = \"main\"\narchitecture = \"amd64\"\n");
    assert!(message.contains("`dists/sid/InRelease` can't be had") && message.contains("`debian-mirror`"), "{message}");
}
