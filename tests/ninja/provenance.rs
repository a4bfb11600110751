//! What is stated of a node that was built here: statements, bills of materials, and comparing it
//! with another store.

use std::fs;
use std::process::Command;

use super::space::Space;

const NODE: &str = "x86_64-linux/greeting/greeting";

fn built() -> Space {
    let space = Space::new("ninja");
    space.generate();
    space.build();
    space
}

#[test]
fn the_same_build_states_the_same() {
    let space = built();
    let statement = space.run(&["provenance", NODE]);
    assert_eq!(space.run(&["provenance", NODE]), statement);
    for part in [
        r#""predicateType": "https://slsa.dev/provenance/v1""#,
        r#""node": "x86_64-linux/greeting/greeting""#,
        r#""name": "greeting""#,
        r#""sha256": ""#,
        r#""kind": "tool""#,
        r#""kind": "files""#,
        r#""uri": "debian:pool/main/"#,
    ] {
        assert!(statement.contains(part), "{part}: {statement}");
    }
    assert!(!statement.contains("finishedOn") && !statement.contains("invocationId"), "{statement}");
    let asked = space.run(&["provenance", NODE, "--finished-now", "--invocation", "urn:job:7", "--builder", "urn:me"]);
    for part in [r#""finishedOn": ""#, r#""invocationId": "urn:job:7""#, r#""id": "urn:me""#] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    for format in ["spdx", "cyclonedx"] {
        let bill = space.run(&["sbom", NODE, "--format", format]);
        assert_eq!(space.run(&["sbom", NODE, "--format", format]), bill);
        assert!(bill.contains("pkg:deb/debian/"), "{bill}");
    }
    let licensed = space.run(&["sbom", "x86_64-linux/zlib/adler32.o"]);
    assert!(licensed.contains(r#""licenseDeclared": "Zlib""#), "{licensed}");
    space.edit("words.c", "recipe", "file");
    let refused = space.fail(&["provenance", NODE]);
    assert!(refused.starts_with("exit code 2\n"), "a statement of what is not built: {refused}");
}

#[test]
fn a_signed_statement_is_an_envelope() {
    let space = built();
    let key = space.path("key.pem").display().to_string();
    space.run(&["cache", "keygen", &key]);
    let envelope = space.run(&["provenance", NODE, "--sign", &key]);
    for part in [r#""payloadType": "application/vnd.in-toto+json""#, r#""keyid": ""#, r#""sig": ""#] {
        assert!(envelope.contains(part), "{part}: {envelope}");
    }
    assert_eq!(space.run(&["provenance", NODE, "--sign", &key]), envelope, "Ed25519 signs without chance");
}

#[test]
#[ignore = "needs spdx-tools, cyclonedx-python-lib and in-toto-attestation: PYNBOX_TEST_ATTEST"]
fn documents_are_valid_by_the_tools_of_their_formats() {
    let python = std::env::var_os("PYNBOX_TEST_ATTEST").expect("PYNBOX_TEST_ATTEST names a Python");
    let space = built();
    let check = |kind: &str, text: &str| {
        let file = space.path("document.json");
        fs::write(&file, text).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/attest.py");
        let output = Command::new(&python).args([script, kind]).arg(&file).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (kind, verb) in [
        ("statement", &["provenance", NODE][..]),
        ("spdx", &["sbom", NODE, "--format", "spdx"]),
        ("cyclonedx", &["sbom", NODE, "--format", "cyclonedx"]),
    ] {
        let document = space.run(verb);
        assert_eq!(check(kind, &document), (true, String::new()), "{kind}");
        // The tools do look.
        let broken = document.replace(r#""name": "#, r#""nome": "#);
        assert!(!check(kind, &broken).0, "{kind}");
    }
}

/// A package of the project is published with a statement, which comes with it.
#[test]
fn packages_are_published_with_statements() {
    let mut space = built();
    let key = space.path("key.pem").display().to_string();
    space.run(&["cache", "keygen", &key]);
    space.environment.push(("PYNBOX_SIGNING_KEY", key.into()));
    let publish = |more: &[&str]| {
        let line = ["publish", "repository", "--target", "x86_64-linux", "--no-code", "--no-tool"];
        space.run(&[&line[..], more].concat())
    };
    publish(&["--builder", "urn:me"]);
    let statements = || {
        let files = fs::read_dir(space.path("repository/provenance")).unwrap().map(|file| file.unwrap().path());
        files.map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    let [statement] = &statements()[..] else { panic!("one package, one statement") };
    let envelope: serde_json::Value = serde_json::from_slice(statement).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    // Once it is stated, it stays so.
    publish(&[]);
    assert_eq!(statements().len(), 1);
    let index = fs::read_to_string(space.path("repository/index.json")).unwrap();
    assert!(index.contains("\"payloadType\":\"application/vnd.pynbox.index+json\""), "{index}");
}
