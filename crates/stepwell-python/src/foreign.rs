//! Columns in the memory of other libraries: Arrow's capsules and DLPack's. The numbers are copied out at once.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

use arrow_array::cast::AsArray;
use arrow_array::ffi::{FFI_ArrowArray, from_ffi};
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, make_array};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{DataType, TimeUnit};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::column::arrow;
use crate::convert;

/// An item of a column, before it is a value, a step or a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
    /// Milliseconds since the epoch.
    Moment(i64),
    /// A place without a number.
    Gap,
}

impl Number {
    /// The value; NaN for a null, as in other libraries.
    pub(crate) fn value(self) -> PyResult<f64> {
        match self {
            Self::Float(value) => Ok(value),
            Self::Signed(value) => Ok(value as f64),
            Self::Unsigned(value) => Ok(value as f64),
            Self::Gap => Ok(f64::NAN),
            Self::Moment(_) => Err(PyTypeError::new_err("dates are timestamps, neither steps nor values")),
        }
    }

    /// The step.
    pub(crate) fn integer(self) -> PyResult<i64> {
        match self {
            Self::Signed(value) => Ok(value),
            Self::Unsigned(value) => {
                value.try_into().map_err(|_| PyOverflowError::new_err("a step must fit in 64 bits"))
            }
            Self::Float(value) => convert::whole(value),
            Self::Gap => Err(PyTypeError::new_err("a step or a time is missing")),
            Self::Moment(_) => Err(PyTypeError::new_err("dates are timestamps, neither steps nor values")),
        }
    }

    /// The timestamp.
    pub(crate) fn time(self) -> PyResult<i64> {
        match self {
            Self::Moment(ms) => Ok(ms),
            other => other.integer(),
        }
    }
}

/// The numbers of an object that gives Arrow's capsules; `None` if it gives none.
pub(crate) fn from_arrow(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Number>>> {
    let mut numbers = Vec::new();
    for array in match chunks(object)? {
        Some(chunks) => chunks,
        None => return Ok(None),
    } {
        read(&array, &mut numbers)?;
    }
    Ok(Some(numbers))
}

/// The arrays of an object.
fn chunks(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<ArrayRef>>> {
    if object.hasattr("__arrow_c_array__")? {
        let (schema, array) =
            object.call_method0("__arrow_c_array__")?.extract::<(Bound<PyCapsule>, Bound<PyCapsule>)>()?;
        let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
        let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
        // SAFETY: capsules of these names point at these structs, which nobody else uses while the interpreter is
        // attached. Taking one marks it released, so that its capsule frees nothing.
        let (schema, array) =
            unsafe { (FFI_ArrowSchema::from_raw(schema.as_ptr()), FFI_ArrowArray::from_raw(array.as_ptr())) };
        return import(array, &schema).map(|array| Some(vec![array]));
    }
    if object.hasattr("__arrow_c_stream__")? {
        let stream = object.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
        let pointer = stream.pointer_checked(Some(c"arrow_array_stream"))?.cast::<Stream>();
        // The capsule releases the stream when it goes, after this.
        return drain(pointer.as_ptr()).map(Some);
    }
    Ok(None)
}

/// A stream of arrays, as Arrow's C interface has it. Arrow's own crate reads streams of tables only.
#[repr(C)]
struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Self, *mut FFI_ArrowSchema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Self, *mut FFI_ArrowArray) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Self) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Self)>,
    private_data: *mut c_void,
}

/// All arrays of a stream, which its owner releases.
fn drain(stream: *mut Stream) -> PyResult<Vec<ArrayRef>> {
    // SAFETY: the caller's stream is alive.
    let (get_schema, get_next, released) =
        unsafe { ((*stream).get_schema, (*stream).get_next, (*stream).release.is_none()) };
    let (Some(get_schema), Some(get_next), false) = (get_schema, get_next, released) else {
        return Err(PyRuntimeError::new_err("a stream of Arrow was consumed before"));
    };
    let checked = |status: c_int| match status {
        0 => Ok(()),
        _ => Err(PyRuntimeError::new_err(format!("a stream of Arrow failed with {status}"))),
    };
    let mut schema = FFI_ArrowSchema::empty();
    // SAFETY: a stream that is not released fills the structs that its functions are given.
    checked(unsafe { get_schema(stream, &raw mut schema) })?;
    let mut arrays = Vec::new();
    loop {
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: as above.
        checked(unsafe { get_next(stream, &raw mut array) })?;
        if array.is_released() {
            return Ok(arrays);
        }
        arrays.push(import(array, &schema)?);
    }
}

fn import(array: FFI_ArrowArray, schema: &FFI_ArrowSchema) -> PyResult<ArrayRef> {
    // SAFETY: whoever implements Arrow's protocol gives an array that its schema describes.
    let data = unsafe { from_ffi(array, schema) }.map_err(arrow)?;
    let array = make_array(data);
    // A table of one column is that column.
    match array.as_struct_opt() {
        Some(table) if table.num_columns() == 1 => Ok(table.column(0).clone()),
        _ => Ok(array),
    }
}

fn read(array: &ArrayRef, to: &mut Vec<Number>) -> PyResult<()> {
    fn each<T: ArrowPrimitiveType>(array: &ArrayRef, to: &mut Vec<Number>, turn: impl Fn(T::Native) -> Number) {
        to.extend(array.as_primitive::<T>().iter().map(|value| value.map_or(Number::Gap, &turn)));
    }
    let signed = Number::Signed;
    match array.data_type() {
        DataType::Float64 => each::<Float64Type>(array, to, Number::Float),
        DataType::Float32 => each::<Float32Type>(array, to, |value| Number::Float(value.into())),
        DataType::Float16 => each::<Float16Type>(array, to, |value| Number::Float(value.to_f64())),
        DataType::Int64 => each::<Int64Type>(array, to, signed),
        DataType::Int32 => each::<Int32Type>(array, to, |value| signed(value.into())),
        DataType::Int16 => each::<Int16Type>(array, to, |value| signed(value.into())),
        DataType::Int8 => each::<Int8Type>(array, to, |value| signed(value.into())),
        DataType::UInt64 => each::<UInt64Type>(array, to, Number::Unsigned),
        DataType::UInt32 => each::<UInt32Type>(array, to, |value| signed(value.into())),
        DataType::UInt16 => each::<UInt16Type>(array, to, |value| signed(value.into())),
        DataType::UInt8 => each::<UInt8Type>(array, to, |value| signed(value.into())),
        DataType::Boolean => {
            to.extend(array.as_boolean().iter().map(|value| value.map_or(Number::Gap, |value| signed(value.into()))));
        }
        DataType::Null => to.extend(std::iter::repeat_n(Number::Gap, array.len())),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => {
                each::<TimestampSecondType>(array, to, |value| Number::Moment(value.saturating_mul(1000)))
            }
            TimeUnit::Millisecond => each::<TimestampMillisecondType>(array, to, Number::Moment),
            TimeUnit::Microsecond => {
                each::<TimestampMicrosecondType>(array, to, |value| Number::Moment(value.div_euclid(1000)))
            }
            TimeUnit::Nanosecond => {
                each::<TimestampNanosecondType>(array, to, |value| Number::Moment(value.div_euclid(1_000_000)));
            }
        },
        other => return Err(PyTypeError::new_err(format!("a column has numbers, not {other}"))),
    }
    Ok(())
}

/// DLPack's structs, as its header `dlpack.h` has them.
mod dlpack {
    use super::c_void;

    #[repr(C)]
    pub(super) struct Tensor {
        pub(super) data: *const c_void,
        pub(super) device: [i32; 2],
        pub(super) dimensions: i32,
        pub(super) code: u8,
        pub(super) bits: u8,
        pub(super) lanes: u16,
        pub(super) shape: *const i64,
        pub(super) strides: *const i64,
        pub(super) byte_offset: u64,
    }

    /// Codes of types.
    pub(super) const INT: u8 = 0;
    pub(super) const UINT: u8 = 1;
    pub(super) const FLOAT: u8 = 2;
    pub(super) const BFLOAT: u8 = 4;
    pub(super) const BOOL: u8 = 6;
    /// Devices whose memory the host reads: CPU, CUDA's and ROCm's pinned, CUDA's managed.
    pub(super) const HOSTS: [i32; 4] = [1, 3, 11, 13];
}

/// The numbers of an object that gives DLPack's capsule; `None` if it gives none.
pub(crate) fn from_dlpack(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Number>>> {
    if !object.hasattr("__dlpack__")? {
        return Ok(None);
    }
    // Without an argument a producer gives the struct before versions.
    let capsule = object.call_method0("__dlpack__")?.cast_into::<PyCapsule>()?;
    let tensor = capsule.pointer_checked(Some(c"dltensor"))?.cast::<dlpack::Tensor>();
    // SAFETY: a capsule of this name points at a managed tensor, which begins with the tensor. It lives as long as the
    // capsule, which frees it since its name stays.
    let tensor = unsafe { tensor.as_ref() };
    if !dlpack::HOSTS.contains(&tensor.device[0]) {
        return Err(PyTypeError::new_err("a column is in the memory of a device; give its copy on the CPU"));
    }
    if tensor.dimensions != 1 || tensor.lanes != 1 {
        return Err(PyTypeError::new_err(format!("a column has one dimension, not {}", tensor.dimensions)));
    }
    // SAFETY: shape has one item for each dimension; strides too, unless it is null, which means that items touch.
    let (len, stride) = unsafe { (*tensor.shape, tensor.strides.as_ref().copied().unwrap_or(1)) };
    let len = usize::try_from(len).map_err(|_| PyTypeError::new_err("a column has a length"))?;
    let bytes = isize::from(tensor.bits.div_ceil(8));
    let mut numbers = Vec::with_capacity(len);
    for at in 0..len as isize {
        let offset = tensor.byte_offset as isize + at * stride as isize * bytes;
        // SAFETY: the producer vouches for items of this many bytes at these places.
        let item = unsafe { tensor.data.cast::<u8>().offset(offset) };
        numbers.push(item_of(tensor.code, tensor.bits, item)?);
    }
    Ok(Some(numbers))
}

/// One item of a tensor.
fn item_of(code: u8, bits: u8, at: *const u8) -> PyResult<Number> {
    macro_rules! read {
        ($type:ty) => {
            // SAFETY: the caller's item is of this type, at whatever place.
            unsafe { at.cast::<$type>().read_unaligned() }
        };
    }
    type Half = <Float16Type as ArrowPrimitiveType>::Native;
    Ok(match (code, bits) {
        (dlpack::FLOAT, 64) => Number::Float(read!(f64)),
        (dlpack::FLOAT, 32) => Number::Float(read!(f32).into()),
        (dlpack::FLOAT, 16) => Number::Float(Half::from_bits(read!(u16)).to_f64()),
        (dlpack::BFLOAT, 16) => Number::Float(f32::from_bits(u32::from(read!(u16)) << 16).into()),
        (dlpack::INT, 64) => Number::Signed(read!(i64)),
        (dlpack::INT, 32) => Number::Signed(read!(i32).into()),
        (dlpack::INT, 16) => Number::Signed(read!(i16).into()),
        (dlpack::INT, 8) => Number::Signed(read!(i8).into()),
        (dlpack::UINT, 64) => Number::Unsigned(read!(u64)),
        (dlpack::UINT, 32) => Number::Signed(read!(u32).into()),
        (dlpack::UINT, 16) => Number::Signed(read!(u16).into()),
        (dlpack::UINT | dlpack::BOOL, 8) => Number::Signed(read!(u8).into()),
        _ => {
            return Err(PyTypeError::new_err(format!(
                "a column has numbers, not items of code {code} and {bits} bits"
            )));
        }
    })
}
