//! `stepwell verify`: reads every byte and reports damage.

use serde_json::{Value, json};

use stepwell::maintenance::Damage;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, bytes, count, escape, plural};
use crate::progress::Progress;

fn shape(places: &[Damage]) -> Vec<Value> {
    let of_place = |place: &Damage| {
        json!({
            "file": place.file.to_string_lossy(),
            "offset": place.offset,
            "length": place.length,
            "what": place.what,
            "cost": place.cost,
        })
    };
    places.iter().map(of_place).collect()
}

fn line(place: &Damage, cost: &str) -> String {
    format!(
        "{} at byte {}, {}: {}\n  {cost}: {}\n",
        escape(&place.file.to_string_lossy()),
        count(place.offset),
        plural(place.length, "byte", "bytes"),
        escape(&place.what),
        escape(&place.cost),
    )
}

pub(crate) fn run(context: &Context) -> Outcome {
    let workspace = context.open_damaged()?;
    let progress = Progress::bytes("verifying", context.json);
    let report = workspace.maintenance().verify_with(&mut |done, total| progress.set(done, total))?;
    drop(progress);
    let ok = report.damage.is_empty();
    let answer = if ok { Answer::Done } else { Answer::No };
    if context.json {
        let (damage, torn) = (shape(&report.damage), shape(&report.torn));
        let note = |(file, what): &(std::path::PathBuf, String)| json!({"file": file.to_string_lossy(), "what": what});
        let notes: Vec<_> = report.notes.iter().map(note).collect();
        output::json(&json!({
            "ok": ok, "damage": damage, "torn": torn, "notes": notes, "files": report.files, "bytes": report.bytes
        }))?;
        return Ok(answer);
    }
    let mut text: String = report.damage.iter().map(|damage| line(damage, "cost")).collect();
    text.extend(report.torn.iter().map(|torn| line(torn, "no damage, but gone")));
    let note = |(file, what): &(std::path::PathBuf, String)| {
        format!("note: {}: {}\n", escape(&file.to_string_lossy()), escape(what))
    };
    text.extend(report.notes.iter().map(note));
    let read = format!("{} in {}", bytes(report.bytes), plural(report.files, "file", "files"));
    text += &if ok {
        format!("sound: read {read}\n")
    } else {
        let places = plural(report.damage.len() as u64, "damaged place", "damaged places");
        format!("{places}: read {read}; the rest reads, and `stepwell repair` saves it\n")
    };
    output::lines(&text)?;
    Ok(answer)
}
