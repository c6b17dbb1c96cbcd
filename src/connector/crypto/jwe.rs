//! Compact JWE (RFC 7516) with RSA-OAEP-256 and A256GCM, in and out.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use rustls::pki_types::PrivateKeyDer;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Unfit, pem};
use crate::types::Secret;

const CEK_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const TEXT_MAX: usize = 1 << 20;

/// The key of a provider, for which texts are sealed.
pub(in crate::connector) struct Sealer {
    key: OaepPublicEncryptingKey,
    header: String,
}

/// Our own key.
pub(in crate::connector) struct JweKey(OaepPrivateDecryptingKey);

#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    /// Extensions that the sender insists on: none are known here.
    crit: Option<serde_json::Value>,
    zip: Option<serde_json::Value>,
}

impl Sealer {
    pub(in crate::connector) fn new(key: &Secret, key_id: Option<&str>) -> Result<Self, Unfit> {
        let unfit = "not an RSA public key of 2048 bits or more";
        let key = PublicEncryptingKey::from_der(&pem::public_key(key)?).map_err(|_| unfit)?;
        let mut header = serde_json::json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM" });
        if let Some(id) = key_id {
            header["kid"] = id.into();
        }
        let header = BASE64URL.encode(header.to_string());
        Ok(Self { key: OaepPublicEncryptingKey::new(key).map_err(|_| unfit)?, header })
    }

    /// None when the cryptographic library fails.
    pub(in crate::connector) fn seal(&self, plaintext: &[u8]) -> Option<String> {
        let mut cek = Zeroizing::new([0u8; CEK_BYTES]);
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut *cek).ok()?;
        rand::fill(&mut nonce).ok()?;
        let mut sealed_key = vec![0; self.key.ciphertext_size()];
        let sealed_key = self.key.encrypt(&OAEP_SHA256_MGF1SHA256, &*cek, &mut sealed_key, None).ok()?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*cek).ok()?);
        let mut text = plaintext.to_vec();
        let aad = Aad::from(self.header.as_bytes());
        let tag = cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let part = |bytes: &[u8]| BASE64URL.encode(bytes);
        let parts = [self.header.clone(), part(sealed_key), part(&nonce), part(&text), part(tag.as_ref())];
        Some(parts.join("."))
    }
}

impl JweKey {
    pub(super) fn new(secret: &Secret) -> Result<Self, Unfit> {
        let unfit = "not an RSA private key of 2048 bits or more, in PEM (PKCS#8)";
        let PrivateKeyDer::Pkcs8(der) = pem::private_key(secret)? else { return Err(unfit) };
        let key = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unfit)?;
        OaepPrivateDecryptingKey::new(key).map(Self).map_err(|_| unfit)
    }

    pub(super) fn open(&self, compact: &str) -> Option<Zeroizing<Vec<u8>>> {
        if compact.len() > TEXT_MAX {
            return None;
        }
        let parts: Vec<&str> = compact.split('.').collect();
        let [header, sealed_key, nonce, text, tag] = parts.as_slice() else { return None };
        let read: Header = serde_json::from_slice(&BASE64URL.decode(header).ok()?).ok()?;
        if read.alg != "RSA-OAEP-256" || read.enc != "A256GCM" || read.crit.is_some() || read.zip.is_some() {
            return None;
        }
        let mut cek = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let sealed_key = BASE64URL.decode(sealed_key).ok()?;
        let cek = self.0.decrypt(&OAEP_SHA256_MGF1SHA256, &sealed_key, &mut cek, None).ok()?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cek).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(&BASE64URL.decode(nonce).ok()?).ok()?;
        let mut bytes = Zeroizing::new(BASE64URL.decode(text).ok()?);
        let tag = BASE64URL.decode(tag).ok().filter(|tag| tag.len() == TAG_BYTES)?;
        bytes.extend_from_slice(&tag);
        let length = cipher.open_in_place(nonce, Aad::from(header.as_bytes()), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(***)")
    }
}
