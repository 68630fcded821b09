//! Numbers in tensors.

use crate::number::{widen, widen_half};
use crate::tensorboard::messages::Tensor;

/// The tensor's one number as f64, exact except for integers beyond 2^53; `None` when it is not one number.
pub(crate) fn scalar(tensor: &Tensor) -> Option<f64> {
    if tensor.shape.as_ref().is_some_and(|shape| shape.dim.iter().any(|dim| dim.size != 1)) {
        return None;
    }
    let content = tensor.content.as_slice();
    let packed = !content.is_empty();
    // The numbers of TensorFlow's DataType.
    match tensor.dtype {
        1 if packed => Some(widen(f32::from_le_bytes(content.try_into().ok()?))),
        1 => one(&tensor.float_val).map(widen),
        2 if packed => Some(f64::from_le_bytes(content.try_into().ok()?)),
        2 => one(&tensor.double_val),
        3 if packed => Some(f64::from(i32::from_le_bytes(content.try_into().ok()?))),
        4 if packed => Some(f64::from(u8::from_le_bytes(content.try_into().ok()?))),
        5 if packed => Some(f64::from(i16::from_le_bytes(content.try_into().ok()?))),
        6 if packed => Some(f64::from(i8::from_le_bytes(content.try_into().ok()?))),
        17 if packed => Some(f64::from(u16::from_le_bytes(content.try_into().ok()?))),
        3..=6 | 17 => one(&tensor.int_val).map(f64::from),
        9 if packed => Some(i64::from_le_bytes(content.try_into().ok()?) as f64),
        9 => one(&tensor.int64_val).map(|value| value as f64),
        10 if packed => Some(f64::from(u8::from(*one(content).as_ref()? != 0))),
        10 => one(&tensor.bool_val).map(|value| f64::from(u8::from(value))),
        14 | 19 => {
            let bits = if packed {
                u16::from_le_bytes(content.try_into().ok()?)
            } else {
                u16::try_from(one(&tensor.half_val)?).ok()?
            };
            Some(if tensor.dtype == 19 { widen_half(bits) } else { widen(f32::from_bits(u32::from(bits) << 16)) })
        }
        22 if packed => Some(f64::from(u32::from_le_bytes(content.try_into().ok()?))),
        22 => one(&tensor.uint32_val).map(f64::from),
        23 if packed => Some(u64::from_le_bytes(content.try_into().ok()?) as f64),
        23 => one(&tensor.uint64_val).map(|value| value as f64),
        _ => None,
    }
}

/// The tensor's floats, with its shape; `None` for other types.
pub(crate) fn floats(tensor: &Tensor) -> Option<(Vec<i64>, Vec<f64>)> {
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| dim.size).collect()).unwrap_or_default();
    let content = tensor.content.as_slice();
    let values = match (tensor.dtype, content.is_empty()) {
        (1, false) => content.chunks_exact(4).map(|b| widen(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        (1, true) => tensor.float_val.iter().copied().map(widen).collect(),
        (2, false) => content
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            .collect(),
        (2, true) => tensor.double_val.clone(),
        _ => return None,
    };
    Some((shape, values))
}

fn one<T: Copy>(values: &[T]) -> Option<T> {
    match values {
        [value] => Some(*value),
        _ => None,
    }
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
