#![allow(clippy::unwrap_used)]

mod docs;
mod invalid;
mod library;
mod tidy;
