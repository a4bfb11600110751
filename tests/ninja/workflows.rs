//! The examples for CI services do what they say: what a job of the default branch runs of this
//! program is run here, and every other call of it has options that exist.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::space::{EXECUTABLE, Space, ninjas};

const PROGRAM: &str = "target/release/pynbox-build";

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/ci").join(name)).unwrap()
}

/// The items of a list of GitLab's file: the commands of a job.
fn commands(text: &str, job: &str, list: &str) -> Vec<String> {
    let job = text.split(&format!("\n{job}:\n")).nth(1).unwrap();
    let job: Vec<_> = job.lines().take_while(|line| line.is_empty() || line.starts_with("  ")).collect();
    let items = job.iter().skip_while(|line| **line != format!("  {list}:")).skip(1);
    items
        .map_while(|line| line.strip_prefix("    "))
        .filter_map(|line| line.strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_job_of_a_protected_branch_publishes_with_its_statements() {
    let text = example("gitlab.yml");
    let space = Space::new(&ninjas()[0]);
    fs::create_dir_all(space.path("target/release")).unwrap();
    std::os::unix::fs::symlink(EXECUTABLE, space.path(PROGRAM)).unwrap();
    let trusted = space.run(&["cache", "keygen", "signing.pem"]);
    fs::create_dir(space.path("cache")).unwrap();
    // What the service sets, and what the file says of variables.
    assert!(text.contains("PYNBOX_REMOTES: \"team:rw=$CACHE_URL\""), "{text}");
    let mut script = "set -e; export PYNBOX_SIGNING_KEY=signing.pem PYNBOX_REMOTES=team:rw=cache\n".to_owned();
    // Of the commands before, those that install programs and compile this one are not for here.
    let before = commands(&text, "main", "before_script");
    assert_eq!(before.last().unwrap(), "!reference [.pynbox, before_script]");
    let own = commands(&text, "main", "script");
    assert_eq!(own.iter().filter(|line| line.starts_with(PROGRAM)).count(), 2, "{own:?}");
    for line in before[..before.len() - 1].iter().chain(&own) {
        script += &format!("{line}\n");
    }
    let mut job = Command::new("sh");
    job.args(["-c", &script]).current_dir(space.path(""));
    job.env("REPOSITORY", space.path("repository")).env("CI_JOB_URL", "urn:job:7");
    let done = job.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));

    let summary = fs::read_to_string(space.path("summary.md")).unwrap();
    for step in ["gen", "ninja", "report", "install", "bin/test_pynbox", "provenance", "sbom", "export", "publish"] {
        assert!(summary.contains(&format!("| `{step}` | ")), "{step}: {summary}");
    }
    let statement = |name: &str| fs::read_to_string(space.path("statements").join(name)).unwrap();
    assert!(statement("provenance.json").contains("https://slsa.dev/provenance/v1"));
    assert!(statement("provenance.dsse.json").contains("application/vnd.in-toto+json"));
    // The loader's crates are listed, too.
    assert!(statement("sbom.spdx.json").contains("pkg:cargo/wasmtime@"));
    assert!(statement("sbom.cdx.json").contains("pkg:cargo/wasmtime@"));
    assert!(statement("report.html").contains("<title>"));
    // What was published is signed by the key, and by no other.
    let keys = space.run(&["cache", "keygen", "other.pem"]);
    let repository = space.path("repository");
    let search = ["search", "greeting", "--repo", repository.to_str().unwrap(), "--trust"];
    let key = |text: &str| text.split('"').nth(1).unwrap().to_owned();
    assert!(space.run(&[&search[..], &[&key(&trusted)]].concat()).contains("greeting"));
    assert!(space.fail(&[&search[..], &[&key(&keys)]].concat()).starts_with("exit code "), "another key counts");
}

#[test]
fn every_call_of_the_program_in_the_examples_has_options_that_exist() {
    let mut calls = 0;
    for name in ["github.yml", "gitlab.yml"] {
        for line in example(name).lines() {
            let Some((_, call)) = line.split_once(PROGRAM) else { continue };
            let call = call.split([';', '>']).next().unwrap();
            let script = format!("{EXECUTABLE} {call} --help");
            let done = Command::new("sh").args(["-c", &script]).env("pack", "pack").output().unwrap();
            assert!(done.status.success(), "{name}: {line}: {}", String::from_utf8_lossy(&done.stderr));
            calls += 1;
        }
    }
    assert!(calls >= 7, "{calls}");
}

#[test]
fn pull_requests_get_neither_the_key_nor_the_repository() {
    let github = example("github.yml");
    let (build, rest) = github.split_once("\n  attest:").unwrap();
    assert!(!build.contains("secrets.") && !build.contains("publish \"") && !build.contains("--publish"), "{build}");
    let (attest, publish) = rest.split_once("\n  publish:").unwrap();
    for job in [attest, publish] {
        assert!(job.starts_with("\n    if: github.ref == 'refs/heads/main'\n"), "{job}");
    }
    let gitlab = example("gitlab.yml");
    let request = gitlab.split_once("\nmerge-request:").unwrap().1.split_once("\nmain:").unwrap().0;
    let shared = gitlab.split_once("\n.pynbox:").unwrap().1.split_once("\nmerge-request:").unwrap().0;
    assert!(!request.contains("KEY") && !request.contains(":rw") && !shared.contains("publish"), "{request}{shared}");
}
