//! The pages `verbs.md`, `settings.md` and `json.md` of `docs/reference/`, made from the command
//! line, the types of the settings and those of answers. `UPDATE_REFERENCE=1 cargo test --lib
//! reference` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::json::{Answer, schema_name};
use super::{
    Cli, build_progress, cache_answers, check, checkout, ci, dest, diff, dry_run, export, fetch, gen_verb, graph, list,
    lock, publish, query, source, verify, why,
};
use crate::project::Settings;

/// Set to write the pages instead of comparing them.
const UPDATE_VARIABLE: &str = "UPDATE_REFERENCE";

const VERBS_HEAD: &str = "# Verbs

This page is generated from the command line itself. Arguments in brackets can be left out; `…` after an
argument or option means that it can be repeated. `pynbox-build VERB --help` prints the same.

The exit status is 0, or:

| status | meaning |
|---|---|
| 1 | a build failed |
| 2 | wrong usage or bad input |
| 3 | the environment: no network, no user namespaces, a full disk |
| 101 | a bug of pynbox-build |
| 141 | the reader of standard output has gone |
";

const ANSWERS_HEAD: &str = "# Answers as JSON

This page is generated from the types that `--json` writes. An answer is one object on one line of
ASCII, on standard output; messages go to standard error as ever, and exit statuses are the same. The
field `schema` of each answer is the name below. It ends with the number of its version: a new field
keeps the number; a field that goes, or that means something else, makes a new one. So read the fields
that you know, and pass over others.
";

/// The verbs without `--json`, in the order of `--help`, and why.
const WITHOUT_JSON: &[(&str, &str)] = &[
    ("watch", "it runs until somebody ends it; `build --json` answers for one build"),
    ("provenance", "its answer is JSON: an in-toto statement"),
    ("sbom", "its answer is JSON: SPDX or CycloneDX"),
    ("log", "it prints what actions printed"),
    ("shell", "it is a shell"),
    ("cache root", "it prints one path"),
    ("clean", "it answers nothing"),
    ("init", "it writes files, and prints what to do next"),
    ("completions", "it prints a script"),
    ("man", "it writes pages"),
];

const SETTINGS_HEAD: &str = "# Settings

This page is generated from the types that read `pynbox.toml`. The file marks the root of a project. It
may be empty: every setting without *required* has a default. A setting that is not listed here is an
error. Paths are relative to the project's root.

Environment variables:

| variable | meaning |
|---|---|
| `PYNBOX_CACHE` | the folder of the store; by default `pynbox-build` in the XDG cache directory |
| `PYNBOX_REMOTES` | more remotes, separated by spaces, each as in `--remote` |
| `PYNBOX_SIGNING_KEY` | the file of the key that signs results, in place of `signing-key` |
| `NINJA` | the ninja that `build` starts; by default the one in `PATH` |
| `SOURCE_DATE_EPOCH` | the date of manual pages, in seconds since 1970; by default now |
| `DOCKER_HOST` | the Docker daemon, `unix://…` or `tcp://…`; by default this machine's |
";

#[test]
fn the_reference_lists_every_verb_and_option() {
    compare("docs/reference/verbs.md", &verbs());
}

#[test]
fn the_reference_lists_every_setting() {
    compare("docs/reference/settings.md", &settings());
}

#[test]
fn the_reference_lists_every_answer() {
    compare("docs/reference/json.md", &answers());
}

#[test]
fn every_verb_answers_as_json_or_says_why_not() {
    let mut command = Cli::command();
    command.build();
    let mut without = Vec::new();
    let verbs = command.get_subcommands().filter(|verb| is_shown(verb));
    for verb in verbs {
        let inner: Vec<_> = verb.get_subcommands().filter(|verb| is_shown(verb)).collect();
        for leaf in if inner.is_empty() { vec![verb] } else { inner } {
            if !leaf.get_arguments().any(|argument| argument.get_long() == Some("json")) {
                let name = leaf.get_bin_name().unwrap_or_default();
                without.push(name.split_once(' ').map_or(name, |(_, verb)| verb).to_owned());
            }
        }
    }
    let expected: Vec<_> = WITHOUT_JSON.iter().map(|(verb, _)| (*verb).to_owned()).collect();
    assert_eq!(without, expected);
}

#[test]
fn every_schema_is_in_the_reference() {
    let page = answers();
    let mut schemas = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("cli/json.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let constant = "const SCHEMA: &'static str = \"";
                schemas.extend(text.lines().filter_map(|line| {
                    let (_, rest) = line.split_once(constant).filter(|(before, _)| before.trim().is_empty())?;
                    rest.split_once('"').map(|(schema, _)| schema.to_owned())
                }));
            }
        }
    }
    assert!(schemas.len() > 30, "{schemas:?}");
    for schema in schemas {
        let heading = format!("\n## `pynbox-build/{schema}`\n");
        assert_eq!(page.matches(&heading).count(), 1, "{schema}");
    }
}

fn compare(page: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "`{page}` is out of date; write it anew: `{UPDATE_VARIABLE}=1 cargo test --release --lib reference`"
    );
}

fn verbs() -> String {
    let mut command = Cli::command().term_width(0);
    command.build();
    let mut text = VERBS_HEAD.to_owned();
    text.push_str("\n## Options of every verb\n\n");
    arguments(&mut text, command.get_arguments().filter(|argument| argument.is_global_set()));
    for verb in command.get_subcommands_mut().filter(|verb| is_shown(verb)) {
        describe_verb(&mut text, verb);
        for inner in verb.get_subcommands_mut().filter(|verb| is_shown(verb)) {
            describe_verb(&mut text, inner);
        }
    }
    text
}

fn is_shown(verb: &Command) -> bool {
    !verb.is_hide_set() && verb.get_name() != "help"
}

/// A verb that only has other verbs below it gets no section of its own.
fn describe_verb(text: &mut String, verb: &mut Command) {
    if verb.has_subcommands() {
        return;
    }
    let usage = verb.render_usage().to_string();
    let name = verb.get_bin_name().unwrap_or(verb.get_name());
    let about = verb.get_long_about().or(verb.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n## {name}\n\n{}\n\n    {}\n", sentence(&about), usage.trim_start_matches("Usage: ").trim());
    let own: Vec<_> = verb.get_arguments().filter(|argument| !argument.is_global_set()).collect();
    if own.iter().any(|argument| is_listed(argument)) {
        text.push('\n');
        arguments(text, own.into_iter());
    }
}

fn is_listed(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn arguments<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    text.push_str("| argument | meaning |\n|---|---|\n");
    for argument in arguments.filter(|argument| is_listed(argument)) {
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let mut meaning = sentence(&help.replace("\n\n", " ").replace('\n', " "));
        let values: Vec<_> = argument
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if argument.get_action().takes_values() && !values.is_empty() {
            let _ = write!(meaning, " One of {}.", values.join(", "));
        }
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if argument.get_action().takes_values() && !defaults.is_empty() {
            let _ = write!(meaning, " Default: `{}`.", defaults.join(" "));
        }
        let _ = writeln!(text, "| `{}` | {} |", cell(&written(argument)), cell(&meaning));
    }
}

/// An argument as one writes it: `--long, -s VALUE`.
fn written(argument: &Arg) -> String {
    let values: Vec<_> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let repeats = match argument.get_action() {
        ArgAction::Append => "…",
        _ if argument.get_num_args().is_some_and(|count| count.max_values() > 1) => "…",
        _ => "",
    };
    let names: Vec<_> = argument
        .get_long()
        .map(|long| format!("--{long}"))
        .into_iter()
        .chain(argument.get_short().map(|short| format!("-{short}")))
        .collect();
    let value = if argument.get_action().takes_values() { values.join(" ") } else { String::new() };
    format!("{} {value}{repeats}", names.join(", ")).trim().to_owned()
}

/// All answers with their fields.
fn answers() -> String {
    let mut text = ANSWERS_HEAD.to_owned();
    answer::<gen_verb::GenAnswer>(&mut text);
    answer::<dry_run::DryRun>(&mut text);
    answer::<build_progress::BuildAnswer>(&mut text);
    answer::<ci::CiAnswer>(&mut text);
    answer::<fetch::Fetched>(&mut text);
    answer::<checkout::CheckedOut>(&mut text);
    answer::<check::Checked>(&mut text);
    answer::<list::Nodes>(&mut text);
    answer::<dest::Listed>(&mut text);
    answer::<dest::Changed>(&mut text);
    answer::<dest::verify::Verified>(&mut text);
    answer::<dest::search::Packages>(&mut text);
    answer::<dest::which::Origin>(&mut text);
    answer::<verify::Compared>(&mut text);
    answer::<query::Found>(&mut text);
    answer::<query::Sources>(&mut text);
    answer::<query::Patches>(&mut text);
    answer::<graph::Picture>(&mut text);
    answer::<why::WhyAnswer>(&mut text);
    answer::<diff::DiffAnswer>(&mut text);
    answer::<crate::build_report::Report>(&mut text);
    answer::<export::Exported>(&mut text);
    answer::<publish::Published>(&mut text);
    answer::<source::Pins>(&mut text);
    answer::<lock::Locked>(&mut text);
    answer::<cache_answers::StoreStats>(&mut text);
    answer::<cache_answers::StoreVerified>(&mut text);
    answer::<cache_answers::RemoteVerified>(&mut text);
    answer::<cache_answers::Collected>(&mut text);
    answer::<cache_answers::Dropped>(&mut text);
    answer::<cache_answers::Exported>(&mut text);
    answer::<cache_answers::Imported>(&mut text);
    answer::<cache_answers::Key>(&mut text);
    answer::<cache_answers::Signed>(&mut text);
    answer::<cache_answers::Rerun>(&mut text);
    text.push_str("\n## Verbs without `--json`\n\n| verb | why |\n|---|---|\n");
    for (verb, why) in WITHOUT_JSON {
        let _ = writeln!(text, "| `{verb}` | {} |", sentence(why));
    }
    text
}

fn answer<T: Answer + schemars::JsonSchema>(text: &mut String) {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = generator.into_root_schema_for::<T>();
    let root = schema.as_object().expect("a structure is an object");
    let _ = write!(text, "\n## `{}`\n\n{}\n", schema_name::<T>(), sentence(&description(schema.as_value())));
    fields(text, root, schema.as_value());
    for (name, inner) in root.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        if inner.get("properties").is_some() {
            let _ = write!(text, "\n### {name}\n\n{}\n", sentence(&description(inner)));
            fields(text, root, inner);
        }
    }
}

/// The fields of an object, each with its type.
fn fields(text: &mut String, root: &Map<String, Value>, object: &Value) {
    text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for (name, property) in object["properties"].as_object().expect("an object has fields") {
        let mut meaning = sentence(&description(property));
        let (kind, values) = field_type(root, property);
        for (value, what) in values {
            let _ = write!(meaning, " `{value}`: {}", sentence(&what));
        }
        let _ = writeln!(text, "| `{name}` | {} | {} |", cell(&kind), cell(&meaning));
    }
}

/// The type of a field in words, and the values that it can have with their meanings.
fn field_type(root: &Map<String, Value>, property: &Value) -> (String, Vec<(String, String)>) {
    if let Some(choices) = property.get("anyOf").and_then(Value::as_array) {
        let one = choices.iter().find(|one| one.get("type").is_none_or(|kind| kind != "null"));
        let (kind, values) = field_type(root, one.expect("a choice beside null"));
        return (format!("{kind} or null"), values);
    }
    if let Some(name) = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/")) {
        let inner = resolved(root, property);
        return if inner.get("properties").is_some() { (name.to_owned(), Vec::new()) } else { kind(root, inner) };
    }
    if property.get("oneOf").is_some() {
        return kind(root, property);
    }
    let types: Vec<_> = match &property["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let word = |name: &&str| match *name {
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "null" => "null".to_owned(),
        "array" => format!("list of {}", field_type(root, &property["items"]).0),
        "object" => match property.get("additionalProperties") {
            Some(values) => format!("object of {}", field_type(root, values).0),
            None => "object".to_owned(),
        },
        other => panic!("no words for the type `{other}`"),
    };
    (types.iter().map(word).collect::<Vec<_>>().join(" or "), Vec::new())
}

fn settings() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Settings>();
    let root = schema.as_object().expect("a structure is an object");
    let mut text = SETTINGS_HEAD.to_owned();
    section(&mut text, root, root, "");
    text
}

/// Describes a table of the file and the tables in it.
fn section(text: &mut String, root: &Map<String, Value>, table: &Map<String, Value>, path: &str) {
    let required = table.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let properties = table["properties"].as_object().expect("a table has settings");
    let (tables, plain): (Vec<_>, Vec<_>) =
        properties.iter().partition(|(_, property)| inner(root, property).is_some());
    if !plain.is_empty() {
        text.push_str("\n| setting | type | default | meaning |\n|---|---|---|---|\n");
    }
    for (name, property) in plain {
        let (kind, values) = kind(root, property);
        let default = if is_required(name) { "*required*".to_owned() } else { default(property) };
        let mut meaning = sentence(&description(property));
        for (value, what) in values {
            let _ = write!(meaning, " `{value}`: {}", sentence(&what));
        }
        let _ = writeln!(text, "| `{name}` | {kind} | {default} | {} |", cell(&meaning));
    }
    for (name, property) in tables {
        let (inner, is_list) = inner(root, property).expect("it was a table just now");
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let heading = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
        let _ = write!(text, "\n## `{heading}`\n\n{}\n", sentence(&description(property)));
        section(text, root, inner, &path);
    }
}

/// The table that a setting is, and whether there may be several.
fn inner<'a>(root: &'a Map<String, Value>, property: &'a Value) -> Option<(&'a Map<String, Value>, bool)> {
    if let Some(items) = property.get("items") {
        return inner(root, items).map(|(table, _)| (table, true));
    }
    let table = resolved(root, property);
    table.get("properties").is_some().then_some(table).and_then(Value::as_object).map(|table| (table, false))
}

/// Follows a reference, also where the setting may be left out.
fn resolved<'a>(root: &'a Map<String, Value>, property: &'a Value) -> &'a Value {
    let choices = property.get("anyOf").and_then(Value::as_array);
    let property = choices.and_then(|choices| choices.iter().find(|one| one.get("$ref").is_some())).unwrap_or(property);
    match property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/")) {
        Some(name) => &root["$defs"][name],
        None => property,
    }
}

/// The type of a setting in words, and the values that it can have with their meanings.
fn kind(root: &Map<String, Value>, property: &Value) -> (String, Vec<(String, String)>) {
    let property = resolved(root, property);
    if let Some(choices) = property.get("oneOf").and_then(Value::as_array) {
        let value = |choice: &Value| choice["const"].as_str().expect("a choice is a word").to_owned();
        return ("choice".to_owned(), choices.iter().map(|choice| (value(choice), description(choice))).collect());
    }
    if property.get("additionalProperties").is_some() {
        return ("table of texts".to_owned(), Vec::new());
    }
    let name = match &property["type"] {
        Value::Array(types) => types[0].as_str(),
        one => one.as_str(),
    };
    let words = match name.expect("a setting has a type") {
        "string" if property.get("format").is_some_and(|format| format == "date") => "date",
        "string" => "text",
        "integer" => "number",
        "boolean" => "true or false",
        "array" => "list of texts",
        other => panic!("no words for the type `{other}`"),
    };
    (words.to_owned(), Vec::new())
}

fn default(property: &Value) -> String {
    match property.get("default") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => "empty".to_owned(),
        Some(Value::Object(table)) if table.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

fn description(property: &Value) -> String {
    property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

/// A text with a full stop at its end.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ':', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
