//! Creates a workspace in an empty or a new folder.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::folder::{marker, paths};
use crate::storage::Storage;
use crate::workspace::state::shared::{confined, create_folder};

/// Creates the folders, and the marker file last: without it the folder is not a workspace, and creating can continue
/// later.
pub(crate) fn create(storage: &Arc<dyn Storage>, root: &Path) -> Result<()> {
    match storage.read_dir(root) {
        Ok(entries) => {
            if let Some(foreign) = entries
                .iter()
                .find(|entry| !paths::FOLDERS.contains(&entry.name.as_str()) && entry.name != paths::MARKER)
            {
                let why = format!("it already holds {:?}; name an empty or a new folder", foreign.name);
                return Err(Error::NotWorkspace { path: root.to_owned(), why });
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create_folders(&**storage, root)?,
        Err(error) => return Err(Error::io("list", root)(error)),
    }
    let (inner, inner_root) = confined(Arc::clone(storage), root)?;
    for folder in paths::FOLDERS {
        create_folder(&*inner, &inner_root.join(folder))?;
    }
    // A process that sees the marker file may rely on the folders and the names of the root and its parents, whoever
    // created them and died before syncing them.
    for folder in root.ancestors() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match storage.sync_dir(folder) {
            // An unreadable folder was not created for this workspace.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && folder != root => {}
            other => other.map_err(Error::io("sync", folder))?,
        }
    }
    marker::write(&*inner, &inner_root)
}

fn create_folders(storage: &dyn Storage, path: &Path) -> Result<()> {
    match create_folder(storage, path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let parent = path.parent().ok_or_else(|| Error::io("create", path)(source))?;
            create_folders(storage, parent)?;
            create_folder(storage, path)
        }
        other => other,
    }
}
