//! A build whose actions a real engine runs: the same digests, who ran what is remembered, and what
//! that is worth to others.

use std::fs;
use std::path::Path;

use super::space::{Space, actions};

const TARGET: &str = "x86_64-linux";
const GRAPH: &str = "x86_64-linux/greeting/";
/// The user whom the worker's own container shows: nobody may hand on user 0 of a container without
/// rights.
const PLATFORM: &str = "platform = { unixUID = '1000', unixGID = '1000' }\n";

/// The same project on a machine of its own, with these settings.
fn machine(project: &Space, settings: &str) -> Space {
    let mut space = project.clone_to_another_folder();
    space.use_own_store();
    fs::write(space.path("pynbox.toml"), settings).unwrap();
    space
}

/// `gen && ninja` with the engine; gives all that was printed.
fn build(space: &Space) -> String {
    let generated = space.run(&["--executor", "reapi", "gen", "--target", TARGET]);
    generated + &space.ninja("greeting")
}

fn engine(url: &str) -> String {
    format!("[engine]\nname = 'farm'\nurl = '{url}'\n")
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn an_engine_builds_what_is_built_here() {
    let server = testing::engines::casd();
    let mut here = Space::new("ninja");
    here.use_own_store();
    here.generate();
    here.build();

    let remote = tempfile::tempdir().unwrap();
    let key = remote.path().join("key.pem");
    let trusted = here.run(&["cache", "keygen", key.to_str().unwrap()]);
    let writes = |role: &str| {
        format!("[[remote]]\nname = 'team'\nurl = '{}'\nrole = '{role}'\n", remote.path().join("cache").display())
    };
    fs::create_dir(remote.path().join("cache")).unwrap();
    let signs = |engines: &str| format!("[trust]\nsigning-key = '{}'\nengines = [{engines}]\n{trusted}", key.display());

    // The engine is not trusted by name: what it made is taken here, and goes no further.
    let settings = engine(&server.endpoint.url) + PLATFORM + &writes("read-write");
    let there = machine(&here, &(settings.clone() + &signs("")));
    let printed = build(&there);
    assert_eq!(actions(&printed), ["greeting", "main.o", "words.o"]);
    assert!(!printed.contains("here, not on the engine"), "{printed}");
    assert_eq!(there.digest("package"), here.digest("package"));
    assert_eq!(there.output(), "hello from a recipe of your own\n");
    let said = there.run(&["cache", "sign", GRAPH]);
    assert!(said.contains("is not signed: the engine `farm` computed it"), "{said}");
    let reader = |engines: &str| {
        let settings = writes("read") + &format!("[trust]\nengines = [{engines}]\n{trusted}");
        let space = machine(&here, &settings);
        space.run(&["gen", "--target", TARGET]);
        actions(&space.ninja("greeting"))
    };
    assert_eq!(reader("'farm'"), ["greeting", "main.o", "words.o"], "nothing of it is on the remote");

    // It is: then its results are signed on, with its name, and taken by those who trust that name
    // too.
    fs::write(there.path("pynbox.toml"), settings + &signs("'farm'")).unwrap();
    there.run(&["gen", "--target", TARGET]);
    let said = there.run(&["cache", "sign", GRAPH]);
    assert!(said.contains("; 0 not signed, 0 not in the store"), "{said}");
    assert_eq!(reader(""), ["greeting", "main.o", "words.o"], "a reader who does not trust it");
    assert_eq!(reader("'farm'"), [""; 0]);
}

#[test]
#[ignore = "needs buildbox-casd: PYNBOX_TEST_BUILDBOX"]
fn what_an_engine_can_not_do_is_done_here_and_said() {
    let server = testing::engines::casd();
    let mut here = Space::new("ninja");
    here.use_own_store();
    // A worker that lets no process make a view of its own.
    let unfit = machine(&here, &engine(&server.endpoint.url));
    let printed = build(&unfit);
    assert!(printed.contains("/main.o` runs here, not on the engine `farm`: "), "{printed}");
    assert_eq!(unfit.output(), "hello from a recipe of your own\n");
    // Nobody there.
    let nobody = machine(&here, &engine(&format!("grpc://127.0.0.1:{}", testing::free_port())));
    let printed = build(&nobody);
    assert!(printed.contains("actions run here, not on the engine `farm`: "), "{printed}");
    assert_eq!(nobody.output(), "hello from a recipe of your own\n");
    assert_eq!(nobody.digest("package"), unfit.digest("package"));
    // An action that fails there fails, and what it left is here.
    let failing = machine(&here, &(engine(&server.endpoint.url) + PLATFORM));
    failing.write_file("words.c", "#error of mine\n");
    failing.run(&["--executor", "reapi", "gen", "--target", TARGET]);
    let printed = failing.failing_build();
    assert!(printed.contains("error of mine"), "{printed}");
    assert!(!printed.contains("here, not on the engine"), "{printed}");
    assert!(Path::new(&failing.path("out/failed")).exists());
}
