//! A person in a browser: what the storefront does is seen as a customer sees it.

mod cdp;
mod dashboard;
mod shop;
