//! What a policy allows, and why.

use http::Extensions;
use registry_spec::Authorizer;
use registry_spec::auth::{AuthError, AuthRequest, Challenge, Credentials, Grant};

use super::*;

fn rule(who: &[&str], repositories: &[&str], rights: &[&str]) -> Rule {
    Rule::new(
        who.iter().map(|text| text.parse().expect("who")),
        repositories
            .iter()
            .map(|text| text.parse().expect("a pattern")),
        rights.iter().map(|text| text.parse().expect("a right")),
    )
}

fn policy(rules: impl IntoIterator<Item = Rule>) -> Policy {
    let builder = Policy::builder().group("dev", ["alice", "bob"]);
    let builder = rules.into_iter().fold(builder, PolicyBuilder::rule);
    builder.build().expect("valid")
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

/// The rights on `team/app`, in one text.
fn rights(policy: &Policy, user: Option<&str>) -> String {
    let identity = user.map_or(Identity::anonymous(), Identity::user);
    let app = name("team/app");
    let mut rights = Vec::new();
    for right in Right::ALL {
        let access = match right {
            Right::Pull => Access::pull(app.clone()),
            Right::Push => Access::push(app.clone()),
            Right::Delete => Access::delete(app.clone()),
            Right::Catalog => Access::Catalog,
        };
        let allowed = policy.allows(&identity, &access);
        let explained = policy.explain(&identity, right, &app).next().is_some();
        assert_eq!(allowed, explained, "{user:?} {right}");
        if allowed {
            rights.push(right.as_str());
        }
    }
    rights.join(" ")
}

#[test]
fn rules_give_what_they_say_to_whom_they_say() {
    for (who, repositories, given, expected) in [
        // To anonymous, alice (of dev), carol.
        ("alice", "team/**", "push", ["", "pull push", ""]),
        ("alice", "team/**", "pull", ["", "pull", ""]),
        ("alice", "team/**", "delete", ["", "delete", ""]),
        ("alice", "other/**", "pull", ["", "", ""]),
        ("alice", "other/**", "catalog", ["", "catalog", ""]),
        ("Alice", "**", "pull", ["", "", ""]),
        ("group:dev", "team/app", "pull", ["", "pull", ""]),
        ("*", "**", "pull", ["", "pull", "pull"]),
        ("anonymous", "**", "pull", ["pull", "pull", "pull"]),
        (
            "anonymous",
            "**",
            "catalog",
            ["catalog", "catalog", "catalog"],
        ),
        ("user:anonymous", "**", "pull", ["", "", ""]),
        ("user:*", "**", "pull", ["", "", ""]),
    ] {
        let policy = policy([rule(&[who], &[repositories], &[given])]);
        for (user, expected) in [None, Some("alice"), Some("carol")]
            .into_iter()
            .zip(expected)
        {
            let rights = rights(&policy, user);
            assert_eq!(rights, expected, "{who} {repositories} {given}: {user:?}");
        }
    }
}

#[test]
fn nothing_is_allowed_by_no_rule() {
    let nothing = Policy::default();
    assert_eq!(rights(&nothing, None), "");
    assert_eq!(rights(&nothing, Some("alice")), "");
    // A sign-in that leads to nothing is one that has worked, all the same.
    assert!(nothing.allows(&Identity::user("alice"), &Access::Base));
    assert!(!nothing.allows(&Identity::anonymous(), &Access::Base));
}

#[test]
fn rules_add_up() {
    let policy = policy([
        rule(&["group:dev"], &["other/*", "team/*"], &["pull"]),
        rule(&["carol", "alice"], &["**/app"], &["delete", "catalog"]),
    ]);
    assert_eq!(rights(&policy, Some("alice")), "pull delete catalog");
    assert_eq!(rights(&policy, Some("bob")), "pull");
    assert_eq!(rights(&policy, Some("carol")), "delete catalog");
}

#[test]
fn every_repository_is_one_rule_about_all_of_them() {
    let every = |actions| Access::EveryRepository { actions };
    let policy = policy([
        rule(&["alice"], &["**"], &["push"]),
        rule(&["bob"], &["*", "*/**"], &["pull"]),
    ]);
    let (alice, bob) = (Identity::user("alice"), Identity::user("bob"));
    assert!(policy.allows(&alice, &every(&[Action::Pull])));
    assert!(policy.allows(&alice, &every(&[Action::Pull, Action::Push])));
    assert!(!policy.allows(&alice, &every(&[Action::Delete])));
    assert!(!policy.allows(&bob, &every(&[Action::Pull])));
    assert!(!policy.allows(&Identity::anonymous(), &every(&[Action::Pull])));
}

#[test]
fn every_reason_is_told_with_its_rule() {
    let policy = policy([
        rule(&["*"], &["public/**"], &["pull"]).at("c.yml:1"),
        rule(
            &["carol", "group:dev"],
            &["x", "team/**"],
            &["push", "catalog"],
        )
        .at("c.yml:2"),
        rule(&["alice"], &["**"], &["pull"]).at("c.yml:3"),
    ]);
    let (alice, app) = (Identity::user("alice"), name("team/app"));
    let why = |right| {
        let reasons = policy.explain(&alice, right, &app);
        let told = reasons.map(|reason| format!("{}: {reason}", reason.rule.place().unwrap_or("")));
        told.collect::<Vec<_>>()
    };
    assert_eq!(
        why(Right::Pull),
        ["c.yml:2: group:dev, team/**", "c.yml:3: alice, **"]
    );
    assert_eq!(why(Right::Push), ["c.yml:2: group:dev, team/**"]);
    assert_eq!(why(Right::Catalog), ["c.yml:2: group:dev"]);
    assert!(why(Right::Delete).is_empty());
}

#[test]
fn a_group_that_there_is_not_is_refused() {
    let rule = rule(&["alice", "group:ops"], &["**"], &["pull"]).at("c.yml:7");
    let error = Policy::builder()
        .group("dev", ["alice"])
        .rule(rule)
        .build()
        .expect_err("no such group");
    assert_eq!(error.to_string(), "there is no group \"ops\"");
    let PolicyError::UnknownGroup { place, .. } = error;
    assert_eq!(place.as_deref(), Some("c.yml:7"));
}

/// Says the same to everybody.
#[derive(Debug)]
enum Inner {
    Challenge,
    Denied,
    Failure,
    ReadsA,
}

#[async_trait::async_trait]
impl Authorizer for Inner {
    async fn authorize(&self, _: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        match self {
            Self::Challenge => Err(AuthError::Challenge(Challenge::basic("r"))),
            Self::Denied => Err(AuthError::Denied),
            Self::Failure => Err(AuthError::Backend {
                source: "down".into(),
            }),
            Self::ReadsA => Ok(Grant::new(Identity::user("alice"), |access| {
                *access == Access::pull(name("a"))
            })),
        }
    }
}

async fn asked(inner: Inner, policy: &Policy, credentials: Credentials, access: Access) -> String {
    let policed = Policed::new(inner, policy.clone());
    let extensions = Extensions::new();
    let request = AuthRequest::new(&credentials, &access, &extensions);
    match policed.authorize(&request).await {
        Ok(grant) => {
            assert!(grant.allows(&access));
            grant.identity().to_string()
        }
        Err(AuthError::Challenge(_)) => "challenge".to_owned(),
        Err(AuthError::Denied) => "denied".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn without_credentials_the_policy_is_asked_where_there_is_no_more_to_tell() {
    use Credentials::{Anonymous, Unreadable};
    let public = policy([rule(&["anonymous"], &["a"], &["pull"])]);
    let closed = policy([rule(&["*"], &["**"], &["pull"])]);
    let (a, b) = (|| Access::pull(name("a")), || Access::pull(name("b")));
    for (inner, policy, credentials, access, expected) in [
        (Inner::Challenge, &public, Anonymous, a(), "anonymous"),
        (Inner::Challenge, &public, Anonymous, b(), "challenge"),
        (
            Inner::Challenge,
            &public,
            Anonymous,
            Access::Base,
            "challenge",
        ),
        (
            Inner::Challenge,
            &public,
            Anonymous,
            Access::Catalog,
            "challenge",
        ),
        (Inner::Challenge, &closed, Anonymous, a(), "challenge"),
        (Inner::Challenge, &public, Unreadable, a(), "challenge"),
        (Inner::Denied, &public, Anonymous, a(), "anonymous"),
        (Inner::Denied, &public, Anonymous, b(), "denied"),
        (Inner::Denied, &public, Anonymous, Access::Base, "anonymous"),
        (Inner::Denied, &closed, Anonymous, Access::Base, "denied"),
        (Inner::Denied, &public, Unreadable, a(), "denied"),
        (
            Inner::Failure,
            &public,
            Anonymous,
            a(),
            "authorization failed",
        ),
    ] {
        let case = format!("{inner:?} {credentials:?} {access:?}");
        assert_eq!(
            asked(inner, policy, credentials, access).await,
            expected,
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_grant_is_what_both_allow() {
    let (all, none) = (policy([Rule::everything(Who::SignedIn)]), policy([]));
    let (a, b) = (|| Access::pull(name("a")), || Access::pull(name("b")));
    for (policy, access, expected) in [
        (&all, a(), "alice"),
        (&all, b(), "denied"),
        (&none, a(), "denied"),
    ] {
        let said = asked(Inner::ReadsA, policy, Credentials::Anonymous, access).await;
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn a_policy_is_replaced_for_all_that_share_it() {
    let current = CurrentPolicy::new(Policy::default());
    let policed = Policed::new(Inner::Challenge, current.clone());
    let extensions = Extensions::new();
    let access = Access::pull(name("a"));
    let request = AuthRequest::new(&Credentials::Anonymous, &access, &extensions);
    assert!(policed.authorize(&request).await.is_err());
    current.replace(policy([rule(&["anonymous"], &["**"], &["pull"])]));
    assert!(policed.authorize(&request).await.is_ok());
}
