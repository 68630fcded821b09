//! What all requests share: the workspace, the trees of artifacts, tokens, lanes, and what the server notes about
//! itself.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use stepwell::Workspace;
use stepwell::files::check_no_link;
use stepwell::maintenance::{Background, Schedule};
use stepwell_wire::routes::Paths;
use stepwell_wire::{Api, Code, Fault, Settings};

use crate::artifacts::address;
use crate::auth::tokens::{FOLDER, Tokens};
use crate::config::{Access, Config};
use crate::http::follow::Feed;
use crate::http::guard::{Allowed, Hosts};
use crate::http::lanes::Lanes;
use crate::http::observe::Observed;
use crate::http::place::Place;
use crate::http::room::Rooms;
use crate::ui::files::UiFiles;

/// Most entries about what answers left out that are logged.
const TOLD_MAX: usize = 1000;

/// A server, without its sockets.
#[derive(Debug)]
pub struct App {
    pub(crate) config: Config,
    pub(crate) api: Api,
    pub(crate) paths: Paths,
    pub(crate) tokens: Tokens,
    pub(crate) hosts: Hosts,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) rooms: Rooms,
    pub(crate) observed: Observed,
    pub(crate) ui: Option<UiFiles>,
    pub(crate) feed: Feed,
    /// Why the store last failed; cleared when a call to it succeeds.
    trouble: Mutex<Option<String>>,
    /// What was told to be left out of answers.
    told: Mutex<BTreeSet<String>>,
    upkeep: Mutex<Upkeep>,
}

/// The background tasks and their state.
#[derive(Debug, Default)]
struct Upkeep {
    running: Option<Background>,
    /// Whether the log was told that nothing can be packed, because the workspace may only be read.
    told_read_only: bool,
    /// Why the last sync failed, until one succeeds.
    sync: Option<String>,
}

impl App {
    /// Opens everything that `config` names, for a server that listens at `bound`. A workspace that can only be read is
    /// served for reading: requests that would change something are refused.
    ///
    /// # Errors
    /// When the choices do not fit together, or something cannot be opened; the error names it.
    pub fn open(config: Config, bound: &Place) -> io::Result<Arc<Self>> {
        config.check()?;
        let allowed = config.allowed_hosts.iter().map(|name| Allowed::parse(name));
        let hosts = Hosts::new(bound, allowed.collect::<Result<_, _>>().map_err(io::Error::other)?);
        let workspace = Workspace::open_or_create(&config.workspace).map_err(io::Error::other)?;
        if let Err(error) = workspace.check_writable() {
            tracing::warn!(%error, "this workspace may only be read: what would change it is refused");
        }
        let destination = match &config.artifacts_destination {
            Some(named) => named.clone(),
            None => {
                let own = workspace.root().join("artifacts");
                let hint = |error: io::Error| {
                    let why = format!("{error}; keep artifacts elsewhere with --artifacts-destination");
                    io::Error::new(error.kind(), why)
                };
                check_no_link(&own).map_err(hint)?;
                own
            }
        };
        check_no_link(&workspace.root().join(FOLDER))?;
        let root = &config.default_artifact_root;
        let settings = Settings {
            artifact_root: root.clone(),
            artifacts: destination,
            artifact_root_within: address::within(root, &hosts, &config.path_prefix).map(str::to_owned),
            local: false,
            extended_filters: config.extended_filters,
            model_source_pattern: config.model_source_pattern.clone(),
            body_bytes: config.limits.body_bytes,
        };
        let api = Api::new(workspace, settings)?;
        api.open_artifacts()?;
        let tokens = Tokens::of(api.tracking().workspace().root());
        if config.access == Access::Token && config.authenticator.is_none() && tokens.list()?.is_empty() {
            tracing::warn!("there is no token yet, so that nobody can use this server: `stepwell token create`");
        }
        let ui = config.ui.as_deref().map(UiFiles::open).transpose()?;
        Ok(Arc::new(Self {
            api,
            paths: Paths::new(&config.path_prefix),
            tokens,
            hosts,
            lanes: Arc::default(),
            rooms: Rooms::new(&config.limits),
            observed: Observed::default(),
            ui,
            feed: Feed::default(),
            trouble: Mutex::default(),
            told: Mutex::default(),
            upkeep: Mutex::default(),
            config,
        }))
    }

    /// Notes whether the store did what was asked of it, for `/ready`.
    pub(crate) fn note(&self, fault: Option<&Fault>) {
        let trouble = match fault {
            None => None,
            Some(fault) if matches!(fault.code, Code::StoreFailed | Code::DataLoss | Code::ResourceExhausted) => {
                Some(fault.detail.as_ref().unwrap_or(&fault.message).clone())
            }
            Some(_) => return,
        };
        let mut noted = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = &trouble {
            tracing::error!(trouble, "the store failed");
        }
        *noted = trouble;
    }

    /// Logs what an answer was made without, each thing once.
    pub(crate) fn tell_left_out(&self, places: &[String]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            if told.len() < TOLD_MAX && told.insert(place.clone()) {
                tracing::warn!(place, "left out, since it cannot be read; `stepwell verify` says what it costs");
            }
        }
    }

    /// Why the server should get no requests now, if there is a reason.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Some(format!("the store failed: {trouble}"));
        }
        if let Some(trouble) = self.look_at_upkeep() {
            return Some(format!("what was logged could not be synced: {trouble}"));
        }
        let root = self.api.tracking().workspace().root();
        match rustix::fs::statvfs(root) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < self.config.limits.reserve_bytes => {
                Some("the disk is nearly full".to_owned())
            }
            Ok(_) => None,
            Err(errno) => Some(format!("the workspace's disk does not answer: {errno}")),
        }
    }

    /// Starts syncs and compactions in the background.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start_upkeep(&self) -> io::Result<()> {
        let running =
            self.api.tracking().workspace().maintenance().start(Schedule::default()).map_err(io::Error::other)?;
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner).running = Some(running);
        Ok(())
    }

    /// Logs what failed in the background since the last call. Returns why the last sync failed, if it did.
    pub(crate) fn look_at_upkeep(&self) -> Option<String> {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let Upkeep { running: Some(running), sync, told_read_only } = &mut *upkeep else { return None };
        match running.compactions().last {
            // Where nothing may be written, that is how it is; once is enough.
            Some(Err(error)) if is_refusal(&error) && *told_read_only => tracing::debug!(%error, "logs are not packed"),
            Some(Err(error)) if is_refusal(&error) => {
                *told_read_only = true;
                tracing::warn!(%error, "logs are not packed, because this workspace may only be read");
            }
            Some(Err(error)) => tracing::warn!(%error, "logs could not be packed"),
            Some(Ok(done)) => {
                self.tell_left_out(&done.skipped.into_iter().map(|(_, why)| why).collect::<Vec<_>>());
            }
            None => {}
        }
        match running.syncs().last {
            Some(Ok(())) => *sync = None,
            Some(Err(error)) => {
                tracing::error!(%error, "what was logged could not be synced to the disk");
                *sync = Some(error.to_string());
            }
            None => {}
        }
        sync.clone()
    }

    /// Closes all logs that are open for writing, so that what was logged survives a power loss.
    ///
    /// # Errors
    /// When the store cannot.
    pub fn close(&self) -> io::Result<()> {
        // Waits for what is under way.
        drop(self.upkeep.lock().unwrap_or_else(PoisonError::into_inner).running.take());
        self.api.close().map_err(io::Error::other)
    }
}

/// Whether the operating system refused because nothing may be written there.
fn is_refusal(error: &stepwell::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error, stepwell::Error::Io { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
}
