//! PEM texts: private keys, public keys, certificates.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use webpki::EndEntityCert;

use super::Unfit;
use crate::types::Secret;

/// A private key: PKCS#8, or PKCS#1 for RSA. Also bare base64 without the lines around it, as Alipay hands keys out.
pub(super) fn private_key(secret: &Secret) -> Result<PrivateKeyDer<'static>, Unfit> {
    let text = secret.reveal();
    if text.contains("-----BEGIN") {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "not a private key in PEM");
    }
    PrivateKeyDer::try_from(bare(text).ok_or("not a private key in PEM")?).map_err(|_| "not a private key in PEM")
}

/// The public key of a PEM text, as SubjectPublicKeyInfo: a public key, or the certificate that holds it.
pub(super) fn public_key(secret: &Secret) -> Result<Vec<u8>, Unfit> {
    let unfit = "not a public key or a certificate in PEM";
    let text = secret.reveal();
    if text.contains("-----BEGIN CERTIFICATE") {
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| unfit)?;
        let certificate = EndEntityCert::try_from(&certificate).map_err(|_| "not a certificate that can be read")?;
        return Ok(certificate.subject_public_key_info().to_vec());
    }
    if text.contains("-----BEGIN") {
        return SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map(|key| key.to_vec()).map_err(|_| unfit);
    }
    bare(text).ok_or(unfit)
}

fn bare(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text: String = text.split_ascii_whitespace().collect();
    base64::prelude::BASE64_STANDARD.decode(text).ok()
}
