#[path = "../browser/mod.rs"]
mod browser;
mod shop;
mod tidy;
