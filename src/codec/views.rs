//! Floats viewed as integers: by their bits, as float32, as integers, as decimals; exceptions are stored separately.
//!
//! Of all but the first view the bytes begin with a head:
//! 1. varint: how many exceptions;
//! 2. for decimals, one byte: the exponent, 1 to 18;
//! 3. for each exception: varint, positions skipped since the one before; 8 bytes, the float's bits.
//!
//! The caller of this module has set the floating-point mode to its default.

use super::id::views::{BITS, DECIMAL, INTEGER, NARROW, NARROW_DECIMAL};
use crate::base::bytes::{Malformed, Reader, put_varint};

/// Greatest decimal exponent. Powers of ten are exact up to 22, and 2^51 has 16 digits.
pub(super) const EXPONENT_MAX: u8 = 18;

const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
/// 1.5 * 2^52: adding it to a number below 2^51 leaves the number, rounded to an integer, in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Decimals have fewer units than this.
const UNITS_MAX: f64 = 2_251_799_813_685_248.0;

/// A column seen as integers. Where a value is an exception, the integer repeats the one before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ints: Vec<i64>,
    pub(super) exceptions: Vec<(usize, u64)>,
}

/// One way to see a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The high four bits of the codec's number.
    pub(super) kind: u8,
    /// The decimal exponent, 0 where the kind has none.
    pub(super) exponent: u8,
}

impl View {
    /// A view without exponent.
    pub(super) fn plain(kind: u8) -> Self {
        Self { kind, exponent: 0 }
    }

    fn has_exponent(self) -> bool {
        matches!(self.kind, DECIMAL | NARROW_DECIMAL)
    }

    /// Replaces what `seen` holds. 1 to 3 ns a value.
    pub(super) fn see(self, values: &[f64], seen: &mut Seen) {
        let power = POWERS[usize::from(self.exponent.min(EXPONENT_MAX))];
        match self.kind {
            NARROW => see(values, seen, narrow),
            INTEGER => see(values, seen, |value| {
                let int = value as i64;
                (int, (int as f64).to_bits() == value.to_bits())
            }),
            DECIMAL => see(values, seen, |value| decimal(value, power)),
            NARROW_DECIMAL => see(values, seen, |value| narrow_decimal(value, power)),
            _ => {
                seen.exceptions.clear();
                seen.ints.clear();
                seen.ints.extend(values.iter().map(|value| ordered(value.to_bits())));
            }
        }
    }

    /// Appends the head.
    pub(super) fn put_head(self, exceptions: &[(usize, u64)], out: &mut Vec<u8>) {
        if self.kind == BITS {
            return;
        }
        put_varint(out, exceptions.len() as u64);
        if self.has_exponent() {
            out.push(self.exponent);
        }
        let mut next = 0;
        for &(at, bits) in exceptions {
            put_varint(out, (at - next) as u64);
            out.extend_from_slice(&bits.to_le_bytes());
            next = at + 1;
        }
    }

    /// Reads the head of a column of this kind; the exceptions follow in `reader` and are left for [`patch`].
    pub(super) fn read_head<'a>(
        kind: u8,
        reader: &mut Reader<'a>,
        count: usize,
    ) -> Result<(Self, Patches<'a>), Malformed> {
        let mut view = Self::plain(kind);
        if kind == BITS {
            return Ok((view, Patches { count: 0, entries: Reader::new(&[]) }));
        }
        let exceptions = reader.count(count)?;
        if view.has_exponent() {
            view.exponent = reader.u8()?;
            if !(1..=EXPONENT_MAX).contains(&view.exponent) {
                return Err(Malformed("decimal exponent out of range"));
            }
        }
        let patches = Patches { count: exceptions, entries: reader.clone() };
        for _ in 0..exceptions {
            reader.varint()?;
            reader.array::<8>()?;
        }
        Ok((view, patches))
    }

    /// The float that an integer stands for.
    pub(super) fn unsee(self, ints: &[i64], out: &mut [f64]) {
        let power = POWERS[usize::from(self.exponent.min(EXPONENT_MAX))];
        let pairs = out.iter_mut().zip(ints);
        match self.kind {
            NARROW => unsee_narrow(ints, out),
            INTEGER => pairs.for_each(|(out, &int)| *out = int as f64),
            DECIMAL => pairs.for_each(|(out, &int)| *out = int as f64 / power),
            NARROW_DECIMAL => pairs.for_each(|(out, &int)| *out = f64::from((int as f64 / power) as f32)),
            _ => pairs.for_each(|(out, &int)| *out = f64::from_bits(unordered(int))),
        }
    }
}

/// Exceptions that were read but not yet applied.
pub(super) struct Patches<'a> {
    count: usize,
    entries: Reader<'a>,
}

impl Patches<'_> {
    /// Puts the exceptions over what the integers gave.
    pub(super) fn apply(mut self, out: &mut [f64]) -> Result<(), Malformed> {
        let mut at = 0_usize;
        for _ in 0..self.count {
            at = at.checked_add(self.entries.count(out.len())?).ok_or(Malformed("exception out of place"))?;
            *out.get_mut(at).ok_or(Malformed("exception out of place"))? =
                f64::from_bits(u64::from_le_bytes(self.entries.array()?));
            at += 1;
        }
        Ok(())
    }
}

fn see(values: &[f64], seen: &mut Seen, one: impl Fn(f64) -> (i64, bool)) {
    seen.exceptions.clear();
    seen.ints.clear();
    seen.ints.reserve(values.len());
    let mut exact_all = true;
    seen.ints.extend(values.iter().map(|&value| {
        let (int, exact) = one(value);
        exact_all &= exact;
        int
    }));
    if exact_all {
        return;
    }
    let mut before = 0;
    for (at, (&value, int)) in values.iter().zip(&mut seen.ints).enumerate() {
        if one(value).1 {
            before = *int;
        } else {
            *int = before;
            seen.exceptions.push((at, value.to_bits()));
        }
    }
}

/// The smallest exponent from `from` on with which `value` is an exact decimal.
pub(super) fn exponent_of(value: f64, from: u8, narrow: bool) -> Option<u8> {
    (from..=EXPONENT_MAX).find(|&exponent| {
        let power = POWERS[usize::from(exponent)];
        if narrow { narrow_decimal(value, power).1 } else { decimal(value, power).1 }
    })
}

/// The floats of ordered float32. NaNs, which are rare, are left for a second pass, so that the first is vector
/// instructions.
fn unsee_narrow(ints: &[i64], out: &mut [f64]) {
    let mut nans = false;
    for (out, &int) in out.iter_mut().zip(ints) {
        let bits = unordered_narrow(int as i32);
        nans |= bits & 0x7FFF_FFFF > 0x7F80_0000;
        *out = f64::from(f32::from_bits(bits));
    }
    if nans {
        out.iter_mut().zip(ints).for_each(|(out, &int)| *out = widen(unordered_narrow(int as i32)));
    }
}

/// As float32 in order, and whether that is exact.
fn narrow(value: f64) -> (i64, bool) {
    let bits = if value.is_nan() {
        // Q: Why by hand? A: which payload a cast of NaN gives is not defined.
        let bits = value.to_bits();
        ((bits >> 32) as u32 & 0x8000_0000) | 0x7F80_0000 | ((bits >> 29) as u32 & 0x007F_FFFF)
    } else {
        (value as f32).to_bits()
    };
    let int = bits as i32;
    (i64::from(int ^ ((int >> 31) & i32::MAX)), widen(bits).to_bits() == value.to_bits())
}

/// The float64 of a float32's bits, NaN payloads shifted as they are.
fn widen(bits: u32) -> f64 {
    let narrow = f32::from_bits(bits);
    if narrow.is_nan() {
        let bits = u64::from(bits);
        f64::from_bits((bits & 0x8000_0000) << 32 | 0x7FF0_0000_0000_0000 | (bits & 0x007F_FFFF) << 29)
    } else {
        f64::from(narrow)
    }
}

/// As units of a power of ten, and whether the quotient gives the value back bit for bit.
fn decimal(value: f64, power: f64) -> (i64, bool) {
    let (units, int, fits) = round(value * power);
    (int, fits & ((units / power).to_bits() == value.to_bits()))
}

fn narrow_decimal(value: f64, power: f64) -> (i64, bool) {
    let (units, int, fits) = round(value * power);
    (int, fits & (f64::from((units / power) as f32).to_bits() == value.to_bits()))
}

/// The nearest integer, as float and as integer, and whether it is small enough to be right; never for NaN.
fn round(scaled: f64) -> (f64, i64, bool) {
    let shifted = scaled + ROUNDER;
    let int = (shifted.to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64);
    (shifted - ROUNDER, int, scaled.abs() < UNITS_MAX)
}

/// The bits of a float as a number that sorts as the floats do: negative ones by their magnitude downwards.
fn ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) & i64::MAX)
}

fn unordered(int: i64) -> u64 {
    (int ^ ((int >> 63) & i64::MAX)) as u64
}

fn unordered_narrow(int: i32) -> u32 {
    (int ^ ((int >> 31) & i32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        let floats = [f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE, -0.0, 0.0, 5e-324, 1.0, f64::INFINITY];
        let ints = floats.map(|float| ordered(float.to_bits()));
        assert!(ints.is_sorted());
        assert_eq!(ints.map(|int| f64::from_bits(unordered(int)).to_bits()), floats.map(f64::to_bits));
    }

    #[test]
    fn exponents_are_the_smallest() {
        assert_eq!(exponent_of(0.5, 1, false), Some(1));
        assert_eq!(exponent_of(0.1234, 1, false), Some(4));
        assert_eq!(exponent_of(-12.345_678, 1, false), Some(6));
        assert_eq!(exponent_of(1.0 / 3.0, 1, false), None);
        assert_eq!(exponent_of(f64::from(0.1_f32), 1, false), None);
        assert_eq!(exponent_of(f64::from(0.1_f32), 1, true), Some(1));
        for none in [f64::NAN, f64::INFINITY, -0.0, 1e300, 5e-324] {
            assert_eq!(exponent_of(none, 1, false), None, "{none}");
        }
    }
}
