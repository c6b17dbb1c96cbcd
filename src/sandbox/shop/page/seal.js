// Seals payment details for the gateway: compact JWE (RFC 7516), RSA-OAEP-256 with A256GCM.
// Neither the shop nor Paystate can open what leaves this function.

const text = new TextEncoder();

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

/** Binds a payment to its order; the gateway computes the same from the order that it is asked to pay. */
export async function orderDigest({ merchant_order, amount, currency }, method) {
  const order = `${merchant_order}|${amount}|${currency}|${method}`;
  return base64url(await crypto.subtle.digest('SHA-256', text.encode(order)));
}

/** Returns the compact JWE of `details` (any JSON value) for the owner of the public key `jwk`. */
export async function seal(jwk, digest, details) {
  const header = { alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: jwk.kid, order_digest: digest };
  const protectedHeader = base64url(text.encode(JSON.stringify(header)));

  const { kty, n, e } = jwk;
  const oaep = { name: 'RSA-OAEP', hash: 'SHA-256' };
  const wrappingKey = await crypto.subtle.importKey('jwk', { kty, n, e }, oaep, false, ['encrypt']);
  const contentKey = crypto.getRandomValues(new Uint8Array(32));
  const wrapped = await crypto.subtle.encrypt(oaep, wrappingKey, contentKey);

  const iv = crypto.getRandomValues(new Uint8Array(12));
  const cipher = await crypto.subtle.importKey('raw', contentKey, 'AES-GCM', false, ['encrypt']);
  contentKey.fill(0);
  const aad = text.encode(protectedHeader);
  const gcm = { name: 'AES-GCM', iv, additionalData: aad, tagLength: 128 };
  const sealed = new Uint8Array(await crypto.subtle.encrypt(gcm, cipher, text.encode(JSON.stringify(details))));

  // WebCrypto appends the tag to the text; a JWE carries them apart.
  const [ciphertext, tag] = [sealed.slice(0, -16), sealed.slice(-16)];
  return [protectedHeader, ...[wrapped, iv, ciphertext, tag].map(base64url)].join('.');
}
