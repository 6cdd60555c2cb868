//! Clauses on referrers: end-12.

use super::{name, push_manifest, referrer, sha256};
use crate::storage::{Page, Storage};
use crate::types::{Algorithm, Digest, RepositoryName};

async fn push_referrer(
    storage: &dyn Storage,
    name: &RepositoryName,
    text: &str,
    subject: &Digest,
) -> Digest {
    let put = referrer(text, subject);
    let digest = put.digest;
    storage
        .put_manifest(name, put)
        .await
        .expect("the referrer is pushed");
    digest
}

async fn referrers(storage: &dyn Storage, name: &RepositoryName, subject: &Digest) -> Vec<Digest> {
    let page = storage
        .list_referrers(name, subject, None, 100)
        .await
        .expect("a list, if empty");
    assert!(!page.more);
    page.items
}

/// The order of digests; every referrer once.
pub async fn referrers_are_listed_in_order_and_in_pages(storage: &dyn Storage) {
    let name = name("a/b");
    let subject = push_manifest(storage, &name, "subject", &["v1"]).await;
    let mut all = Vec::new();
    for n in 0..11 {
        all.push(push_referrer(storage, &name, &format!("number {n}"), &subject).await);
    }
    all.sort();
    assert_eq!(referrers(storage, &name, &subject).await, all);
    for limit in [1, 4, 10, 11, 12] {
        let mut listed: Vec<Digest> = Vec::new();
        loop {
            let page = storage
                .list_referrers(&name, &subject, listed.last(), limit)
                .await
                .expect("a list");
            assert!(page.items.len() <= limit);
            assert_eq!(page.more, listed.len() + page.items.len() < all.len());
            listed.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert_eq!(listed, all, "in pages of {limit}");
    }
}

/// In a repository that exists, and in one that does not.
pub async fn an_unknown_subject_has_no_referrers(storage: &dyn Storage) {
    let known = name("a");
    push_manifest(storage, &known, "one", &["v1"]).await;
    for name in [known, name("never/pushed")] {
        let page = storage.list_referrers(&name, &sha256("x"), None, 10).await;
        assert_eq!(page.expect("a list"), Page::new(vec![], false));
    }
}

/// Signatures may arrive before what they sign; sha512 subjects too.
pub async fn the_subject_need_not_exist(storage: &dyn Storage) {
    let name = name("a");
    for subject in Algorithm::ALL.map(|algorithm| Digest::of(algorithm, b"later")) {
        let referrer = push_referrer(storage, &name, "early", &subject).await;
        assert_eq!(referrers(storage, &name, &subject).await, [referrer]);
    }
}

/// Under each of its digests.
pub async fn a_referrer_pushed_twice_is_listed_once(storage: &dyn Storage) {
    let name = name("a");
    let subject = push_manifest(storage, &name, "subject", &[]).await;
    let mut listed = vec![
        push_referrer(storage, &name, "twice", &subject).await,
        push_referrer(storage, &name, "other", &subject).await,
    ];
    push_referrer(storage, &name, "twice", &subject).await;
    let mut put = referrer("twice", &subject);
    put.digest = Digest::of(Algorithm::Sha512, &put.bytes);
    listed.push(put.digest);
    storage.put_manifest(&name, put).await.expect("is pushed");
    listed.sort();
    assert_eq!(referrers(storage, &name, &subject).await, listed);
    // What a page starts after need not exist.
    let absent = Digest::from_hash(Algorithm::Sha256, &[0xff; 32]).expect("as long as a hash");
    let page = storage
        .list_referrers(&name, &subject, Some(&absent), 10)
        .await;
    assert_eq!(page.expect("a list"), Page::new(vec![listed[2]], false));
    let page = storage.list_referrers(&name, &subject, None, 0).await;
    assert_eq!(page.expect("a list").items, []);
}

/// At once; and pushed again it is back.
pub async fn a_deleted_referrer_is_not_listed(storage: &dyn Storage) {
    let name = name("a");
    let subject = push_manifest(storage, &name, "subject", &[]).await;
    let gone = push_referrer(storage, &name, "gone", &subject).await;
    let kept = push_referrer(storage, &name, "kept", &subject).await;
    storage
        .delete_manifest(&name, &gone)
        .await
        .expect("is there");
    assert_eq!(referrers(storage, &name, &subject).await, [kept]);
    push_referrer(storage, &name, "gone", &subject).await;
    let mut both = [gone, kept];
    both.sort();
    assert_eq!(referrers(storage, &name, &subject).await, both);
}

/// Referrers are manifests of their own.
pub async fn a_deleted_subject_keeps_its_referrers(storage: &dyn Storage) {
    let name = name("a");
    let subject = push_manifest(storage, &name, "subject", &["v1"]).await;
    let referrer = push_referrer(storage, &name, "kept", &subject).await;
    storage
        .delete_manifest(&name, &subject)
        .await
        .expect("is there");
    assert_eq!(referrers(storage, &name, &subject).await, [referrer]);
}

/// The same subject elsewhere has its own.
pub async fn referrers_belong_to_one_repository(storage: &dyn Storage) {
    let (a, b) = (name("a"), name("b"));
    let subject = push_manifest(storage, &a, "subject", &[]).await;
    push_manifest(storage, &b, "subject", &[]).await;
    push_referrer(storage, &a, "in a", &subject).await;
    assert_eq!(referrers(storage, &b, &subject).await, []);
}
