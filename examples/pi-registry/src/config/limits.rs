//! The `catalog` and `tags` sections: how long a page may be.

use super::error::ConfigError;
use super::node::Node;
use super::read;

/// How many items one page of a list holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `catalog.maxentries`: repositories. Default: 1000, and for 0 as well.
    pub catalog: usize,
    /// `tags.maxtags`: tags. Default: 1000, and for 0 as well.
    pub tags: usize,
}

impl Limits {
    pub(super) fn read(root: &Node) -> Result<Self, ConfigError> {
        const DEFAULT: usize = 1000;
        let limit = |key| {
            let limit = read::number(root, key)?.filter(|&limit| limit > 0);
            Ok(limit.unwrap_or(DEFAULT))
        };
        Ok(Self {
            catalog: limit("catalog.maxentries")?,
            tags: limit("tags.maxtags")?,
        })
    }
}
