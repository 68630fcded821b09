//! Points of metrics as JSON, written straight into the answer: histories and charts are little else.
//!
//! Everything but the numbers is the same for all points of a curve, so it is made once for each curve and copied.

use stepwell::Point;

/// Bytes that a point takes at most without its words: three numbers.
const NUMBERS_BYTES: usize = 24 + 20 + 20;

/// An object with a list `metrics` of points, as far as it was written.
pub(crate) struct PointsJson {
    body: Vec<u8>,
    empty: bool,
    left_out: Vec<String>,
}

impl PointsJson {
    /// One without points.
    pub(crate) fn new() -> Self {
        Self { body: b"{\"metrics\":[".to_vec(), empty: true, left_out: Vec::new() }
    }

    /// Appends the points of a metric, with the id of their run where it is not plain from the request.
    pub(crate) fn curve(&mut self, key: &str, run_id: Option<&str>, points: &[Point]) {
        let begin = [b"{\"key\":", &text(key)[..], b",\"value\":"].concat();
        let end = run_id.map_or_else(|| b"}".to_vec(), |id| [b",\"run_id\":", &text(id)[..], b"}"].concat());
        self.body.reserve(points.len() * (begin.len() + end.len() + 1 + 20 + NUMBERS_BYTES));
        let (mut integer, mut double) = (itoa::Buffer::new(), zmij::Buffer::new());
        for point in points {
            if !self.empty {
                self.body.push(b',');
            }
            self.empty = false;
            self.body.extend_from_slice(&begin);
            let value = match point.value {
                // What JSON cannot write stands as the strings of protobuf's mapping.
                value if value.is_nan() => "\"NaN\"",
                f64::INFINITY => "\"Infinity\"",
                f64::NEG_INFINITY => "\"-Infinity\"",
                value => double.format_finite(value),
            };
            self.body.extend_from_slice(value.as_bytes());
            self.body.extend_from_slice(b",\"timestamp\":");
            self.body.extend_from_slice(integer.format(point.timestamp_ms.unwrap_or(0)).as_bytes());
            self.body.extend_from_slice(b",\"step\":");
            self.body.extend_from_slice(integer.format(point.step).as_bytes());
            self.body.extend_from_slice(&end);
        }
    }

    /// Tells what could not be read, and so is missing: in a list `left_out` that MLflow's clients pass over.
    pub(crate) fn left_out(&mut self, places: &[String]) {
        self.left_out.extend_from_slice(places);
    }

    /// The document, with where the next page begins. Without a point there is no list either, unless it is `kept`.
    pub(crate) fn finish(mut self, next_page_token: Option<&str>, kept: bool) -> Vec<u8> {
        let list = !self.empty || kept;
        if list {
            self.body.push(b']');
        } else {
            self.body.truncate(1);
        }
        if let Some(token) = next_page_token {
            self.body.extend_from_slice(if list { b",\"next_page_token\":" } else { b"\"next_page_token\":" });
            self.body.extend_from_slice(&text(token));
        }
        if !self.left_out.is_empty() {
            let comma = if list || next_page_token.is_some() { "," } else { "" };
            let places = serde_json::to_string(&self.left_out).unwrap_or_default();
            self.body.extend_from_slice(format!("{comma}\"left_out\":{places}").as_bytes());
        }
        self.body.push(b'}');
        self.body
    }
}

/// A text as JSON.
fn text(text: &str) -> Vec<u8> {
    // A string is written always.
    serde_json::to_vec(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn points_are_written_as_a_serializer_would() {
        let values = [0.1, -0.0, 1.0, 5e-324, f64::MAX, 1e16, 123_456_789.125];
        let steps = [0, -1, i64::MIN, i64::MAX, 7, 10, 99];
        let points: Vec<Point> = values
            .iter()
            .zip(steps)
            .map(|(&value, step)| Point { step, timestamp_ms: (step != 7).then_some(step), value })
            .collect();
        for (key, run) in [("loss", None), ("a \"quoted\\ key\u{7}é", Some("run \"1\""))] {
            let mut json = PointsJson::new();
            json.curve(key, run, &points);
            json.curve("other", None, &points[..1]);
            let read: Value = serde_json::from_slice(&json.finish(Some("next"), false)).unwrap();
            let list = read["metrics"].as_array().unwrap();
            assert_eq!((list.len(), &read["next_page_token"]), (points.len() + 1, &json!("next")));
            for (point, told) in points.iter().zip(list) {
                let mut expected = json!({ "key": key, "value": point.value, "timestamp": point.timestamp_ms.unwrap_or(0), "step": point.step });
                if let Some(run) = run {
                    expected["run_id"] = run.into();
                }
                assert_eq!(told.to_string(), expected.to_string());
                assert_eq!(told["value"].as_f64().unwrap().to_bits(), point.value.to_bits());
            }
        }
        let mut json = PointsJson::new();
        let odd =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|value| Point { step: 0, timestamp_ms: None, value });
        json.curve("m", None, &odd);
        let text = String::from_utf8(json.finish(None, false)).unwrap();
        let values: Vec<&str> = text.split("\"value\":").skip(1).map(|rest| rest.split(',').next().unwrap()).collect();
        assert_eq!(values, ["\"NaN\"", "\"Infinity\"", "\"-Infinity\""]);
    }

    #[test]
    fn no_points_are_no_list_unless_it_is_kept() {
        let finish = |token, kept| String::from_utf8(PointsJson::new().finish(token, kept)).unwrap();
        assert_eq!(finish(None, false), "{}");
        assert_eq!(finish(None, true), "{\"metrics\":[]}");
        assert_eq!(finish(Some("t"), false), "{\"next_page_token\":\"t\"}");
        for (token, kept) in [(None, false), (None, true), (Some("t"), false), (Some("t"), true)] {
            let mut json = PointsJson::new();
            json.left_out(&["5 points of \"loss\"".to_owned()]);
            let read: Value = serde_json::from_slice(&json.finish(token, kept)).unwrap();
            assert_eq!(read["left_out"], json!(["5 points of \"loss\""]));
        }
    }
}
