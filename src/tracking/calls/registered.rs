//! The model registry by MLflow's calls, with its naming rules and error messages.

use std::collections::BTreeMap;

use crate::error::{Entity, Error};
use crate::journal::registry::Stage;
use crate::registry::store::{ModelRegistry, ModelVersion, NewVersion, RegisteredModel};
use crate::tracking::handle::store::Tracking;
use crate::tracking::language::messages::python_text;
use crate::tracking::language::registry_search::{self, PROMPT_TAG};
use crate::tracking::values::entities::PageOf;
use crate::tracking::values::error::{Code, Fault, Result};
use crate::tracking::values::validate::{self, check_length};

/// Longest value of a tag, in characters.
const TAG_CHARS_MAX: usize = 100_000;
/// Longest alias, in characters.
const ALIAS_CHARS_MAX: usize = 255;
/// Most models on a page.
const MODELS_MAX: i64 = 1000;
/// Most versions on a page.
const VERSIONS_MAX: i64 = 200_000;

/// A version to be registered.
#[derive(Clone, Debug, Default)]
pub struct CreateModelVersion {
    /// Its model's name.
    pub name: String,
    /// Where its files are: a URI, of which `models:/NAME/VERSION`, `models:/NAME@ALIAS` and `models:/MODEL_ID` are
    /// resolved now.
    pub source: String,
    /// The run that made it; may be empty, and is the logged model's then.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// The logged model that it is; may be empty.
    pub model_id: String,
    /// What it is about.
    pub description: String,
    /// Its tags; of a key that is given twice the last counts.
    pub tags: Vec<(String, String)>,
}

/// Whether tags are of a prompt.
fn is_prompt(tags: &BTreeMap<String, String>) -> bool {
    tags.get(PROMPT_TAG).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The message for a taken name: models and prompts share names.
fn taken(name: &str, known_is_prompt: bool, new_is_prompt: bool) -> String {
    let kind = |is_prompt| if is_prompt { "Prompt" } else { "Registered Model" };
    if known_is_prompt == new_is_prompt {
        return format!("{} (name={name}) already exists.", kind(new_is_prompt));
    }
    format!(
        "Tried to create a {} with name {}, but the name is already taken by a {}. MLflow does not allow creating a \
         model and a prompt with the same name.",
        kind(new_is_prompt).to_lowercase(),
        python_text(name),
        kind(known_is_prompt).to_lowercase()
    )
}

impl Tracking {
    fn registry(&self) -> ModelRegistry<'_> {
        ModelRegistry::new(&self.acting)
    }

    /// Registers a model.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS`; `INVALID_PARAMETER_VALUE`.
    pub fn create_registered_model(
        &self,
        name: &str,
        tags: &[(String, String)],
        description: &str,
    ) -> Result<RegisteredModel> {
        check_name(name, "name")?;
        tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
        let tags: BTreeMap<String, String> = tags.iter().cloned().collect();
        let new = is_prompt(&tags);
        self.registry().create_model(name, description, tags).map_err(|error| match error {
            Error::AlreadyExists { .. } => {
                let known = self.registry().model(name).map_or(new, |known| is_prompt(&known.tags));
                Fault::new(Code::ResourceAlreadyExists, taken(name, known, new))
            }
            error => error.into(),
        })
    }

    /// A registered model, with the greatest version of each stage.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn get_registered_model(&self, name: &str) -> Result<RegisteredModel> {
        check_name(name, "name")?;
        Ok(self.shown_registered_model(self.registry().model(name)?))
    }

    /// Renames a registered model; its versions, tags and aliases go with it.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS`, `RESOURCE_DOES_NOT_EXIST`, `INVALID_PARAMETER_VALUE`.
    pub fn rename_registered_model(&self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        check_name(new_name, "new_name")?;
        check_name(name, "name")?;
        Ok(self.shown_registered_model(self.registry().rename_model(name, new_name)?))
    }

    /// Sets a registered model's description.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn update_registered_model(&self, name: &str, description: &str) -> Result<RegisteredModel> {
        check_name(name, "name")?;
        Ok(self.shown_registered_model(self.registry().set_model_description(name, description)?))
    }

    /// Permanently deletes a registered model with all its versions.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn delete_registered_model(&self, name: &str) -> Result<()> {
        check_name(name, "name")?;
        Ok(self.registry().delete_model(name)?)
    }

    /// Finds registered models, by name unless another order is asked for. Prompts are left out unless the filter asks
    /// for them by the tag `mlflow.prompt.is_prompt`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`, also for more than 1,000 on a page; none or less than none gives an empty page.
    pub fn search_registered_models(
        &self,
        filter: &str,
        order_by: &[String],
        max_results: i64,
        offset: usize,
    ) -> Result<PageOf<RegisteredModel>> {
        if max_results > MODELS_MAX {
            return Err(Fault::invalid(format!(
                "Invalid value for request parameter max_results. It must be at most {MODELS_MAX}, but got value \
                 {max_results}"
            )));
        }
        let max = usize::try_from(max_results).unwrap_or(0);
        let (items, next_offset) = registry_search::models(self.registry(), filter, order_by, offset, max)?;
        Ok(PageOf::of(items.into_iter().map(|model| self.shown_registered_model(model)).collect(), next_offset))
    }

    /// The greatest version of each stage, or of these stages; stages in any case.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a stage that there is none of.
    pub fn get_latest_versions(&self, name: &str, stages: &[String]) -> Result<Vec<ModelVersion>> {
        check_name(name, "name")?;
        let stages = stages.iter().map(|word| stage(word)).collect::<Result<Vec<_>>>()?;
        let stages = if stages.is_empty() { Stage::ALL.to_vec() } else { stages };
        let versions = self.registry().latest_versions(name, &stages)?;
        Ok(versions.into_iter().map(|version| self.shown_version(version)).collect())
    }

    /// Sets a tag of a registered model.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn set_registered_model_tag(&self, name: &str, key: &str, value: &str) -> Result<()> {
        check_name(name, "name")?;
        check_tag(key, value)?;
        Ok(self.registry().set_model_tag(name, key, Some(value))?)
    }

    /// Removes a tag of a registered model; nothing happens where there is none.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the model; `INVALID_PARAMETER_VALUE`.
    pub fn delete_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        check_name(name, "name")?;
        validate::check_key("key", key)?;
        Ok(self.registry().set_model_tag(name, key, None)?)
    }

    /// Makes an alias name a version; it names no other then.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for an alias that is reserved or has other characters than
    /// letters, digits, `_` and `-`.
    pub fn set_registered_model_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        check_name(name, "name")?;
        check_alias(alias)?;
        if alias.eq_ignore_ascii_case("latest") {
            return Err(Fault::invalid("'latest' alias name (case insensitive) is reserved."));
        }
        let digits = alias.strip_prefix(['v', 'V']);
        if digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())) {
            return Err(Fault::invalid(format!("Version alias name '{alias}' is reserved.")));
        }
        Ok(self.registry().set_alias(name, alias, Some(number(name, version)?))?)
    }

    /// Removes an alias; nothing happens where there is none.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the model; `INVALID_PARAMETER_VALUE`.
    pub fn delete_registered_model_alias(&self, name: &str, alias: &str) -> Result<()> {
        check_name(name, "name")?;
        check_alias(alias)?;
        Ok(self.registry().set_alias(name, alias, None)?)
    }

    /// The version that an alias names; `latest` is the greatest.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for an alias that there is none of (MLflow's code); `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_model_version_by_alias(&self, name: &str, alias: &str) -> Result<ModelVersion> {
        check_name(name, "name")?;
        check_alias(alias)?;
        if alias.eq_ignore_ascii_case("latest") {
            let versions = self.registry().latest_versions(name, &Stage::ALL)?;
            return versions
                .into_iter()
                .max_by_key(|version| version.version)
                .map(|version| self.shown_version(version))
                .ok_or_else(|| Fault::missing(format!("Latest version not found for model {name}.")));
        }
        let found = self.registry().version_by_alias(name, alias)?;
        let found = found.map(|version| self.shown_version(version));
        found.ok_or_else(|| Fault::invalid(format!("Registered model alias {alias} not found.")))
    }

    /// Registers a version: it gets one number more than any version of the model ever had.
    ///
    /// Which sources a server takes from others is for the server to say.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the model, and for a source `models:/…` that names none;
    /// `INVALID_PARAMETER_VALUE`.
    pub fn create_model_version(&self, new: &CreateModelVersion) -> Result<ModelVersion> {
        check_name(&new.name, "name")?;
        new.tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
        let (storage_location, made_by) = match new.source.strip_prefix("models:/") {
            Some(path) => self.resolve(path)?,
            None => (new.source.clone(), String::new()),
        };
        let mut run_id = if new.run_id.is_empty() { made_by } else { new.run_id.clone() };
        if run_id.is_empty() && !new.model_id.is_empty() {
            run_id = self.get_logged_model(&new.model_id)?.source_run_id;
        }
        let tags: BTreeMap<String, String> = new.tags.iter().cloned().collect();
        let told = !new.model_id.is_empty() && !is_prompt(&tags);
        if told {
            // Before anything is made, so that what is refused does not stay.
            self.get_logged_model(&new.model_id)?;
        }
        let version = self.registry().create_version(&NewVersion {
            name: new.name.clone(),
            source: self.stored_location(&new.source),
            storage_location: self.stored_location(&storage_location),
            run_id,
            run_link: new.run_link.clone(),
            model_id: new.model_id.clone(),
            description: new.description.clone(),
            tags,
        })?;
        if told {
            self.note_version(&new.model_id, &version.name, version.version)?;
        }
        Ok(self.shown_version(version))
    }

    /// Where the files are of what a `models:/` URI names, and the run that made it.
    fn resolve(&self, path: &str) -> Result<(String, String)> {
        let path = path.trim_start_matches('/');
        let version = match (path.rsplit_once('/'), path.split_once('@')) {
            (None, Some((name, alias))) => self.get_model_version_by_alias(name, alias)?,
            (None, None) => {
                let model = self.get_logged_model(path)?;
                return Ok((model.artifact_uri, model.source_run_id));
            }
            (Some((name, version)), _) => match version.parse() {
                Ok(number) => self.shown_version(self.registry().version(name, number)?),
                Err(_) if version.eq_ignore_ascii_case("latest") => self.get_model_version_by_alias(name, version)?,
                Err(_) => {
                    let mut latest = self.get_latest_versions(name, &[version.to_owned()])?;
                    latest.pop().ok_or_else(|| Fault::missing(format!("No version of {name} in stage {version}")))?
                }
            },
        };
        Ok((version.storage_location, String::new()))
    }

    /// A version.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn get_model_version(&self, name: &str, version: &str) -> Result<ModelVersion> {
        check_name(name, "name")?;
        Ok(self.shown_version(self.registry().version(name, number(name, version)?)?))
    }

    /// Where a version's files are: its source, resolved when it was created.
    ///
    /// # Errors
    /// As [`Self::get_model_version`].
    pub fn get_model_version_download_uri(&self, name: &str, version: &str) -> Result<String> {
        Ok(self.get_model_version(name, version)?.storage_location)
    }

    /// Sets a version's description.
    ///
    /// # Errors
    /// As [`Self::get_model_version`].
    pub fn update_model_version(&self, name: &str, version: &str, description: &str) -> Result<ModelVersion> {
        check_name(name, "name")?;
        Ok(self.shown_version(self.registry().set_version_description(name, number(name, version)?, description)?))
    }

    /// Deletes a version. Its number never comes back while the model lives.
    ///
    /// # Errors
    /// As [`Self::get_model_version`].
    pub fn delete_model_version(&self, name: &str, version: &str) -> Result<()> {
        check_name(name, "name")?;
        Ok(self.registry().delete_version(name, number(name, version)?)?)
    }

    /// Moves a version to a stage, and, if asked, archives the others that stand there.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when others are to be archived from a stage other than Staging and Production (MLflow's code);
    /// `INVALID_PARAMETER_VALUE` for a stage that there is none of; else as [`Self::get_model_version`].
    pub fn transition_model_version_stage(
        &self,
        name: &str,
        version: &str,
        to: &str,
        archive_existing_versions: bool,
    ) -> Result<ModelVersion> {
        let target = stage(to)?;
        if archive_existing_versions && !matches!(target, Stage::Staging | Stage::Production) {
            let why = format!(
                "Model version transition cannot archive existing model versions because '{to}' is not an Active \
                 stage. Valid stages are ['Staging', 'Production']"
            );
            return Err(Fault::new(Code::InternalError, why));
        }
        check_name(name, "name")?;
        let moved =
            self.registry().set_version_stage(name, number(name, version)?, target, archive_existing_versions)?;
        Ok(self.shown_version(moved))
    }

    /// Finds versions: latest updated first, unless another order is asked for. Prompts' versions are left out as
    /// prompts are.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`, also for a page of none or of more than 200,000.
    pub fn search_model_versions(
        &self,
        filter: &str,
        order_by: &[String],
        max_results: i64,
        offset: usize,
    ) -> Result<PageOf<ModelVersion>> {
        let why = match max_results {
            ..1 => format!("Invalid value for max_results. It must be a positive integer, but got {max_results}"),
            1..=VERSIONS_MAX => {
                let max = usize::try_from(max_results).unwrap_or(usize::MAX);
                let (items, next_offset) = registry_search::versions(self.registry(), filter, order_by, offset, max)?;
                return Ok(PageOf::of(items.into_iter().map(|one| self.shown_version(one)).collect(), next_offset));
            }
            _ => format!(
                "Invalid value for request parameter max_results. It must be at most {VERSIONS_MAX}, but got value \
                 {max_results}"
            ),
        };
        Err(Fault::invalid(why))
    }

    /// Sets a tag of a version.
    ///
    /// # Errors
    /// As [`Self::get_model_version`].
    pub fn set_model_version_tag(&self, name: &str, version: &str, key: &str, value: &str) -> Result<()> {
        check_name(name, "name")?;
        check_tag(key, value)?;
        Ok(self.registry().set_version_tag(name, number(name, version)?, key, Some(value))?)
    }

    /// Removes a tag of a version; nothing happens where there is none.
    ///
    /// # Errors
    /// As [`Self::get_model_version`].
    pub fn delete_model_version_tag(&self, name: &str, version: &str, key: &str) -> Result<()> {
        check_name(name, "name")?;
        validate::check_key("key", key)?;
        Ok(self.registry().set_version_tag(name, number(name, version)?, key, None)?)
    }
}

fn check_name(name: &str, path: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Fault::invalid(format!("Missing value for required parameter '{path}'.")));
    }
    if name.contains(['/', ':']) {
        return Err(Fault::invalid(format!("Invalid model name '{name}'. Names cannot contain '/' or ':'.")));
    }
    let normal = validate::normal_path(name);
    if normal != name || normal == "." || normal.starts_with("..") {
        let why = format!(
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. \
             This name would resolve to '{normal}'"
        );
        return Err(validate::invalid_value(&validate::quoted(name), "name", &why));
    }
    Ok(())
}

fn check_tag(key: &str, value: &str) -> Result<()> {
    validate::check_key("key", key)?;
    check_length("value", value, TAG_CHARS_MAX)
}

fn check_alias(alias: &str) -> Result<()> {
    if alias.is_empty() {
        return Err(Fault::invalid("Registered model alias name cannot be empty."));
    }
    if !alias.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(Fault::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )));
    }
    check_length("Registered model alias name", alias, ALIAS_CHARS_MAX)
}

/// A version's number as text; a number that no version can have is not found.
fn number(name: &str, text: &str) -> Result<u64> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| Fault::invalid(format!("Parameter 'version' must be an integer, got '{text}'.")))?;
    u64::try_from(number)
        .map_err(|_| Error::not_found(Entity::ModelVersion, format!("name={name}, version={number}")).into())
}

fn stage(word: &str) -> Result<Stage> {
    word.parse().map_err(|_| {
        Fault::invalid(format!(
            "Invalid Model Version stage: {word}. Value must be one of None, Staging, Production, Archived."
        ))
    })
}
