//! How TensorBoard's values that are not metrics are kept.

use serde_json::json;

use crate::keep::Keep;
use crate::report::Kind;
use crate::tensorboard::messages::{Histogram, Tensor};
use crate::tensorboard::tensor;

impl Keep {
    /// Keeps a sound as it is encoded.
    pub(crate) fn audio(&mut self, tag: &str, step: i64, bytes: &[u8]) {
        self.put(Kind::Audio, "audio", tag, step, if bytes.starts_with(b"RIFF") { "wav" } else { "bin" }, bytes);
    }

    /// Keeps a graph as its message.
    pub(crate) fn graph(&mut self, what: &str, step: i64, bytes: &[u8]) {
        self.put(Kind::Graph, "graphs", what, step, "pb", bytes);
    }

    /// Keeps a histogram as JSON.
    pub(crate) fn histogram(&mut self, tag: &str, step: i64, histogram: &Histogram) {
        let Histogram { min, max, count, sum, sum_of_squares, limits, counts } = histogram;
        let form = json!({"min": min, "max": max, "num": count, "sum": sum, "sum_squares": sum_of_squares,
                          "bucket_limit": limits, "bucket": counts});
        self.put(Kind::Histogram, "histograms", tag, step, "json", form.to_string().as_bytes());
    }

    /// Keeps a value of a plugin that comes as a tensor.
    pub(crate) fn tensor(&mut self, plugin: &str, tag: &str, step: i64, found: &Tensor) {
        match plugin {
            // The first two strings are width and height.
            "images" => found.string_val.iter().skip(2).for_each(|bytes| self.image(tag, step, bytes)),
            // Each sound comes with its label.
            "audio" => found.string_val.iter().step_by(2).for_each(|bytes| self.audio(tag, step, bytes)),
            "graphs" | "graph_run_metadata" | "graph_keras_model" => {
                found.string_val.iter().for_each(|bytes| self.put(Kind::Graph, "graphs", tag, step, "pb", bytes));
            }
            _ => {
                let (kind, of) = match plugin {
                    "histograms" | "distributions" => (Kind::Histogram, "histograms"),
                    "pr_curves" => (Kind::Curve, "pr_curves"),
                    _ => (Kind::Other, "tensors"),
                };
                match tensor::numbers(found) {
                    Some((shape, values)) => {
                        let form = json!({"plugin": plugin, "shape": shape, "values": values});
                        self.put(kind, of, tag, step, "json", form.to_string().as_bytes());
                    }
                    None if !found.string_val.is_empty() => {
                        found.string_val.iter().for_each(|bytes| self.put(kind, of, tag, step, "bin", bytes));
                    }
                    None => self.leave_out(kind, &format!("values of the plugin {plugin:?}: no place here")),
                }
            }
        }
    }
}
