//! Where the settings stand that a person may have to change: for messages of those who find out later that one is wrong.

use std::collections::BTreeMap;

use super::origin::Origin;

/// The origin of every key that was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Origin>);

impl Places {
    pub(crate) fn new(origins: impl IntoIterator<Item = (String, Origin)>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// A key and its place: that of the first of several keys for one thing that is set.
    pub fn of(&self, keys: &[&str]) -> String {
        let set = keys.iter().find_map(|key| Some((key, self.0.get(*key)?)));
        match (set, keys) {
            (Some((key, origin)), _) => format!("{key}, {origin}"),
            (None, [first, ..]) => format!("{first}, {}", Origin::Default),
            (None, []) => Origin::Default.to_string(),
        }
    }

    /// The place of the data directories.
    pub fn of_directories(&self) -> String {
        self.of(&["log.dirs", "log.dir"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_is_set_is_named() {
        let places = Places::new([("log.dir".to_owned(), Origin::Override)]);
        assert_eq!(places.of_directories(), "log.dir, --override");
        assert_eq!(places.of(&["port"]), "port, default");
        assert_eq!(Places::default().of_directories(), "log.dirs, default");
    }
}
