//! What the pages of the shop and the gateway have in common: the style, the icon, and how an amount is written.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::types::Money;

/// A file that is built into the program.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
}

const STYLE: &str = include_str!("look/style.css");
const ICON: &str = include_str!("look/icon.svg");

/// Browsers ask for `favicon.ico` where a page names no icon, and for files that are no pages.
static FILES: [File; 3] = [
    File { path: "/style.css", kind: "text/css; charset=utf-8", text: STYLE },
    File { path: "/icon.svg", kind: "image/svg+xml", text: ICON },
    File { path: "/favicon.ico", kind: "image/svg+xml", text: ICON },
];

/// What these files may do by themselves.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    serve(&FILES, NOTHING)
}

/// Serves each file at its path; a browser holds it to the policy.
pub(super) fn serve<S: Clone + Send + Sync + 'static>(files: &'static [File], policy: &'static str) -> Router<S> {
    files.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(move || async move { send(file.kind, policy, file.text) }))
    })
}

pub(super) fn send(kind: &'static str, policy: &'static str, text: impl IntoResponse) -> Response {
    let fixed = |text| HeaderValue::from_static(text);
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, fixed(kind)),
        (header::CONTENT_SECURITY_POLICY, fixed(policy)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::CACHE_CONTROL, fixed("no-cache")),
    ];
    (headers, text).into_response()
}

/// Minor units as people read them: 32068 CNY is `320.68 CNY`.
pub(super) fn amount(minor: i64, currency: &str) -> String {
    match currency.parse() {
        Ok(currency) => Money::new(minor, currency).to_string(),
        Err(_) => format!("{minor} {currency}"),
    }
}
