//! The gateway's line to the bank: TLS, with the gateway's bearer secret.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::sandbox::bank::{CardFacts, Instruction, Misreport, Reply};
use crate::sandbox::clock;
use crate::types::Secret;

#[derive(Debug)]
pub(crate) struct ToBank {
    client: reqwest::Client,
    base: String,
    secret: Secret,
}

/// The bank did not answer, however often it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the bank does not answer: {0}")]
pub(crate) struct BankSilent(String);

const TRIES: u32 = 5;

impl ToBank {
    pub(crate) fn new(client: reqwest::Client, base: String, secret: Secret) -> Self {
        Self { client, base, secret }
    }

    /// Tells the bank what to do. The bank does it once for each reference, so silence is asked again.
    pub(crate) async fn instruct(&self, instruction: &Instruction) -> Result<Reply, BankSilent> {
        let mut trouble = String::new();
        for attempt in 0..TRIES {
            let request = self
                .client
                .post(format!("{}/v1/instructions", self.base))
                .bearer_auth(self.secret.reveal())
                .json(instruction);
            match answer(request).await {
                Ok((201 | 402, reply)) => return Ok(reply),
                Ok((status, Reply { message, .. })) => trouble = format!("{status} {}", message.unwrap_or_default()),
                Err(error) => trouble = error,
            }
            clock::pause(Duration::from_millis(20 << attempt)).await;
        }
        Err(BankSilent(trouble))
    }

    /// What the bank did for this reference, if anything.
    pub(crate) async fn instruction(&self, reference: &str) -> Result<Option<Value>, BankSilent> {
        self.read(&["v1", "instructions", reference]).await
    }

    /// The settlement file is to be wrong about this reference.
    pub(crate) async fn misreport(&self, reference: &str, misreport: Misreport) -> Result<(), BankSilent> {
        let url = self.url(&["v1", "misreports", reference])?;
        let request = self.client.post(url).bearer_auth(self.secret.reveal()).json(&misreport);
        match answer::<Value>(request).await {
            Ok((201, _)) => Ok(()),
            Ok((status, _)) => Err(BankSilent(format!("status {status}"))),
            Err(error) => Err(BankSilent(error)),
        }
    }

    pub(crate) async fn card(&self, number: &str) -> Result<Option<CardFacts>, BankSilent> {
        let request = self
            .client
            .post(format!("{}/v1/cards", self.base))
            .bearer_auth(self.secret.reveal())
            .json(&serde_json::json!({ "number": number }));
        found(request).await
    }

    pub(crate) async fn account(&self, id: &str) -> Result<Option<Value>, BankSilent> {
        self.read(&["v1", "accounts", id]).await
    }

    /// Changes something about an account, such as `{"activated": true}`.
    pub(crate) async fn change_account(&self, id: &str, change: &Value) -> Result<(), BankSilent> {
        let url = self.url(&["v1", "accounts", id])?;
        let request = self.client.post(url).bearer_auth(self.secret.reveal()).json(change);
        found::<Value>(request).await.map(|_| ())
    }

    async fn read(&self, path: &[&str]) -> Result<Option<Value>, BankSilent> {
        let request = self.client.get(self.url(path)?).bearer_auth(self.secret.reveal());
        found(request).await
    }

    fn url(&self, path: &[&str]) -> Result<reqwest::Url, BankSilent> {
        let mut url = reqwest::Url::parse(&self.base).map_err(|error| BankSilent(error.to_string()))?;
        url.path_segments_mut().map_err(|()| BankSilent("not a base address".to_owned()))?.extend(path);
        Ok(url)
    }
}

async fn found<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<Option<T>, BankSilent> {
    let response = request.send().await.map_err(|error| BankSilent(error.to_string()))?;
    match response.status().as_u16() {
        200 => response.json().await.map(Some).map_err(|error| BankSilent(error.to_string())),
        404 => Ok(None),
        other => Err(BankSilent(format!("status {other}"))),
    }
}

async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<(u16, T), String> {
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    Ok((status, response.json().await.map_err(|error| error.to_string())?))
}
