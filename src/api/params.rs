//! What stands in the address: ids, names and query parameters. A parameter that is not known is refused, since a
//! filter that is misspelt would silently match everything.

use axum::extract::Query;
use axum::http::Uri;

use super::problem::{Failure, NO_ORDER, PARAMETER, clip};
use crate::definition::suggest::{did_you_mean, one_of};
use crate::types::{EventId, OrderId};

pub(super) const PAGE_DEFAULT: usize = 50;
pub(super) const PAGE_MAX: usize = 500;
const NAME_MAX: usize = 200;
const NOTE_MAX: usize = 2_000;

/// The query parameters of a request, each of them known and there once.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| PARAMETER.because("the query is not made of name=value pairs"))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("the parameters are {}", one_of(known.iter().copied())));
                return Err(PARAMETER.because(format!("there is no parameter `{}`: {help}", clip(name))));
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(PARAMETER.because(format!("`{name}` stands twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// The value, if there is one that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn parse<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse(text).map(Some).map_err(|why| PARAMETER.because(format!("`{name}`: {why}")))
    }

    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let limit = self.parse("limit", |text| match text.parse::<usize>() {
            Ok(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("must be a number from 1 to {PAGE_MAX}")),
        })?;
        Ok(limit.unwrap_or(PAGE_DEFAULT))
    }

    pub(super) fn order(&self, name: &str) -> Result<Option<OrderId>, Failure> {
        self.parse(name, |text| text.parse::<OrderId>().map_err(|error| error.to_string()))
    }
}

/// The id of an order out of a path. What cannot be an id is the id of no order.
pub(super) fn order_id(text: &str) -> Result<OrderId, Failure> {
    text.parse().map_err(|error: crate::types::OrderIdError| NO_ORDER.because(error.to_string()))
}

/// A short text that somebody answers with, such as a name.
pub(super) fn required(field: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        let detail = format!("`{field}` is 1 to {NAME_MAX} characters on one line");
        return Err(super::problem::BODY
            .because(detail.clone())
            .errors(vec![super::wire::FieldError::at(format!("/{field}"), detail)]));
    }
    Ok(text.to_owned())
}

pub(super) fn note(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.len() > NOTE_MAX {
        return Err(super::problem::BODY.because(format!("`note` has at most {NOTE_MAX} bytes")));
    }
    Ok(text.to_owned())
}

pub(super) fn event_id(text: Option<&str>) -> Result<Option<EventId>, Failure> {
    text.map(|text| required("id", text).map(EventId::new)).transpose()
}
