//! How requests prove who sends them, and how notifications and answers prove who sent them.

use std::time::Duration;

use super::connector::{EnvText, SecretRef};
use super::expr::{Expr, Template};

/// Credentials on every request.
#[derive(Debug, Default)]
pub struct Auth {
    pub login: Login,
    /// Headers, query parameters and fields of the body that hold a secret.
    pub headers: Vec<(String, Content)>,
    pub query: Vec<(String, Content)>,
    pub fields: Vec<(String, Content)>,
}

#[derive(Clone, Debug, Default)]
pub enum Login {
    #[default]
    None,
    Bearer(SecretRef),
    Basic(Basic),
    Header {
        name: String,
        value: SecretRef,
    },
    /// Signs the body as the Standard Webhooks specification says. The first secret; while one replaces another, both.
    StandardWebhooks(Vec<SecretRef>),
    OAuth2(OAuth2),
    Token(Box<TokenLogin>),
}

/// A name and a password. With many providers the name is the secret, and there is no password.
#[derive(Clone, Debug)]
pub struct Basic {
    pub username: Content,
    pub password: Option<SecretRef>,
}

/// The client credentials grant of OAuth 2 (RFC 6749, 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// A path below `base_url`, or a whole address.
    pub token_url: EnvText,
    pub client_id: EnvText,
    pub client_secret: SecretRef,
    pub scope: Option<EnvText>,
    pub audience: Option<EnvText>,
    /// The credentials go into the form instead of the `Authorization` header.
    pub in_body: bool,
}

/// A token for which the provider has a request of its own kind.
#[derive(Clone, Debug)]
pub struct TokenLogin {
    pub get: bool,
    /// A path below `base_url`, or a whole address.
    pub address: EnvText,
    pub basic: Option<Basic>,
    pub headers: Vec<(String, Content)>,
    pub query: Vec<(String, Content)>,
    pub fields: Vec<(String, Content)>,
    /// The fields travel as a form, and not as JSON.
    pub form: bool,
    /// Where the answer has the token: names of members, one inside the other.
    pub read: Vec<String>,
    /// Where it has the seconds that the token lives, or the moment at which it ends.
    pub expires_in: Vec<String>,
    pub expires_at: Option<Vec<String>>,
    /// How long it lives where the answer does not say so.
    pub lifetime: Duration,
    /// Statuses of answers to calls that say that the token is worth nothing any more.
    pub refused: Vec<u16>,
    /// The header that carries the token, and what stands before it there.
    pub header: String,
    pub prefix: String,
}

/// Signs a request.
#[derive(Debug)]
pub struct Sign {
    pub scheme: Scheme,
    /// None for a plain digest, whose secret stands in `content`.
    pub key: Option<SecretRef>,
    pub key_format: KeyFormat,
    /// Headers that are made once the body is known, and are signed.
    pub headers: Vec<(String, Template)>,
    pub content: Content,
    pub encoding: Encoding,
    /// Where the signature goes.
    pub places: Vec<Place>,
}

#[derive(Debug)]
pub struct Place {
    pub slot: Slot,
    pub name: String,
    /// Mostly `${signature}` alone.
    pub value: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Header,
    Query,
    /// A field of the body.
    Field,
}

/// How a signature is made and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Nothing but the encoding of a text that holds a secret.
    Plain,
    /// A digest of a text that holds a secret.
    Digest(Hash),
    Hmac(Hash),
    /// RSASSA-PKCS1-v1_5.
    Rsa(Hash),
    RsaPss(Hash),
    /// ECDSA on P-256 with SHA-256; the signature is two numbers in ASN.1.
    Ecdsa,
    /// ECDSA on the curve that goes with the hash (P-256, P-384, P-521); the signature is two numbers of one length, as in a
    /// JSON Web Signature.
    EcdsaFixed(Hash),
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// What the text of a symmetric key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    #[default]
    Text,
    Hex,
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    HexUpper,
    Base64,
    Base64Url,
}

/// Text with expressions and secrets in it. The secrets are put in by what signs, and no expression sees them.
#[derive(Clone, Debug, Default)]
pub struct Content(pub Vec<ContentPart>);

#[derive(Clone, Debug)]
pub enum ContentPart {
    Text(String),
    Expr(Expr),
    Secret(SecretRef),
}

/// How a notification, or an answer, is known to be the provider's.
#[derive(Debug)]
pub enum Verify {
    StandardWebhooks {
        secrets: Vec<SecretRef>,
        tolerance: Duration,
    },
    Signature(Box<Signed>),
    /// The sender shows a secret that both know.
    SharedSecret {
        secrets: Vec<SecretRef>,
        given: Expr,
    },
    /// The sender shows a name and a password.
    Basic {
        username: EnvText,
        secrets: Vec<SecretRef>,
    },
    /// Nothing but the address of its sender tells whose it is.
    SenderAddress,
    /// By any of these: kinds of notifications that are signed differently.
    Any(Vec<Verify>),
}

/// A signature over a text that is made of what came in.
#[derive(Debug)]
pub struct Signed {
    pub scheme: Scheme,
    /// Any of them, while one replaces another; those with an id only for what names it.
    pub keys: Vec<(Option<String>, SecretRef)>,
    pub key_format: KeyFormat,
    pub key_id: Option<Expr>,
    /// One text, or a list of texts of which one must fit.
    pub signature: Expr,
    pub encoding: Encoding,
    pub content: Content,
    /// When it was signed: seconds or milliseconds since 1970, or RFC 3339.
    pub timestamp: Option<Expr>,
    pub tolerance: Duration,
}

/// An encrypted part of what came in: `decrypted` in the expressions behind it.
#[derive(Debug)]
pub struct Decrypt {
    pub scheme: Cipher,
    pub secrets: Vec<SecretRef>,
    /// The text that is encrypted, in base64; a whole compact JWE for `jwe`.
    pub text: Expr,
    pub nonce: Option<Expr>,
    pub associated_data: Option<Expr>,
    /// What is not encrypted has none of it, and is read as it is.
    pub when: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// The tag stands behind the text.
    Aes256Gcm,
    /// RSA-OAEP-256 with A256GCM, compact.
    Jwe,
}

impl Verify {
    /// The ways of which one is enough.
    pub fn ways(&self) -> &[Self] {
        match self {
            Self::Any(ways) => ways,
            one => std::slice::from_ref(one),
        }
    }

    /// What this one way knows the sender by.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::StandardWebhooks { secrets, .. }
            | Self::SharedSecret { secrets, .. }
            | Self::Basic { secrets, .. } => secrets.iter().collect(),
            Self::Signature(signed) => signed.keys.iter().map(|(_, key)| key).chain(signed.content.secrets()).collect(),
            Self::SenderAddress | Self::Any(_) => Vec::new(),
        }
    }

    /// It is about each thing that a notification tells of, and not about the notification as a whole.
    pub fn is_of_each(&self) -> bool {
        let signed = match self {
            Self::Signature(signed) => signed,
            Self::Any(ways) => return ways.iter().any(Self::is_of_each),
            _ => return false,
        };
        let exprs = signed.content.expressions().chain([&signed.signature]);
        let mut exprs = exprs.chain(&signed.key_id).chain(&signed.timestamp);
        exprs.any(|expr| expr.paths().iter().any(|path| path.first().is_some_and(|root| root == "item")))
    }
}

impl Scheme {
    /// It has no key of its own: the secret stands in what is signed.
    pub const fn is_keyless(self) -> bool {
        matches!(self, Self::Plain | Self::Digest(_))
    }
}

impl Content {
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.0.iter().filter_map(|part| match part {
            ContentPart::Expr(expr) => Some(expr),
            ContentPart::Text(_) | ContentPart::Secret(_) => None,
        })
    }

    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.0.iter().filter_map(|part| match part {
            ContentPart::Secret(secret) => Some(secret),
            ContentPart::Text(_) | ContentPart::Expr(_) => None,
        })
    }
}

impl Auth {
    /// Every text with a secret in it.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let (token, basic) = match &self.login {
            Login::Token(token) => {
                (Some(token.headers.iter().chain(&token.query).chain(&token.fields)), token.basic.as_ref())
            }
            Login::Basic(basic) => (None, Some(basic)),
            _ => (None, None),
        };
        let own = self.headers.iter().chain(&self.query).chain(&self.fields);
        let named = own.chain(token.into_iter().flatten()).map(|(_, content)| content);
        named.chain(basic.map(|basic| &basic.username))
    }
}
