//! `plot`.

use crate::place::{Place, text};

fn with_curves() -> Place {
    let place = Place::new();
    for (name, factor) in [("one", 1.0), ("two", 2.0)] {
        let mut csv = "step,timestamp_ms,loss\n".to_owned();
        for step in 0..500 {
            let value = match step {
                100..120 => "nan".to_owned(),
                130 => "inf".to_owned(),
                250 => "1000".to_owned(),
                _ => (factor * f64::from(step)).to_string(),
            };
            csv += &format!("{step},{},{value}\n", 1_700_000_000_000_i64 + i64::from(step) * 1000);
        }
        place.file(&format!("in/{name}.csv"), csv);
    }
    place.ok(&["import", "in"]);
    place
}

fn names(place: &Place) -> Vec<String> {
    let runs = place.json(&["runs"]);
    runs.as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_terminal_shows_curves_axes_and_notes() {
    let place = with_curves();
    let ids = names(&place);
    let one = place.call(&["plot", &ids[0], "--key", "loss"]);
    assert_eq!(one.status, 0, "{one:?}");
    assert!(one.out.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)) && one.out.contains('┤'), "{}", one.out);
    assert!(one.err.contains("20 NaN") && one.err.contains("1 infinite"), "{}", one.err);
    assert!(!one.out.contains('\u{1b}'), "no colours but on a terminal");
    let both = place.ok(&["plot", &ids[0], &ids[1], "-k", "loss", "--x", "time", "--log-y"]);
    assert!(both.contains('*') && both.contains('+') && both.contains("22:1"), "{both}");
    let json = place.json(&["plot", &ids[0], "-k", "loss"]);
    assert_eq!((&json["curves"][0]["nan"], &json["curves"][0]["infinite"]), (&20.into(), &1.into()));
}

#[test]
fn pictures_are_written() {
    let place = with_curves();
    let ids = names(&place);
    let svg = place.path("p.svg");
    place.ok(&["plot", &ids[0], &ids[1], "--key", "loss", "-o", text(&svg)]);
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(
        svg.contains("<polyline") && svg.contains("loss") && svg.contains(&ids[0][..12]),
        "curves, title and legend"
    );
    let png = place.path("p.png");
    place.ok(&["plot", &ids[0], "--key", "loss", "-o", text(&png)]);
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(png).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1200, 720));
    let coloured = pixels.chunks(3).filter(|pixel| pixel[2] > pixel[0].saturating_add(80)).count();
    let dark = pixels.chunks(3).filter(|pixel| pixel.iter().all(|&part| part < 100)).count();
    assert!(coloured > 1000 && dark > 500, "a curve of {coloured} pixels and text of {dark}");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let place = with_curves();
    let ids = names(&place);
    place.fails(&["plot", &ids[0], "-k", "los"], 3, &["no metric", "\"loss\""]);
    place.fails(&["plot", &ids[0], "-k", "loss", "-o", "p.gif"], 2, &[".svg or .png"]);
    place.fails(&["plot", &ids[0]], 2, &["--key"]);
    place.fails(&["plot", &ids[0], "-k", "loss", "-o", "none/p.svg"], 3, &["none/p.svg"]);
    let id = place.ok(&["log", "--new", "m=NaN", "z=-1"]);
    assert!(place.ok(&["plot", id.trim(), "-k", "m"]).contains("nothing to draw"));
    assert!(place.ok(&["plot", id.trim(), "-k", "z", "--log-y"]).contains("nothing to draw"));
    assert!(place.ok(&["plot", id.trim(), "-k", "z"]).contains('└'));
}
