//! The Python package index, as pip on this machine reaches it: the simple API, in JSON (PEP 691)
//! or HTML (PEP 503).

use std::sync::OnceLock;

use build_graph::Sha256;
use serde::Deserialize;
use url::Url;

use super::debian::output;
use super::http::{Client, Location};
use super::transfer::{Failure, read_bounded};
use crate::environment::{self, NotText};

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.1";

/// A project's page may be long (one line a file), but not that long.
const PAGE: u64 = 64 << 20;

/// pip's settings, asked once.
pub(super) struct Pip {
    given: Option<String>,
    answer: OnceLock<Result<Option<String>, NotText>>,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<Offered>,
}

#[derive(Deserialize)]
pub(super) struct Offered {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::HashMap<String, String>,
}

impl Pip {
    pub(super) fn new(given: Option<String>) -> Self {
        Self { given, answer: OnceLock::new() }
    }

    fn index(&self) -> Result<&str, Failure> {
        let answer = self.answer.get_or_init(|| match &self.given {
            Some(given) => Ok(Some(given.clone())),
            None => ask_pip(),
        });
        let answer = answer.as_ref().map_err(|error| Failure::NoPlace(error.to_string()))?;
        answer.as_deref().ok_or_else(|| {
            Failure::NoPlace(
                "pip can't be asked for its index (`python3 -m pip` does not work); install python3-pip, or set `pypi-index` in \
                 pynbox.toml"
                    .into(),
            )
        })
    }

    /// The URL of a project's file, and its SHA-256 where the index tells it.
    pub(super) fn find(&self, client: &Client, project: &str, file: &str) -> Result<(String, Option<Sha256>), Failure> {
        let found = self.files(client, project)?.into_iter().find(|found| found.file == file);
        let found =
            found.ok_or_else(|| Failure::NoPlace(format!("the index has no file `{file}` of project `{project}`")))?;
        let url = found.url?;
        Ok((url, found.sha256))
    }

    /// All files that the index has of a project.
    pub(super) fn files(&self, client: &Client, project: &str) -> Result<Vec<Found>, Failure> {
        let index = self.index()?;
        let url = format!("{}/{}/", index.trim_end_matches('/'), normalised(project));
        let answer = client.get_document(&Location::plain(&url), ACCEPT)?;
        if answer.status != 200 {
            return Err(Failure::Status(answer.status));
        }
        let base = Url::parse(&answer.url)
            .or_else(|_| Url::parse(&url))
            .map_err(|error| Failure::NoPlace(format!("the index is no URL: {error}")))?;
        let json = answer.content_type == JSON;
        let found = |offered: Offered| Found {
            url: url_of(&base, &offered.url),
            sha256: offered.hashes.get("sha256").and_then(|text| text.parse().ok()),
            file: offered.filename,
        };
        Ok(offered(json, &read_bounded(answer.body, PAGE)?)?.into_iter().map(found).collect())
    }
}

/// A file that an index has.
pub(super) struct Found {
    pub(super) file: String,
    /// Where it is, if that is a URL that can be fetched.
    pub(super) url: Result<String, Failure>,
    pub(super) sha256: Option<Sha256>,
}

fn url_of(base: &Url, written: &str) -> Result<String, Failure> {
    let mut url = base
        .join(written)
        .map_err(|error| Failure::NoPlace(format!("the index names no URL for the file: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::Scheme(url.scheme().to_owned()));
    }
    url.set_fragment(None);
    Ok(url.to_string())
}

/// pip's index, by its own order: environment, the user's files, what it was built with.
fn ask_pip() -> Result<Option<String>, NotText> {
    if let Some(url) = environment::text("PIP_INDEX_URL")? {
        return Ok(Some(url));
    }
    for name in ["download.index-url", "install.index-url", "global.index-url"] {
        if let Some(url) = output("python3", &["-m", "pip", "config", "get", name]) {
            return Ok(Some(url.trim().to_owned()));
        }
    }
    // pip prints its default nowhere; its own module knows.
    let program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    Ok(output("python3", &["-c", program]).map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()))
}

/// A project's name as it stands in the index's URLs (PEP 503).
fn normalised(project: &str) -> String {
    let mut name = String::new();
    for part in project.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(&part.to_ascii_lowercase());
    }
    name
}

/// The files that a page of the index offers, which is JSON or HTML.
pub(super) fn offered(json: bool, page: &[u8]) -> Result<Vec<Offered>, Failure> {
    if !json {
        return Ok(offered_by_html(&String::from_utf8_lossy(page)));
    }
    match serde_json::from_slice::<Page>(page) {
        Ok(page) => Ok(page.files),
        Err(error) => Err(Failure::NoPlace(format!("the index's answer makes no sense: {error}"))),
    }
}

/// The links of a page of the HTML form: `<a href="URL#sha256=HEX">FILE</a>`.
fn offered_by_html(page: &str) -> Vec<Offered> {
    let mut offered = Vec::new();
    for anchor in page.split("<a").skip(1) {
        if !anchor.starts_with(|c: char| c.is_ascii_whitespace()) {
            continue;
        }
        let Some((tag, rest)) = anchor.split_once('>') else { continue };
        let Some(href) = attribute(tag, "href") else { continue };
        let url = unescaped(href);
        let filename = unescaped(rest.split('<').next().unwrap_or_default().trim());
        let hash = url.split_once("#sha256=").map(|(_, hash)| ("sha256".to_owned(), hash.to_owned()));
        offered.push(Offered { filename, hashes: hash.into_iter().collect(), url });
    }
    offered
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let at = tag.match_indices(name).map(|(at, _)| at).find(|at| {
        tag[..*at].ends_with(|c: char| c.is_ascii_whitespace()) && tag[at + name.len()..].trim_start().starts_with('=')
    })?;
    let value = tag[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split(quote).next()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        assert_eq!(normalised("Friendly-._.Bard"), "friendly-bard");
    }

    #[test]
    fn links_of_a_page() {
        let page = "<html><abbr>x</abbr><a data-href=\"no\" href = '../f/lxml-1.tar.gz?a=1&amp;b=2#sha256=ab' rel>lxml-1.tar.gz</a>\n\
                    <a href=\"x.whl\">x.whl</a><a name=\"y\">y</a>";
        let offered = offered_by_html(page);
        assert_eq!(offered.len(), 2);
        assert_eq!(offered[0].url, "../f/lxml-1.tar.gz?a=1&b=2#sha256=ab");
        assert_eq!(offered[0].filename, "lxml-1.tar.gz");
        assert_eq!(offered[0].hashes["sha256"], "ab");
        assert!(offered[1].hashes.is_empty());
    }
}
