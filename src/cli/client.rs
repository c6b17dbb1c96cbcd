//! The daemon's HTTP API, as a client. The second door of the HTTP library, beside the connectors.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::wire::Problem;
use crate::types::Value;

/// Longer than the longest `wait` of the server.
const TIMEOUT: Duration = Duration::from_secs(90);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the daemon is, and how the answer is printed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connection {
    /// The daemon's address.
    #[arg(long, env = "PAYSTATE_SERVER", default_value = "http://127.0.0.1:7878", value_name = "URL")]
    pub(super) server: String,
    /// Print JSON: one object, or one on each line.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("not an address of a daemon: {0} (write it like http://127.0.0.1:7878)")]
    Address(String),
    #[error(
        "{}",
        if *sent {
            format!("{server} gave no answer: {why}")
        } else {
            format!(
                "no daemon answers at {server}: {why}\nstart one with `paystate serve`, or say where it is with --server URL"
            )
        }
    )]
    Unreachable {
        server: String,
        why: String,
        /// The request may have arrived.
        sent: bool,
    },
    #[error("{}", refusal(.0))]
    Refused(Box<Problem>),
    #[error("{server} does not answer like a Paystate daemon: {why}")]
    Unreadable { server: String, why: String },
}

impl ClientError {
    /// The daemon understood, and said no.
    pub(super) fn is_no(&self) -> bool {
        matches!(self, Self::Refused(problem) if (400..500).contains(&problem.status) && problem.status != 429)
    }

    /// What was asked for may have happened. Requests that are too many, or come when nothing can be stored, are refused
    /// before anything happens.
    pub(super) fn is_unknown(&self) -> bool {
        match self {
            Self::Address(_) => false,
            Self::Unreachable { sent, .. } => *sent,
            Self::Refused(problem) => problem.status >= 500 && problem.status != 503,
            Self::Unreadable { .. } => true,
        }
    }
}

fn refusal(problem: &Problem) -> String {
    let mut text = problem.detail.clone();
    for error in problem.errors.iter().skip(usize::from(problem.errors.len() == 1)) {
        text.push_str(&format!("\n  {} {}", error.pointer, error.detail));
    }
    text
}

pub(super) struct Client {
    server: String,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let server = connection.server.trim_end_matches('/').to_owned();
        let good = reqwest::Url::parse(&server).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // The order's data goes to the daemon that was named and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        match http {
            Ok(http) if good => Ok(Self { server, http }),
            _ => Err(ClientError::Address(server)),
        }
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, ClientError> {
        self.ask(self.http.get(self.address(path, query)?)).await
    }

    /// Something that is not JSON.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.body(self.http.get(self.address(path, &[])?)).await?;
        String::from_utf8(body.to_vec()).map_err(|_| self.unreadable("its answer is not text".to_owned()))
    }

    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        key: Option<&str>,
        body: &(impl Serialize + Sync),
    ) -> Result<Value, ClientError> {
        let mut request = self.http.post(self.address(path, query)?).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.ask(request).await
    }

    fn address(&self, path: &str, query: &[(&str, String)]) -> Result<reqwest::Url, ClientError> {
        let wrong = || ClientError::Address(self.server.clone());
        let mut url = reqwest::Url::parse(&self.server).map_err(|_| wrong())?;
        // Segment by segment: an argument cannot reach another path.
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path.split('/'));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, ClientError> {
        let body = self.body(request).await?;
        serde_json::from_slice(&body).map_err(|_| self.unreadable("its answer is not JSON".to_owned()))
    }

    async fn body(&self, request: reqwest::RequestBuilder) -> Result<bytes::Bytes, ClientError> {
        let unreachable = |error: reqwest::Error| {
            let why = if error.is_timeout() { "it took too long".to_owned() } else { root_cause(&error) };
            ClientError::Unreachable { server: self.server.clone(), why, sent: !error.is_connect() }
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(self.unreadable(format!("it answers {status}"))),
        }
    }

    /// Reads an answer as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self, value: Value) -> Result<T, ClientError> {
        serde_json::from_value(value).map_err(|error| self.unreadable(error.to_string()))
    }

    fn unreadable(&self, why: String) -> ClientError {
        ClientError::Unreadable { server: self.server.clone(), why }
    }
}

/// The innermost reason, such as `Connection refused`: what is around it names the library.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
