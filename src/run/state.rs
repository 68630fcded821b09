//! A run's metadata, merged from all writers in any order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::stats::RunStatus;
use crate::log::record::{Attribute, Author, Record};

/// The writer of a value and its order number. The greatest stamp wins; no clock is involved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// One more than the greatest order the writer had seen in this run.
    pub order: u64,
    /// Breaks ties.
    pub writer: WriterId,
}

/// A value with its stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// The stamp.
    pub stamp: Stamp,
    /// The value.
    pub value: T,
}

/// Which points of a writer a pack or snapshot has: `from` up to `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Coverage {
    /// The writer's order, which sorts the writers of a run.
    pub order: u64,
    /// The writer.
    pub writer: WriterId,
    /// Sequence number of the first point.
    pub from: u64,
    /// One past the sequence number of the last.
    pub through: u64,
    /// Points lost to damage; copies with fewer are preferred.
    pub lost: u64,
}

/// A run's metadata. Merging is commutative, associative and idempotent, so copies converge whatever way they took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// The run's id.
    pub id: RunId,
    /// Its experiment.
    pub experiment: ExperimentId,
    /// The experiment's name when the run was created.
    pub experiment_name: String,
    /// Its attributes, by `Attribute::kind`.
    pub attributes: [Option<Stamped<Attribute>>; Attribute::KINDS],
    /// For each key, the values that writers set; the first counts.
    pub params: BTreeMap<String, Vec<Stamped<String>>>,
    /// Tags; `None` is a removed tag, which older values must not restore.
    pub tags: BTreeMap<String, Stamped<Option<String>>>,
    /// Items, by kind and key; `None` is a removed item.
    pub items: BTreeMap<(u8, String), Stamped<Option<String>>>,
    /// Which points exist: in a pack those of its row group, in a snapshot all.
    pub coverage: Vec<Coverage>,
}

impl Coverage {
    /// What a log has: the points of its author. A relayed log also says how many it has under its own writer's name,
    /// which the packs that replace it keep as evidence that they have them.
    #[must_use]
    pub fn of_log(writer: WriterId, order: u64, author: Option<Author>, points: u64, lost: u64) -> Vec<Self> {
        let Some(author) = author else { return vec![Self { order, writer, from: 0, through: points, lost }] };
        let Author { writer: of, order: its, from } = author;
        let through = from.saturating_add(points);
        let relayed = Self { order: its, writer: of, from, through, lost };
        vec![relayed, Self { order: its, writer, from: points, through: points, lost: 0 }]
    }
}

impl RunState {
    /// For each writer, one past its last sequence number.
    pub(crate) fn reaches(&self) -> BTreeMap<WriterId, u64> {
        let mut reaches: BTreeMap<WriterId, u64> = BTreeMap::new();
        for own in &self.coverage {
            let through = reaches.entry(own.writer).or_default();
            *through = own.through.max(*through);
        }
        reaches
    }

    /// A run without any other metadata.
    #[must_use]
    pub fn new(id: RunId, experiment: ExperimentId, experiment_name: String) -> Self {
        Self {
            id,
            experiment,
            experiment_name,
            attributes: Default::default(),
            params: BTreeMap::new(),
            tags: BTreeMap::new(),
            items: BTreeMap::new(),
            coverage: Vec::new(),
        }
    }

    /// Applies a record of a writer about this run.
    #[doc(hidden)]
    pub fn apply(&mut self, writer: WriterId, record: &Record) {
        match record {
            // A claim is not a value: only other writers use it.
            Record::Run { .. } | Record::Series { .. } | Record::ParamClaimed { .. } => {}
            Record::Param { key, value, order, .. } => {
                let stamp = Stamp { order: *order, writer };
                self.set_param(key, Stamped { stamp, value: value.clone() });
            }
            Record::ParamRetracted { key, .. } => {
                if let Some(values) = self.params.get_mut(key) {
                    values.retain(|value| value.stamp.writer != writer);
                    if values.is_empty() {
                        self.params.remove(key);
                    }
                }
            }
            Record::Tag { key, value, order, .. } => {
                let stamp = Stamp { order: *order, writer };
                keep_newest(&mut self.tags, key.clone(), Stamped { stamp, value: value.clone() });
            }
            Record::Item { kind, key, value, order, .. } => {
                let stamp = Stamp { order: *order, writer };
                keep_newest(&mut self.items, (*kind, key.clone()), Stamped { stamp, value: value.clone() });
            }
            Record::Attribute { attribute, order, .. } => {
                let stamp = Stamp { order: *order, writer };
                self.attribute(Stamped { stamp, value: attribute.clone() });
            }
        }
    }

    /// Removes the metadata of some writers.
    pub(crate) fn forget_metadata(&mut self, of: impl Fn(WriterId) -> bool) {
        for attribute in &mut self.attributes {
            attribute.take_if(|value| of(value.stamp.writer));
        }
        self.params.values_mut().for_each(|values| values.retain(|value| !of(value.stamp.writer)));
        self.params.retain(|_, values| !values.is_empty());
        self.tags.retain(|_, tag| !of(tag.stamp.writer));
        self.items.retain(|_, item| !of(item.stamp.writer));
    }

    /// Merges another copy or part of the run, except its coverage.
    pub fn merge(&mut self, other: &Self) {
        other.attributes.iter().flatten().for_each(|attribute| self.attribute(attribute.clone()));
        for (key, values) in &other.params {
            values.iter().for_each(|value| self.set_param(key, value.clone()));
        }
        other.tags.iter().for_each(|(key, tag)| keep_newest(&mut self.tags, key.clone(), tag.clone()));
        other.items.iter().for_each(|(key, item)| keep_newest(&mut self.items, key.clone(), item.clone()));
    }

    fn set_param(&mut self, key: &str, value: Stamped<String>) {
        let values = self.params.entry(key.to_owned()).or_default();
        let rank = |value: &Stamped<String>| (value.stamp, value.value.clone());
        match values.iter_mut().find(|own| own.stamp.writer == value.stamp.writer) {
            Some(own) if rank(&value) < rank(own) => *own = value,
            Some(_) => {}
            None => values.push(value),
        }
        values.sort_by_key(|value| value.stamp);
    }

    fn attribute(&mut self, attribute: Stamped<Attribute>) {
        let own = &mut self.attributes[attribute.value.kind()];
        if own.as_ref().is_none_or(|own| rank(&attribute) >= rank(own)) {
            *own = Some(attribute);
        }
    }

    /// Its deletion attribute, if set.
    #[must_use]
    pub(crate) fn deletion_attribute(&self) -> Option<&Stamped<Attribute>> {
        self.attributes[5].as_ref()
    }

    /// Who last deleted or restored it; empty if nobody did or the name is unknown.
    #[must_use]
    pub fn deletion_by(&self) -> &str {
        match self.attribute_value(5) {
            Some(Attribute::Deleted { by, .. }) => by,
            _ => "",
        }
    }

    /// The greatest order number in this run.
    #[must_use]
    pub(crate) fn greatest_order(&self) -> u64 {
        let attributes = self.attributes.iter().flatten().map(|attribute| attribute.stamp.order);
        let params = self.params.values().flatten().map(|value| value.stamp.order);
        let tags = self.tags.values().map(|tag| tag.stamp.order);
        let writers = self.coverage.iter().map(|coverage| coverage.order);
        let items = self.items.values().map(|item| item.stamp.order);
        attributes.chain(params).chain(tags).chain(items).chain(writers).max().unwrap_or(0)
    }

    fn attribute_value(&self, kind: usize) -> Option<&Attribute> {
        self.attributes[kind].as_ref().map(|attribute| &attribute.value)
    }

    /// The run's name; may be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.attribute_value(0) {
            Some(Attribute::Name(name)) => name,
            _ => "",
        }
    }

    /// Who ran it; may be empty.
    #[must_use]
    pub fn user(&self) -> &str {
        match self.attribute_value(1) {
            Some(Attribute::User(user)) => user,
            _ => "",
        }
    }

    /// The run's status.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self.attribute_value(2) {
            Some(Attribute::Status(status)) => *status,
            _ => RunStatus::Running,
        }
    }

    /// When it started, in milliseconds since the epoch.
    #[must_use]
    pub fn start_time_ms(&self) -> Option<i64> {
        match self.attribute_value(3) {
            Some(Attribute::StartTime(time)) => *time,
            _ => None,
        }
    }

    /// When it ended, in milliseconds since the epoch.
    #[must_use]
    pub fn end_time_ms(&self) -> Option<i64> {
        match self.attribute_value(4) {
            Some(Attribute::EndTime(time)) => *time,
            _ => None,
        }
    }

    /// When it was marked deleted, in milliseconds since the epoch; `None` if it is not.
    #[must_use]
    pub fn deleted_ms(&self) -> Option<i64> {
        match self.attribute_value(5) {
            Some(Attribute::Deleted { at_ms, .. }) => *at_ms,
            _ => None,
        }
    }

    /// The experiment's generation in which the deletion attribute was set.
    #[must_use]
    pub(crate) fn deleted_generation(&self) -> u64 {
        match self.attribute_value(5) {
            Some(Attribute::Deleted { generation, .. }) => *generation,
            _ => 0,
        }
    }

    /// Its kind: [`crate::base::items::RUN`] for a plain run.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self.attribute_value(6) {
            Some(Attribute::Kind(kind)) => *kind,
            _ => crate::base::items::RUN,
        }
    }

    /// The items of a kind, by key.
    pub fn items(&self, kind: u8) -> impl Iterator<Item = (&str, &str)> {
        let from = self.items.range((kind, String::new())..).take_while(move |((own, _), _)| *own == kind);
        from.filter_map(|((_, key), item)| Some((key.as_str(), item.value.as_deref()?)))
    }

    /// One item.
    #[must_use]
    pub fn item(&self, kind: u8, key: &str) -> Option<&str> {
        self.items.get(&(kind, key.to_owned())).and_then(|item| item.value.as_deref())
    }

    /// Whether it is marked deleted.
    #[must_use]
    pub fn deleted(&self) -> bool {
        self.deleted_ms().is_some()
    }

    /// The effective params.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().filter_map(|(key, values)| Some((key.as_str(), values.first()?.value.as_str())))
    }

    /// The param of a key.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<&str> {
        self.params.get(key).and_then(|values| Some(values.first()?.value.as_str()))
    }

    /// The tags that are set.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().filter_map(|(key, tag)| Some((key.as_str(), tag.value.as_deref()?)))
    }
}

/// What decides between two attributes of one kind: the stamp; for a deletion attribute that was carried with its stamp
/// into a later generation of its experiment, the later generation.
#[must_use]
pub fn rank(value: &Stamped<Attribute>) -> (Stamp, u64, Option<i64>, &str) {
    match &value.value {
        Attribute::Deleted { at_ms, generation, by } => (value.stamp, *generation, *at_ms, by),
        _ => (value.stamp, 0, None, ""),
    }
}

/// Keeps the value with the greatest stamp.
fn keep_newest<K: Ord>(values: &mut BTreeMap<K, Stamped<Option<String>>>, key: K, value: Stamped<Option<String>>) {
    match values.get_mut(&key) {
        Some(own) if value.stamp >= own.stamp => *own = value,
        Some(_) => {}
        None => {
            values.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = (WriterId, Record)> {
        let key = prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned);
        // A writer's orders rise, so one order of one writer never says two things.
        (0_u128..3, 0_u64..4, key, 0..5).prop_map(|(writer, order, key, kind)| {
            let order = order * 10 + kind as u64 * 2 + u64::from(key == "b");
            let record = match kind {
                0 => Record::Param { run: 0, key, value: format!("{writer}{order}"), order },
                1 => Record::Tag { run: 0, key, value: Some(format!("{writer}{order}")), order },
                2 => Record::Tag { run: 0, key, value: None, order },
                3 => Record::Item {
                    run: 0,
                    kind: 1,
                    key,
                    value: (!order.is_multiple_of(3)).then(|| format!("{writer}")),
                    order,
                },
                _ => Record::Attribute { run: 0, attribute: Attribute::Name(format!("{writer}{order}")), order },
            };
            (WriterId(writer), record)
        })
    }

    fn state(records: &[(WriterId, Record)]) -> RunState {
        let mut state = RunState::new(RunId::new("r").unwrap(), ExperimentId(0), "Default".into());
        records.iter().for_each(|(writer, record)| state.apply(*writer, record));
        state
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            records in prop::collection::vec(record(), 0..20), cuts in (0_usize..20, 0_usize..20)
        ) {
            let whole = state(&records);
            let (a, b) = (cuts.0.min(records.len()), cuts.1.min(records.len()));
            let (a, b) = (a.min(b), a.max(b));
            let parts = [state(&records[..a]), state(&records[a..b]), state(&records[b..])];
            for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
                let mut merged = parts[order[0]].clone();
                merged.merge(&parts[order[1]]);
                merged.merge(&parts[order[2]]);
                merged.merge(&parts[order[0]]);
                prop_assert_eq!(&merged, &whole);
            }
        }
    }

    #[test]
    fn the_param_of_the_least_stamp_stands_and_a_claim_is_no_value() {
        let param = |value: &str, order| Record::Param { run: 0, key: "lr".into(), value: value.into(), order };
        let mut state = state(&[(WriterId(2), param("2", 5)), (WriterId(3), param("3", 4))]);
        let claim = Record::ParamClaimed { id: state.id.clone(), key: "lr".into(), value: "1".into() };
        state.apply(WriterId(1), &claim);
        assert_eq!(state.param("lr"), Some("3"));
        state.apply(WriterId(2), &Record::ParamRetracted { run: 0, key: "lr".into() });
        assert_eq!(state.param("lr"), Some("3"), "a writer takes back what it said itself");
    }

    #[test]
    fn of_one_stamp_the_lesser_value_counts_in_any_order() {
        let param = |value: &str| {
            let param = Record::Param { run: 0, key: "lr".into(), value: value.into(), order: 5 };
            state(&[(WriterId(1), param)])
        };
        for [first, second] in [["a", "b"], ["b", "a"]] {
            let mut merged = param(first);
            merged.merge(&param(second));
            assert_eq!(merged.param("lr"), Some("a"));
        }
    }
}
