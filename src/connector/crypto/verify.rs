//! Checks signatures.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::sign::{digest_of, hmac_key};
use super::{Unfit, pem};
use crate::definition::{Hash, KeyFormat, Scheme};
use crate::types::Secret;

/// A key that is ready to check. Prints nothing of itself.
pub(in crate::connector) enum Verifier {
    Digest(Hash),
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Verifier {
    /// `key` is None for digests alone. The key of a key pair is the public one, or a certificate.
    pub(in crate::connector) fn new(scheme: Scheme, key: Option<&Secret>, format: KeyFormat) -> Result<Self, Unfit> {
        if let Scheme::Digest(hash) = scheme {
            return Ok(Self::Digest(hash));
        }
        let key = key.ok_or("it checks and has no key")?;
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            Scheme::Plain => return Err("an encoding proves nothing"),
            Scheme::Digest(hash) => return Ok(Self::Digest(hash)),
            Scheme::Hmac(hash) => return hmac_key(hash, key, format).map(|key| Self::Hmac(Box::new(key))),
            Scheme::Rsa(Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            Scheme::Rsa(Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            Scheme::Rsa(Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            Scheme::RsaPss(Hash::Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
            Scheme::RsaPss(Hash::Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
            Scheme::RsaPss(Hash::Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
            Scheme::Rsa(_) | Scheme::RsaPss(_) => return Err("RSA signs with SHA-256 or better"),
            Scheme::Ecdsa => &signature::ECDSA_P256_SHA256_ASN1,
            Scheme::EcdsaFixed(Hash::Sha384) => &signature::ECDSA_P384_SHA384_FIXED,
            Scheme::EcdsaFixed(Hash::Sha512) => &signature::ECDSA_P521_SHA512_FIXED,
            Scheme::EcdsaFixed(_) => &signature::ECDSA_P256_SHA256_FIXED,
            Scheme::Ed25519 => &signature::ED25519,
        };
        let key = pem::public_key(key)?;
        ParsedPublicKey::new(algorithm, key).map(Self::Public).map_err(|_| "not a public key for this scheme")
    }

    /// Takes as long whatever is wrong with the signature of a symmetric scheme.
    pub(in crate::connector) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        match self {
            Self::Digest(hash) => verify_slices_are_equal(&digest_of(*hash, message), tag).is_ok(),
            Self::Hmac(key) => hmac::verify(key, message, tag).is_ok(),
            Self::Public(key) => key.verify_sig(message, tag).is_ok(),
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(***)")
    }
}
