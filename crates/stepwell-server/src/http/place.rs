//! Where the server listens: addresses of the machine, or a socket in the file system that only its owner may use.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::config::Config;
use crate::http::occupant;

/// Where a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and port.
    Address(SocketAddr),
    /// A socket in the file system.
    Socket(PathBuf),
}

/// As a client writes it: `http://ADDRESS`, or `unix:PATH`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "http://{address}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "it acts when it is dropped")] Removed),
}

/// The file of a socket, which goes with it.
#[derive(Debug)]
pub(crate) struct Removed {
    path: PathBuf,
    file: (u64, u64),
}

impl Drop for Removed {
    fn drop(&mut self) {
        // Another server may have put its own there since.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which file is at a path: its device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Opens the place that the choices name. A server on `127.0.0.1` also listens on `[::1]` if possible, because programs
/// mean either by `localhost`.
///
/// # Errors
/// When the place is taken or cannot be had: which, why, and what to do.
pub(crate) async fn open(config: &Config) -> io::Result<(Place, Vec<Listener>)> {
    if let Some(path) = &config.unix_socket {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on the socket {}: {error}", path.display()))
        };
        return Ok((Place::Socket(path.clone()), vec![socket(path).map_err(named)?]));
    }
    let asked = SocketAddr::new(config.host, config.port);
    let first = TcpListener::bind(asked).await.map_err(|error| refused(asked, &error))?;
    let bound = first.local_addr()?;
    let mut all = vec![Listener::Tcp(first)];
    if config.host == IpAddr::from([127, 0, 0, 1]) {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port())).await {
            Ok(second) => all.push(Listener::Tcp(second)),
            Err(error) => tracing::debug!(%error, "not on [::1]"),
        }
    }
    Ok((Place::Address(bound), all))
}

/// Why an address cannot be listened on.
fn refused(asked: SocketAddr, error: &io::Error) -> io::Error {
    let (host, port) = (asked.ip(), asked.port());
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = occupant::of(port).unwrap_or_else(|| "another program".into());
            format!("port {port} is in use by {by}; stop it, or choose another with --port (0 takes a free one)")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} needs rights that this user lacks; choose one from 1024 on with --port")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no address {host}; name one of its own with --host")
        }
        _ => format!("cannot listen on {asked}: {error}"),
    };
    io::Error::new(error.kind(), why)
}

/// A socket at a path, for its owner alone. One that a server left behind is replaced.
fn socket(path: &Path) -> io::Result<Listener> {
    let left = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if left {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
        }
        std::fs::remove_file(path)?;
    }
    // Nobody else may connect in between either: the process makes files for its owner alone.
    let listener = UnixListener::bind(path)?;
    let removed = Removed { path: path.to_owned(), file: identity(path)? };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener::Unix(listener, removed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_and_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let config = Config { unix_socket: Some(path.clone()), ..Config::of(dir.path()) };
        let (place, open_now) = open(&config).await.unwrap();
        assert_eq!(place.to_string(), format!("unix:{}", path.display()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&config).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(open_now);
        assert!(!path.exists());
        // One that nobody listens on any more is no obstacle; a file of something else is.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(open(&config).await.unwrap());
        // What another put in its place stays.
        let replaced = open(&config).await.unwrap();
        std::fs::rename(&path, dir.path().join("kept")).unwrap();
        let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(replaced);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
        drop(other);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(open(&config).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_who_uses_it() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let told = open(&Config { port, ..Config::of(Path::new("/nowhere")) }).await.unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::AddrInUse);
        let told = told.to_string();
        let own = format!("port {port} is in use by process {} (", std::process::id());
        assert!(told.starts_with(&own) && told.contains("--port"), "{told}");
        // An address of documentation, which no machine has.
        let host = IpAddr::from([192, 0, 2, 1]);
        let told = open(&Config { host, port: 0, ..Config::of(Path::new("/nowhere")) }).await.unwrap_err().to_string();
        assert!(told.contains("192.0.2.1") && told.contains("--host"), "{told}");
        let path = Path::new("/nowhere/at/all/socket");
        let told = open(&Config { unix_socket: Some(path.into()), ..Config::of(path) }).await.unwrap_err().to_string();
        assert!(told.contains("/nowhere/at/all/socket"), "{told}");
    }

    #[tokio::test]
    async fn both_loopback_addresses_are_listened_on() {
        let config = Config { port: 0, ..Config::of(Path::new("/nowhere")) };
        let (Place::Address(bound), all) = open(&config).await.unwrap() else { panic!("no address") };
        for listener in &all {
            let Listener::Tcp(listener) = listener else { panic!("a socket") };
            let own = listener.local_addr().unwrap();
            assert!(own.ip().is_loopback() && own.port() == bound.port());
        }
        // A machine without IPv6 has one.
        let has_v6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(all.len(), if has_v6 { 2 } else { 1 });
    }
}
