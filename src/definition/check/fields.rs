//! The names whose fields are the same everywhere, and what those are.

use crate::definition::expr::Type;
use crate::definition::suggest;

/// Root, field, type.
const FIELDS: &[(&str, &str, Type)] = &[
    ("order", "id", Type::Text),
    ("order", "workflow", Type::Text),
    ("order", "version", Type::Text),
    ("order", "state", Type::Text),
    ("order", "created_at", Type::Text),
    // Null where the workflow does not say what is at stake.
    ("order", "amount", Type::Any),
    ("order", "currency", Type::Any),
    ("decline", "code", Type::Text),
    ("decline", "soft", Type::Bool),
    ("call", "key", Type::Text),
    ("response", "status", Type::Int),
    ("response", "headers", Type::Object),
    ("response", "body", Type::Any),
    ("response", "decrypted", Type::Any),
    ("request", "method", Type::Text),
    ("request", "url", Type::Text),
    ("request", "host", Type::Text),
    ("request", "path", Type::Text),
    ("request", "target", Type::Text),
    ("request", "query", Type::Text),
    ("request", "params", Type::Object),
    ("request", "headers", Type::Object),
    ("request", "body", Type::Text),
    ("request", "fields", Type::Any),
];

/// Why nothing is ever at a path.
pub(super) struct Unknown {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// What stands there instead of what.
    pub(super) rename: Option<(String, String)>,
}

/// The type of a path, where it is the same for every order.
pub(super) fn type_of(path: &[String]) -> Type {
    match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["key" | "sent_at" | "now" | "nonce" | "raw" | "path" | "signature" | "content"] => Type::Text,
        ["attempt" | "status"] => Type::Int,
        ["response" | "request", "headers", _] | ["headers" | "env", _] => Type::Text,
        [
            "order" | "decline" | "call" | "response" | "request" | "headers" | "input" | "data" | "env" | "tables"
            | "query",
        ] => Type::Object,
        [root, field] => field_of(root, field).unwrap_or(Type::Any),
        _ => Type::Any,
    }
}

/// What is wrong with a path whose fields are known.
pub(super) fn unknown(path: &[String]) -> Option<Unknown> {
    for length in 1..path.len() {
        let (parent, name) = (path.get(..length)?, path.get(length)?);
        let of_parent = type_of(parent);
        if matches!(of_parent, Type::Text | Type::Int | Type::Bool) {
            let message = format!("`{}` is {}, and has no fields", parent.join("."), of_parent.name());
            return Some(Unknown { message, help: None, rename: None });
        }
        let is_header = of_parent == Type::Object && parent.last().is_some_and(|last| last == "headers");
        if is_header && *name != name.to_lowercase() {
            let message = format!("there is no header `{name}`: the names of headers are in lower case here");
            return Some(Unknown { message, help: None, rename: Some((name.clone(), name.to_lowercase())) });
        }
        if let [root] = parent {
            let known = || FIELDS.iter().filter(|field| field.0 == *root).map(|field| field.1);
            if known().next().is_some() && known().all(|field| field != name) {
                return Some(among(format!("`{root}` has no `{name}`"), name, known()));
            }
        }
    }
    None
}

/// A name that is not among those that there are.
pub(super) fn among<'a>(message: String, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Unknown {
    let near = suggest::nearest(name, known.clone());
    let help = match near {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => known
            .clone()
            .next()
            .is_some()
            .then(|| format!("it has {}", suggest::one_of(known).replace(" or ", " and "))),
    };
    Unknown { message, help, rename: near.map(|near| (name.to_owned(), near.to_owned())) }
}

fn field_of(root: &str, field: &str) -> Option<Type> {
    FIELDS.iter().find(|known| known.0 == root && known.1 == field).map(|known| known.2)
}
