//! Data files in YAML that are not definitions: tables, scenarios, configuration.

use serde::de::DeserializeOwned;

/// The largest data file.
const SIZE_MAX: usize = 1 << 20;

/// Reads a data file. The error says where and what, on one line.
pub fn read_data<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, String> {
    if text.len() > SIZE_MAX {
        return Err(format!("{path}: larger than 1 MiB"));
    }
    let reader = serde_yaml::Deserializer::from_str(text);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let at = error.path().to_string();
        let inner = error.into_inner();
        let place = inner.location().map_or_else(String::new, |place| format!(":{}:{}", place.line(), place.column()));
        let at = if at == "." { String::new() } else { format!("{at}: ") };
        format!("{path}{place}: {at}{inner}")
    })
}
