//! Signing in with a file, and what happens when many do, or the file changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use http::Extensions;
use registry_spec::auth::Access;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;

struct Users {
    dir: TempDir,
    users: Arc<Htpasswd>,
}

/// With these users, whose passwords are `secret`.
fn users(names: &[&str], cost: u32) -> Users {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users");
    fs::write(&path, "").expect("written");
    for name in names {
        edit::add(&path, name, "secret", cost).expect("added");
    }
    let users = Arc::new(Htpasswd::load(path, "test").expect("valid"));
    Users { dir, users }
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    }
}

async fn ask(users: &Htpasswd, credentials: &Credentials) -> Result<Grant, AuthError> {
    let extensions = Extensions::new();
    let request = AuthRequest::new(credentials, &Access::Base, &extensions);
    users.authorize(&request).await
}

async fn may(users: &Htpasswd, username: &str, password: &str) -> bool {
    ask(users, &basic(username, password)).await.is_ok()
}

#[tokio::test]
async fn the_right_password_grants_everything() {
    let Users { users, dir: _dir } = users(&["alice"], 4);
    for _ in 0..2 {
        let grant = ask(&users, &basic("alice", "secret")).await.expect("right");
        assert_eq!(grant.identity().name(), Some("alice"));
        let name = "any/thing".parse().expect("a name");
        for access in [Access::Base, Access::Catalog, Access::delete(name)] {
            assert!(grant.allows(&access));
        }
    }
}

#[test]
fn only_those_in_the_file_are_users() {
    let Users { users, dir: _dir } = users(&["alice"], 4);
    for (name, expected) in [
        ("alice", true),
        ("Alice", false),
        ("bob", false),
        ("", false),
    ] {
        assert_eq!(users.has_user(name), expected, "{name}");
    }
}

#[tokio::test]
async fn everything_else_is_challenged() {
    let Users { users, dir: _dir } = users(&["alice"], 4);
    let token = Secret::new("secret".to_owned());
    for credentials in [
        Credentials::Anonymous,
        Credentials::Unreadable,
        Credentials::Bearer { token },
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("alice", "secret\0"),
        basic("Alice", "secret"),
        basic("bob", "secret"),
        basic("", "secret"),
    ] {
        match ask(&users, &credentials).await {
            Err(AuthError::Challenge(challenge)) => {
                assert_eq!(challenge, Challenge::basic("test"));
            }
            other => panic!("{credentials:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_users() {
    let Users { users, dir: _dir } = users(&[], 4);
    assert!(!may(&users, "", "").await);
    assert!(!may(&users, "alice", "secret").await);
    assert_eq!(users.warnings().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_delays_neither_remembered_users_nor_those_who_sign_in() {
    let Users { users, dir: _dir } = users(&["alice", "bob", "carol"], 8);
    assert!(may(&users, "alice", "secret").await);
    let mut flood = JoinSet::new();
    for at in 0..500 {
        let users = Arc::clone(&users);
        let name = if at % 2 == 0 { "alice" } else { "nobody" };
        flood.spawn(async move { ask(&users, &basic(name, &format!("wrong{at}"))).await });
    }
    while users.users().get("alice").seats.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    // Both turns have a long queue now: 64 checks, of which each takes some
    // 20 ms.
    let start = Instant::now();
    assert!(may(&users, "alice", "secret").await);
    assert!(ask(&users, &Credentials::Anonymous).await.is_err());
    let remembered = start.elapsed();
    assert!(may(&users, "bob", "secret").await);
    assert!(!may(&users, "carol", "wrong").await);
    let still = users.users().get("alice").seats.available_permits();
    assert!(still < 32, "the flood was over, and this shows nothing");
    assert!(remembered < Duration::from_millis(200), "{remembered:?}");
    let outcomes = flood.join_all().await;
    let busy = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(AuthError::TooManyRequests { .. })));
    assert!(busy.count() > 300);
    assert!(outcomes.iter().all(Result::is_err));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_password_many_times_at_once_is_checked_once() {
    let Users { users, dir: _dir } = users(&["alice"], 10);
    let start = Instant::now();
    assert!(may(&users, "alice", "secret").await);
    let once = start.elapsed();
    users.users().get("alice").forget();
    let start = Instant::now();
    let mut many = JoinSet::new();
    for _ in 0..30 {
        let users = Arc::clone(&users);
        many.spawn(async move { may(&users, "alice", "secret").await });
    }
    assert!(many.join_all().await.into_iter().all(|may| may));
    let all = start.elapsed();
    assert!(all < once * 10, "{all:?}, one takes {once:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_nobody_waits_for_is_remembered() {
    let Users { users, dir: _dir } = users(&["alice"], 6);
    let credentials = basic("alice", "secret");
    let given_up = tokio::time::timeout(Duration::from_millis(1), ask(&users, &credentials)).await;
    given_up.expect_err("a hash takes longer");
    // The turn comes back with the end of the check.
    let user = Arc::clone(users.users().get("alice"));
    let _turn = user.turn.lock().await;
    let tag = user.tag(&users.key, "secret");
    assert!(user.remembered(&tag, Instant::now()).is_some());
}

#[tokio::test]
async fn a_changed_file_is_taken_over_and_forgets() {
    let Users { users, dir: _dir } = users(&["alice", "bob"], 4);
    assert!(may(&users, "alice", "secret").await);
    assert_eq!(users.reload().expect("usable"), Reloaded::Unchanged);
    edit::set_password(users.path(), "alice", "new", 4).expect("changed");
    edit::remove(users.path(), "bob").expect("removed");
    assert!(may(&users, "alice", "secret").await);
    assert_eq!(users.reload().expect("usable"), Reloaded::Changed);
    assert!(!may(&users, "alice", "secret").await);
    assert!(may(&users, "alice", "new").await);
    assert!(!may(&users, "bob", "secret").await);
    assert_eq!(users.user_count(), 1);
}

#[tokio::test]
async fn a_bad_file_keeps_the_users_and_is_told_of_once() {
    let Users { users, dir: _dir } = users(&["alice"], 4);
    let good = fs::read(users.path()).expect("readable");
    for (content, expected) in [
        (&b"alice:plain\n"[..], ":1: the password is plain text"),
        (b"\n\noops\n", ":3: the line has no colon"),
    ] {
        fs::write(users.path(), content).expect("written");
        let error = users.reload().expect_err("unusable").to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(users.reload().expect("told"), Reloaded::StillFailing);
        assert!(may(&users, "alice", "secret").await);
    }
    fs::remove_file(users.path()).expect("removed");
    let error = users.reload().expect_err("missing").to_string();
    assert!(error.contains("cannot read the htpasswd file"), "{error}");
    assert_eq!(users.reload().expect("told"), Reloaded::StillFailing);
    fs::write(users.path(), good).expect("written");
    assert_eq!(users.reload().expect("usable"), Reloaded::Recovered);
    assert_eq!(users.reload().expect("usable"), Reloaded::Unchanged);
}

/// As the kubelet does it: `users -> ..data/users`, `..data -> ..1`, and then
/// `..data` is replaced by a link to `..2`.
#[tokio::test]
async fn a_swap_of_links_is_seen() {
    let Users { dir, users: old } = users(&["alice"], 4);
    let mounted = dir.path().join("mounted");
    let version = |number: u32| mounted.join(format!("..{number}"));
    for number in [1, 2] {
        fs::create_dir_all(version(number)).expect("made");
    }
    fs::copy(old.path(), version(1).join("users")).expect("copied");
    edit::add(&version(2).join("users"), "bob", "secret", 4).expect("added");
    symlink("..1", mounted.join("..data")).expect("linked");
    symlink("..data/users", mounted.join("users")).expect("linked");
    let users = Htpasswd::load(mounted.join("users"), "test").expect("valid");
    assert!(may(&users, "alice", "secret").await);
    symlink("..2", mounted.join("..data_tmp")).expect("linked");
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("swapped");
    assert_eq!(users.reload().expect("usable"), Reloaded::Changed);
    assert!(!may(&users, "alice", "secret").await);
    assert!(may(&users, "bob", "secret").await);
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users");
    let error = Htpasswd::load(&path, "test").expect_err("missing");
    assert!(error.to_string().starts_with(path.to_str().expect("UTF-8")));
    fs::write(&path, "").expect("written");
    for realm in ["a \"b\"", "a\nb"] {
        let error = Htpasswd::load(&path, realm).expect_err("quotes");
        assert!(matches!(error, HtpasswdError::Realm { .. }), "{error}");
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let Users { users, dir: _dir } = users(&["alice"], 4);
    assert!(may(&users, "alice", "secret").await);
    let printed = format!("{users:?} {:?}", users.users());
    assert!(!printed.contains("$2y$"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}
