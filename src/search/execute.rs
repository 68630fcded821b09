//! A query over several index parts: filter, order, page.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::index::bitmap::Bitmap;
use crate::index::layout::{Family, run};
use crate::index::part::IndexPart;
use crate::search::ast::{Clause, Expr, TextAttribute, TextTest};
use crate::search::dialect::{Dialect, RUNS, RunAttribute};
use crate::search::filter::{Context, evaluate};
use crate::search::order::{OrderBy, OrderKey, complete};
use crate::search::rank::{PartOrder, best};
use crate::search::refusal::Parsed;
use crate::search::runs::{parse_filter_in, parse_order_by_in};

/// A part and the runs to exclude because a newer part has them.
#[derive(Clone, Copy, Debug)]
pub struct MaskedPart<'a> {
    /// The part.
    pub part: &'a IndexPart,
    /// Ordinals to exclude; as long as the part.
    pub excluded: Option<&'a Bitmap>,
}

impl<'a> From<&'a IndexPart> for MaskedPart<'a> {
    fn from(part: &'a IndexPart) -> Self {
        Self { part, excluded: None }
    }
}

/// Whether deleted runs are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Runs that are not deleted.
    #[default]
    ActiveOnly,
    /// Deleted runs.
    DeletedOnly,
    /// Both.
    All,
}

/// Generation and deletion of experiments that were ever deleted or restored. Deletion attributes of earlier
/// generations do not count.
pub type Deletions = BTreeMap<ExperimentId, (u64, bool)>;

/// What the layer above the store decides about the values that filters and orders read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conventions {
    /// By experiment: the `artifact_uri` of its runs that have none of their own. Runs of other experiments lack it.
    pub artifact_uris: BTreeMap<ExperimentId, UriTemplate>,
    /// The tag that `datasets.context` reads of a dataset's use: a key, or the last word of a key with dots.
    pub context_tag: Cow<'static, str>,
}

impl Default for Conventions {
    fn default() -> Self {
        Self { artifact_uris: BTreeMap::new(), context_tag: Cow::Borrowed("context") }
    }
}

/// URIs that differ in a run's id only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UriTemplate {
    /// What comes before the id.
    pub before: String,
    /// What comes after it.
    pub after: String,
}

impl UriTemplate {
    /// The URI of a run.
    #[must_use]
    pub fn of(&self, run: &RunId) -> String {
        [&self.before, run.as_str(), &self.after].concat()
    }
}

/// Runs to find, in which order, and which page of them.
#[derive(Clone, Debug)]
pub struct Query {
    /// The condition; `None` keeps every run.
    pub filter: Option<Expr>,
    /// The order; ties are broken by latest start, then run id.
    pub order_by: Vec<OrderBy>,
    /// Whether deleted runs are found.
    pub view: View,
    /// The experiments to search; an empty list searches all.
    pub experiments: Vec<ExperimentId>,
    /// Most runs on the page; at least 1.
    pub max_results: usize,
    /// How many runs come before the page.
    pub offset: usize,
    /// The kind of the runs to find: [`crate::base::items::RUN`] for plain runs.
    #[doc(hidden)]
    pub kind: u8,
    /// What the layer above decides about the values of some names.
    pub conventions: Conventions,
}

impl Default for Query {
    /// All active runs, latest start first, 1,000 a page.
    fn default() -> Self {
        Self {
            filter: None,
            order_by: Vec::new(),
            view: View::default(),
            experiments: Vec::new(),
            max_results: 1000,
            offset: 0,
            kind: crate::base::items::RUN,
            conventions: Conventions::default(),
        }
    }
}

impl Query {
    /// The query of a filter in the store's language; all else as [`Query::default`].
    ///
    /// # Errors
    /// [`Error::Invalid`] with the position and what is expected.
    pub fn filter(filter: &str) -> Result<Self> {
        Self::parse(filter, &[] as &[&str])
    }

    /// The query of a filter and order-by clauses; all else as [`Query::default`].
    ///
    /// # Errors
    /// [`Error::Invalid`] with the position and what is expected.
    pub fn parse<S: AsRef<str>>(filter: &str, order_by: &[S]) -> Result<Self> {
        Ok(Self::parse_in(&RUNS, filter, order_by)?)
    }

    /// The same in another dialect.
    ///
    /// # Errors
    /// The filter or the clause, the place in it, and what would be right.
    pub(crate) fn parse_in<S: AsRef<str>>(
        dialect: &Dialect<RunAttribute>,
        filter: &str,
        order_by: &[S],
    ) -> Parsed<Self> {
        let (filter, order_by) = (parse_filter_in(dialect, filter)?, parse_order_by_in(dialect, order_by)?);
        Ok(Self { filter, order_by, ..Self::default() })
    }

    /// What its filter and its order name: metrics, params, tags and attributes, some perhaps often.
    #[must_use]
    pub fn names(&self) -> Vec<OrderKey> {
        let mut names = Vec::new();
        if let Some(filter) = &self.filter {
            named(filter, &mut names);
        }
        names.extend(self.order_by.iter().map(|clause| clause.key.clone()));
        names
    }

    /// Values that the filter compares with statuses and that are not statuses.
    #[must_use]
    pub fn unknown_statuses(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(filter) = &self.filter {
            statuses(filter, &mut words);
        }
        words.retain(|word| !RunStatus::ALL.iter().any(|status| status.as_str() == word));
        words
    }
}

/// One page of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Runs in order: the part's place in the slice, and the ordinal in the part.
    pub hits: Vec<(usize, u32)>,
    /// How many runs satisfy the query, on all pages.
    pub total: usize,
}

/// Finds the runs. Memory: one bit per run and nested condition, and 24 bytes for each of twice `offset + max_results`
/// runs, besides decoded columns. Time: one pass over each column in the query.
///
/// # Errors
/// [`Error::Invalid`] for `max_results` of 0 and for a mask of another length; [`Error::Corrupt`] or [`Error::Io`] when
/// a column that the query names cannot be read.
pub fn execute(parts: &[MaskedPart<'_>], query: &Query, deletions: &Deletions) -> Result<Page> {
    if query.max_results == 0 {
        return Err(Error::invalid("max_results", "it must be at least 1"));
    }
    let context = Context { literals: literals(parts, query.names())?, conventions: &query.conventions };
    let order = complete(&query.order_by);
    let hits = matching(parts, query, deletions, &context)?;
    let mut columns = Vec::with_capacity(parts.len());
    for (part, found) in parts.iter().zip(&hits) {
        // A part without a hit needs no columns to order by.
        let order = if found.count() == 0 { &[][..] } else { &order };
        columns.push(PartOrder::new(part.part, order, &context)?);
    }
    let total = hits.iter().map(Bitmap::count).sum();
    let end = query.offset.saturating_add(query.max_results);
    let ranked = if query.offset < total { best(&mut columns, &hits, &order, end.min(total)) } else { Vec::new() };
    Ok(Page {
        hits: ranked.into_iter().skip(query.offset).map(|(part, ordinal)| (part as usize, ordinal)).collect(),
        total,
    })
}

/// The runs of each part that satisfy a query.
pub(crate) fn matching(
    parts: &[MaskedPart<'_>],
    query: &Query,
    deletions: &Deletions,
    context: &Context<'_>,
) -> Result<Vec<Bitmap>> {
    let of_part = |part: &MaskedPart<'_>| {
        let mut found = scope(part, query, deletions)?;
        if let Some(filter) = &query.filter {
            found.and(&evaluate(part.part, filter, context)?);
        }
        Ok(found)
    };
    parts.iter().map(of_part).collect()
}

/// The runs within the query's view and experiments that are not excluded.
fn scope(part: &MaskedPart<'_>, query: &Query, deletions: &Deletions) -> Result<Bitmap> {
    let MaskedPart { part, excluded } = *part;
    let mut scope = Bitmap::all(part.len());
    if let Some(excluded) = excluded {
        if excluded.len() != part.len() {
            return Err(Error::invalid(
                "mask",
                format!("it covers {} runs, but the part has {}", excluded.len(), part.len()),
            ));
        }
        scope.and_not(excluded);
    }
    let kinds = part.run_ints(run::KIND)?;
    if kinds.range().is_some_and(|(low, high)| low != high || low != i64::from(query.kind)) {
        scope.and(&kinds.within(i64::from(query.kind), i64::from(query.kind)));
    }
    let own = part.run_bits(run::DELETED)?;
    let counted = if query.view == View::All { None } else { counts_as_deleted(part, own, deletions)? };
    match (query.view, counted.as_ref().or(own)) {
        (View::All, _) | (View::ActiveOnly, None) => {}
        (View::ActiveOnly, Some(deleted)) => scope.and_not(deleted),
        (View::DeletedOnly, Some(deleted)) => scope.and(deleted),
        (View::DeletedOnly, None) => scope = Bitmap::none(part.len()),
    }
    if !query.experiments.is_empty() {
        let searched: FxHashSet<ExperimentId> = query.experiments.iter().copied().collect();
        let wanted: Vec<bool> = part.experiments()?.iter().map(|experiment| searched.contains(experiment)).collect();
        if wanted.contains(&false) {
            scope.and(&part.run_ints(run::EXPERIMENT_CODES)?.among(&wanted));
        }
    }
    Ok(scope)
}

/// Which runs count as deleted, if that differs from their own deletion attributes.
fn counts_as_deleted(part: &IndexPart, own: Option<&Bitmap>, deletions: &Deletions) -> Result<Option<Bitmap>> {
    let states: Vec<Option<(u64, bool)>> =
        part.experiments()?.iter().map(|experiment| deletions.get(experiment).copied()).collect();
    if states.iter().all(Option::is_none) {
        return Ok(None);
    }
    let (codes, generations) = (part.run_ints(run::EXPERIMENT_CODES)?, part.run_ints(run::DELETED_GENERATION)?);
    let mut counted = own.cloned().unwrap_or_else(|| Bitmap::none(part.len()));
    let mut cleared = Bitmap::none(part.len());
    for ordinal in 0..part.len() {
        if let Some(Some((generation, deleted))) = states.get(codes.get(ordinal) as usize)
            && (generations.get(ordinal) as u64) < *generation
        {
            if *deleted { counted.insert(ordinal as u32) } else { cleared.insert(ordinal as u32) }
        }
    }
    counted.and_not(&cleared);
    Ok(Some(counted))
}

/// The ambiguous ones among `names` that are keys in some part.
pub(crate) fn literals(parts: &[MaskedPart<'_>], names: Vec<OrderKey>) -> Result<FxHashSet<String>> {
    let mut literals = FxHashSet::default();
    let literal = |name| match name {
        OrderKey::Metric(name) => name.literal,
        _ => None,
    };
    for literal in names.into_iter().filter_map(literal) {
        for part in parts {
            if part.part.cells(Family::Metrics, &literal)?.is_some() {
                literals.insert(literal.clone());
            }
        }
    }
    Ok(literals)
}

fn named(expr: &Expr, names: &mut Vec<OrderKey>) {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| named(part, names)),
        Expr::Not(inner) => named(inner, names),
        Expr::Clause(clause) => names.extend(match clause {
            Clause::Metric(name, _) => Some(OrderKey::Metric(name.clone())),
            Clause::Time(attribute, _) => Some(OrderKey::Time(*attribute)),
            Clause::Param(key, _) => Some(OrderKey::Param(key.clone())),
            Clause::Tag(key, _) => Some(OrderKey::Tag(key.clone())),
            Clause::Text(attribute, _) => Some(OrderKey::Text(*attribute)),
            Clause::Dataset(..) => None,
        }),
    }
}

fn statuses(expr: &Expr, words: &mut Vec<String>) {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| statuses(part, words)),
        Expr::Not(inner) => statuses(inner, words),
        Expr::Clause(Clause::Text(TextAttribute::Status, test)) => match test {
            TextTest::Equal(word) | TextTest::NotEqual(word) => words.push(word.clone()),
            TextTest::In(list) | TextTest::NotIn(list) => words.extend(list.iter().cloned()),
            _ => {}
        },
        Expr::Clause(_) => {}
    }
}
