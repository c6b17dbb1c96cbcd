//! The dashboard: a page and its modules, in the binary. It uses the same API as everybody else.

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::problem::{Failure, NO_ROUTE, clip};

/// Nothing from elsewhere, nothing inline, in no frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

const ASSETS: &[(&str, &str, &str)] = &[
    ("style.css", CSS, include_str!("dashboard/style.css")),
    ("order.css", CSS, include_str!("dashboard/order.css")),
    ("app.js", JS, include_str!("dashboard/app.js")),
    ("dom.js", JS, include_str!("dashboard/dom.js")),
    ("net.js", JS, include_str!("dashboard/net.js")),
    ("text.js", JS, include_str!("dashboard/text.js")),
    ("orders.js", JS, include_str!("dashboard/orders.js")),
    ("order.js", JS, include_str!("dashboard/order.js")),
    ("timeline.js", JS, include_str!("dashboard/timeline.js")),
    ("diagram.js", JS, include_str!("dashboard/diagram.js")),
    ("incidents.js", JS, include_str!("dashboard/incidents.js")),
    ("actions.js", JS, include_str!("dashboard/actions.js")),
    ("connectors.js", JS, include_str!("dashboard/connectors.js")),
    ("workflows.js", JS, include_str!("dashboard/workflows.js")),
    ("icon.svg", SVG, include_str!("dashboard/icon.svg")),
];

/// The dashboard.
#[utoipa::path(get, path = "/", tag = "operation",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")))]
pub(super) async fn index() -> Response {
    answer("text/html; charset=utf-8", include_str!("dashboard/index.html"))
}

/// A part of the dashboard.
#[utoipa::path(get, path = "/assets/{file}", tag = "operation",
    params(("file" = String, Path, description = "Its name")),
    responses((status = 200, description = "The file", body = String, content_type = "*/*")))]
pub(super) async fn asset(Path(file): Path<String>) -> Result<Response, Failure> {
    let found = ASSETS.iter().find(|(name, _, _)| *name == file);
    let (_, kind, text) = found.ok_or_else(|| NO_ROUTE.because(format!("there is no file {}", clip(&file))))?;
    Ok(answer(kind, text))
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // The next version of the binary has other files under the same names.
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, text).into_response()
}
