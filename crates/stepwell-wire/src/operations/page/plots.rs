//! `POST /api/stepwell/plots`: curves of many runs and metrics, or bands of groups of runs, as one binary answer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine as _;
use serde::Serialize;
use serde_json::json;
use stepwell::query::{OrderKey, TextAttribute, parse_name};
use stepwell::{RunSnapshot, RunState, Salvage};

use super::bands::{Band, band};
use super::binary::Columns;
use super::curve::{Axis, Curve, Wanted, draw};
use super::{failed, select};
use crate::call::{Answer, Call, Outcome};
use crate::fault::Fault;
use crate::json::schema::{Field, Fields, Kind, int, many, one, text};

/// Most metrics of one request.
const KEYS_MAX: usize = 500;
/// Most curves of one request.
const CURVES_MAX: usize = 20_000;
/// Most buckets of a curve.
const WIDTH_MAX: i64 = 4000;
/// Bytes of a point while an answer is made.
const POINT_BYTES: usize = 40;
/// Runs of a filter when the request does not say how many.
const RUNS_DEFAULT: usize = 100;

const PLOTS: &[Field] = &{
    let [ids, experiments, filter, order, view, offset, max] = select::SELECTION;
    [
        ids,
        experiments,
        filter,
        order,
        view,
        offset,
        max,
        many("keys", Kind::Text),
        text("pattern"),
        text("x"),
        text("x_key"),
        one("from", Kind::Float),
        one("to", Kind::Float),
        int("width"),
        text("group_by"),
        text("since"),
    ]
};

/// A curve in the header. `x`, `y` and `kind` are the offsets of its columns.
#[derive(Serialize)]
struct CurveJson {
    run: usize,
    key: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<bool>,
    #[serde(flatten)]
    drawn: Option<Drawn>,
}

#[derive(Serialize)]
struct Drawn {
    n: usize,
    x: usize,
    y: usize,
    kind: usize,
    exact: bool,
    points: u64,
    nan: u64,
    #[serde(skip_serializing_if = "is_zero")]
    without_x: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A group's band of a metric, likewise.
#[derive(Serialize)]
struct BandJson {
    group: Option<String>,
    key: usize,
    runs: usize,
    n: usize,
    x: usize,
    least: usize,
    low: usize,
    median: usize,
    high: usize,
    greatest: usize,
    count: usize,
}

/// What a request asks for.
struct Asked {
    wanted: Wanted,
    group_by: Option<OrderKey>,
    keys: Vec<String>,
    pattern: Option<fancy_regex::Regex>,
    since: Since,
}

impl Asked {
    fn read(request: &Fields) -> Result<Self, Fault> {
        let axis = match (request.text("x"), request.text("x_key")) {
            ("" | "step", _) => Axis::Step,
            ("time", _) => Axis::Time,
            ("relative", _) => Axis::Relative,
            ("metric", key) if !key.is_empty() => Axis::Metric(key.to_owned()),
            ("metric", _) => return Err(Fault::invalid("x is 'metric', so x_key must name the metric.")),
            (other, _) => {
                return Err(Fault::invalid(format!("x '{other}' is none of step, time, relative, metric.")));
            }
        };
        let range = match (request.has("from"), request.has("to")) {
            (false, false) => None,
            (true, true) => {
                let (from, to) = (request.float("from"), request.float("to"));
                if from.is_nan() || to.is_nan() || from > to {
                    return Err(Fault::invalid(format!("from ({from}) must be at most to ({to}).")));
                }
                Some((from, to))
            }
            _ => return Err(Fault::invalid("Of a range, both from and to must be given.")),
        };
        let width = request.int("width").unwrap_or(600);
        if !(1..=WIDTH_MAX).contains(&width) {
            return Err(Fault::invalid(format!("width must be between 1 and {WIDTH_MAX}.")));
        }
        let keys = request.texts("keys");
        if keys.len() > KEYS_MAX {
            return Err(Fault::invalid(format!("{} keys are more than the limit of {KEYS_MAX}.", keys.len())));
        }
        let pattern = request.opt_text("pattern").filter(|pattern| !pattern.is_empty());
        let regex = |pattern: &str| {
            fancy_regex::Regex::new(pattern)
                .map_err(|error| Fault::invalid(format!("pattern is not a regular expression: {error}")))
        };
        let group_by = request.opt_text("group_by").filter(|name| !name.is_empty());
        let wanted = Wanted { axis, range, width: usize::try_from(width).unwrap_or(600) };
        let mut hasher = DefaultHasher::new();
        format!("{wanted:?} {group_by:?}").hash(&mut hasher);
        Ok(Self {
            wanted,
            group_by: group_by.map(|name| parse_name(name).map_err(failed)).transpose()?,
            keys,
            pattern: pattern.map(regex).transpose()?,
            since: Since::read(request.text("since"), hasher.finish())?,
        })
    }

    /// Which of a run's metrics are wanted; each gets a place in `self.keys`.
    fn of_run(&mut self, run: &RunSnapshot) -> Result<Vec<usize>, Fault> {
        if let Some(pattern) = &self.pattern {
            for key in run.keys() {
                let matches = pattern.is_match(key);
                let matches = matches.map_err(|error| Fault::invalid(format!("pattern takes too long: {error}")))?;
                if matches && !self.keys.iter().any(|known| known == key) {
                    if self.keys.len() >= KEYS_MAX {
                        return Err(Fault::invalid(format!("pattern matches more than {KEYS_MAX} metrics.")));
                    }
                    self.keys.push(key.to_owned());
                }
            }
        }
        Ok((0..self.keys.len()).filter(|&at| run.count(&self.keys[at]).is_ok()).collect())
    }
}

/// What a client has already: for each curve, a hash of its name and a hash of its state.
struct Since {
    /// A hash of how curves are wanted.
    how: u64,
    had: HashMap<u64, u64>,
    now: Vec<(u64, u64)>,
}

impl Since {
    fn read(cursor: &str, how: u64) -> Result<Self, Fault> {
        let wrong = |_| Fault::invalid("since is not the cursor of an earlier answer.");
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(cursor).map_err(wrong)?;
        let mut numbers = bytes.chunks_exact(8).filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let mut had = HashMap::new();
        if numbers.next() == Some(how) {
            while let (Some(name), Some(state)) = (numbers.next(), numbers.next()) {
                had.insert(name, state);
            }
        }
        Ok(Self { how, had, now: Vec::new() })
    }

    /// Notes a curve's state; says whether the client has it.
    fn has(&mut self, name: impl Hash, state: impl Hash) -> bool {
        let of = |what: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            what(&mut hasher);
            hasher.finish()
        };
        let (name, state) = (of(&|to| name.hash(to)), of(&|to| state.hash(to)));
        self.now.push((name, state));
        self.had.get(&name) == Some(&state)
    }

    /// Whether the client has all there is, and nothing else.
    fn is_all(&self) -> bool {
        self.had.len() == self.now.len() && self.now.iter().all(|(name, state)| self.had.get(name) == Some(state))
    }

    fn cursor(&self) -> String {
        let numbers = std::iter::once(self.how).chain(self.now.iter().flat_map(|&(name, state)| [name, state]));
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
    }
}

/// What changes when a series does: its length and its latest point. And how many points are NaN.
fn state_of(reader: &mut Salvage<'_>, key: &str) -> Result<((u64, i64, u64), u64), Fault> {
    let stats = reader.stats(key).map_err(failed)?;
    Ok(((stats.count, stats.latest.step, stats.latest.value.to_bits()), stats.nan_count))
}

/// `POST /api/stepwell/plots`.
pub(crate) fn plots(call: &Call<'_>) -> Outcome {
    let request = call.read(PLOTS, &[])?;
    let mut asked = Asked::read(&request)?;
    let ids = select::runs(call, &request, RUNS_DEFAULT)?;
    if ids.len() * asked.keys.len().max(1) > CURVES_MAX {
        let count = ids.len() * asked.keys.len();
        return Err(Fault::invalid(format!("{count} curves are more than the limit of {CURVES_MAX}; ask in parts.")));
    }
    let workspace = call.tracking().workspace();
    let mut answer = Drawing { call, columns: Columns::default(), curves: Vec::new(), left_out: Vec::new(), bytes: 0 };
    let mut missing = Vec::new();
    let mut groups: BTreeMap<(usize, Option<String>), Group> = BTreeMap::new();
    for (at, id) in ids.iter().enumerate() {
        let Some(run) = workspace.find_run(id).map_err(failed)? else {
            missing.push(at);
            continue;
        };
        let keys = asked.of_run(&run)?;
        let mut reader = run.salvage();
        match &asked.group_by {
            None => answer.run(&mut asked, &run, &mut reader, at, &keys)?,
            Some(by) => {
                let group = group_of(run.state(), by);
                for key in keys {
                    let group = groups.entry((key, group.clone())).or_default();
                    answer.member(&asked, group, &run, &mut reader, key)?;
                }
            }
        }
        answer.left_out.extend(run.damage().iter().cloned().chain(reader.messages()));
    }
    let bands = answer.bands(&mut asked, groups);
    if asked.since.is_all() && !request.text("since").is_empty() {
        return Ok(Answer { status: 304, content_type: BINARY, body: Vec::new() });
    }
    answer.left_out.sort();
    answer.left_out.dedup();
    call.context.left_out(&answer.left_out);
    let header = json!({
        "cursor": asked.since.cursor(),
        "runs": ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "keys": asked.keys,
        "missing": missing,
        "curves": answer.curves,
        "bands": bands,
        "left_out": answer.left_out,
    });
    Ok(Answer { status: 200, content_type: BINARY, body: answer.columns.finish(&header)? })
}

const BINARY: &str = "application/octet-stream";

/// The curves of a group's runs for one metric.
#[derive(Default)]
struct Group {
    curves: Vec<Curve>,
    states: Vec<(u64, i64, u64)>,
}

/// An answer being made.
struct Drawing<'a> {
    call: &'a Call<'a>,
    columns: Columns,
    curves: Vec<CurveJson>,
    left_out: Vec<String>,
    /// About the memory of what is drawn.
    bytes: usize,
}

impl Drawing<'_> {
    fn draw(
        &mut self,
        run: &RunSnapshot,
        reader: &mut Salvage<'_>,
        key: &str,
        wanted: &Wanted,
    ) -> Result<Curve, Fault> {
        let curve = draw(run, reader, key, wanted).map_err(failed)?;
        self.bytes += curve.x.len() * POINT_BYTES;
        self.call.context.reserve(self.bytes)?;
        Ok(curve)
    }

    fn run(
        &mut self,
        asked: &mut Asked,
        run: &RunSnapshot,
        reader: &mut Salvage<'_>,
        at: usize,
        keys: &[usize],
    ) -> Result<(), Fault> {
        for &key in keys {
            let name = asked.keys[key].clone();
            let (state, nan) = state_of(reader, &name)?;
            if asked.since.has((run.id().as_str(), &name), state) {
                self.curves.push(CurveJson { run: at, key, same: Some(true), drawn: None });
                continue;
            }
            let curve = self.draw(run, reader, &name, &asked.wanted)?;
            let drawn = Drawn {
                n: curve.x.len(),
                x: self.columns.floats(&curve.x),
                y: self.columns.floats(&curve.y),
                exact: curve.exact,
                without_x: curve.without_x,
                kind: self.columns.small(curve.kinds),
                points: state.0,
                nan,
            };
            self.curves.push(CurveJson { run: at, key, same: None, drawn: Some(drawn) });
        }
        Ok(())
    }

    fn member(
        &mut self,
        asked: &Asked,
        group: &mut Group,
        run: &RunSnapshot,
        reader: &mut Salvage<'_>,
        key: usize,
    ) -> Result<(), Fault> {
        let name = &asked.keys[key];
        group.states.push(state_of(reader, name)?.0);
        group.curves.push(self.draw(run, reader, name, &asked.wanted)?);
        Ok(())
    }

    fn bands(&mut self, asked: &mut Asked, groups: BTreeMap<(usize, Option<String>), Group>) -> Vec<BandJson> {
        let mut bands = Vec::new();
        for ((key, group), Group { curves, states }) in groups {
            asked.since.has((key, &group), states);
            let Band { x, least, low, median, high, greatest, runs } =
                band(&curves, asked.wanted.range, asked.wanted.width);
            bands.push(BandJson {
                group,
                key,
                runs: curves.len(),
                n: x.len(),
                x: self.columns.floats(&x),
                least: self.columns.floats(&least),
                low: self.columns.floats(&low),
                median: self.columns.floats(&median),
                high: self.columns.floats(&high),
                greatest: self.columns.floats(&greatest),
                count: self.columns.floats(&runs),
            });
        }
        bands
    }
}

/// The value by which a run is grouped; `None` where it has none.
fn group_of(state: &RunState, by: &OrderKey) -> Option<String> {
    match by {
        OrderKey::Param(key) => state.param(key).map(str::to_owned),
        OrderKey::Tag(key) => state.tags().find(|(known, _)| known == key).map(|(_, value)| value.to_owned()),
        OrderKey::Text(TextAttribute::RunName) => Some(state.name().to_owned()),
        OrderKey::Text(TextAttribute::Status) => Some(state.status().as_str().to_owned()),
        OrderKey::Text(TextAttribute::UserId) => Some(state.user().to_owned()),
        OrderKey::Text(_) => Some(state.id.as_str().to_owned()),
        OrderKey::Metric(_) | OrderKey::Time(_) => None,
    }
}
