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

/// The folder of the server's own files in a workspace.
pub(crate) const FOLDER: &str = "server";
/// The file of tokens in it.
const FILE: &str = "tokens.json";
/// What every token begins with, so that scanners for leaked secrets find them.
const PREFIX: &str = "stw_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Characters of a token's id.
const ID_CHARS: usize = 12;
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

/// The tokens of a workspace. A handle sees what other processes change.
#[derive(Debug)]
pub struct Tokens {
    folder: PathBuf,
    seen: Mutex<Seen>,
}

/// What was last read, and from which file.
#[derive(Debug, Default)]
struct Seen {
    stamp: Option<(u64, i64, i64, u64)>,
    tokens: Arc<Vec<Token>>,
}

impl Tokens {
    /// The tokens of the workspace in `root`. Nothing is read or made yet.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        Self { folder: root.join(FOLDER), seen: Mutex::default() }
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
    /// As [`Self::list`]; nobody is let in then.
    pub(crate) fn principal(&self, text: &str, now_ms: i64) -> io::Result<Option<Principal>> {
        let Some(id) = text.strip_prefix(PREFIX).and_then(|rest| rest.get(..ID_CHARS)) else { return Ok(None) };
        let tokens = self.current()?;
        let Some(token) = tokens.iter().find(|token| token.id == id) else { return Ok(None) };
        let same: bool = token.hash.as_bytes().ct_eq(hash(text).as_bytes()).into();
        Ok((same && now_ms < token.expires_ms).then(|| Principal::token(token)))
    }

    /// The tokens as the file has them now; the file is read again only when it was replaced.
    fn current(&self) -> io::Result<Arc<Vec<Token>>> {
        let stamp = match std::fs::metadata(self.folder.join(FILE)) {
            Ok(meta) => Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.stamp != stamp {
            let (stamp, tokens) = self.read()?;
            *seen = Seen { stamp, tokens: Arc::new(tokens) };
        }
        Ok(Arc::clone(&seen.tokens))
    }

    #[allow(clippy::type_complexity, reason = "a file's stamp beside what it holds")]
    fn read(&self) -> io::Result<(Option<(u64, i64, i64, u64)>, Vec<Token>)> {
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
                "{} may be read by others than its owner; run `chmod 600` on it, and revoke its tokens if anybody could",
                path.display()
            )));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        let tokens = serde_json::from_str(&text)
            .map_err(|error| io::Error::other(format!("{} is damaged: {error}", path.display())))?;
        Ok((Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())), tokens))
    }

    /// Changes the file in one step, one process after the other.
    fn change(&self, change: impl FnOnce(&mut Vec<Token>)) -> io::Result<()> {
        check_no_link(&self.folder)?;
        match std::fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.folder.join("lock"))?;
        lock.lock()?;
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
