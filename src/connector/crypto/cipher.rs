//! Opens what only we can read.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::jwe::JweKey;
use super::{Unfit, decode};
use crate::definition::{Cipher, Encoding};
use crate::types::Secret;

/// A key that opens. Prints nothing of itself.
pub(in crate::connector) enum Opener {
    Aes(Box<LessSafeKey>),
    Jwe(Box<JweKey>),
}

/// What is to be opened.
pub(in crate::connector) struct Sealed<'a> {
    pub(in crate::connector) text: &'a str,
    pub(in crate::connector) nonce: &'a str,
    pub(in crate::connector) associated_data: &'a str,
}

impl Opener {
    pub(in crate::connector) fn new(cipher: Cipher, secret: &Secret) -> Result<Self, Unfit> {
        match cipher {
            Cipher::Aes256Gcm => {
                let key = UnboundKey::new(&AES_256_GCM, secret.reveal().as_bytes());
                key.map(|key| Self::Aes(Box::new(LessSafeKey::new(key)))).map_err(|_| "not a key of 32 characters")
            }
            Cipher::Jwe => JweKey::new(secret).map(|key| Self::Jwe(Box::new(key))),
        }
    }

    /// None for everything that can be wrong with it: which it was is nobody's business.
    pub(in crate::connector) fn open(&self, sealed: &Sealed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Aes(key) => {
                let nonce = Nonce::try_assume_unique_for_key(sealed.nonce.as_bytes()).ok()?;
                let mut bytes = Zeroizing::new(decode(sealed.text, Encoding::Base64)?);
                let length = key.open_in_place(nonce, Aad::from(sealed.associated_data), &mut bytes).ok()?.len();
                bytes.truncate(length);
                Some(bytes)
            }
            Self::Jwe(key) => key.open(sealed.text),
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(***)")
    }
}
