//! Digests and encodings of bytes.

use ::md5::{Digest as _, Md5};
use aws_lc_rs::digest::{self, Algorithm};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::{Answer, text_of};
use crate::types::Value;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// `hash(text, "sha256")` in hexadecimal digits, or in the encoding that is named third.
pub(super) fn hash(args: &[Value]) -> Answer {
    let text = text_of(args, 0)?.as_bytes();
    let with = |algorithm: &'static Algorithm| digest::digest(algorithm, text).as_ref().to_vec();
    let sum = match text_of(args, 1)? {
        "sha256" => with(&digest::SHA256),
        "sha384" => with(&digest::SHA384),
        "sha512" => with(&digest::SHA512),
        "sha1" => with(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "md5" => Md5::digest(text).to_vec(),
        _ => return Err("knows sha256, sha384, sha512, sha1 and md5"),
    };
    let encoding = args.get(2).map_or(Ok("hex"), |_| text_of(args, 2))?;
    encode(&sum, encoding).map(Value::String).ok_or("writes hex, HEX, base64 and base64url")
}

/// In the form of a random one (version 4), which is all that some providers take; always the same for the same text.
pub(super) fn uuid(args: &[Value]) -> Answer {
    let sum = digest::digest(&digest::SHA256, text_of(args, 0)?.as_bytes());
    let bytes = sum.as_ref().first_chunk().ok_or("has no digest")?;
    Ok(Value::String(::uuid::Builder::from_random_bytes(*bytes).into_uuid().to_string()))
}

/// The checksum of zip files and Ethernet: no protection, but part of what some providers sign.
pub(super) fn crc32(args: &[Value]) -> Answer {
    let mut sum = flate2::Crc::new();
    sum.update(text_of(args, 0)?.as_bytes());
    Ok(Value::from(sum.sum()))
}

pub(super) fn base64(args: &[Value]) -> Answer {
    Ok(Value::String(BASE64_STANDARD.encode(text_of(args, 0)?)))
}

/// Without padding, as JSON Web Signatures are written.
pub(super) fn base64url(args: &[Value]) -> Answer {
    Ok(Value::String(BASE64_URL_SAFE_NO_PAD.encode(text_of(args, 0)?)))
}

/// Of either alphabet, with padding or without.
pub(super) fn unbase64(args: &[Value]) -> Answer {
    let text = text_of(args, 0)?;
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| "is about base64")?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| "has a text only where the bytes are UTF-8")
}

pub(super) fn hex(args: &[Value]) -> Answer {
    Ok(Value::String(::hex::encode(text_of(args, 0)?)))
}

fn encode(bytes: &[u8], encoding: &str) -> Option<String> {
    Some(match encoding {
        "hex" => ::hex::encode(bytes),
        "HEX" => ::hex::encode_upper(bytes),
        "base64" => BASE64_STANDARD.encode(bytes),
        "base64url" => BASE64_URL_SAFE_NO_PAD.encode(bytes),
        _ => return None,
    })
}
