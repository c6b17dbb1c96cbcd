//! What `auth` has one of: the login.

use std::time::Duration;

use super::{Ctx, Fields};
use crate::definition::auth::{Basic, Login, OAuth2, TokenLogin};
use crate::definition::document::{Entry, Node};
use crate::definition::rules;

pub(super) const LOGINS: &[&str] = &["bearer", "basic", "header", "standard-webhooks", "oauth2", "token"];
const OAUTH2_KEYS: &[&str] = &["token_url", "client_id", "client_secret", "scope", "audience", "credentials"];
const TOKEN_KEYS: &[&str] = &[
    "get",
    "post",
    "basic",
    "headers",
    "query",
    "fields",
    "encoding",
    "read",
    "expires_in",
    "expires_at",
    "lifetime",
    "refused",
    "header",
    "prefix",
];

impl Ctx<'_> {
    pub(super) fn login(&self, fields: &Fields<'_>) -> Option<Login> {
        if let Some(node) = fields.get("bearer") {
            self.secret(node).map(Login::Bearer)
        } else if let Some(entry) = fields.entry("basic") {
            self.basic(entry).map(Login::Basic)
        } else if let Some(entry) = fields.entry("header") {
            self.header_auth(entry)
        } else if let Some(entry) = fields.entry("oauth2") {
            self.oauth2(entry)
        } else if let Some(entry) = fields.entry("token") {
            self.token(entry)
        } else {
            let node = fields.get("standard-webhooks")?;
            let nodes: Vec<&Node> = if node.items().is_empty() { vec![node] } else { node.items().iter().collect() };
            Some(Login::StandardWebhooks(nodes.into_iter().filter_map(|node| self.secret(node)).collect()))
        }
    }

    fn basic(&self, entry: &Entry) -> Option<Basic> {
        let fields = self.fields(&entry.node, &entry.key_span, "`basic`", &["username", "password"])?;
        let username = fields.required(self, "`basic`", "username");
        let username = username.and_then(|node| self.content(node, &["env"]));
        // Left out, or empty: the name is the secret.
        let password = fields.get("password").filter(|node| node.text() != Some(""));
        let password = password.map(|node| self.secret(node));
        if password.is_none() && username.as_ref().is_some_and(|username| username.secrets().next().is_none()) {
            let message = "`basic` needs `password`, unless `username` is a secret, such as `${secret.api_key}`";
            self.report(rules::MISSING_KEY, &fields.head, message);
        }
        Some(Basic { username: username?, password: password.flatten() })
    }

    fn header_auth(&self, entry: &Entry) -> Option<Login> {
        let fields = self.fields(&entry.node, &entry.key_span, "`header`", &["name", "value"])?;
        let name = fields.required(self, "`header`", "name").and_then(|node| self.header_name(node));
        let value = fields.required(self, "`header`", "value").and_then(|node| self.secret(node));
        Some(Login::Header { name: name?, value: value? })
    }

    fn oauth2(&self, entry: &Entry) -> Option<Login> {
        let what = "`oauth2`";
        let fields = self.fields(&entry.node, &entry.key_span, what, OAUTH2_KEYS)?;
        let token_url = fields.required(self, what, "token_url");
        let client_id = fields.required(self, what, "client_id");
        let secret = fields.required(self, what, "client_secret");
        let text = |key: &str| fields.get(key).map(|node| self.env_text(node, &format!("`{key}`"), rules::BAD_VALUE));
        let places = &[("header", false), ("body", true)];
        let in_body = fields.get("credentials").and_then(|node| self.word(node, "`credentials`", places));
        Some(Login::OAuth2(OAuth2 {
            token_url: token_url.map(|node| self.token_url(node))?,
            client_id: self.env_text(client_id?, "`client_id`", rules::BAD_VALUE),
            client_secret: self.secret(secret?)?,
            scope: text("scope"),
            audience: text("audience"),
            in_body: in_body.unwrap_or(false),
        }))
    }

    fn token(&self, entry: &Entry) -> Option<Login> {
        let what = "`token`";
        let fields = self.fields(&entry.node, &entry.key_span, what, TOKEN_KEYS)?;
        fields.exclusive(self, &["get", "post"]);
        fields.exclusive(self, &["get", "fields"]);
        let get = fields.get("get");
        let address = get.or_else(|| fields.get("post"));
        if address.is_none() {
            let message = "`token` needs `get` or `post`: where tokens come from";
            self.report(rules::MISSING_KEY, &fields.head, message);
        }
        let pairs = |key: &str| fields.get(key).map(|node| self.secret_pairs(node, key, &["env"])).unwrap_or_default();
        let member = |key: &str| fields.get(key).and_then(|node| self.member(node, key));
        let words = &[("json", false), ("form", true)];
        let lifetime = fields.get("lifetime").and_then(|node| self.duration(node, "`lifetime`"));
        let header = fields.get("header").and_then(|node| self.header_name(node));
        let prefix = fields.get("prefix").and_then(|node| self.text(node, "prefix"));
        Some(Login::Token(Box::new(TokenLogin {
            get: get.is_some(),
            address: self.token_url(address?),
            basic: fields.entry("basic").and_then(|entry| self.basic(entry)),
            headers: pairs("headers"),
            query: pairs("query"),
            fields: pairs("fields"),
            form: fields.get("encoding").and_then(|node| self.word(node, "`encoding`", words)).unwrap_or(false),
            read: member("read").unwrap_or_else(|| vec!["access_token".to_owned()]),
            expires_in: member("expires_in").unwrap_or_else(|| vec!["expires_in".to_owned()]),
            expires_at: member("expires_at"),
            refused: fields.get("refused").map_or_else(|| vec![401], |node| self.statuses(node)),
            lifetime: lifetime.unwrap_or(Duration::from_secs(300)),
            // What is said of the header is all that stands in it.
            prefix: prefix.unwrap_or(if header.is_some() { "" } else { "Bearer " }).to_owned(),
            header: header.unwrap_or_else(|| "authorization".to_owned()),
        })))
    }

    fn statuses(&self, node: &Node) -> Vec<u16> {
        let nodes = if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() };
        let status = |node: &Node| self.integer(node, "a status in `refused`", 400..=499);
        nodes.iter().filter_map(|node| u16::try_from(status(node)?).ok()).collect()
    }

    /// The name of a member of an answer, or of one inside another: `data.token`.
    fn member(&self, node: &Node, key: &str) -> Option<Vec<String>> {
        let names: Vec<String> = self.text(node, key)?.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) {
            let message = format!("`{key}` is the name of a member of the answer, such as `token` or `data.token`");
            self.report(rules::BAD_VALUE, &node.span, message);
            return None;
        }
        Some(names)
    }
}
