//! The report as a page of HTML that loads nothing from anywhere.
//!
//! The data stands in the page as JSON in which no character can end the element. The script builds
//! the page from it by text nodes only, and a policy in the page lets no other script run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::Report;

const BODY: &str = include_str!("page/body.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Returns the page.
///
/// # Errors
/// If the report can't be written as JSON.
pub fn page(report: &Report) -> serde_json::Result<String> {
    let data = inert(&serde_json::to_string(report)?);
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!("default-src 'none'; style-src {}; script-src {}", hash(STYLE), hash(SCRIPT));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Build report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{BODY}\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ))
}

/// Writes JSON so that HTML sees nothing in it: the characters stand only in strings, where JSON
/// has escapes for them.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
