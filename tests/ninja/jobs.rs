//! Two jobs of a CI service: one on a protected branch, which has the key and writes, and others in
//! clean clones with empty stores, which read. Over each kind of remote, with the real servers.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::space::{Space, actions};

const TARGET: &str = "x86_64-linux";
const GRAPH: &str = "x86_64-linux/greeting/";
/// The nodes whose files are on the remote; the last is what is installed.
const NODES: [&str; 4] = ["main.o", "words.o", "greeting", "package"];

/// A repository, the remote that its settings name, and keys.
struct Service {
    folder: tempfile::TempDir,
    repository: Space,
    remote: String,
    trusted: String,
}

impl Service {
    /// `remote` is what settings say of the remote, but for its name and role.
    fn new(remote: String) -> Self {
        let mut repository = Space::new("ninja");
        let folder = tempfile::tempdir().unwrap();
        repository.use_empty_store();
        let key = folder.path().join("key.pem");
        let trusted = repository.run(&["cache", "keygen", key.to_str().unwrap()]);
        let service = Self { folder, repository, remote, trusted };
        fs::write(service.repository.path("pynbox.toml"), service.settings("read")).unwrap();
        fs::write(service.repository.path(".gitignore"), "out/\nbuild.ninja\n").unwrap();
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
            let done = Command::new("git").args(who).args(arguments).current_dir(service.repository.path("")).output();
            assert!(done.as_ref().unwrap().status.success(), "{done:?}");
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "Greet"]);
        service
    }

    /// What a job's `pynbox.toml` says: everybody's, but for the role.
    fn settings(&self, role: &str) -> String {
        format!("[[remote]]\nname = 'team'\nrole = '{role}'\ntimeout = 20\n{}\n{}", self.remote, self.trusted)
    }

    /// A clean clone with an empty store, without a key.
    fn job(&self) -> Job {
        let mut space = self.repository.git_clone();
        space.use_empty_store();
        Job { space }
    }

    /// The same on a machine that keeps its store, so that images need not be fetched.
    fn job_on_a_kept_machine(&self) -> Job {
        let mut space = self.repository.git_clone();
        space.use_own_store();
        Job { space }
    }

    /// A job that writes, and signs with the key of this name, or with none.
    fn writing_job(&self, key: Option<&str>) -> Job {
        let mut job = self.job_on_a_kept_machine();
        let mut settings = self.settings("read-write");
        match key {
            Some(key) => job.space.environment.push(("PYNBOX_SIGNING_KEY", self.folder.path().join(key).into())),
            // What is to hold signed results gets no others of its own accord.
            None => settings = settings.replacen("role =", "unsigned = true\nrole =", 1),
        }
        fs::write(job.space.path("pynbox.toml"), settings).unwrap();
        job
    }
}

/// A job of the service.
struct Job {
    space: Space,
}

impl Job {
    /// `gen && ninja`; gives which actions were run, and what gen warned of.
    fn build(&self) -> (Vec<String>, String) {
        let output = self.space.tool(&["gen", "--target", TARGET]).output().unwrap();
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{warnings}");
        (actions(&self.space.ninja("greeting")), warnings)
    }

    /// The digests of the files of a node.
    fn files(&self, node: &str) -> BTreeSet<String> {
        let listing = self.space.run(&["checkout", &format!("{GRAPH}{node}"), "--list"]);
        listing.split('"').filter(|word| word.len() == 64).map(ToOwned::to_owned).collect()
    }

    /// The digests of all files in the job's store.
    fn held(&self) -> BTreeSet<String> {
        let blobs = names_below(self.space.store().join("blobs"));
        blobs.into_iter().map(|name| name.trim_end_matches('x').to_owned()).collect()
    }

    fn edit(&self) {
        self.space.edit("words.c", "recipe", "file");
    }
}

fn names_below(folder: PathBuf) -> Vec<String> {
    let shards = fs::read_dir(folder).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The jobs; `fetched` says how many files the remote has given out until now, if it counts.
fn jobs(remote: String, fetched: &dyn Fn() -> Option<usize>) {
    let service = Service::new(remote);
    let first = service.writing_job(Some("key.pem"));
    assert_eq!(first.build().0, ["greeting", "main.o", "words.o"]);
    // Images were known to this machine before; clean machines know nothing.
    let said = first.space.run(&["cache", "sign", GRAPH]);
    assert!(said.contains("; 0 not signed, 0 not in the store"), "{said}");
    let files: Vec<_> = NODES.iter().map(|node| first.files(node)).collect();
    assert!(files.iter().all(|files| files.len() == 1), "{files:?}");

    let second = service.job();
    let before = fetched();
    assert_eq!(second.build().0, [""; 0]);
    assert_eq!(fetched(), before, "to know is not to fetch");
    let held = second.held();
    assert!(files.iter().all(|files| files.is_disjoint(&held)));
    let package = second.space.path("package");
    second.space.run(&["checkout", &format!("{GRAPH}package"), package.to_str().unwrap()]);
    assert_eq!(second.held().difference(&held).cloned().collect::<BTreeSet<_>>(), files[3]);
    assert_eq!(fetched(), before.map(|count| count + 1), "the package alone");
    assert_eq!(second.space.digest("package"), first.space.digest("package"));

    // A pull request: what it changes is built, and nobody else hears of it.
    for _ in 0..2 {
        let request = service.job_on_a_kept_machine();
        request.edit();
        assert_eq!(request.build().0, ["greeting", "words.o"]);
        assert_eq!(request.space.output(), "hello from a file of your own\n");
        let refusal = request.space.fail(&["cache", "sign", GRAPH]);
        assert!(refusal.starts_with("exit code 2\n") && refusal.contains("no remote is to be written to"), "{refusal}");
    }
    // One that writes nevertheless, unsigned or with a key of its own, is not believed.
    let own = service.folder.path().join("own.pem");
    service.repository.run(&["cache", "keygen", own.to_str().unwrap()]);
    for (key, refusal) in [(None, "nobody has signed it"), (Some("own.pem"), "is not among the trusted keys")] {
        let request = service.writing_job(key);
        request.edit();
        assert_eq!(request.build().0, ["greeting", "words.o"]);
        let next = service.job_on_a_kept_machine();
        next.edit();
        let (ran, warnings) = next.build();
        assert_eq!(ran, ["greeting", "words.o"]);
        assert!(warnings.contains("remote `team`: the result of ") && warnings.contains(refusal), "{warnings}");
    }
    // Nor has it spoiled what the protected branch wrote.
    assert_eq!(service.job().build().0, [""; 0]);
}

#[test]
fn jobs_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    jobs(format!("url = '{}'", folder.path().display()), &|| None);
}

#[test]
fn jobs_share_a_web_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = testing::web::nginx(folder.path());
    let log = folder.path().join("logs/access");
    let fetched = || {
        let log = fs::read_to_string(&log).unwrap();
        Some(log.lines().filter(|line| line.contains("\"GET /cas/") && line.contains(" 200 ")).count())
    };
    jobs(format!("url = 'http://127.0.0.1:{}'", server.port), &fetched);
}

#[test]
fn jobs_share_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let server = testing::web::s3(folder.path());
    let endpoint = format!("endpoint = 'http://127.0.0.1:{}'", server.port);
    jobs(format!("url = 's3://KEY:SECRET@bucket/prefix'\n{endpoint}"), &|| None);
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn jobs_share_a_server_of_the_remote_execution_api() {
    let server = testing::engines::casd();
    jobs(format!("url = '{}'", server.endpoint.url), &|| None);
}
