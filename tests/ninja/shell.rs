//! `shell`: at a terminal, with job control and its size; without one, as a script; under both
//! executors.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::space::{Space, ninjas};

const NODE: &str = "x86_64-linux/greeting/words.o";

/// A space whose unit does not compile, because of the word `retrun`.
fn failed() -> Space {
    let space = Space::new(&ninjas()[0]);
    space.edit("words.c", "return", "retrun");
    space.generate();
    space.failing_build();
    space
}

/// A program at a terminal of its own.
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn std::io::Write + Send>,
    shown: Receiver<Vec<u8>>,
    child: Box<dyn Child + Send + Sync>,
    text: String,
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    fn new(space: &Space, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(30, 100)).unwrap();
        let tool = space.tool(arguments);
        let mut command = CommandBuilder::new(tool.get_program());
        command.args(tool.get_args());
        command.cwd(tool.get_current_dir().unwrap());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: pair.master, keys, shown, child, text: String::new() }
    }

    fn write(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads until a text was shown, and gives what was shown up to its end.
    fn until(&mut self, wanted: &str) -> String {
        loop {
            if let Some(at) = self.text.find(wanted) {
                let rest = self.text.split_off(at + wanted.len());
                return std::mem::replace(&mut self.text, rest);
            }
            match self.shown.recv_timeout(Duration::from_secs(120)) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => panic!("waited in vain for `{wanted}`: {}", self.text),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without `{wanted}`: {}", self.text),
            }
        }
    }

    /// Has the shell run a command, and gives what that printed. The marks are no part of what is
    /// typed.
    fn says(&mut self, command: &str) -> String {
        self.write(&format!("echo be''gin; {command}; echo e''nd\n"));
        self.until("begin\r\n");
        self.until("end\r\n").strip_suffix("end\r\n").unwrap().replace("\r\n", "\n")
    }
}

fn at_a_terminal(options: &[&str]) {
    let space = failed();
    let mut terminal = Terminal::new(&space, &[options, &["shell", NODE]].concat());
    assert_eq!(terminal.says("pwd; stty size; echo $HOME $SOURCE_DATE_EPOCH"), "/build\n30 100\n/build 315619200\n");
    assert!(terminal.says("cat src/words.c").contains("retrun"));
    // The window is made larger while the shell runs.
    terminal.master.resize(size(50, 120)).unwrap();
    terminal.write("until stty size | grep -x '50 120'; do :; done; echo re''sized\n");
    terminal.until("resized");
    // Control-C ends the program in the foreground, and neither the shell nor the tool.
    terminal.write("sh -c 'echo wai''ting; exec cat'\n");
    terminal.until("waiting");
    terminal.write("\u{3}");
    // What is typed before the prompt may be thrown away with the program's input.
    terminal.until("^C");
    terminal.until("# ");
    terminal.write("echo st''atus $?\n");
    terminal.until("status ");
    assert!(terminal.until("\n").starts_with("130"));
    // Control-Z stops it, and `fg` goes on with it.
    terminal.write("sh -c 'echo wai''ting; read line; echo got $line'\n");
    terminal.until("waiting");
    terminal.write("\u{1a}");
    terminal.until("Stopped");
    terminal.until("# ");
    terminal.write("echo at''prompt; fg\n");
    terminal.until("atprompt");
    terminal.until("read line");
    terminal.write("some words\n");
    terminal.until("got some words");
    terminal.write("exit 5\n");
    assert_eq!(terminal.child.wait().unwrap().exit_code(), 5);
}

fn as_a_script(options: &[&str]) {
    let space = failed();
    let arguments = [options, &["shell", NODE]].concat();
    let mut command = space.tool(&arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"pwd; grep -c retrun src/words.c; ls -d objects; exit 9\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/build\n1\nobjects\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("error"), "it runs no command but those of its script: {said}");
    assert!(!said.contains("setlocale"), "its locale is one that the image has: {said}");
    assert_eq!(output.status.code(), Some(9));
    // The end of standard input is the end of the script.
    let output = space.tool(&arguments).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_terminal_gets_a_shell_with_job_control() {
    at_a_terminal(&[]);
}

#[test]
fn without_a_terminal_standard_input_is_the_script() {
    as_a_script(&[]);
}

#[test]
#[ignore = "needs a Docker daemon"]
fn docker_gives_the_same_shell() {
    at_a_terminal(&["--executor", "docker"]);
    as_a_script(&["--executor", "docker"]);
}
