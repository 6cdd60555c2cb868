//! Why a token is not believed.

/// Why a token is not believed. The client is told `invalid_token`, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`LONGEST_TOKEN`](super::LONGEST_TOKEN).
    #[error("the token is too long")]
    TooLong,
    /// Not three parts in base64.
    #[error("the token has not the form of one")]
    Form,
    /// Its header cannot be read, or says that it is something else.
    #[error("the token's header cannot be read")]
    Header,
    /// Its claims cannot be read: `exp` is missing, say, or is no whole number.
    #[error("the token's claims cannot be read")]
    Claims,
    /// It asks for an extension (`crit`), and none is supported.
    #[error("the token asks for an extension")]
    Critical,
    /// Its algorithm is unknown, unsafe or not allowed.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// It names a key that is not trusted, or none where there are several.
    #[error("the token's key is not trusted")]
    UnknownKey,
    /// Its certificates lead to none that is trusted, or do not hold now.
    #[error("the token's certificates are not trusted")]
    Chain,
    /// It was not signed with the key that it names.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for another service.
    #[error("the token is for another service")]
    Audience,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It does not hold yet.
    #[error("the token does not hold yet")]
    NotYet,
}
