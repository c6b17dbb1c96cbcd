//! Keys, signatures and ciphers of providers. The only place of this room that names the cryptographic library, beside
//! the signatures of Standard Webhooks.
//!
//! **Invariant.** No error says anything about a key or about what was encrypted.

mod cipher;
mod jwe;
mod pem;
mod sign;
mod stand_in;
mod verify;

pub(super) use self::cipher::{Opener, Sealed};
pub(super) use self::jwe::Sealer;
pub(super) use self::sign::Signer;
pub(crate) use self::stand_in::stand_in;
pub(super) use self::verify::Verifier;
use crate::definition::Encoding;

/// Why a key cannot be used.
pub(super) type Unfit = &'static str;

/// A signature as text.
pub(super) fn encode(bytes: &[u8], encoding: Encoding) -> String {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::HexUpper => hex::encode_upper(bytes),
        Encoding::Base64 => BASE64_STANDARD.encode(bytes),
        Encoding::Base64Url => BASE64_URL_SAFE_NO_PAD.encode(bytes),
    }
}

/// The bytes of a signature. Padding and the case of hexadecimal digits do not matter.
pub(super) fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    match encoding {
        Encoding::Hex | Encoding::HexUpper => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => URL_SAFE.decode(text).ok(),
    }
}
