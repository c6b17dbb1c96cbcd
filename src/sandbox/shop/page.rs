//! The storefront's files, built into the program: plain HTML, CSS and modules, and nothing from another host.

use std::sync::Arc;

use axum::Router;

use super::State;
use crate::sandbox::look::{self, File};

macro_rules! file {
    ($path:literal, $name:literal, $kind:literal) => {
        File { path: $path, kind: $kind, text: include_str!(concat!("page/", $name)) }
    };
}

static FILES: [File; 9] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/goods.svg", "goods.svg", "image/svg+xml"),
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
    look::serve(&FILES, POLICY).merge(look::routes())
}
