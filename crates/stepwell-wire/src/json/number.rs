//! Numbers on the wire: doubles with NaN and infinities as strings, and what protobuf's JSON mapping takes for a
//! number.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A double in an answer. NaN and the infinities, which JSON cannot write, are the strings that protobuf's mapping
/// uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Double(pub(crate) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            to.serialize_f64(self.0)
        } else if self.0.is_nan() {
            to.serialize_str("NaN")
        } else {
            to.serialize_str(if self.0 > 0.0 { "Infinity" } else { "-Infinity" })
        }
    }
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Double;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Double, E> {
                Ok(Double(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Double, E> {
                Ok(Double(f64::from(u8::from(value))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                double_of_text(text).map(Double).ok_or_else(|| E::custom("no number"))
            }
        }
        from.deserialize_any(Visit)
    }
}

/// A 64-bit integer in a request: a number without fraction, or a string of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer(pub(crate) i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Integer;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer of 64 bits")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Integer, E> {
                Ok(Integer(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Integer, E> {
                i64::try_from(value).map(Integer).map_err(E::custom)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Integer, E> {
                integer_of_double(value).map(Integer).ok_or_else(|| E::custom("no integer of 64 bits"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Integer, E> {
                integer_of_text(text).map(Integer).ok_or_else(|| E::custom("no integer of 64 bits"))
            }
        }
        from.deserialize_any(Visit)
    }
}

/// The double that protobuf's mapping takes a JSON value for.
pub(crate) fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|value| value.is_finite()),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => double_of_text(text),
        _ => None,
    }
}

/// The integer that protobuf's mapping takes a JSON value for.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(integer_of_double)),
        Value::String(text) => integer_of_text(text),
        _ => None,
    }
}

fn double_of_text(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads "nan" and "inf", which are no JSON of protobuf's.
        _ if text.contains(['n', 'N', 'i', 'I']) => None,
        _ => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

fn integer_of_double(value: f64) -> Option<i64> {
    // 2^63 itself does not fit; every smaller double of at least -2^63 does.
    let fits = value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    fits.then_some(value as i64)
}

fn integer_of_text(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_protobuf_reads_them() {
        let read = |text: &str| serde_json::from_str::<Double>(text).ok().map(|value| value.0.to_bits());
        assert_eq!(read("1.5"), Some(1.5f64.to_bits()));
        assert_eq!(read("\"1.5\""), Some(1.5f64.to_bits()));
        assert_eq!(read("true"), Some(1f64.to_bits()));
        assert_eq!(read("-0.0"), Some((-0.0f64).to_bits()));
        assert_eq!(read("\"-Infinity\""), Some(f64::NEG_INFINITY.to_bits()));
        assert_eq!(read("\"nan\""), None);
        assert_eq!(read("\"inf\""), None);
        let read = |text: &str| serde_json::from_str::<Integer>(text).ok().map(|value| value.0);
        assert_eq!(read("\"-7\""), Some(-7));
        assert_eq!(read("3.0"), Some(3));
        assert_eq!(read("3.5"), None);
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
        assert_eq!(read("9223372036854775808"), None);
        assert_eq!(read("1e30"), None);
        assert_eq!(read("\" 7\""), None);
    }

    #[test]
    fn doubles_are_written_so_that_every_bit_comes_back() {
        for value in [0.1, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, 1e16, f64::INFINITY, f64::NEG_INFINITY] {
            let text = serde_json::to_string(&Double(value)).unwrap();
            assert_eq!(serde_json::from_str::<Double>(&text).unwrap().0.to_bits(), value.to_bits(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Double(f64::NAN)).unwrap(), "\"NaN\"");
    }
}
