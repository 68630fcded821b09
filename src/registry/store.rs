//! The registry of a workspace: each operation reads the newest state, checks its rules, and publishes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::error::Result;
use crate::folder::clock::now_ms;
use crate::journal::registry::{Change, Model, Registry, Stage, Version};
use crate::workspace::handle::Workspace;

/// A registered model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The version that each alias names.
    pub aliases: BTreeMap<String, u64>,
    /// The greatest version of each stage.
    pub latest_versions: Vec<ModelVersion>,
    /// Who created it; empty if unknown.
    pub user: String,
}

/// A model version. Its status is always READY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersion {
    /// Its model's name.
    pub name: String,
    /// Its number.
    pub version: u64,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// Its description.
    pub description: String,
    /// Its stage.
    pub current_stage: Stage,
    /// Its source, as given by the caller.
    pub source: String,
    /// Where its files are.
    pub storage_location: String,
    /// The run that created it; may be empty.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// Its logged model; may be empty.
    pub model_id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that name it.
    pub aliases: Vec<String>,
    /// Who created it; empty if unknown.
    pub user: String,
    /// Who moved it to its stage; empty if nobody did.
    pub stage_by: String,
}

/// A version to be created.
#[derive(Clone, Debug, Default)]
pub struct NewVersion {
    /// Its model's name.
    pub name: String,
    /// Its source.
    pub source: String,
    /// Where its files are.
    pub storage_location: String,
    /// The run that created it; may be empty.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// Its logged model; may be empty.
    pub model_id: String,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A version in a search: its model's name, its number, and itself.
pub type FoundVersion<'a> = (&'a str, u64, &'a Version);

/// One page of a search, and the offset of the next.
pub type Page<T> = (Vec<T>, Option<usize>);

/// The registry of a workspace. Cheap to make: it borrows the handle.
#[derive(Clone, Copy, Debug)]
pub struct ModelRegistry<'a> {
    workspace: &'a Workspace,
}

impl Workspace {
    /// The registry of models.
    #[must_use]
    pub fn registry(&self) -> ModelRegistry<'_> {
        ModelRegistry::new(self)
    }
}

impl<'a> ModelRegistry<'a> {
    /// The registry of a workspace.
    #[must_use]
    pub fn new(workspace: &'a Workspace) -> Self {
        Self { workspace }
    }

    fn change(self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        self.workspace.change_registry(plan)
    }

    fn name(self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        self.workspace.name_in_registry(plan)
    }

    /// Reads the newest state. Costs a failing open if it is unchanged.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Corrupt`](crate::error::Error::Corrupt) where something is not found that a damaged
    /// entry may have had; [`Error::Io`](crate::error::Error::Io).
    pub fn read<T>(self, read: impl FnOnce(&Registry) -> Result<T>) -> Result<T> {
        self.workspace.read_registry(read)
    }

    /// Creates a model. Of several processes that create one name at once, one succeeds.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::error::Error::AlreadyExists); [`Error::Corrupt`](crate::error::Error::Corrupt)
    /// where a lost change may have given the name; [`Error::Io`](crate::error::Error::Io).
    pub fn create_model(
        self,
        name: &str,
        description: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<RegisteredModel> {
        let now = now_ms();
        let (description, updated_ms) = (description.to_owned(), now);
        let user = self.workspace.actor().to_owned();
        let model = Model { created_ms: now, updated_ms, description, tags, user, ..Model::default() };
        self.name(|registry| {
            registry.check_free(name)?;
            Ok(vec![Change::Create { name: name.to_owned(), model: model.clone() }])
        })?;
        Ok(shown_model(name, &model))
    }

    /// A model.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Corrupt`](crate::error::Error::Corrupt),
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn model(self, name: &str) -> Result<RegisteredModel> {
        self.read(|registry| Ok(shown_model(name, registry.model(name)?)))
    }

    /// Renames a model; to its own name nothing but its time changes.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound),
    /// [`Error::AlreadyExists`](crate::error::Error::AlreadyExists), [`Error::Io`](crate::error::Error::Io).
    pub fn rename_model(self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        let at_ms = now_ms();
        self.name(|registry| {
            registry.model(name)?;
            if name != new_name {
                registry.check_free(new_name)?;
            }
            Ok(vec![Change::Rename { name: name.to_owned(), new_name: new_name.to_owned(), at_ms }])
        })?;
        self.model(new_name)
    }

    /// Sets a model's description.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Io`](crate::error::Error::Io).
    pub fn set_model_description(self, name: &str, description: &str) -> Result<RegisteredModel> {
        let at_ms = now_ms();
        self.change(|registry| {
            registry.model(name)?;
            Ok(vec![Change::Describe { name: name.to_owned(), description: description.to_owned(), at_ms }])
        })?;
        self.model(name)
    }

    /// Permanently deletes a model with all its versions.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Io`](crate::error::Error::Io).
    pub fn delete_model(self, name: &str) -> Result<()> {
        let (at_ms, actor) = (now_ms(), self.workspace.actor());
        self.change(|registry| {
            registry.model(name)?;
            Ok(vec![Change::Delete { name: name.to_owned(), at_ms, by: actor.to_owned() }])
        })
    }

    /// Sets or removes a model's tag.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for the model, [`Error::Io`](crate::error::Error::Io).
    pub fn set_model_tag(self, name: &str, key: &str, value: Option<&str>) -> Result<()> {
        self.change(|registry| {
            let known = registry.model(name)?.tags.get(key).map(String::as_str);
            let change = Change::Tag { name: name.to_owned(), key: key.to_owned(), value: value.map(str::to_owned) };
            Ok(if known == value { Vec::new() } else { vec![change] })
        })
    }

    /// Sets or removes an alias.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for the model and the version,
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn set_alias(self, name: &str, alias: &str, version: Option<u64>) -> Result<()> {
        self.change(|registry| {
            let known = registry.model(name)?.aliases.get(alias).copied();
            if let Some(version) = version {
                registry.version(name, version)?;
            }
            let change = Change::Alias { name: name.to_owned(), alias: alias.to_owned(), version };
            Ok(if known == version { Vec::new() } else { vec![change] })
        })
    }

    /// The version that an alias names; `None` if the model has no such alias.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for the model,
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn version_by_alias(self, name: &str, alias: &str) -> Result<Option<ModelVersion>> {
        self.read(|registry| {
            let model = registry.model(name)?;
            let named = model.aliases.get(alias).and_then(|number| Some((*number, model.versions.get(number)?)));
            Ok(named.map(|(number, version)| shown_version(name, model, number, version)))
        })
    }

    /// Creates a version with the next number: one more than the greatest ever used.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for the model;
    /// [`Error::Corrupt`](crate::error::Error::Corrupt) where a lost change may have given the number;
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn create_version(self, new: &NewVersion) -> Result<ModelVersion> {
        let now = now_ms();
        let version = Version {
            created_ms: now,
            updated_ms: now,
            description: new.description.clone(),
            stage: Stage::None,
            source: new.source.clone(),
            storage_location: new.storage_location.clone(),
            run_id: new.run_id.clone(),
            run_link: new.run_link.clone(),
            model_id: new.model_id.clone(),
            tags: new.tags.clone(),
            user: self.workspace.actor().to_owned(),
            ..Version::default()
        };
        let mut number = 0;
        self.name(|registry| {
            number = registry.model(&new.name)?.last_number + 1;
            Ok(vec![Change::CreateVersion { name: new.name.clone(), number, version: version.clone() }])
        })?;
        Ok(shown_version(&new.name, &Model::default(), number, &version))
    }

    /// A version.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Corrupt`](crate::error::Error::Corrupt),
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn version(self, name: &str, number: u64) -> Result<ModelVersion> {
        self.read(|registry| {
            let version = registry.version(name, number)?;
            Ok(shown_version(name, registry.model(name)?, number, version))
        })
    }

    /// Sets a version's description.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Io`](crate::error::Error::Io).
    pub fn set_version_description(self, name: &str, number: u64, description: &str) -> Result<ModelVersion> {
        let at_ms = now_ms();
        self.change(|registry| {
            registry.version(name, number)?;
            let (name, description) = (name.to_owned(), description.to_owned());
            Ok(vec![Change::DescribeVersion { name, number, description, at_ms }])
        })?;
        self.version(name, number)
    }

    /// Permanently deletes a version. Its number is never reused.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Io`](crate::error::Error::Io).
    pub fn delete_version(self, name: &str, number: u64) -> Result<()> {
        let (at_ms, actor) = (now_ms(), self.workspace.actor());
        self.change(|registry| {
            registry.version(name, number)?;
            Ok(vec![Change::DeleteVersion { name: name.to_owned(), number, at_ms, by: actor.to_owned() }])
        })
    }

    /// Sets or removes a version's tag.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) for the version, [`Error::Io`](crate::error::Error::Io).
    pub fn set_version_tag(self, name: &str, number: u64, key: &str, value: Option<&str>) -> Result<()> {
        self.change(|registry| {
            let known = registry.version(name, number)?.tags.get(key).map(String::as_str);
            let (name, key_of) = (name.to_owned(), key.to_owned());
            let change = Change::VersionTag { name, number, key: key_of, value: value.map(str::to_owned) };
            Ok(if known == value { Vec::new() } else { vec![change] })
        })
    }

    /// Moves a version to a stage, and optionally archives the others there.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Io`](crate::error::Error::Io).
    pub fn set_version_stage(
        self,
        name: &str,
        number: u64,
        stage: Stage,
        archive_others: bool,
    ) -> Result<ModelVersion> {
        let (at_ms, actor) = (now_ms(), self.workspace.actor());
        self.change(|registry| {
            registry.version(name, number)?;
            let versions = registry.model(name)?.versions.iter();
            let others =
                versions.filter(|(other, version)| archive_others && **other != number && version.stage == stage);
            let to = |number: u64, stage: Stage| Change::Stage {
                name: name.to_owned(),
                number,
                stage,
                at_ms,
                by: actor.to_owned(),
            };
            let mut changes: Vec<Change> = others.map(|(&other, _)| to(other, Stage::Archived)).collect();
            changes.push(to(number, stage));
            Ok(changes)
        })?;
        self.version(name, number)
    }

    /// The greatest version of each of these stages.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound), [`Error::Corrupt`](crate::error::Error::Corrupt),
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn latest_versions(self, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>> {
        let mut latest = self.model(name)?.latest_versions;
        latest.retain(|version| stages.contains(&version.current_stage));
        Ok(latest)
    }

    /// One page of the matching models, in an order.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io), [`Error::Corrupt`](crate::error::Error::Corrupt).
    pub fn find_models(
        self,
        passes: impl Fn(&str, &Model) -> bool,
        order: impl Fn((&str, &Model), (&str, &Model)) -> Ordering,
        offset: usize,
        max: usize,
    ) -> Result<Page<RegisteredModel>> {
        self.read(|registry| {
            let models = registry.models.iter().map(|(name, model)| (name.as_str(), model));
            let mut found: Vec<(&str, &Model)> = models.filter(|(name, model)| passes(name, model)).collect();
            found.sort_by(|a, b| order(*a, *b));
            Ok(page(found, offset, max, |(name, model)| shown_model(name, model)))
        })
    }

    /// One page of the matching versions, in an order; of one model if `only` is given.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io), [`Error::Corrupt`](crate::error::Error::Corrupt).
    pub fn find_versions(
        self,
        only: Option<&str>,
        passes: impl Fn(&FoundVersion<'_>) -> bool,
        order: impl Fn(&FoundVersion<'_>, &FoundVersion<'_>) -> Ordering,
        offset: usize,
        max: usize,
    ) -> Result<Page<ModelVersion>> {
        self.read(|registry| {
            let bounds = only
                .map_or((Bound::Unbounded, Bound::Unbounded), |name| (Bound::Included(name), Bound::Included(name)));
            let mut found: Vec<(FoundVersion<'_>, &Model)> = Vec::new();
            for (name, model) in registry.models.range::<str, _>(bounds) {
                let versions = model.versions.iter().map(|(&number, version)| (name.as_str(), number, version));
                found.extend(versions.filter(&passes).map(|version| (version, model)));
            }
            found.sort_by(|(a, _), (b, _)| order(a, b));
            Ok(page(found, offset, max, |((name, number, version), model)| shown_version(name, model, number, version)))
        })
    }
}

/// A page of results and the offset of the next.
fn page<F, T>(found: Vec<F>, offset: usize, max: usize, shown: impl Fn(F) -> T) -> Page<T> {
    let count = found.len();
    let page: Vec<T> = found.into_iter().skip(offset).take(max).map(shown).collect();
    let end = offset.saturating_add(page.len());
    (page, (end < count && max > 0).then_some(end))
}

fn shown_model(name: &str, model: &Model) -> RegisteredModel {
    RegisteredModel {
        name: name.to_owned(),
        creation_timestamp: model.created_ms,
        last_updated_timestamp: model.updated_ms,
        description: model.description.clone(),
        tags: model.tags.clone(),
        aliases: model.aliases.clone(),
        latest_versions: model.latest().map(|(number, version)| shown_version(name, model, number, version)).collect(),
        user: model.user.clone(),
    }
}

fn shown_version(name: &str, model: &Model, number: u64, version: &Version) -> ModelVersion {
    let aliases = model.aliases.iter().filter(|(_, named)| **named == number);
    ModelVersion {
        name: name.to_owned(),
        version: number,
        creation_timestamp: version.created_ms,
        last_updated_timestamp: version.updated_ms,
        description: version.description.clone(),
        current_stage: version.stage,
        source: version.source.clone(),
        storage_location: version.storage_location.clone(),
        run_id: version.run_id.clone(),
        run_link: version.run_link.clone(),
        model_id: version.model_id.clone(),
        tags: version.tags.clone(),
        aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
        user: version.user.clone(),
        stage_by: version.stage_by.clone(),
    }
}
