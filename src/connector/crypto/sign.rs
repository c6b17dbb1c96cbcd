//! Makes signatures.

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use md5::{Digest as _, Md5};
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::{Unfit, pem};
use crate::definition::{Hash, KeyFormat, Scheme};
use crate::types::Secret;

/// A key that is ready to sign. Prints nothing of itself.
pub(in crate::connector) enum Signer {
    /// Signs nothing: what is to be signed stays as it is.
    Plain,
    Digest(Hash),
    Hmac(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Signer {
    /// `key` is None for schemes without one.
    pub(in crate::connector) fn new(scheme: Scheme, key: Option<&Secret>, format: KeyFormat) -> Result<Self, Unfit> {
        let key = || key.ok_or("it signs and has no key");
        Ok(match scheme {
            Scheme::Plain => Self::Plain,
            Scheme::Digest(hash) => Self::Digest(hash),
            Scheme::Hmac(hash) => Self::Hmac(Box::new(hmac_key(hash, key()?, format)?)),
            Scheme::Rsa(hash) => Self::Rsa(Box::new(rsa(key()?)?), pkcs1(hash)?),
            Scheme::RsaPss(hash) => Self::Rsa(Box::new(rsa(key()?)?), pss(hash)?),
            Scheme::Ecdsa => Self::Ecdsa(Box::new(ecdsa(key()?, &signature::ECDSA_P256_SHA256_ASN1_SIGNING)?)),
            Scheme::EcdsaFixed(hash) => Self::Ecdsa(Box::new(ecdsa(
                key()?,
                match hash {
                    Hash::Sha384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                    Hash::Sha512 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                    _ => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                },
            )?)),
            Scheme::Ed25519 => Self::Ed25519(Box::new(ed25519(key()?)?)),
        })
    }

    pub(in crate::connector) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unfit> {
        let failed = "the cryptographic library failed";
        match self {
            Self::Plain => Ok(message.to_vec()),
            Self::Digest(hash) => Ok(digest_of(*hash, message)),
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(key, encoding) => {
                let mut tag = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &SystemRandom::new(), message, &mut tag).map_err(|_| failed)?;
                Ok(tag)
            }
            Self::Ecdsa(key) => {
                key.sign(&SystemRandom::new(), message).map(|tag| tag.as_ref().to_vec()).map_err(|_| failed)
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}

pub(super) fn digest_of(hash: Hash, message: &[u8]) -> Vec<u8> {
    let with = |algorithm| digest::digest(algorithm, message).as_ref().to_vec();
    match hash {
        Hash::Md5 => Md5::digest(message).to_vec(),
        Hash::Sha1 => with(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        Hash::Sha256 => with(&digest::SHA256),
        Hash::Sha384 => with(&digest::SHA384),
        Hash::Sha512 => with(&digest::SHA512),
    }
}

pub(super) fn hmac_key(hash: Hash, secret: &Secret, format: KeyFormat) -> Result<hmac::Key, Unfit> {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
        Hash::Md5 => return Err("there is no HMAC with MD5"),
    };
    let bytes = key_bytes(secret, format)?;
    if bytes.is_empty() { Err("it is empty") } else { Ok(hmac::Key::new(algorithm, &bytes)) }
}

/// The bytes of a symmetric key.
pub(super) fn key_bytes(secret: &Secret, format: KeyFormat) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    let text = secret.reveal();
    let bytes = match format {
        KeyFormat::Text => text.as_bytes().to_vec(),
        KeyFormat::Hex => hex::decode(text.trim()).map_err(|_| "not hexadecimal digits")?,
        KeyFormat::Base64 => super::decode(text.trim(), crate::definition::Encoding::Base64).ok_or("not base64")?,
    };
    Ok(Zeroizing::new(bytes))
}

fn rsa(key: &Secret) -> Result<RsaKeyPair, Unfit> {
    let unfit = "not an RSA key of 2048 bits or more, in PEM (PKCS#8 or PKCS#1)";
    let pair = match pem::private_key(key)? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(unfit),
    };
    pair.map_err(|_| unfit)
}

fn ecdsa(key: &Secret, algorithm: &'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, Unfit> {
    let unfit = "not a key for this curve in PEM (PKCS#8 or SEC 1)";
    let pair = match pem::private_key(key)? {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
        _ => return Err(unfit),
    };
    pair.map_err(|_| unfit)
}

fn ed25519(key: &Secret) -> Result<Ed25519KeyPair, Unfit> {
    let unfit = "not an Ed25519 key in PEM (PKCS#8)";
    let PrivateKeyDer::Pkcs8(der) = pem::private_key(key)? else { return Err(unfit) };
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| unfit)
}

fn pkcs1(hash: Hash) -> Result<&'static dyn RsaEncoding, Unfit> {
    match hash {
        Hash::Sha256 => Ok(&signature::RSA_PKCS1_SHA256),
        Hash::Sha384 => Ok(&signature::RSA_PKCS1_SHA384),
        Hash::Sha512 => Ok(&signature::RSA_PKCS1_SHA512),
        Hash::Md5 | Hash::Sha1 => Err("RSA signs with SHA-256 or better"),
    }
}

fn pss(hash: Hash) -> Result<&'static dyn RsaEncoding, Unfit> {
    match hash {
        Hash::Sha256 => Ok(&signature::RSA_PSS_SHA256),
        Hash::Sha384 => Ok(&signature::RSA_PSS_SHA384),
        Hash::Sha512 => Ok(&signature::RSA_PSS_SHA512),
        Hash::Md5 | Hash::Sha1 => Err("RSA signs with SHA-256 or better"),
    }
}
