//! Bearer tokens: 256 random bits, shown once, kept as SHA-256 in a file of the workspace that only its owner reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::files::{check_no_link, sync_all};
use stepwell_wire::routes::Role;
use subtle::ConstantTimeEq;

use super::access::Principal;
use super::hourly::{Claim, Key};

/// The folder of the server's own files in a workspace.
pub(crate) const FOLDER: &str = "server";
/// The file of tokens in it.
const FILE: &str = "tokens.json";
/// What every token begins with, so that scanners for leaked secrets find them.
pub(super) const PREFIX: &str = "stw_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Characters of a token's id.
pub(super) const ID_CHARS: usize = 12;
/// Most bytes of the file of tokens that are read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public half, by which it is revoked.
    pub id: String,
    /// What its owner called it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The ids of the experiments it is for; without any it is for the whole workspace.
    pub experiments: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: i64,
    /// SHA-256 of the whole token, in hexadecimal.
    hash: String,
}

impl Token {
    /// SHA-256 of the whole token, in hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// Distinguishes one state of a file from another.
type Stamp = Option<(u64, i64, i64, u64)>;

/// The tokens of a workspace. A handle sees what other processes change.
#[derive(Debug)]
pub struct Tokens {
    folder: PathBuf,
    seen: Mutex<Seen>,
    key: Mutex<(Stamp, Option<Arc<Key>>)>,
}

/// What was last read, and from which file.
#[derive(Debug, Default)]
struct Seen {
    stamp: Stamp,
    tokens: Arc<Vec<Token>>,
}

impl Tokens {
    /// The tokens of the workspace in `root`. Nothing is read or made yet.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        Self { folder: root.join(FOLDER), seen: Mutex::default(), key: Mutex::default() }
    }

    /// All tokens, ended ones too.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is readable by others than its owner.
    pub fn list(&self) -> io::Result<Vec<Token>> {
        Ok(self.read()?.1)
    }

    /// Makes a token and returns it with its secret, which is kept nowhere.
    ///
    /// # Errors
    /// As [`Self::list`], or when the file cannot be written.
    pub fn create(
        &self,
        name: &str,
        role: Role,
        experiments: Vec<String>,
        now_ms: i64,
        valid_ms: i64,
    ) -> io::Result<(Token, String)> {
        let mut bytes = [0u8; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..ID_CHARS].to_owned();
        let text = format!("{PREFIX}{id}_{secret}");
        let token = Token {
            id,
            name: name.to_owned(),
            role,
            experiments,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(valid_ms),
            hash: hash(&text),
        };
        let made = token.clone();
        self.change(|tokens| tokens.push(made))?;
        Ok((token, text))
    }

    /// Revokes a token; says whether there was one.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn revoke(&self, id: &str) -> io::Result<bool> {
        let mut found = false;
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.id != id);
            found = tokens.len() < before;
        })?;
        Ok(found)
    }

    /// Who presents `text`: `None` when there is no such token, or it has ended.
    ///
    /// # Errors
    /// As [`Self::list`]; then no caller is let in.
    pub(crate) fn principal(&self, text: &str, now_ms: i64) -> io::Result<Option<Principal>> {
        let Some(id) = text.strip_prefix(PREFIX).and_then(|rest| rest.get(..ID_CHARS)) else { return Ok(None) };
        let tokens = self.current()?;
        let Some(token) = tokens.iter().find(|token| token.id == id) else { return Ok(None) };
        if let Some(claim) = Claim::parse(text) {
            let signed = self.current_key()?.is_some_and(|key| key.signed(&claim, token));
            let valid = signed && now_ms < claim.expires_ms.min(token.expires_ms);
            return Ok(valid.then(|| Principal::token(token)));
        }
        let same: bool = token.hash.as_bytes().ct_eq(hash(text).as_bytes()).into();
        Ok((same && now_ms < token.expires_ms).then(|| Principal::long_lived(token)))
    }

    /// A token of an hour at most, and when it ends. It is for what the token `id` is for, and ends with it; `None` if
    /// that one has ended.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn hourly(&self, id: &str, now_ms: i64) -> io::Result<Option<(String, i64)>> {
        let tokens = self.current()?;
        let Some(token) = tokens.iter().find(|token| token.id == id && now_ms < token.expires_ms) else {
            return Ok(None);
        };
        let key = match self.current_key()? {
            Some(key) => key,
            None => Arc::new(self.locked(|| Key::read(&self.folder)?.map_or_else(|| Key::make(&self.folder), Ok))?),
        };
        Ok(Some(key.sign(token, now_ms)))
    }

    /// The tokens as the file has them now; the file is read again only when it was replaced.
    fn current(&self) -> io::Result<Arc<Vec<Token>>> {
        let stamp = stamp(&self.folder.join(FILE))?;
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.stamp != stamp {
            let (stamp, tokens) = self.read()?;
            *seen = Seen { stamp, tokens: Arc::new(tokens) };
        }
        Ok(Arc::clone(&seen.tokens))
    }

    /// The key of tokens of an hour; the file is read again only when it was replaced.
    fn current_key(&self) -> io::Result<Option<Arc<Key>>> {
        let stamp = stamp(&Key::path(&self.folder))?;
        let mut seen = self.key.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.0 != stamp {
            *seen = (stamp, Key::read(&self.folder)?.map(Arc::new));
        }
        Ok(seen.1.clone())
    }

    fn read(&self) -> io::Result<(Stamp, Vec<Token>)> {
        let path = self.folder.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Vec::new())),
            Err(error) => {
                let why = format!("cannot read the tokens in {}: {error}", path.display());
                return Err(io::Error::new(error.kind(), why));
            }
        };
        let meta = file.metadata()?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "{} may be read by others than its owner; run `chmod 600` on it, and revoke its tokens if anybody \
                 could",
                path.display()
            )));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        let tokens = serde_json::from_str(&text)
            .map_err(|error| io::Error::other(format!("{} is damaged: {error}", path.display())))?;
        Ok((Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())), tokens))
    }

    /// Runs a change in the folder, which is created if needed. Processes take turns.
    fn locked<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        check_no_link(&self.folder)?;
        match std::fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.folder.join("lock"))?;
        lock.lock()?;
        work()
    }

    /// Changes the file in one step.
    fn change(&self, change: impl FnOnce(&mut Vec<Token>)) -> io::Result<()> {
        self.locked(|| self.rewrite(change))
    }

    fn rewrite(&self, change: impl FnOnce(&mut Vec<Token>)) -> io::Result<()> {
        let (_, mut tokens) = self.read()?;
        change(&mut tokens);
        let temporary = self.folder.join("tokens.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        serde_json::to_writer_pretty(&mut file, &tokens)?;
        file.write_all(b"\n")?;
        sync_all(&file)?;
        std::fs::rename(&temporary, self.folder.join(FILE))?;
        sync_all(File::open(&self.folder)?)
    }
}

/// The state of a file; `None` if it is not there.
fn stamp(path: &Path) -> io::Result<Stamp> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_it_ends_or_is_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(dir.path());
        assert!(tokens.principal("stw_", 0).unwrap().is_none());
        let (token, text) = tokens.create("ci", Role::Write, vec!["3".into()], 1000, 500).unwrap();
        let who = tokens.principal(&text, 1499).unwrap().unwrap();
        assert_eq!(who.role(), Some(Role::Write));
        assert!(tokens.principal(&text, 1500).unwrap().is_none());
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] ^= 1;
            assert!(tokens.principal(&String::from_utf8(wrong).unwrap(), 1000).unwrap().is_none(), "{at}");
        }
        // Another handle, as another process has it.
        assert!(Tokens::of(dir.path()).revoke(&token.id).unwrap());
        assert!(tokens.principal(&text, 1000).unwrap().is_none());
        assert!(!tokens.revoke(&token.id).unwrap());
    }

    #[test]
    fn a_token_of_an_hour_ends_with_the_one_it_was_made_from() {
        const HOUR: i64 = 3_600_000;
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(dir.path());
        assert!(tokens.hourly("0123456789ab", 0).unwrap().is_none());
        let (token, text) = tokens.create("ci", Role::Write, vec!["3".into()], 0, 10 * HOUR).unwrap();
        let (hourly, expires_ms) = tokens.hourly(&token.id, 5).unwrap().unwrap();
        assert_eq!(expires_ms, 5 + HOUR);
        // Another handle, as another process has it.
        let who = Tokens::of(dir.path()).principal(&hourly, expires_ms - 1).unwrap().unwrap();
        assert_eq!((who.role(), who.scope(), who.name()), (Some(Role::Write), Some(&["3".to_owned()][..]), Some("ci")));
        assert!(who.long_lived_id().is_none() && tokens.principal(&hourly, expires_ms).unwrap().is_none());
        assert_eq!(tokens.principal(&text, 5).unwrap().unwrap().long_lived_id(), Some(&*token.id));
        for at in 0..hourly.len() {
            let mut wrong = hourly.clone().into_bytes();
            wrong[at] ^= 1;
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(tokens.principal(&wrong, 5).unwrap().is_none(), "{at}");
        }
        let later = format!("{}{}.{}", &hourly[..17], expires_ms + 1, hourly.split_once('.').unwrap().1);
        assert!(tokens.principal(&later, 5).unwrap().is_none());
        // Near its end the long one gives less than an hour, and another's signature is no use.
        assert_eq!(tokens.hourly(&token.id, 10 * HOUR - 7).unwrap().unwrap().1, 10 * HOUR);
        assert!(tokens.hourly(&token.id, 10 * HOUR).unwrap().is_none());
        let (other, _) = tokens.create("other", Role::Admin, Vec::new(), 0, 10 * HOUR).unwrap();
        assert!(tokens.principal(&hourly.replace(&token.id, &other.id), 5).unwrap().is_none());
        let key = dir.path().join(FOLDER).join("key");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(tokens.revoke(&token.id).unwrap());
        assert!(tokens.principal(&hourly, 5).unwrap().is_none());
        // A key that others could read vouches for nothing.
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (own, _) = Tokens::of(dir.path()).create("late", Role::Read, Vec::new(), 0, HOUR).unwrap();
        assert!(Tokens::of(dir.path()).hourly(&own.id, 0).is_err());
    }

    #[test]
    fn secrets_are_not_kept_and_the_files_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(dir.path());
        let (_, text) = tokens.create("a", Role::Read, Vec::new(), 0, 1).unwrap();
        let path = dir.path().join(FOLDER).join(FILE);
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(text.rsplit('_').next().unwrap()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Tokens::of(dir.path()).principal(&text, 0).is_err());
    }
}
