#[path = "../browser/mod.rs"]
mod browser;
mod sandbox;
mod shop;
mod tidy;
