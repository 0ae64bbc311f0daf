//! Keys as requests name many of them: by secret, hash or alias.

use crate::domain::ids::KeyId;
use crate::domain::key::{Key, check_alias};
use crate::domain::secret::{KeyHash, SECRET_PREFIX, Secret};
use crate::services::wire::faults::Faults;
use crate::services::wire::key_ref;
use crate::services::wire::text::BATCH_MAX;

/// Keys that a request names, each once.
pub(super) struct NamedKeys {
    /// Those with these hashes, and how the request is told of them.
    hashes: Vec<(KeyHash, String)>,
    /// Those with these aliases.
    pub(super) aliases: Vec<String>,
}

impl NamedKeys {
    /// Takes the fields `keys` and `key_aliases`, of which there must be some.
    pub(super) fn take(keys: &[String], aliases: &[String], faults: &mut Faults) -> Self {
        let count = keys.len() + aliases.len();
        if count == 0 || count > BATCH_MAX {
            faults.add("keys", format!("and key_aliases must have 1-{BATCH_MAX} entries together"));
        }
        let mut named = Self { hashes: Vec::new(), aliases: Vec::new() };
        for (index, text) in keys.iter().enumerate() {
            if let Some(hash) = key_ref::required(&format!("keys[{index}]"), text, faults)
                && !named.hashes.iter().any(|(known, _)| *known == hash)
            {
                named.hashes.push((hash, shown(text)));
            }
        }
        for (index, alias) in aliases.iter().enumerate() {
            let checked = faults.take(format!("key_aliases[{index}]"), check_alias(alias));
            if checked.is_some() && !named.aliases.contains(alias) {
                named.aliases.push(alias.clone());
            }
        }
        named
    }

    /// Their hashes.
    pub(super) fn hashes(&self) -> Vec<KeyHash> {
        self.hashes.iter().map(|(hash, _)| *hash).collect()
    }

    /// Each entry, as the request is told of it, with its hash, if it is no alias,
    /// and the key that it names among these; `owned` says which key has which
    /// hash, or had it.
    pub(super) fn among<'a>(
        &'a self,
        keys: &'a [&'a Key],
        owned: &'a [(KeyHash, KeyId)],
    ) -> impl Iterator<Item = (&'a str, Option<&'a KeyHash>, Option<&'a Key>)> {
        let with_id = |id: &KeyId| keys.iter().copied().find(|key| key.key_id == *id);
        let with_hash = move |hash: &KeyHash| owned.iter().filter(|(of, _)| of == hash).find_map(|(_, id)| with_id(id));
        let with_alias = |alias: &String| keys.iter().copied().find(|key| key.key_alias.as_ref() == Some(alias));
        let by_hash = self.hashes.iter().map(move |(hash, shown)| (shown.as_str(), Some(hash), with_hash(hash)));
        by_hash.chain(self.aliases.iter().map(move |alias| (alias.as_str(), None, with_alias(alias))))
    }
}

/// How an entry is named in an answer: a secret by its tail only.
pub(super) fn shown(text: &str) -> String {
    if text.starts_with(SECRET_PREFIX) { Secret::shown(text) } else { text.to_owned() }
}
