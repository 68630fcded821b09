//! The file of credentials: JSON that only its owner may read, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::origin::Origin;

/// What is known of a server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The token that `stepwell token create` gave. It goes to its server alone, and only to get tokens of an hour.
    pub token: String,
    /// Whether it may go to another machine unencrypted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain_http: bool,
    /// A file of certificates that the server's is signed by, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// Shows no token.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("allow_plain_http", &self.allow_plain_http)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

/// The credentials of a user.
#[derive(Clone, Debug)]
pub struct Credentials {
    path: PathBuf,
}

impl Credentials {
    /// Opens this user's credentials: in `$STEPWELL_CREDENTIALS`, else in `stepwell/credentials.json` of the folder for
    /// settings.
    ///
    /// # Errors
    /// When no such folder is known.
    pub fn of_user() -> Result<Self, String> {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = named(crate::FILE) {
            return Ok(Self { path });
        }
        let settings = named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")));
        match settings {
            Some(folder) => Ok(Self { path: folder.join("stepwell/credentials.json") }),
            None => Err(format!("no place for credentials is known: set HOME, or {} to a file", crate::FILE)),
        }
    }

    /// Those of a file, which need not be there.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of them, by server.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or may be read by others than its owner.
    pub fn list(&self) -> Result<BTreeMap<String, Credential>, String> {
        let wrong = |why: &str| format!("{}: {why}", self.path.display());
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(wrong(&error.to_string())),
        };
        let mode = file.metadata().map_err(|error| wrong(&error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            let why = "others than its owner may read it; run `chmod 600` on it, and revoke its tokens if anybody did";
            return Err(wrong(why));
        }
        // The words of a damaged file are not shown: they may be a token.
        serde_json::from_reader(io::BufReader::new(file))
            .map_err(|error| wrong(&format!("damaged in line {}, column {}", error.line(), error.column())))
    }

    /// The one for a server.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn get(&self, origin: &Origin) -> Result<Option<Credential>, String> {
        Ok(self.list()?.remove(&origin.to_string()))
    }

    /// Stores the credential of a server, in place of an earlier one.
    ///
    /// # Errors
    /// As [`Self::list`], or when the file cannot be written.
    pub fn set(&self, origin: &Origin, credential: Credential) -> Result<(), String> {
        self.change(|all| _ = all.insert(origin.to_string(), credential))
    }

    /// Removes the credential of a server. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn remove(&self, origin: &Origin) -> Result<bool, String> {
        let mut found = false;
        self.change(|all| found = all.remove(&origin.to_string()).is_some())?;
        Ok(found)
    }

    /// Changes the file atomically. Processes take turns.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Credential>)) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot write {}: {error}", self.path.display());
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let beside = |end: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(".lock"));
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut all = self.list()?;
        change(&mut all);
        self.replace(&beside(".new"), &all).map_err(failed)
    }

    fn replace(&self, temporary: &Path, all: &BTreeMap<String, Credential>) -> io::Result<()> {
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(temporary)?;
        serde_json::to_writer_pretty(&mut file, all)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(temporary, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(token: &str) -> Credential {
        Credential { token: token.into(), ..Credential::default() }
    }

    #[test]
    fn credentials_are_kept_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Credentials::of(&dir.path().join("new/credentials.json"));
        let (lab, other) = (Origin::parse("https://lab").unwrap(), Origin::parse("https://other").unwrap());
        assert_eq!(kept.get(&lab), Ok(None));
        kept.set(&lab, credential("stw_a")).unwrap();
        kept.set(&other, Credential { allow_plain_http: true, ..credential("stw_b") }).unwrap();
        assert_eq!(kept.get(&lab).unwrap().unwrap().token, "stw_a");
        assert!(kept.get(&other).unwrap().unwrap().allow_plain_http);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(kept.path()), mode(kept.path().parent().unwrap())), (0o600, 0o700));
        assert_eq!(kept.remove(&lab), Ok(true));
        assert_eq!((kept.remove(&lab), kept.list().unwrap().len()), (Ok(false), 1));
        assert!(!format!("{:?}", credential("stw_secret")).contains("secret"));
        fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(kept.get(&other).unwrap_err().contains("chmod 600"));
        fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(kept.path(), "{\"https://lab\": stw_secret").unwrap();
        assert!(!kept.list().unwrap_err().contains("secret"));
    }
}
