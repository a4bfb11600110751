//! Environment markers: the conditions that follow `;` in a requirement.
//!
//! A marker is evaluated as it is written, in one pass. It is never brought into a normal form,
//! which can grow exponentially with a marker that a stranger wrote.

use std::str::FromStr as _;

use build_graph::untrusted::printable;
use pep440_rs::{Version, VersionSpecifier};

use super::Unreadable;
use super::names::ProjectName;
use super::requirement::Cursor;

/// How deep parentheses may be nested.
const MAX_DEPTH: usize = 64;

/// The environment that markers are evaluated for: one of CPython 3 in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `python_full_version`, such as `3.13.5`.
    pub version: Version,
    /// `platform_release`.
    pub release: String,
    /// `platform_version`.
    pub system_version: String,
}

impl Environment {
    /// The environment of a CPython of this version in the sandbox.
    pub fn new(version: Version) -> Self {
        Self { version, release: "0.0.0".to_owned(), system_version: "0.0.0".to_owned() }
    }

    /// The minor version of the language: 13 for 3.13.5.
    pub fn minor(&self) -> u64 {
        self.version.release().get(1).copied().unwrap_or(0)
    }

    /// What the interpreter gives for each variable, but for `extra`.
    pub fn value(&self, variable: Variable) -> String {
        match variable {
            Variable::PythonVersion => {
                let release: Vec<_> = self.version.release().iter().take(2).map(u64::to_string).collect();
                release.join(".")
            }
            Variable::PythonFullVersion | Variable::ImplementationVersion => self.version.to_string(),
            Variable::OsName => "posix".to_owned(),
            Variable::SysPlatform => "wasi".to_owned(),
            Variable::PlatformSystem => "wasi".to_owned(),
            Variable::PlatformMachine => "wasm32".to_owned(),
            Variable::PlatformRelease => self.release.clone(),
            Variable::PlatformVersion => self.system_version.clone(),
            Variable::PlatformPythonImplementation => "CPython".to_owned(),
            Variable::ImplementationName => "cpython".to_owned(),
            Variable::Extra => String::new(),
        }
    }
}

/// A variable of the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `python_version`.
    PythonVersion,
    /// `python_full_version`.
    PythonFullVersion,
    /// `os_name`.
    OsName,
    /// `sys_platform`.
    SysPlatform,
    /// `platform_system`.
    PlatformSystem,
    /// `platform_machine`.
    PlatformMachine,
    /// `platform_release`.
    PlatformRelease,
    /// `platform_version`.
    PlatformVersion,
    /// `platform_python_implementation`.
    PlatformPythonImplementation,
    /// `implementation_name`.
    ImplementationName,
    /// `implementation_version`.
    ImplementationVersion,
    /// `extra`: the extra of the project whose requirement it is.
    Extra,
}

impl Variable {
    /// All of them with their names, and the older names that are still read.
    pub const ALL: [(&'static str, Self); 18] = [
        ("python_version", Self::PythonVersion),
        ("python_full_version", Self::PythonFullVersion),
        ("os_name", Self::OsName),
        ("os.name", Self::OsName),
        ("sys_platform", Self::SysPlatform),
        ("sys.platform", Self::SysPlatform),
        ("platform_system", Self::PlatformSystem),
        ("platform_machine", Self::PlatformMachine),
        ("platform.machine", Self::PlatformMachine),
        ("platform_release", Self::PlatformRelease),
        ("platform_version", Self::PlatformVersion),
        ("platform.version", Self::PlatformVersion),
        ("platform_python_implementation", Self::PlatformPythonImplementation),
        ("platform.python_implementation", Self::PlatformPythonImplementation),
        ("python_implementation", Self::PlatformPythonImplementation),
        ("implementation_name", Self::ImplementationName),
        ("implementation_version", Self::ImplementationVersion),
        ("extra", Self::Extra),
    ];

    fn is_version(self) -> bool {
        matches!(self, Self::PythonVersion | Self::PythonFullVersion | Self::ImplementationVersion)
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(Condition);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Variable(Variable),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    /// Such as `>=`.
    Order(&'static str),
}

/// Longer ones before those that they begin with.
const ORDERS: [&str; 8] = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];

impl Marker {
    /// Reads a marker: all that the cursor has left.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Unreadable> {
        let condition = any(cursor, 0)?;
        cursor.blanks();
        match cursor.is_at_end() {
            true => Ok(Self(condition)),
            false => Err(cursor.error("the end of the marker, `and` or `or`")),
        }
    }

    /// Whether it holds in an environment, for a project of which one of these extras is wanted.
    pub fn holds(&self, environment: &Environment, extras: &[ProjectName]) -> bool {
        match extras {
            [] => self.0.holds(environment, None),
            extras => extras.iter().any(|extra| self.0.holds(environment, Some(extra))),
        }
    }
}

impl Condition {
    fn holds(&self, environment: &Environment, extra: Option<&ProjectName>) -> bool {
        match self {
            Self::Any(all) => all.iter().any(|one| one.holds(environment, extra)),
            Self::All(all) => all.iter().all(|one| one.holds(environment, extra)),
            Self::Compare(left, operator, right) => compare(left, *operator, right, environment, extra),
        }
    }
}

fn any(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Unreadable> {
    joined(cursor, depth, "or", all).map(Condition::Any)
}

fn all(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Unreadable> {
    joined(cursor, depth, "and", single).map(Condition::All)
}

fn joined(
    cursor: &mut Cursor<'_>,
    depth: usize,
    word: &str,
    part: fn(&mut Cursor<'_>, usize) -> Result<Condition, Unreadable>,
) -> Result<Vec<Condition>, Unreadable> {
    let mut parts = vec![part(cursor, depth)?];
    loop {
        cursor.blanks();
        if !cursor.takes_word(word) {
            return Ok(parts);
        }
        parts.push(part(cursor, depth)?);
    }
}

fn single(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Unreadable> {
    cursor.blanks();
    if cursor.takes("(") {
        if depth >= MAX_DEPTH {
            return Err(cursor.error("fewer parentheses in one another"));
        }
        let inner = any(cursor, depth + 1)?;
        cursor.blanks();
        return if cursor.takes(")") { Ok(inner) } else { Err(cursor.error("`)`")) };
    }
    let left = operand(cursor)?;
    cursor.blanks();
    let operator = operator(cursor)?;
    cursor.blanks();
    let right = operand(cursor)?;
    match (&left, &right) {
        (Operand::Text(_), Operand::Text(_)) => Err(Unreadable::new("a marker compares two texts")),
        _ => Ok(Condition::Compare(left, operator, right)),
    }
}

fn operator(cursor: &mut Cursor<'_>) -> Result<Operator, Unreadable> {
    if let Some(order) = ORDERS.iter().find(|order| cursor.takes(order)) {
        return Ok(Operator::Order(order));
    }
    if cursor.takes_word("in") {
        return Ok(Operator::In);
    }
    if cursor.takes_word("not") {
        cursor.blanks();
        if cursor.takes_word("in") {
            return Ok(Operator::NotIn);
        }
    }
    Err(cursor.error("a comparison"))
}

fn operand(cursor: &mut Cursor<'_>) -> Result<Operand, Unreadable> {
    for quote in ["'", "\""] {
        if cursor.takes(quote) {
            let text = cursor.until(quote).ok_or_else(|| cursor.error("the end of a quoted text"))?;
            return Ok(Operand::Text(text.to_owned()));
        }
    }
    let word = cursor.word();
    match Variable::ALL.iter().find(|(name, _)| *name == word) {
        Some((_, variable)) => Ok(Operand::Variable(*variable)),
        None if word.is_empty() => Err(cursor.error("a variable or a quoted text")),
        None => Err(Unreadable::new(format!("`{}` is no variable of an environment", printable(word)))),
    }
}

/// As `packaging` compares: by the order of versions where the variable is one and the other side
/// is a version, otherwise as texts.
fn compare(
    left: &Operand,
    operator: Operator,
    right: &Operand,
    environment: &Environment,
    extra: Option<&ProjectName>,
) -> bool {
    let is = |side: &Operand, wanted: fn(Variable) -> bool| matches!(side, Operand::Variable(it) if wanted(*it));
    let is_extra = |variable| variable == Variable::Extra;
    let of_extra = is(left, is_extra) || is(right, is_extra);
    let text = |side: &Operand| match side {
        Operand::Variable(Variable::Extra) => extra.map(ToString::to_string).unwrap_or_default(),
        Operand::Variable(variable) => environment.value(*variable),
        // Extras have the same normal form as projects.
        Operand::Text(text) if of_extra => {
            ProjectName::new(text).map_or_else(|_| text.clone(), |name| name.to_string())
        }
        Operand::Text(text) => text.clone(),
    };
    let (left_text, right_text) = (text(left), text(right));
    match operator {
        Operator::In => right_text.contains(&left_text),
        Operator::NotIn => !right_text.contains(&left_text),
        Operator::Order(order) => {
            let of_versions = is(left, Variable::is_version) || is(right, Variable::is_version);
            if of_versions
                && let Ok(specifier) = VersionSpecifier::from_str(&format!("{order}{right_text}"))
                && let Ok(version) = Version::from_str(&left_text)
            {
                return specifier.contains(&version);
            }
            match order {
                "==" | "===" => left_text == right_text,
                "!=" => left_text != right_text,
                "<" => left_text < right_text,
                "<=" => left_text <= right_text,
                ">" => left_text > right_text,
                ">=" => left_text >= right_text,
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::requirement::Requirement;
    use super::*;

    fn holds_with(marker: &str, extras: &[&str]) -> Result<bool, Unreadable> {
        let requirement: Requirement = format!("a; {marker}").parse()?;
        let environment = Environment::new("3.13.5".parse().unwrap());
        let extras: Vec<_> = extras.iter().map(|extra| ProjectName::new(extra).unwrap()).collect();
        Ok(requirement.marker.unwrap().holds(&environment, &extras))
    }

    #[test]
    fn markers_of_the_guest() {
        for marker in [
            "python_version >= '3.9'",
            "python_version == \"3.13\"",
            "python_version == '3.*'",
            "'3.8' < python_version",
            "python_version ~= '3.10'",
            "python_version in '3.12 3.13'",
            "python_full_version < '3.13.10'",
            "sys_platform == 'wasi' and os_name == 'posix'",
            "sys_platform != 'win32' or os_name == 'nt'",
            "sys.platform=='wasi'and(os.name=='posix')",
            "platform_machine not in 'x86_64 aarch64'",
            "implementation_name == 'cpython' and platform_python_implementation != 'PyPy'",
            "python_version < '3' or (sys_platform == 'wasi' and (python_version > '3' or os_name == 'x'))",
            "extra != 'x'",
        ] {
            assert_eq!(holds_with(marker, &[]), Ok(true), "{marker}");
        }
        for marker in [
            "python_version < '3.9'",
            // As versions, not as texts.
            "python_version < '3.4'",
            "python_full_version >= '3.14'",
            "platform_system == 'Windows'",
            "sys_platform == 'win32' and python_version >= '3'",
            "sys_platform ~= 'wasi'",
            "extra == 'socks'",
            "python_version > 'x'",
        ] {
            assert_eq!(holds_with(marker, &[]), Ok(false), "{marker}");
        }
    }

    #[test]
    fn extras_are_normalized() {
        assert_eq!(holds_with("extra == 'Async_IO'", &["x", "async-io"]), Ok(true));
        assert_eq!(holds_with("extra == 'a' and extra == 'b'", &["a", "b"]), Ok(false), "one at a time");
    }

    #[test]
    fn malformed_markers() {
        for marker in [
            "",
            "python_version",
            "python_version >=",
            "python_version >= 3.9",
            "'a' == 'b'",
            "python_version >= '3' and",
            "python_version >= '3' os_name == 'x'",
            "(python_version >= '3'",
            "python_version >= '3)",
            "kernel == 'x'",
            "python_version not '3'",
            "python_versionx == '3'",
        ] {
            assert!(holds_with(marker, &[]).is_err(), "{marker}");
        }
        let deep = |depth: usize| format!("{}os_name == 'posix'{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(holds_with(&deep(60), &[]), Ok(true));
        assert!(holds_with(&deep(100_000), &[]).is_err());
    }

    /// A normal form of this one has more than 2^40 parts.
    #[test]
    fn a_marker_costs_what_it_is_long() {
        let pairs: Vec<_> = (0..40).map(|n| format!("(extra == 'a{n}' and extra == 'b{n}')")).collect();
        assert_eq!(holds_with(&pairs.join(" or "), &["a1", "b2"]), Ok(false));
    }
}
