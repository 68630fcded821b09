//! Numbers in tensors.

use crate::number::{widen, widen_half};
use crate::tensorboard::messages::Tensor;

/// The tensor's one number as f64, exact except for integers beyond 2^53; `None` when it is not one number.
pub(crate) fn scalar(tensor: &Tensor) -> Option<f64> {
    let (shape, values) = numbers(tensor)?;
    match values[..] {
        [value] if shape.iter().all(|size| *size == 1) => Some(value),
        _ => None,
    }
}

/// The tensor's numbers, with its shape; `None` for other types.
pub(crate) fn numbers(tensor: &Tensor) -> Option<(Vec<i64>, Vec<f64>)> {
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| dim.size).collect()).unwrap_or_default();
    let content = tensor.content.as_slice();
    let ints = |values: &[i32]| values.iter().copied().map(f64::from).collect();
    let half =
        |bits: u16| if tensor.dtype == 19 { widen_half(bits) } else { widen(f32::from_bits(u32::from(bits) << 16)) };
    // The numbers of TensorFlow's DataType.
    let values = match (tensor.dtype, content.is_empty()) {
        (1, false) => all(content, |bytes| widen(f32::from_le_bytes(bytes)))?,
        (1, true) => tensor.float_val.iter().copied().map(widen).collect(),
        (2, false) => all(content, f64::from_le_bytes)?,
        (2, true) => tensor.double_val.clone(),
        (3, false) => all(content, |bytes| f64::from(i32::from_le_bytes(bytes)))?,
        (4, false) => all(content, |[byte]| f64::from(byte))?,
        (5, false) => all(content, |bytes| f64::from(i16::from_le_bytes(bytes)))?,
        (6, false) => all(content, |bytes| f64::from(i8::from_le_bytes(bytes)))?,
        (17, false) => all(content, |bytes| f64::from(u16::from_le_bytes(bytes)))?,
        (3..=6 | 17, true) => ints(&tensor.int_val),
        (9, false) => all(content, |bytes| i64::from_le_bytes(bytes) as f64)?,
        (9, true) => tensor.int64_val.iter().map(|value| *value as f64).collect(),
        (10, false) => all(content, |[byte]| f64::from(u8::from(byte != 0)))?,
        (10, true) => tensor.bool_val.iter().map(|value| f64::from(u8::from(*value))).collect(),
        (14 | 19, false) => all(content, |bytes| half(u16::from_le_bytes(bytes)))?,
        (14 | 19, true) => tensor.half_val.iter().map(|bits| half(*bits as u16)).collect(),
        (22, false) => all(content, |bytes| f64::from(u32::from_le_bytes(bytes)))?,
        (22, true) => tensor.uint32_val.iter().copied().map(f64::from).collect(),
        (23, false) => all(content, |bytes| u64::from_le_bytes(bytes) as f64)?,
        (23, true) => tensor.uint64_val.iter().map(|value| *value as f64).collect(),
        _ => return None,
    };
    Some((shape, values))
}

/// All numbers of so many bytes each; `None` where some bytes are left.
fn all<const N: usize>(content: &[u8], number: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
    let (numbers, rest) = content.as_chunks::<N>();
    rest.is_empty().then(|| numbers.iter().map(|bytes| number(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensorboard::messages::{Dim, Shape};

    #[test]
    fn every_number_type_is_read_from_both_places() {
        let content = |dtype, bytes: &[u8]| scalar(&Tensor { dtype, content: bytes.to_vec(), ..Tensor::default() });
        assert_eq!(content(1, &1.5f32.to_le_bytes()), Some(1.5));
        assert_eq!(content(2, &0.1f64.to_le_bytes()), Some(0.1));
        assert_eq!(content(3, &(-7i32).to_le_bytes()), Some(-7.0));
        assert_eq!(content(4, &[200]), Some(200.0));
        assert_eq!(content(6, &[200]), Some(-56.0));
        assert_eq!(content(9, &(-9i64).to_le_bytes()), Some(-9.0));
        assert_eq!(content(10, &[1]), Some(1.0));
        assert_eq!(content(14, &0x3fc0u16.to_le_bytes()), Some(1.5));
        assert_eq!(content(19, &0x3e00u16.to_le_bytes()), Some(1.5));
        assert_eq!(content(23, &5u64.to_le_bytes()), Some(5.0));
        assert_eq!(content(1, &[0; 8]), None, "two numbers");
        assert_eq!(content(7, b"x"), None, "a string");
        assert_eq!(scalar(&Tensor { dtype: 1, float_val: vec![2.5], ..Tensor::default() }), Some(2.5));
        assert_eq!(scalar(&Tensor { dtype: 19, half_val: vec![0x3e00], ..Tensor::default() }), Some(1.5));
        assert_eq!(scalar(&Tensor { dtype: 3, int_val: vec![4], ..Tensor::default() }), Some(4.0));
        let shape = Some(Shape { dim: vec![Dim { size: 2 }] });
        assert_eq!(
            scalar(&Tensor { dtype: 1, float_val: vec![2.5], shape, ..Tensor::default() }),
            None,
            "a constant vector"
        );
    }
}
