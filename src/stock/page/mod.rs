//! The chat page: four small files in the binary, nothing from elsewhere.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// Only what this server itself serves may run, style, show or be talked to, and nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, type and content of each file.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("/ox.svg", "image/svg+xml", include_str!("ox.svg")),
];

/// The page and what belongs to it.
pub(crate) fn routes() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(async move || file(kind, content)))
    })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Asked for again after an upgrade of the binary: the page and its script belong together.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        let (_, _, html) = FILES[0];
        for forbidden in ["<style", "style=", " on", "http:", "https:", "<script>"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        for (path, _, _) in &FILES[1..] {
            assert!(html.contains(&format!("\"{}\"", &path[1..])), "{path} is not used");
        }
    }

    #[test]
    fn the_script_stays_small() {
        let (_, _, script) = FILES[2];
        assert!(script.lines().count() <= 150);
    }
}
