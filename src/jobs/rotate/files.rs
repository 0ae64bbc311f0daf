//! Files with new secrets: one for each key, `KEY_ID.json`, for its owner's eyes
//! only. One that is on its way has another name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::clock::Timestamp;
use crate::domain::ids::{KeyId, new_uuid};
use crate::domain::key::Key;
use crate::domain::secret::{KeyHash, Secret};

/// What the name of a file that is on its way ends with.
const PENDING: &str = "pending";

/// What a file says.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Delivery {
    key_id: String,
    key_alias: Option<String>,
    secret: String,
    rotated_at: Timestamp,
    /// Until when the secret before it is good, too.
    previous_key_valid_until: Option<Timestamp>,
    /// Where it is on its way.
    #[serde(skip)]
    pending: PathBuf,
}

impl Delivery {
    /// The new secret of a key.
    pub(super) fn new(key: &Key, secret: &Secret, grace: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            key_id: key.key_id.to_string(),
            key_alias: key.key_alias.clone(),
            secret: secret.reveal().to_owned(),
            rotated_at: now,
            previous_key_valid_until: grace,
            pending: PathBuf::new(),
        }
    }

    /// Whose it is.
    pub(super) fn key_id(&self) -> Option<KeyId> {
        self.key_id.parse().ok().map(KeyId)
    }

    /// When it began.
    pub(super) const fn rotated_at(&self) -> Timestamp {
        self.rotated_at
    }

    /// The hash of the secret.
    pub(super) fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.secret)
    }

    /// Removes its file: the secret never became good.
    ///
    /// # Errors
    /// [`io::Error`].
    pub(super) fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.pending)
    }
}

/// A directory of them.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    /// Those in a directory.
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Writes a secret down that is not good yet.
    ///
    /// # Errors
    /// [`io::Error`].
    pub(super) fn begin(&self, delivery: Delivery) -> io::Result<Delivery> {
        let name = format!("{}.{}.{PENDING}", delivery.key_id, new_uuid());
        let delivery = Delivery { pending: self.0.join(name), ..delivery };
        if let Err(error) = self.write(&delivery) {
            let _ = delivery.forget();
            return Err(error);
        }
        Ok(delivery)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// [`io::Error`].
    pub(super) fn finish(&self, delivery: &Delivery) -> io::Result<()> {
        fs::rename(&delivery.pending, self.0.join(format!("{}.json", delivery.key_id)))?;
        self.sync()
    }

    /// Gives it its name, of a secret that is good; writes it again if somebody
    /// took it for one that was left.
    ///
    /// # Errors
    /// [`io::Error`].
    pub(super) fn finish_or_repeat(&self, delivery: &Delivery) -> io::Result<()> {
        match self.finish(delivery) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.finish(&self.begin(delivery.clone())?),
            ended => ended,
        }
    }

    fn write(&self, delivery: &Delivery) -> io::Result<()> {
        let mut file = private(&delivery.pending)?;
        file.write_all(serde_json::to_string_pretty(delivery)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        self.sync()
    }

    /// Those that are on their way. What can't be read is none: the crash came
    /// before it was whole, and so before its secret was good.
    ///
    /// # Errors
    /// [`io::Error`] if the directory can't be read.
    pub(super) fn begun(&self) -> io::Result<Vec<Delivery>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == PENDING)
                && let Ok(text) = fs::read_to_string(&path)
                && let Ok(delivery) = serde_json::from_str::<Delivery>(&text)
            {
                found.push(Delivery { pending: path, ..delivery });
            }
        }
        Ok(found)
    }

    /// Makes the names in the directory durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_secret_whose_file_was_taken_away_is_written_again() {
        let directory = std::env::temp_dir().join(format!("bursar-rotate-{}", new_uuid()));
        fs::create_dir(&directory).unwrap();
        let files = Files::new(directory.clone());
        let key_id = KeyId(new_uuid());
        let delivery = Delivery {
            key_id: key_id.to_string(),
            key_alias: None,
            secret: "sk-new".to_owned(),
            rotated_at: Timestamp::EPOCH,
            previous_key_valid_until: None,
            pending: PathBuf::new(),
        };
        let begun = files.begin(delivery).unwrap();
        begun.forget().unwrap();

        files.finish_or_repeat(&begun).unwrap();

        let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [format!("{key_id}.json").as_str()]);
        let text = fs::read_to_string(directory.join(&names[0])).unwrap();
        assert_eq!(serde_json::from_str::<Delivery>(&text).unwrap().secret, "sk-new");
        fs::remove_dir_all(&directory).unwrap();
    }
}
