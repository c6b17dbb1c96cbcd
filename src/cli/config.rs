//! The configuration file of the daemon: where providers are, and where their secrets are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::archive::retention;
use crate::api::HostName;
use crate::definition::{Network, read_data};
use crate::types::Secret;

/// More than two is a rotation that nobody has ended.
const VALUES_MAX: usize = 5;

/// `paystate serve --config FILE`. Flags win over the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    pub(super) listen: Option<String>,
    /// Names that the API answers to, beside those of loopback.
    pub(super) listen_as: Vec<HostName>,
    /// Addresses of proxies that are believed when they say, in `X-Forwarded-For`, whom they speak for.
    #[serde(deserialize_with = "networks")]
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) data: Option<PathBuf>,
    pub(super) workflows: Option<PathBuf>,
    /// The values of `${env.NAME}` in connectors.
    pub(super) env: BTreeMap<String, String>,
    /// Where the values of `${secret.NAME}` come from. They are never written in this file.
    pub(super) secrets: BTreeMap<String, SecretSources>,
    /// The only hosts that connectors may call, each `host` or `host:port`.
    pub(super) allowed_hosts: Option<Vec<String>>,
    /// Whether numbers of cards may come in in clear, and be kept so.
    pub(super) card_numbers: bool,
    /// When orders that have ended leave the working store by themselves.
    pub(super) archive: Archiving,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Archiving {
    /// How long after their last change. None: never.
    #[serde(deserialize_with = "retained")]
    pub(super) after: Option<Duration>,
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")))).collect()
}

fn retained<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| retention(&text).map_err(D::Error::custom)).transpose()
}

/// Said without the value: whoever wrote a secret into the file must not find it in a log as well.
const NOT_HERE: &str = "a secret is not written in this file: say where it is, `{ env: NAME }` or `{ file: PATH }`";

/// Where a secret is; of several, while one value replaces another, the present one first.
#[derive(Clone, Debug)]
pub(super) struct SecretSources(Vec<SecretSource>);

impl<'de> Deserialize<'de> for SecretSources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = SecretSources;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`{ env: NAME }`, `{ file: PATH }`, or a list of these")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSources, A::Error> {
                let source = SecretSource::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SecretSources(vec![source]))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<SecretSources, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<SecretSources, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<SecretSources, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<SecretSources, E> {
                Err(E::custom(NOT_HERE))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SecretSources, A::Error> {
                let mut sources = Vec::new();
                while let Some(SecretSources(one)) = seq.next_element()? {
                    sources.extend(one);
                }
                if sources.is_empty() || sources.len() > VALUES_MAX {
                    return Err(A::Error::custom(format!("a secret has 1 to {VALUES_MAX} values")));
                }
                Ok(SecretSources(sources))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// One of the two: an enum would need a YAML tag.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretSource {
    /// An environment variable of the daemon.
    env: Option<String>,
    /// A file; one newline at its end is not part of the secret.
    file: Option<PathBuf>,
}

impl Config {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        read_data(&path.display().to_string(), &text).map_err(anyhow::Error::msg)
    }

    /// Fetches every secret; all that are missing are named at once.
    pub(super) fn secrets(&self) -> anyhow::Result<BTreeMap<String, Secret>> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, source) in &self.secrets {
            match source.fetch() {
                Ok(secret) => drop(found.insert(name.clone(), secret)),
                Err(why) => missing.push(format!("{name}: {why}")),
            }
        }
        if !missing.is_empty() {
            bail!("secrets of the configuration are missing:\n  {}", missing.join("\n  "));
        }
        Ok(found)
    }
}

impl SecretSources {
    fn fetch(&self) -> Result<Secret, String> {
        let mut values = self.0.iter().map(SecretSource::fetch).collect::<Result<Vec<_>, _>>()?;
        let others = values.split_off(1.min(values.len()));
        let present = values.pop().ok_or_else(|| "it has no value".to_owned())?;
        Ok(present.beside(others))
    }
}

impl SecretSource {
    fn fetch(&self) -> Result<Secret, String> {
        let secret = self.read()?;
        // A request with an empty token looks like a mistake of the provider's.
        if secret.reveal().trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(secret) }
    }

    fn read(&self) -> Result<Secret, String> {
        match (&self.env, &self.file) {
            (Some(name), None) => {
                std::env::var(name).map(Secret::new).map_err(|_| format!("environment variable {name} is not set"))
            }
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text)))
            }
            (None, None) | (Some(_), Some(_)) => Err("say either `env: NAME` or `file: PATH`".to_owned()),
        }
    }
}
