//! Rules about tags, in the configuration and in a file.

use std::fs;
use std::time::Duration;

use super::super::{Config, TagRules};
use super::load;

fn immutable(rules: &TagRules, repository: &str, tag: &str) -> Option<String> {
    let (name, tag) = (repository.parse().expect("a name"), tag.parse());
    let rule = rules.immutable.rule_for(&name, &tag.expect("a tag"));
    rule.map(|rule| rule.place().expect("known").to_owned())
}

#[test]
fn without_rules_every_tag_moves_and_stays() {
    for text in ["", "tags:", "tags: {maxtags: 5}", "tags: {immutable: []}"] {
        let config = load(text, &[]).expect(text);
        assert_eq!(config.tags, TagRules::default(), "{text}");
        assert_eq!(config.retention_interval, None);
    }
}

#[test]
fn rules_are_read_with_their_places() {
    let text = "\
tags:
  immutable:
    - {repositories: ['team/**', lib], tags: v*, except: ['*-rc*']}
  retention:
    interval: 12h
    rules:
      - {repositories: ['ci/**'], newest: 10, tags: [main], pushedwithin: 720h}
";
    let config = load(text, &[]).expect("valid");
    let place = immutable(&config.tags, "team/a", "v1").expect("immutable");
    assert!(place.ends_with(":3"), "{place}");
    assert_eq!(immutable(&config.tags, "team/a", "v1-rc1"), None);
    assert_eq!(immutable(&config.tags, "ci/a", "v1"), None);
    assert!(!config.tags.retention.is_empty());
    assert_eq!(
        config.retention_interval,
        Some(Duration::from_secs(12 * 3600))
    );
}

#[test]
fn a_file_of_rules_adds_to_those_of_the_configuration() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let text = format!(
        "auth: {{htpasswd: {{path: u}}, policy: {{path: '{}'}}}}\n\
         tags: {{immutable: [{{repositories: a, tags: v*}}]}}\n",
        path("rules")
    );
    fs::write(path("c.yml"), text).expect("written");
    let read = |tags: &str| {
        fs::write(path("rules"), format!("rules: []\ntags: {tags}\n")).expect("written");
        Config::load(Some(&dir.path().join("c.yml")), [])
    };
    let rules = "{immutable: [{repositories: b, tags: '*'}], \
                 retention: {rules: [{repositories: c, newest: 1}]}}";
    let config = read(rules).expect("valid");
    assert!(immutable(&config.tags, "a", "v1").is_some());
    let place = immutable(&config.tags, "b", "x").expect("from the file");
    assert_eq!(place, format!("{}:2", path("rules")));
    assert!(!config.tags.retention.is_empty());
    let file = config.auth.policy_file.expect("a file");
    assert_eq!(file.read().expect("valid").1, config.tags);
    for (tags, expected) in [
        (
            "{maxtags: 1}",
            ":2: tags.maxtags is unknown: expected immutable, retention",
        ),
        (
            "{retention: {interval: 1h, rules: []}}",
            ":2: tags.retention.interval is unknown: expected rules",
        ),
        (
            "{immutable: [x]}",
            ":2: tags.immutable[0] is \"x\": expected a map of keys",
        ),
    ] {
        let line = read(tags).expect_err(tags).to_string();
        assert_eq!(line, format!("{}{expected}", path("rules")));
    }
}

#[test]
fn a_rule_that_is_not_understood_refuses_the_start() {
    for (tags, expected) in [
        (
            "{immutable: all}",
            "tags.immutable is \"all\": expected a list of rules",
        ),
        (
            "{immutable: [{tags: ['v*']}]}",
            "tags.immutable[0].repositories is missing: expected a list of team/app, team/* or \
             team/**",
        ),
        (
            "{immutable: [{repositories: ['**']}]}",
            "tags.immutable[0].tags is missing: expected a list of v1.0, v* or *",
        ),
        (
            "{immutable: [{repositories: ['**'], tags: ['^v.*']}]}",
            "tags.immutable[0].tags has \"^v.*\": no tag has such a name: tags are letters, \
             digits, '_', '.' and '-', and '*' is all that has a meaning of its own",
        ),
        (
            "{immutable: [{repositories: ['**'], tags: ['v*'], unless: x}]}",
            "tags.immutable[0].unless is unknown: expected except, repositories, tags",
        ),
        (
            "{retention: 10}",
            "tags.retention is \"10\": expected a map of keys",
        ),
        (
            "{retention: {rules: [{repositories: ['**']}]}}",
            "tags.retention.rules[0] keeps nothing, and so would remove every tag: give one of \
             newest, pulledwithin, pushedwithin, tags",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], pushedwithin: 0}]}}",
            "tags.retention.rules[0] keeps nothing, and so would remove every tag: give one of \
             newest, pulledwithin, pushedwithin, tags",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], pulledwithin: 0}]}}",
            "tags.retention.rules[0] keeps nothing, and so would remove every tag: give one of \
             newest, pulledwithin, pushedwithin, tags",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], newest: 0}]}}",
            "tags.retention.rules[0].newest is \"0\": expected at least 1",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], newest: few}]}}",
            "tags.retention.rules[0].newest is \"few\": expected a whole number such as 1000",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], pushedwithin: 30d}]}}",
            "tags.retention.rules[0].pushedwithin is \"30d\": expected a duration such as 30s, \
             1m30s or 168h",
        ),
        (
            "{retention: {rules: [{repositories: ['**'], keep: 5}]}}",
            "tags.retention.rules[0].keep is unknown: expected newest, pulledwithin, pushedwithin, \
             repositories, tags",
        ),
        (
            "{retention: {interval: 5s, rules: []}}",
            "tags.retention.interval is \"5s\": expected at least 1m",
        ),
    ] {
        let line = load(&format!("tags: {tags}"), &[]).expect_err(tags);
        assert!(line.ends_with(expected), "{line}\n{expected}");
        assert!(!line.contains('\n'), "{line}");
    }
}
