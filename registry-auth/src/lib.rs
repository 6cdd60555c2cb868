//! Who may do what in a container registry: ways to sign in, and a policy of
//! what follows from it.
//!
//! | module | | feature |
//! |---|---|---|
//! | [`htpasswd`] | the users of a file, with their passwords | `htpasswd` |
//! | [`token`] | who brings a token of a trusted issuer; and an issuer | `token`, and `ring` or `aws-lc-rs` |
//! | [`policy`] | rights by user, group and repository; what may be done without signing in | |
//! | [`any_of`] | several ways to sign in, behind one challenge | |
//!
//! All of them are [`Authorizer`](registry_spec::Authorizer)s, and so is what
//! an embedder writes. One that asks something of one's own who somebody is,
//! and leaves to a policy what they may, fits on a page:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use registry_auth::policy::{Policed, Policy, Right, Rule};
//! use registry_spec::auth::{
//!     Access, AuthError, AuthRequest, Authorizer, Challenge, Credentials, Grant, Identity, Secret,
//! };
//! use registry_spec::{Registry, storage::MemoryStorage};
//!
//! /// Keys of an application's own, which clients send as passwords.
//! #[derive(Debug)]
//! struct ApiKeys(HashMap<String, Secret>);
//!
//! #[async_trait]
//! impl Authorizer for ApiKeys {
//!     async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
//!         // A database or another service is asked here; when that fails,
//!         // the answer is `AuthError::Backend`, never a challenge.
//!         if let Credentials::Basic { username, password } = request.credentials
//!             && self.0.get(username) == Some(password)
//!         {
//!             return Ok(Grant::all(Identity::user(username)));
//!         }
//!         Err(AuthError::Challenge(Challenge::basic("my application")))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = HashMap::from([("ci".to_owned(), Secret::new("k3y".to_owned()))]);
//! let policy = Policy::builder()
//!     .rule(Rule::new(["ci".parse()?], ["team/**".parse()?], [Right::Push]))
//!     .rule(Rule::new(["anonymous".parse()?], ["**".parse()?], [Right::Pull]))
//!     .build()?;
//! let authorizer = Arc::new(Policed::new(ApiKeys(keys), policy));
//! let registry = Registry::builder(Arc::new(MemoryStorage::new()), authorizer.clone()).build();
//! # drop(registry);
//!
//! // What it says can be asked without a registry.
//! let extensions = http::Extensions::new();
//! let ask = |credentials: Credentials, access: Access| {
//!     let (authorizer, extensions) = (authorizer.clone(), extensions.clone());
//!     async move {
//!         let request = AuthRequest::new(&credentials, &access, &extensions);
//!         authorizer.authorize(&request).await
//!     }
//! };
//! let ci = Credentials::Basic {
//!     username: "ci".to_owned(),
//!     password: Secret::new("k3y".to_owned()),
//! };
//! let grant = ask(ci.clone(), Access::push("team/app".parse()?)).await?;
//! assert_eq!(grant.identity().name(), Some("ci"));
//! assert!(!grant.allows(&Access::delete("team/app".parse()?)));
//!
//! let anonymous = Credentials::Anonymous;
//! assert!(ask(anonymous.clone(), Access::pull("team/app".parse()?)).await.is_ok());
//! let refused = ask(anonymous, Access::push("team/app".parse()?)).await;
//! assert!(matches!(refused, Err(AuthError::Challenge(_))));
//! let refused = ask(ci, Access::push("other/app".parse()?)).await;
//! assert!(matches!(refused, Err(AuthError::Denied)));
//! # Ok(())
//! # }
//! ```

pub mod any_of;
#[cfg(feature = "htpasswd")]
pub mod htpasswd;
pub mod policy;
#[cfg(all(feature = "token", any(feature = "ring", feature = "aws-lc-rs")))]
pub mod token;
