//! Keys that nobody has agreed upon, for a trial without the real ones.

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};

use crate::definition::{Cipher, Hash, KeyFormat, KeyUse, Scheme};
use crate::types::Secret;

/// Long enough for what has a least length, and base64 for what wants that.
const TEXT: &str = "c2VjcmV0LW1hZGUtdXAtZm9yLWEtdHJ5LW91dCE=";
const HEX: &str = "5365637265746d616465757028666f72297472792d6f75740000000000000000";
const KEY_256: &str = "32 characters that are made up..";

/// A secret that fits its use; None: the cryptographic library failed.
pub(crate) fn stand_in(used: Option<KeyUse>) -> Option<Secret> {
    let text = match used {
        Some(KeyUse::Signs(scheme, format)) => match pair(scheme) {
            Some(pair) => pair?.serialize_pem(),
            None => symmetric(format),
        },
        Some(KeyUse::Verifies(scheme, format)) => match pair(scheme) {
            Some(pair) => pair?.public_key_pem(),
            None => symmetric(format),
        },
        Some(KeyUse::Opens(Cipher::Aes256Gcm)) => KEY_256.to_owned(),
        Some(KeyUse::Opens(Cipher::Jwe)) => KeyPair::generate_for(&PKCS_RSA_SHA256).ok()?.serialize_pem(),
        Some(KeyUse::Seals) => KeyPair::generate_for(&PKCS_RSA_SHA256).ok()?.public_key_pem(),
        None => TEXT.to_owned(),
    };
    Some(Secret::new(text))
}

fn symmetric(format: KeyFormat) -> String {
    if format == KeyFormat::Hex { HEX } else { TEXT }.to_owned()
}

/// None: the scheme has no pair of keys.
fn pair(scheme: Scheme) -> Option<Option<KeyPair>> {
    let algorithm = match scheme {
        Scheme::Plain | Scheme::Digest(_) | Scheme::Hmac(_) => return None,
        Scheme::Rsa(_) | Scheme::RsaPss(_) => &PKCS_RSA_SHA256,
        Scheme::Ecdsa | Scheme::EcdsaFixed(Hash::Sha256) => &PKCS_ECDSA_P256_SHA256,
        Scheme::EcdsaFixed(Hash::Sha384) => &PKCS_ECDSA_P384_SHA384,
        Scheme::EcdsaFixed(_) => &PKCS_ECDSA_P521_SHA512,
        Scheme::Ed25519 => &PKCS_ED25519,
    };
    Some(KeyPair::generate_for(algorithm).ok())
}

#[cfg(test)]
mod tests {
    use super::super::{Opener, Sealer, Signer, Verifier};
    use super::*;

    const SCHEMES: [Scheme; 10] = [
        Scheme::Hmac(Hash::Sha256),
        Scheme::Hmac(Hash::Sha1),
        Scheme::Rsa(Hash::Sha256),
        Scheme::Rsa(Hash::Sha512),
        Scheme::RsaPss(Hash::Sha256),
        Scheme::Ecdsa,
        Scheme::EcdsaFixed(Hash::Sha256),
        Scheme::EcdsaFixed(Hash::Sha384),
        Scheme::EcdsaFixed(Hash::Sha512),
        Scheme::Ed25519,
    ];

    /// Whatever signs is believed by the other half of its key, and nothing else is.
    #[test]
    fn every_scheme_goes_there_and_back() {
        for scheme in SCHEMES.into_iter().chain([Scheme::RsaPss(Hash::Sha512), Scheme::Rsa(Hash::Sha384)]) {
            let (private, public) = match pair(scheme) {
                Some(pair) => pair.map(|pair| (pair.serialize_pem(), pair.public_key_pem())).unwrap(),
                None => (TEXT.to_owned(), TEXT.to_owned()),
            };
            let other = stand_in(Some(KeyUse::Verifies(scheme, KeyFormat::Hex))).unwrap();
            let signer = Signer::new(scheme, Some(&Secret::new(private)), KeyFormat::Text).unwrap();
            let tag = signer.sign(b"message").unwrap();
            let verifier = |key: &Secret| Verifier::new(scheme, Some(key), KeyFormat::Text).unwrap();
            let ours = verifier(&Secret::new(public));
            assert!(ours.verify(b"message", &tag), "{scheme:?}");
            assert!(!ours.verify(b"massage", &tag) && !ours.verify(b"message", &tag[1..]), "{scheme:?}");
            assert!(!verifier(&other).verify(b"message", &tag), "{scheme:?}: another key");
        }
    }

    #[test]
    fn every_use_gets_a_key_that_fits_it() {
        for scheme in SCHEMES {
            for format in [KeyFormat::Text, KeyFormat::Hex, KeyFormat::Base64] {
                let signs = stand_in(Some(KeyUse::Signs(scheme, format))).unwrap();
                let signed = Signer::new(scheme, Some(&signs), format).map(|signer| signer.sign(b"a"));
                assert!(matches!(signed, Ok(Ok(_))), "{scheme:?}, {format:?}");
                let verifies = stand_in(Some(KeyUse::Verifies(scheme, format))).unwrap();
                let verified =
                    Verifier::new(scheme, Some(&verifies), format).map(|verifier| verifier.verify(b"a", b"b"));
                assert!(matches!(verified, Ok(false)), "{scheme:?}, {format:?}");
            }
        }
        for cipher in [Cipher::Aes256Gcm, Cipher::Jwe] {
            assert!(Opener::new(cipher, &stand_in(Some(KeyUse::Opens(cipher))).unwrap()).is_ok(), "{cipher:?}");
        }
        let sealer = Sealer::new(&stand_in(Some(KeyUse::Seals)).unwrap(), None);
        assert!(sealer.is_ok_and(|sealer| sealer.seal(b"a").is_some()));
    }
}
