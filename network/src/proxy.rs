//! Which proxy a request goes through.

use std::sync::OnceLock;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// The proxy that the environment names for a URL, without its password; `None` if the request goes
/// there directly.
pub(crate) fn of(url: &Url) -> Option<String> {
    // What the client reads, too, and as late.
    static MATCHER: OnceLock<Matcher> = OnceLock::new();
    let proxy = MATCHER.get_or_init(Matcher::from_env).intercept(&url.as_str().parse().ok()?)?;
    Some(crate::login::without_password(&proxy.uri().to_string()))
}
