//! Programs of a project: entry points, and scripts of a wheel.

use build_graph::untrusted::printable;

use super::Unreadable;

/// The most programs that one project has.
const MAX_PROGRAMS: usize = 1024;

/// A program that calls a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    module: String,
    object: String,
}

impl Program {
    /// Its text, for the interpreter that lies at this path.
    pub fn text(&self, interpreter: &str) -> String {
        let Self { module, object, .. } = self;
        let first = object.split('.').next().unwrap_or(object);
        format!("#!{interpreter}\nimport sys\nfrom {module} import {first}\nsys.exit({object}())\n")
    }
}

/// Reads the programs of `entry_points.txt`: those of the groups `console_scripts` and
/// `gui_scripts`.
///
/// # Errors
/// [`Unreadable`] if it is no text, a line is malformed, or a program can't have its name.
pub fn programs(bytes: &[u8]) -> Result<Vec<Program>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::new("it is not UTF-8"))?;
    let mut programs: Vec<Program> = Vec::new();
    let mut of_programs = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(group) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            of_programs = matches!(group.trim(), "console_scripts" | "gui_scripts");
            continue;
        }
        if !of_programs {
            continue;
        }
        let program = program(line)?;
        if programs.iter().any(|other| other.name == program.name) {
            return Err(Unreadable::new(format!("the program `{}` is there twice", program.name)));
        }
        programs.push(program);
        if programs.len() > MAX_PROGRAMS {
            return Err(Unreadable::new(format!("it has more than {MAX_PROGRAMS} programs")));
        }
    }
    Ok(programs)
}

/// `NAME = MODULE:OBJECT [EXTRA]`.
fn program(line: &str) -> Result<Program, Unreadable> {
    let malformed = || Unreadable::new(format!("`{}` is no program's entry point", printable(line)));
    let (name, reference) = line.split_once('=').ok_or_else(malformed)?;
    let reference = reference.split('[').next().unwrap_or(reference);
    let (module, object) = reference.split_once(':').ok_or_else(malformed)?;
    let [name, module, object] = [name, module, object].map(|part| part.trim().to_owned());
    // They become part of a path and of a Python program.
    match is_file_name(&name) && is_dotted(&module) && is_dotted(&object) {
        true => Ok(Program { name, module, object }),
        false => Err(malformed()),
    }
}

fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.len() < 200 && name.bytes().all(plain)
}

fn is_dotted(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.starts_with(|char: char| char.is_ascii_digit())
            && !word.is_empty()
            && word.chars().all(|char| char.is_alphanumeric() || char == '_')
    };
    name.split('.').all(is_word)
}

/// A script of a wheel whose first line names Python, with the interpreter at this path in its
/// place; `None` if it does not.
pub fn with_interpreter(script: &[u8], interpreter: &str) -> Option<Vec<u8>> {
    let rest = script.strip_prefix(b"#!python")?;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let arguments = rest[..end].strip_prefix(b"w").unwrap_or(&rest[..end]);
    Some([b"#!", interpreter.as_bytes(), arguments.trim_ascii_end(), &rest[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points() {
        let text = "[pytest11]\nx = y\n\n[console_scripts]\n# c\nisympy = isympy:main\np.q-3= a.b : C.run [extra]\n";
        let programs = programs(text.as_bytes()).unwrap();
        assert_eq!(programs.iter().map(|program| program.name.as_str()).collect::<Vec<_>>(), ["isympy", "p.q-3"]);
        let text = "#!/python3/bin/python3\nimport sys\nfrom a.b import C\nsys.exit(C.run())\n";
        assert_eq!(programs[1].text("/python3/bin/python3"), text);
    }

    #[test]
    fn programs_with_evil_names() {
        for line in [
            "../x = a:b",
            "x/y = a:b",
            ".x = a:b",
            "x = a:b()",
            "x = a;import os:b",
            "x = a b:c",
            "x = a",
            "x",
            "x = :b",
            "x = a:",
            "x\u{1b} = a:b",
            "x = a.1:b",
        ] {
            let text = format!("[console_scripts]\n{line}\n");
            assert!(programs(text.as_bytes()).is_err(), "{line}");
        }
        assert!(programs(b"[console_scripts]\nx=a:b\nx=c:d\n").is_err());
    }

    #[test]
    fn first_lines() {
        let with =
            |script: &str| with_interpreter(script.as_bytes(), "/p").map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(with("#!python\nx").unwrap(), "#!/p\nx");
        assert_eq!(with("#!pythonw -E\r\nx").unwrap(), "#!/p -E\nx");
        assert_eq!(with("#!python").unwrap(), "#!/p");
        assert_eq!(with("#!/bin/sh\nx"), None);
    }
}
