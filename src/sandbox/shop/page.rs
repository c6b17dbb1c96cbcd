//! The storefront's files, built into the program: plain HTML, CSS and modules, and nothing from another host.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::State;

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! file {
    ($path:literal, $name:literal, $kind:literal) => {
        File { path: $path, kind: $kind, text: include_str!(concat!("page/", $name)) }
    };
}

const FILES: [File; 11] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/style.css", "style.css", "text/css; charset=utf-8"),
    file!("/goods.svg", "goods.svg", "image/svg+xml"),
    file!("/icon.svg", "icon.svg", "image/svg+xml"),
    file!("/app.js", "app.js", "text/javascript; charset=utf-8"),
    file!("/api.js", "api.js", "text/javascript; charset=utf-8"),
    file!("/dom.js", "dom.js", "text/javascript; charset=utf-8"),
    file!("/basket.js", "basket.js", "text/javascript; charset=utf-8"),
    file!("/methods.js", "methods.js", "text/javascript; charset=utf-8"),
    file!("/progress.js", "progress.js", "text/javascript; charset=utf-8"),
    file!("/seal.js", "seal.js", "text/javascript; charset=utf-8"),
];

/// The page may run its own scripts and talk to its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<State>> {
    FILES.iter().fold(Router::new(), |router, file| router.route(file.path, get(move || async move { send(file) })))
}

fn send(file: &'static File) -> Response {
    let fixed = |text| HeaderValue::from_static(text);
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, fixed(file.kind)),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::CACHE_CONTROL, fixed("no-cache")),
    ];
    (headers, file.text).into_response()
}
