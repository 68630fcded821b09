//! Tables on real terminals of several widths, and in pipes.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr;

use crate::place::Place;

/// Widths that terminals have.
const WIDTHS: [u16; 4] = [80, 100, 120, 200];

/// What a call prints on a terminal of `columns`, without colours.
fn on_terminal(place: &Place, arguments: &[&str], columns: u16) -> String {
    let (master, terminal) = terminal(columns);
    let mut command = place.command(arguments);
    command.env("NO_COLOR", "1").stdout(terminal);
    printed(command, master)
}

/// A terminal of `columns`: who reads what is printed on it, and the side that programs have.
fn terminal(columns: u16) -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(master), terminal)
}

/// What a call prints on its terminal until it ends.
fn printed(mut command: Command, mut master: File) -> String {
    let mut child = command.spawn().unwrap();
    // Only the child holds the terminal then, so that reading ends with it.
    drop(command);
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = master.read(&mut piece) {
        bytes.extend(&piece[..len]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

/// Runs with names that are long, wide, or combined of several characters, and values of many digits.
fn with_runs() -> Place {
    let place = Place::new();
    let names = [
        "resnet50",
        "畳み込みニューラルネットワークの学習率を変えた実験",
        "e\u{301}te\u{301} a\u{300} la plage avec beaucoup de mots accentue\u{301}s",
        "👩\u{200d}🔬👨\u{200d}👩\u{200d}👧\u{200d}👦 family of emoji 🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀",
        "한국어 실험 이름이 아주 길어서 잘려야 합니다 정말로",
        "a/very/long/path/to/some/experiment/with/a/seed/at/its/end/seed=17",
    ];
    for (at, name) in (1..).zip(names) {
        let (experiment, loss) =
            (if at % 2 == 0 { "Default" } else { "視覚-experiment" }, format!("loss=-1.2345{at}e-205"));
        let acc = format!("an/accuracy=0.98765{at}");
        let lr = "lr=0.000123456789, warm-up 1000 steps";
        place.ok(&["log", "--new", "--name", name, "--experiment", experiment, "--param", lr, &loss, &acc, "--finish"]);
    }
    place
}

fn check_width(text: &str, width: u16) {
    for line in text.lines() {
        assert!(line.width() <= usize::from(width), "{} columns of {width}: {line}\n{text}", line.width());
    }
}

#[test]
fn tables_fit_terminals_and_numbers_stay_whole() {
    let place = with_runs();
    for width in WIDTHS {
        let plain = on_terminal(&place, &["runs"], width);
        check_width(&plain, width);
        assert!(plain.contains("resnet50") && plain.contains("status"), "{plain}");
        assert_eq!(plain.contains('…'), width < 144, "names are cut where the table is wider: {plain}");
        let columns = "metrics.loss,metrics.loss.min,metrics.an/accuracy,params.lr,start_time";
        let asked = on_terminal(&place, &["runs", "--columns", columns], width);
        check_width(&asked, width);
        for at in 1..=6 {
            assert!(asked.matches(&format!("-1.2345{at}e-205")).count() == 2, "{width}: {at}\n{asked}");
            assert!(asked.contains(&format!("0.98765{at}")), "{width}: {at}\n{asked}");
        }
        assert_eq!(asked.matches("0.000123456789, warm-up 1000 steps").count(), 6, "{width}\n{asked}");
        let shown = on_terminal(&place, &["show", "resnet50"], width);
        // Above the tables stand words as they are, to be copied.
        check_width(shown.split_once("\n\n").unwrap().1, width);
        assert!(shown.contains("-1.23451e-205") && shown.contains("0.987651"), "{shown}");
        for call in [&["experiments", "--all"][..], &["stats"]] {
            check_width(&on_terminal(&place, call, width), width);
        }
    }
    // How long runs took is whatever it was.
    let narrow = on_terminal(&place, &["runs"], 80);
    assert!(narrow.contains("no room for: ") && narrow.ends_with("metrics\n"), "{narrow}");
    assert!(!on_terminal(&place, &["runs"], 200).contains("no room"), "all columns fit 200");
}

#[test]
fn a_pipe_gets_everything_whatever_the_terminal_is() {
    let place = with_runs();
    let call = |columns: &str| {
        let output = place.command(&["runs", "--columns", "params.lr"]).env("COLUMNS", columns).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let piped = call("20");
    assert_eq!(piped, call("400"));
    assert!(!piped.contains('…') && piped.contains("with/a/seed/at/its/end/seed=17") && piped.contains("metrics"));
    assert_eq!(piped.lines().filter(|line| line.contains("warm-up 1000 steps")).count(), 6);
    let long = "x".repeat(3000);
    place.ok(&["log", "resnet50", "--tag", &format!("note={long}")]);
    assert!(place.ok(&["show", "resnet50"]).contains(&long), "a value is whole in a pipe");
}

#[test]
fn a_bar_moves_while_sources_are_read_and_stored_and_pipes_get_none_of_it() {
    let place = Place::new();
    let mut rows = String::from("step,a,b\n");
    (0..25_000).for_each(|step| {
        rows += &format!("{step},{},{}\n", f64::from(step).sqrt(), f64::from(step * step % 977) / 7.0)
    });
    (0..40).for_each(|file| _ = place.file(&format!("d/m{file}.csv"), &rows));
    let (master, terminal) = terminal(120);
    let mut command = place.command(&["import", "d"]);
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(terminal);
    let shown = printed(command, master);
    // Each picture of the bar begins with what is being done.
    let pictures = |what: &str, unit: &str| -> Vec<(String, String)> {
        let words =
            shown.split(what).skip(1).filter_map(|picture| Some(picture.split_once("] ")?.1.split_once(unit)?.0));
        let both = words.filter_map(|words| words.split_once(" of "));
        let mut both: Vec<(String, String)> = both.map(|(done, of)| (done.to_owned(), of.to_owned())).collect();
        both.dedup();
        both
    };
    let stored = pictures("storing [", " points");
    assert!(stored.len() >= 2, "the bar stands still while points are stored: {stored:?} {shown:?}");
    assert!(stored.iter().all(|(_, of)| of == "2,000,000"), "{stored:?}");
    let read = pictures("importing [", ",");
    assert!(read.len() >= 3, "{read:?} {shown:?}");
    let all = read.last().unwrap().1.clone();
    assert!(read.iter().all(|(_, of)| *of == all || of == "0 B"), "points are not bytes: {read:?}");
    let piped = place.call(&["-w", "other", "import", "d"]);
    let said = "imported 40 runs, 80 series, 2,000,000 points\n";
    assert_eq!((piped.status, piped.err.as_str(), piped.out.as_str()), (0, "", said));
}
