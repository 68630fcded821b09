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

/// The picture of a call: width, height and pixels of four bytes.
fn png(place: &Place, arguments: &[&str]) -> (u32, u32, Vec<u8>) {
    let path = place.path("p.png");
    let mut all = vec!["plot", "-o", text(&path)];
    all.extend(arguments);
    place.ok(&all);
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgba);
    (info.width, info.height, pixels)
}

fn svg(place: &Place, arguments: &[&str]) -> String {
    let path = place.path("p.svg");
    let mut all = vec!["plot", "-o", text(&path)];
    all.extend(arguments);
    place.ok(&all);
    std::fs::read_to_string(path).unwrap()
}

/// The texts of a class in a picture.
fn texts<'a>(svg: &'a str, class: &str) -> Vec<&'a str> {
    let of_class = svg.split("<text ").skip(1).filter(|text| text.contains(&format!("class=\"{class}\"")));
    of_class.map(|text| text.split(['>', '<']).nth(1).unwrap()).collect()
}

#[test]
fn pictures_are_written() {
    let place = with_curves();
    let ids = names(&place);
    let both = svg(&place, &[&ids[0], &ids[1], "--key", "loss"]);
    assert!(both.starts_with("<svg") && both.trim_end().ends_with("</svg>"));
    assert_eq!((both.matches("class=\"curve\"").count(), texts(&both, "title")), (2, vec!["loss"]));
    assert!(both.contains(">one.csv</text>") && both.contains(">two.csv</text>"), "a legend by names");
    // Steps 100 to 119 are NaN, so each curve has two stretches; step 130 is infinite.
    assert_eq!(both.matches("class=\"infinite\"").count(), 2);
    let (width, height, pixels) = png(&place, &[&ids[0], "--key", "loss"]);
    assert_eq!((width, height), (1200, 720));
    let coloured = pixels.chunks(4).filter(|pixel| pixel[2] > pixel[0].saturating_add(80)).count();
    let dark = pixels.chunks(4).filter(|pixel| pixel[..3].iter().all(|&part| part < 110)).count();
    assert!(coloured > 1000 && dark > 500, "a curve of {coloured} pixels and text of {dark}");
    // The spike of step 250 stands in its column of pixels, up to near the top.
    let high = |x: usize| {
        (0..120).any(|y| {
            let pixel = &pixels[4 * (y * 1200 + x)..][..3];
            pixel[2] > pixel[0].saturating_add(60)
        })
    };
    let columns: Vec<usize> = (0..1200).filter(|&x| high(x)).collect();
    assert!(columns.len() <= 20 && columns.iter().any(|&x| (580..680).contains(&x)), "{columns:?}");
}

#[test]
fn options_choose_axes_ranges_smoothing_and_size() {
    let place = with_curves();
    let run = "one.csv";
    let range = svg(&place, &[run, "-k", "loss", "--from", "300", "--to", "400", "--size", "640x400"]);
    assert!(range.contains("width=\"640\" height=\"400\""));
    let x = texts(&range, "x");
    assert!(x.contains(&"300") && x.contains(&"400") && !x.contains(&"200"), "{x:?}");
    let y = texts(&range, "y");
    assert!(!y.contains(&"1000"), "the axis fits what is within the range: {y:?}");
    let log = svg(&place, &[run, "-k", "loss", "--log-x", "--log-y"]);
    assert!(
        ["1", "10", "100"].iter().all(|power| texts(&log, "x").contains(power) && texts(&log, "y").contains(power))
    );
    let smooth = svg(&place, &[run, "-k", "loss", "--smooth", "0.9", "--y-max", "600"]);
    assert!(smooth.find("class=\"raw\"").unwrap() < smooth.find("class=\"curve\"").unwrap());
    assert_eq!(texts(&smooth, "title"), ["loss of one.csv, smoothed by 0.9"]);
    let relative = svg(&place, &[run, "-k", "loss", "--x", "relative", "--from", "1m", "--to", "4m"]);
    assert!(texts(&relative, "x").contains(&"2 min"), "{:?}", texts(&relative, "x"));
    let moments = svg(&place, &[run, "-k", "loss", "--x", "time", "--from", "2023-11-14T22:15"]);
    assert!(texts(&moments, "x").contains(&"22:16") && texts(&moments, "x").contains(&"2023-11-14"), "{moments}");
    for (bad, says) in [
        (&["--from", "5", "--to", "5"][..], "--from must be less"),
        (&["--y-min", "2", "--y-max", "1"], "--y-min must be less"),
        (&["--log-y", "--y-min", "0"], "above zero"),
        (&["--x", "time", "--log-x"], "--log-x needs"),
        (&["--x", "time", "--from", "12"], "is not a moment"),
        (&["--smooth", "1"], "is not a weight"),
        (&["--y-min", "nan"], "is not a finite number"),
        (&["--size", "10x10", "-o", "a.svg"], "is not a size"),
        (&["--size", "640x480"], "--output"),
        (&["--height", "9", "-o", "a.svg"], "--height"),
    ] {
        let mut all = vec!["plot", run, "-k", "loss"];
        all.extend(bad);
        place.fails(&all, 2, &[says]);
    }
}

#[test]
fn each_metric_has_a_panel_and_patterns_name_several() {
    let place = Place::new();
    let a = place.ok(&["log", "--new", "--name", "run-a", "train/loss=1", "train/acc=0.5", "val/loss=2", "odd[1]=3"]);
    place.ok(&["log", "--new", "--name", "run-b", "train/loss=3", "val/loss=1"]);
    let panels = svg(&place, &["run-a", "run-b", "-k", "train/loss", "-k", "val/*"]);
    assert_eq!(texts(&panels, "key"), ["train/loss", "val/loss"]);
    assert_eq!(panels.matches("class=\"panel\"").count(), 2);
    assert_eq!(
        (panels.matches(">run-a</text>").count(), panels.matches(">run-b</text>").count()),
        (1, 1),
        "one legend"
    );
    let together = svg(&place, &["run-a", "-k", "train/*", "--together"]);
    assert!(texts(&together, "key").is_empty() && together.contains(">train/acc</text>"));
    assert!(place.ok(&["plot", "run-a", "-k", "odd[1]"]).contains('└'), "a name wins over a pattern");
    let some = place.call(&["plot", "run-a", "run-b", "-k", "train/*"]);
    assert_eq!(some.status, 0, "{some:?}");
    assert!(
        some.err.contains("run-b lacks 1 of the 2 metrics that match") && some.out.contains("train/acc"),
        "{some:?}"
    );
    let none = place.call(&["plot", "run-a", "run-b", "-k", "train/acc"]);
    assert_eq!((none.status, none.err.contains("run-b has no metric \"train/acc\"")), (1, true), "{none:?}");
    place.fails(&["plot", "run-a", "-k", "test/*"], 3, &["no metric \"test/*\""]);
    let json: serde_json::Value =
        serde_json::from_str(&place.call(&["--json", "plot", "run-a", "-k", "train/*"]).out).unwrap();
    assert_eq!((&json["panels"], &json["curves"][0]["key"]), (&2.into(), &"train/acc".into()));
    assert_eq!(json["curves"][0]["run_id"], a.trim());
}

#[test]
fn names_in_any_script_are_drawn_or_told() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "\u{e123} private", "m=1"]);
    place.ok(&["log", "--new", "--name", "🚀 <实验> & co", "m=2"]);
    let path = place.path("p.png");
    let drawn = place.call(&["plot", "\u{e123} private", "🚀 <实验> & co", "-k", "m", "-o", text(&path)]);
    assert_eq!(drawn.status, 0, "{drawn:?}");
    assert!(drawn.err.contains("no font of this machine has") && drawn.err.contains('\u{e123}'), "{drawn:?}");
    assert!(!drawn.err.contains('🚀'), "the program brings a font of emoji: {}", drawn.err);
    let svg = svg(&place, &["🚀 <实验> & co", "-k", "m"]);
    assert!(svg.contains("&lt;实验&gt; &amp; co"));
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
    for (arguments, says) in [
        (&["-k", "m"][..], "1 NaN"),
        (&["-k", "z", "--log-y"], "1 not above zero"),
        (&["-k", "z", "--from", "10"], "no point in this range"),
    ] {
        let mut all = vec!["plot", id.trim()];
        all.extend(arguments);
        let ended = place.call(&all);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.out.contains("nothing to draw") && ended.err.contains(says), "{ended:?}");
    }
    assert!(place.ok(&["plot", id.trim(), "-k", "z"]).contains('└'));
    let hidden = place.call(&["plot", id.trim(), "-k", "z", "--y-min", "5"]);
    assert!(hidden.err.contains("no value between --y-min and --y-max"), "{hidden:?}");
    let zeros = place.call(&["plot", &ids[0], "-k", "loss", "--log-y"]);
    assert!(zeros.err.contains("1 not above zero, left out"), "{zeros:?}");
}

#[test]
fn times_are_those_of_the_zone_that_was_asked_for() {
    let place = with_curves();
    let id = &names(&place)[0];
    let draw = |more: &[&str]| {
        let call = [&["plot", id, "-k", "loss", "--x", "time"], more].concat();
        let output = place.command(&call).env("TZ", "UTC-9").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let utc = draw(&[]);
    assert!(utc.contains("22:1") && utc.contains("time (UTC)") && utc.contains("2023-11-14"), "{utc}");
    let local = draw(&["--local"]);
    assert!(local.contains("07:1") && local.contains("time (local)") && local.contains("2023-11-15"), "{local}");
    let curve = |drawn: &str| drawn.lines().take(20).map(str::to_owned).collect::<Vec<_>>();
    let (from, to) = (["--from", "2023-11-14T22:15"], ["--to", "2023-11-15T07:18", "--local"]);
    let here = draw(&[&["--from", "2023-11-15 07:15"][..], &to].concat());
    assert_eq!(curve(&here), curve(&draw(&[&from[..], &["--to", "2023-11-14T22:18"]].concat())));
    assert_ne!(curve(&here), curve(&local));
    assert_eq!(here, draw(&[&["--from", "2023-11-14T22:15Z"][..], &to].concat()), "a zone that is said counts");
}
