//! The pages themselves on which a customer decides.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::visits::{Purpose, Visit, VisitState};
use crate::sandbox::look;

/// The page may use its own style and icon, and send its form to its own server.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The words of a page: what it is, what it asks, and what the customer can answer.
struct Words {
    who: &'static str,
    title: &'static str,
    note: &'static str,
    confirm: &'static str,
    refuse: &'static str,
}

pub(super) fn show(visit: &Visit) -> Response {
    let words = words(&visit.purpose);
    let amount = match visit.currency.as_str() {
        // Nothing is paid.
        "" => String::new(),
        currency => format!("<p class=\"amount\">{}</p>", look::amount(visit.amount, currency)),
    };
    let (looks, title, note) = match visit.state {
        VisitState::Open => ("", words.title, words.note),
        VisitState::Confirmed => ("succeeded", "Confirmed", "You can close this page."),
        VisitState::Refused => ("failed", "Refused", "You can close this page."),
        VisitState::Expired => ("failed", "Too late", "The time for it is over, and nothing is paid."),
        VisitState::Cancelled => ("failed", "Cancelled", "The payment was cancelled, and nothing is paid."),
    };
    let form = match visit.state {
        VisitState::Open => format!(
            "<form class=\"row\" method=\"post\">\
             <button class=\"secondary\" name=\"decision\" value=\"refuse\">{}</button>\
             <button class=\"primary\" name=\"decision\" value=\"confirm\">{}</button></form>",
            words.refuse, words.confirm
        ),
        _ => String::new(),
    };
    html(words.who, looks, title, note, &format!("{amount}{form}"))
}

/// There is no such page, or not any more.
pub(super) fn missing() -> Response {
    let page = html("Sandbox gateway", "failed", "There is no such page", "Go back to the shop and try again.", "");
    (StatusCode::NOT_FOUND, page).into_response()
}

fn words(purpose: &Purpose) -> Words {
    match purpose {
        Purpose::StepUp => Words {
            who: "Your bank",
            title: "Is this you?",
            note: "Confirm only if you are paying this right now.",
            confirm: "Confirm",
            refuse: "Refuse",
        },
        Purpose::Activation { .. } => Words {
            who: "Your bank",
            title: "Activate online banking",
            note: "From then on you can pay with this account in shops.",
            confirm: "Activate",
            refuse: "Not now",
        },
        Purpose::Payment { sender, .. } => Words {
            who: sender.title(),
            title: "Confirm the payment",
            note: "The money is moved when you confirm.",
            confirm: "Confirm",
            refuse: "Refuse",
        },
        Purpose::Call => Words {
            who: "The telephone rings",
            title: "Press 1 to pay, or hang up",
            note: "This is how much the shop asks for.",
            confirm: "Press 1",
            refuse: "Hang up",
        },
    }
}

fn html(who: &str, looks: &str, title: &str, note: &str, rest: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <link rel=\"icon\" href=\"/icon.svg\"><link rel=\"stylesheet\" href=\"/style.css\"></head><body>\
         <header class=\"top asked\"><span class=\"brand\">{who}</span>\
         <span class=\"pill\">Sandbox: no real money</span></header>\
         <main class=\"progress asked\"><section class=\"card hero {looks}\">\
         <header><h1>{title}</h1><p class=\"muted\">{note}</p></header>{rest}</section></main></body></html>\n"
    );
    look::send("text/html; charset=utf-8", POLICY, text)
}
