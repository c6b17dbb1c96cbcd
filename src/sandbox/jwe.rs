//! Payment details that only the gateway can read: compact JWE (RFC 7516), RSA-OAEP-256 with A256GCM.
//!
//! The protected header carries a digest of the order. It is the additional authenticated data of the cipher, so a
//! sealed payment cannot be moved to another order, amount or method without the gateway noticing. What the browser
//! does with WebCrypto and what is done here are the same bytes.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey, PublicKey, PublicKeyComponents,
};
use aws_lc_rs::{digest, error::Unspecified, rand};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const ALG: &str = "RSA-OAEP-256";
const ENC: &str = "A256GCM";
const CEK_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// The largest compact text that is looked at: payment details are a few hundred bytes.
pub const MAX_COMPACT: usize = 16 * 1024;

/// The gateway's key pair.
pub struct PrivateKey {
    key: OaepPrivateDecryptingKey,
    public: PublicJwk,
}

/// A public key as the browser imports it (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    pub kty: String,
    pub n: String,
    pub e: String,
    pub alg: String,
    #[serde(rename = "use")]
    pub usage: String,
    pub kid: String,
}

/// The protected header: readable by everybody on the way, changeable by nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub alg: String,
    pub enc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// What `order_digest` gives for the order that this payment belongs to.
    pub order_digest: String,
    /// Extensions that the sender insists on. None are known here, so any of them is refused (RFC 7516, 4.1.13).
    #[serde(default, skip_serializing)]
    crit: Option<serde_json::Value>,
    #[serde(default, skip_serializing)]
    zip: Option<serde_json::Value>,
}

/// A payment that was opened.
pub struct Opened {
    pub header: Header,
    /// The same for the same sealed payment, and for no other.
    pub id: String,
    pub plaintext: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JweError {
    #[error("not a compact JWE")]
    Malformed,
    #[error("not sealed with RSA-OAEP-256 and A256GCM alone")]
    Unsupported,
    #[error("not a usable RSA public key")]
    Key,
    /// One error for every way in which opening can fail: which one it was must not be told to the sender.
    #[error("the payment cannot be opened: it was altered, or sealed for another key")]
    Refused,
    #[error("the cryptographic library failed")]
    Library,
}

impl From<Unspecified> for JweError {
    fn from(_: Unspecified) -> Self {
        Self::Library
    }
}

/// Binds a payment to its order: base64url of SHA-256 of `{merchant_order}|{amount}|{currency}|{method}`.
/// The amount is in minor units.
pub fn order_digest(merchant_order: &str, amount: i64, currency: &str, method: &str) -> String {
    let text = format!("{merchant_order}|{amount}|{currency}|{method}");
    BASE64URL.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Seals a payment for the owner of the key.
pub fn encrypt(key: &PublicJwk, order_digest: &str, plaintext: &[u8]) -> Result<String, JweError> {
    let header = Header {
        alg: ALG.to_owned(),
        enc: ENC.to_owned(),
        kid: Some(key.kid.clone()),
        order_digest: order_digest.to_owned(),
        crit: None,
        zip: None,
    };
    let header = BASE64URL.encode(serde_json::to_vec(&header).map_err(|_| JweError::Library)?);
    let mut cek = Zeroizing::new([0u8; CEK_BYTES]);
    let mut nonce = [0u8; NONCE_LEN];
    rand::fill(&mut *cek)?;
    rand::fill(&mut nonce)?;

    let rsa = key.encrypting_key()?;
    let mut sealed_key = vec![0; rsa.ciphertext_size()];
    let sealed_key = rsa.encrypt(&OAEP_SHA256_MGF1SHA256, &*cek, &mut sealed_key, None)?;

    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*cek)?);
    let mut text = plaintext.to_vec();
    let aad = Aad::from(header.as_bytes());
    let tag = cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)?;
    let part = |bytes: &[u8]| BASE64URL.encode(bytes);
    Ok(format!("{header}.{}.{}.{}.{}", part(sealed_key), part(&nonce), part(&text), part(tag.as_ref())))
}

/// Reads the protected header without opening the payment. It is not authenticated yet: for routing and logs only.
pub fn peek(compact: &str) -> Result<Header, JweError> {
    Ok(Parts::parse(compact)?.header)
}

impl PrivateKey {
    /// Makes an RSA key of 2048 bits. Takes some tens of milliseconds to a second.
    pub fn generate() -> Result<Self, JweError> {
        Self::from_pkcs8(&Self::generate_pkcs8()?)
    }

    /// A new key in the form in which it can be kept.
    pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, JweError> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = key.as_der()?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JweError> {
        let key = PrivateDecryptingKey::from_pkcs8(der).map_err(|_| JweError::Library)?;
        let public = PublicJwk::of(&key.public_key())?;
        Ok(Self { key: OaepPrivateDecryptingKey::new(key)?, public })
    }

    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Opens a sealed payment. The caller compares the header's digest with the order that it belongs to.
    pub fn decrypt(&self, compact: &str) -> Result<Opened, JweError> {
        let parts = Parts::parse(compact)?;
        let id = parts.id();
        let cek = self.content_key(&parts.sealed_key)?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*cek)?);
        let mut text = Zeroizing::new(parts.ciphertext);
        text.extend_from_slice(&parts.tag);
        let nonce = Nonce::assume_unique_for_key(parts.nonce);
        let aad = Aad::from(parts.protected.as_bytes());
        let length = cipher.open_in_place(nonce, aad, &mut text).map_err(|_| JweError::Refused)?.len();
        text.truncate(length);
        Ok(Opened { header: parts.header, id, plaintext: text })
    }

    /// Unwraps the content key. One that cannot be unwrapped is replaced by a random one, so that the failure shows
    /// at the same place and time as that of an altered text (RFC 7516, 11.5).
    fn content_key(&self, sealed: &[u8]) -> Result<Zeroizing<[u8; CEK_BYTES]>, JweError> {
        let mut cek = Zeroizing::new([0u8; CEK_BYTES]);
        rand::fill(&mut *cek)?;
        let mut buffer = Zeroizing::new(vec![0; self.key.min_output_size()]);
        if let Ok(found) = self.key.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut buffer, None)
            && found.len() == CEK_BYTES
        {
            cek.copy_from_slice(found);
        }
        Ok(cek)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl PublicJwk {
    fn of(key: &PublicEncryptingKey) -> Result<Self, JweError> {
        let der = key.as_der()?;
        let key = PublicKey::from_der(der.as_ref()).map_err(|_| JweError::Library)?;
        let n = BASE64URL.encode(key.modulus().big_endian_without_leading_zero());
        let e = BASE64URL.encode(key.exponent().big_endian_without_leading_zero());
        // RFC 7638: the thumbprint of the required members in lexicographic order.
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let kid = BASE64URL.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        Ok(Self { kty: "RSA".to_owned(), n, e, alg: ALG.to_owned(), usage: "enc".to_owned(), kid })
    }

    fn encrypting_key(&self) -> Result<OaepPublicEncryptingKey, JweError> {
        if self.kty != "RSA" || self.alg != ALG {
            return Err(JweError::Key);
        }
        let n = BASE64URL.decode(&self.n).map_err(|_| JweError::Key)?;
        let e = BASE64URL.decode(&self.e).map_err(|_| JweError::Key)?;
        let key: PublicEncryptingKey = PublicKeyComponents { n, e }.try_into().map_err(|_| JweError::Key)?;
        OaepPublicEncryptingKey::new(key).map_err(|_| JweError::Key)
    }
}

struct Parts<'a> {
    /// The first part as it was sent: these bytes, not a new encoding of them, are authenticated.
    protected: &'a str,
    header: Header,
    sealed_key: Vec<u8>,
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
    tag: [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn parse(compact: &'a str) -> Result<Self, JweError> {
        if compact.len() > MAX_COMPACT {
            return Err(JweError::Malformed);
        }
        let parts: Vec<&str> = compact.splitn(6, '.').collect();
        let [protected, sealed_key, nonce, ciphertext, tag] = parts[..] else { return Err(JweError::Malformed) };
        let bytes = |text: &str| BASE64URL.decode(text).map_err(|_| JweError::Malformed);
        let header: Header = serde_json::from_slice(&bytes(protected)?).map_err(|_| JweError::Malformed)?;
        if header.alg != ALG || header.enc != ENC || header.crit.is_some() || header.zip.is_some() {
            return Err(JweError::Unsupported);
        }
        Ok(Self {
            protected,
            header,
            sealed_key: bytes(sealed_key)?,
            nonce: bytes(nonce)?.try_into().map_err(|_| JweError::Malformed)?,
            ciphertext: bytes(ciphertext)?,
            tag: bytes(tag)?.try_into().map_err(|_| JweError::Malformed)?,
        })
    }

    /// A digest of what nobody can change without the content key. How that key is wrapped is left out: it could be written
    /// in more than one way.
    fn id(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [self.protected.as_bytes(), &self.nonce, &self.tag, &self.ciphertext] {
            context.update(part);
        }
        BASE64URL.encode(context.finish())
    }
}

#[cfg(test)]
#[path = "jwe_tests.rs"]
mod tests;
