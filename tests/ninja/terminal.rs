//! What `build` shows on terminals: bars that fit, also where there is little room, and colours
//! only where somebody wants them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::space::{Space, ninjas};

const ROWS: u16 = 24;
const BUILD: [&str; 5] = ["build", "greeting", "--offline", "--target", "x86_64-linux"];

/// What a terminal showed.
struct Shown {
    /// All screens, as the rows that are not empty.
    screens: Vec<Vec<String>>,
    /// Whether a colour was set.
    colors: bool,
    success: bool,
}

fn is_of_bars(row: &str) -> bool {
    row.starts_with('[') || row.contains(" s  x86_64-linux/")
}

/// Runs the program at a terminal of so many columns.
fn shown(space: &Space, columns: u16, arguments: &[&str], variables: &[(&str, &str)]) -> Shown {
    let size = PtySize { rows: ROWS, cols: columns, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let tool = space.tool(arguments);
    let mut command = CommandBuilder::new(tool.get_program());
    command.args(tool.get_args());
    command.cwd(tool.get_current_dir().unwrap());
    command.env("TERM", "xterm-256color");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    variables.iter().for_each(|(name, value)| command.env(name, value));
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut terminal = vt100::Parser::new(NonZero::new(ROWS).unwrap(), NonZero::new(columns).unwrap(), 0);
    let mut shown = Shown { screens: Vec::new(), colors: false, success: false };
    let mut buffer = [0; 4096];
    // Linux says so when the last program has left the terminal.
    while let Ok(length @ 1..) = reader.read(&mut buffer) {
        // Byte by byte: a screen between two writes counts, too.
        for byte in &buffer[..length] {
            terminal.process(&[*byte]);
            let screen = terminal.screen();
            shown.colors |= screen.fgcolor() != vt100::Color::Default || screen.dim();
        }
        let rows = terminal.screen().rows(0, columns).filter(|row| !row.is_empty());
        shown.screens.push(rows.collect());
    }
    shown.success = child.wait().unwrap().success();
    shown
}

#[test]
fn a_build_draws_bars_that_fit_the_terminal_and_removes_them() {
    for columns in [80, 40] {
        let space = Space::new(&ninjas()[0]);
        // Something to do, so that it is seen running.
        let work: String =
            (0..600).map(|number| format!("int work{number}(int a) {{ return a * {number}; }}\n")).collect();
        let mut words = File::options().append(true).open(space.path("recipes/files/greeting/words.c")).unwrap();
        words.write_all(work.as_bytes()).unwrap();
        let shown = shown(&space, columns, &BUILD, &[]);
        assert!(shown.success && shown.colors, "{columns}: {:?}", shown.screens);
        // What did not fit would go on in the next row.
        for screen in &shown.screens {
            let mut bars = screen.iter().skip_while(|row| !row.starts_with('['));
            assert!(bars.all(|row| row.starts_with('[') || row.starts_with("   ")), "{columns}: {screen:?}");
        }
        let rows = |begins: &str| shown.screens.iter().flatten().filter(|row| row.starts_with(begins)).count();
        assert!(rows("[") > 0, "{:?}", shown.screens);
        let running = |row: &&String| row.contains(" s  x86_64-linux/greeting/");
        assert!(shown.screens.iter().flatten().any(|row| running(&row)), "{:?}", shown.screens);
        let last = shown.screens.last().unwrap();
        assert!(last.last().unwrap().starts_with("built 4 nodes in "), "{last:?}");
        assert!(!last.iter().any(|row| is_of_bars(row)), "{last:?}");
    }
}

#[test]
fn a_build_is_drawn_without_colours_where_nobody_wants_them() {
    let never: Vec<_> = BUILD.iter().copied().chain(["--color", "never"]).collect();
    for (arguments, no_color) in [(&BUILD[..], "1"), (&never, "")] {
        let space = Space::new(&ninjas()[0]);
        let shown = shown(&space, 80, arguments, &[("NO_COLOR", no_color)]);
        assert!(shown.success && !shown.colors, "{arguments:?} {no_color}: {:?}", shown.screens);
        assert!(shown.screens.iter().flatten().any(|row| row.starts_with('[')), "{:?}", shown.screens);
    }
}

#[test]
fn an_error_is_red_on_a_terminal_and_plain_elsewhere() {
    let space = Space::new(&ninjas()[0]);
    space.edit("words.c", "return", "retrun");
    let seen = shown(&space, 80, &BUILD, &[]);
    assert!(!seen.success && seen.colors, "{:?}", seen.screens);
    let piped = space.tool(&BUILD).output().unwrap();
    let text = [piped.stdout, piped.stderr].concat();
    assert!(!text.contains(&0x1b) && !text.contains(&b'\r'), "{}", String::from_utf8_lossy(&text));
}
