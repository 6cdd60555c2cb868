//! Public keys: their forms, their names, and what they have signed.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde_json::{Value, json};
use x509_parser::oid_registry as oid;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::Algorithm;
use super::crypto::{sha256, signature};
use super::jwk::Jwk;

/// A key that tokens are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Both without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// The point is uncompressed: 4, x, y.
    Ec { curve: Curve, point: Vec<u8> },
    /// The key as it is.
    Ed25519([u8; 32]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// Bytes of one coordinate.
    const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// Of another kind than RSA, P-256, P-384 and Ed25519.
    #[error("its kind is not supported: use RSA, ECDSA on P-256 or P-384, or Ed25519")]
    Kind,
    /// An RSA key outside of what can be trusted or computed.
    #[error("RSA keys must have 2048 to 8192 bits and an odd exponent of at least 3")]
    RsaSize,
    /// A value is missing, or not as it must be.
    #[error("its values are missing or broken")]
    Broken,
    /// A secret that would have to be shared.
    #[error("it is a shared secret: publish the public key of a key pair instead")]
    Symmetric,
    /// Meant for something else than signatures.
    #[error("it is not meant for checking signatures (use, key_ops)")]
    Use,
    /// For an algorithm that is not supported, or does not fit the key.
    #[error("its alg is not supported or does not fit it")]
    Algorithm,
}

impl PublicKey {
    pub(super) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyProblem> {
        let kind = &spki.algorithm.algorithm;
        if *kind == oid::OID_SIG_ED25519 {
            let key = spki.subject_public_key.data.as_ref();
            return Ok(Self::Ed25519(
                key.try_into().map_err(|_| KeyProblem::Broken)?,
            ));
        }
        match spki.parsed().map_err(|_| KeyProblem::Broken)? {
            Parsed::RSA(key) => Self::rsa(key.modulus, key.exponent),
            Parsed::EC(point) => {
                let curve = spki.algorithm.parameters.as_ref();
                let curve = curve.and_then(|curve| curve.as_oid().ok());
                let curve = match curve {
                    Some(curve) if curve == oid::OID_EC_P256 => Curve::P256,
                    Some(curve) if curve == oid::OID_NIST_EC_P384 => Curve::P384,
                    _ => return Err(KeyProblem::Kind),
                };
                Self::ec(curve, point.data().to_vec())
            }
            _ => Err(KeyProblem::Kind),
        }
    }

    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyProblem> {
        let bytes = |value: &Option<String>| {
            let value = value.as_ref().ok_or(KeyProblem::Broken)?;
            BASE64URL_NOPAD
                .decode(value.as_bytes())
                .map_err(|_| KeyProblem::Broken)
        };
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Self::rsa(&bytes(&jwk.n)?, &bytes(&jwk.e)?),
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let curve = if curve == "P-256" {
                    Curve::P256
                } else {
                    Curve::P384
                };
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                if x.len() != curve.size() {
                    return Err(KeyProblem::Broken);
                }
                Self::ec(curve, [vec![4], x, y].concat())
            }
            ("OKP", Some("Ed25519")) => {
                let key = bytes(&jwk.x)?.try_into();
                Ok(Self::Ed25519(key.map_err(|_| KeyProblem::Broken)?))
            }
            ("oct", _) => Err(KeyProblem::Symmetric),
            _ => Err(KeyProblem::Kind),
        }
    }

    fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyProblem> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let e_is_usable = match e {
            [e] => *e >= 3 && e % 2 == 1,
            // The providers compute with at most 33 bits.
            [.., last] => e.len() <= 4 && last % 2 == 1,
            [] => false,
        };
        if !(2048..=8192).contains(&bits) || !e_is_usable {
            return Err(KeyProblem::RsaSize);
        }
        Ok(Self::Rsa {
            n: n.to_vec(),
            e: e.to_vec(),
        })
    }

    pub(super) fn ec(curve: Curve, point: Vec<u8>) -> Result<Self, KeyProblem> {
        if point.len() != 1 + 2 * curve.size() || point[0] != 4 {
            return Err(KeyProblem::Broken);
        }
        Ok(Self::Ec { curve, point })
    }

    /// Whether a key of this type signs so.
    pub(super) const fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Rsa { .. } => matches!(
                algorithm,
                A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512
            ),
            Self::Ec { curve, .. } => match curve {
                Curve::P256 => matches!(algorithm, A::Es256),
                Curve::P384 => matches!(algorithm, A::Es384),
            },
            Self::Ed25519(_) => matches!(algorithm, A::EdDsa),
        }
    }

    /// Whether this key made the signature, with this algorithm.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let outcome = match self {
            Self::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, message, signed)
            }
            Self::Ec { curve, point } => {
                let curve = match curve {
                    Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
                };
                signature::UnparsedPublicKey::new(curve, point).verify(message, signed)
            }
            Self::Ed25519(key) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signed)
            }
        };
        outcome.is_ok()
    }

    /// The members of a JSON Web Key that make it this key, in the order of
    /// [RFC 7638](https://www.rfc-editor.org/rfc/rfc7638#section-3.2).
    pub(super) fn to_jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => json!({"e": text(e), "kty": "RSA", "n": text(n)}),
            Self::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(curve.size());
                json!({"crv": curve.name(), "kty": "EC", "x": text(x), "y": text(y)})
            }
            Self::Ed25519(key) => json!({"crv": "Ed25519", "kty": "OKP", "x": text(key)}),
        }
    }

    /// The name by RFC 7638, which is the digest of [`Self::to_jwk`].
    pub(super) fn thumbprint(&self) -> String {
        let members = self.to_jwk();
        // Not by serializing the object: whether its members are sorted is a
        // feature of serde_json that any crate of the program may change.
        let members: Vec<String> = ["crv", "e", "kty", "n", "x", "y"]
            .into_iter()
            .filter_map(|name| Some(format!(r#""{name}":{}"#, members.get(name)?)))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        BASE64URL_NOPAD.encode(&sha256(text.as_bytes()))
    }

    /// The name that Docker's libtrust gave: `ABCD:EFGH:…`, of 12 groups.
    pub(super) fn libtrust_id(&self) -> String {
        let text = BASE32_NOPAD.encode(&sha256(&self.to_spki())[..30]);
        let groups: Vec<&str> = (0..12).map(|at| &text[at * 4..][..4]).collect();
        groups.join(":")
    }

    /// The key in the form of certificates (DER).
    fn to_spki(&self) -> Vec<u8> {
        const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
        const P256: &[u8] =
            b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
        const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
        const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
        let (kind, key) = match self {
            Self::Rsa { n, e } => {
                let integers = [integer(n), integer(e)].concat();
                (RSA, element(0x30, &integers))
            }
            Self::Ec { curve, point } => match curve {
                Curve::P256 => (P256, point.clone()),
                Curve::P384 => (P384, point.clone()),
            },
            Self::Ed25519(key) => (ED25519, key.to_vec()),
        };
        let bits = element(0x03, &[&[0], key.as_slice()].concat());
        element(0x30, &[element(0x30, kind), bits].concat())
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

/// A positive number in DER; `number` has no leading zeros.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|&byte| byte > 0x7f) {
        &[0]
    } else {
        &[]
    };
    element(0x02, &[sign, number].concat())
}

/// A tagged value in DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = without_zeros(&length);
    let mut element = vec![tag];
    if content.len() < 0x80 {
        element.push(u8::try_from(content.len()).expect("below 0x80"));
    } else {
        element.push(0x80 | u8::try_from(length.len()).expect("at most 8"));
        element.extend_from_slice(length);
    }
    element.extend_from_slice(content);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638, 3.1.
    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn jwk(json: &str) -> Result<PublicKey, KeyProblem> {
        PublicKey::from_jwk(&serde_json::from_str(json).expect("a JWK"))
    }

    #[test]
    fn thumbprints_are_those_of_the_specifications() {
        let rsa = jwk(&format!(r#"{{"kty":"RSA","n":"{N}","e":"AQAB"}}"#)).expect("valid");
        assert_eq!(
            rsa.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        // RFC 8037, A.3.
        let ed25519 =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let ed25519 = jwk(ed25519).expect("valid");
        assert_eq!(
            ed25519.thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn the_written_form_is_read_as_the_same_key() {
        use x509_parser::prelude::FromDer as _;
        let point = |size: usize| BASE64URL_NOPAD.encode(&vec![7; size]);
        let (short, long) = (point(32), point(48));
        for json in [
            format!(r#"{{"kty":"RSA","n":"{N}","e":"AQAB"}}"#),
            format!(r#"{{"kty":"RSA","n":"{N}","e":"Aw"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{short}","y":"{short}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{long}","y":"{long}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{short}"}}"#),
        ] {
            let key = jwk(&json).expect("valid");
            let der = key.to_spki();
            let (rest, spki) = SubjectPublicKeyInfo::from_der(&der).expect("valid");
            assert_eq!(rest, b"");
            assert_eq!(PublicKey::from_spki(&spki), Ok(key.clone()), "{json}");
            assert_eq!(jwk(&key.to_jwk().to_string()), Ok(key));
        }
    }

    #[test]
    fn keys_that_cannot_be_trusted_are_refused() {
        let short = BASE64URL_NOPAD.encode(&[7; 32]);
        let rsa_1024 = BASE64URL_NOPAD.encode(&[0xff; 128]);
        for (json, problem) in [
            (
                r#"{"kty":"oct","k":"c2VjcmV0"}"#.into(),
                KeyProblem::Symmetric,
            ),
            (r#"{"kty":"EC"}"#.into(), KeyProblem::Kind),
            (r#"{"kty":"OKP","crv":"X25519"}"#.into(), KeyProblem::Kind),
            (r#"{"kty":"EC","crv":"P-521"}"#.into(), KeyProblem::Kind),
            (r#"{"kty":"RSA","e":"AQAB"}"#.into(), KeyProblem::Broken),
            (
                format!(r#"{{"kty":"RSA","n":"{N}=","e":"AQAB"}}"#),
                KeyProblem::Broken,
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{rsa_1024}","e":"AQAB"}}"#),
                KeyProblem::RsaSize,
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{N}","e":"AQ"}}"#),
                KeyProblem::RsaSize,
            ),
            (
                format!(r#"{{"kty":"RSA","n":"{N}","e":""}}"#),
                KeyProblem::RsaSize,
            ),
            (
                format!(r#"{{"kty":"EC","crv":"P-384","x":"{short}","y":"{short}"}}"#),
                KeyProblem::Broken,
            ),
            (
                format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{short}AA"}}"#),
                KeyProblem::Broken,
            ),
        ] as [(String, KeyProblem); 11]
        {
            assert_eq!(jwk(&json), Err(problem), "{json}");
        }
    }
}
