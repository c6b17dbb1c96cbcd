//! The JSON Schemas of definitions go into the binary when they are there.

use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let out = env::var("OUT_DIR").unwrap_or_default();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=workflows/schema");
    let mut text = String::new();
    for (name, file) in [("WORKFLOW", "workflow.schema.json"), ("CONNECTOR", "connector.schema.json")] {
        let path = Path::new(&root).join("workflows/schema").join(file);
        let value = if path.is_file() { format!("Some(include_str!({path:?}))") } else { "None".to_owned() };
        text.push_str(&format!("const {name}: Option<&str> = {value};\n"));
    }
    if let Err(error) = fs::write(Path::new(&out).join("schemas.rs"), text) {
        println!("cargo:warning=the schemas are left out: {error}");
    }
}
