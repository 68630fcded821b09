//! `stepwell history RUN KEY`: the points of a metric.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use stepwell::{Columns, RunSnapshot, Salvage};

use crate::commands::parquet;
use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::left_out;
use crate::output::{self, Value};
use crate::shape::PointShape;

/// Print the points of a metric, ordered by step, then timestamp, then arrival.
///
/// CSV begins with the line `step,timestamp_ms,value`. Each value is the shortest text that reads back as the same
/// number; others are NaN, inf, -inf and -0. An absent timestamp is an empty field. JSON is an array of
/// {"step","timestamp_ms","value"} with "NaN", "Infinity" and "-Infinity" as strings. Parquet keeps every bit,
/// including those of NaN.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The run's id, its name, or the beginning of its id.
    #[arg(add = crate::complete::runs())]
    run: String,
    /// The metric's key.
    #[arg(allow_hyphen_values = true, add = crate::complete::metrics())]
    key: String,
    /// The format [default: csv; json with --json].
    #[arg(short, long, value_enum)]
    format: Option<Format>,
    /// Print at most this many points, and keep every spike: the first, least, greatest and last point of each
    /// stretch of steps. A metric with fewer points is printed whole.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_points: Option<u64>,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values.
    Csv,
    /// One JSON array.
    Json,
    /// An Apache Parquet file.
    Parquet,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let format = match (arguments.format, context.json) {
        (None, false) => Format::Csv,
        (None | Some(Format::Json), _) => Format::Json,
        (Some(_), true) => {
            return Err(Failure::Usage("--json prints JSON; leave it out to choose another --format".into()));
        }
        (Some(format), false) => format,
    };
    if format == Format::Parquet && arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::Usage("Parquet does not suit a terminal; write it to a file with -o FILE".into()));
    }
    let workspace = context.open()?;
    let run = context::run(&workspace, &arguments.run)?;
    left_out::tell(run.damage());
    context::check_metric(&run, &arguments.key)?;
    let mut reader = run.salvage();
    let points = match arguments.max_points {
        Some(max) if run.count(&arguments.key)? > max => at_most(&mut reader, &arguments.key, max)?,
        _ => reader.history(&arguments.key)?,
    };
    left_out::tell(&reader.messages());
    match &arguments.output {
        Some(path) => {
            let file = File::create(path).map_err(Failure::io("create", path))?;
            write(BufWriter::new(file), format, &run, &arguments.key, &points)?;
        }
        None => write(output::stdout(), format, &run, &arguments.key, &points)?,
    }
    Ok(Answer::Done)
}

/// At most `max` points of a series that has more, with its spikes.
fn at_most(run: &mut Salvage<'_>, key: &str, max: u64) -> Outcome<Columns> {
    // A bucket gives up to four points.
    let buckets = usize::try_from(max / 4).unwrap_or(usize::MAX).max(1);
    let points = run.downsample(key, None, buckets)?.points();
    if points.len() as u64 <= max {
        return Ok(points);
    }
    // Fewer than four are asked for: the ends, then the greatest.
    let of_bucket = run.downsample(key, None, 1)?;
    let Some(bucket) = of_bucket.buckets.first() else {
        return Ok(points);
    };
    let mut few = Columns::default();
    if max > 1 {
        few.push(bucket.first);
    }
    if let (true, Some(greatest)) = (max > 2, bucket.max) {
        few.push(greatest);
    }
    few.push(bucket.last);
    Ok(few)
}

fn write(mut out: impl Write + Send, format: Format, run: &RunSnapshot, key: &str, points: &Columns) -> Outcome<()> {
    match format {
        Format::Csv => {
            out.write_all(b"step,timestamp_ms,value\n")?;
            for point in points.iter() {
                match point.timestamp_ms {
                    Some(ms) => writeln!(out, "{},{ms},{}", point.step, Value(point.value))?,
                    None => writeln!(out, "{},,{}", point.step, Value(point.value))?,
                }
            }
        }
        Format::Json => {
            let mut first = true;
            for point in points.iter() {
                out.write_all(if first { b"[" } else { b",\n" })?;
                first = false;
                PointShape::from(point).serialize(&mut serde_json::Serializer::new(&mut out))?;
            }
            out.write_all(if first { b"[]\n" } else { b"]\n" })?;
        }
        Format::Parquet => {
            let mut file = parquet::Points::new(&mut out)?;
            file.add(run.id().as_str(), key, points)?;
            file.finish()?;
        }
    }
    out.flush()?;
    Ok(())
}
