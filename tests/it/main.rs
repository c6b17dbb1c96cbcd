#![allow(clippy::unwrap_used)]

mod invalid;
mod tidy;
