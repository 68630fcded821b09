//! Columns as few bytes, bit for bit.
#![allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Fast,
    Tight,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecId(pub u8);
#[derive(Default, Debug)]
pub struct Scratch;
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub &'static str);
pub fn encode_ints(values: &[i64], _e: Effort, _s: &mut Scratch, out: &mut Vec<u8>) -> CodecId {
    for v in values {
        out.extend_from_slice(&v.to_le_bytes());
    }
    CodecId(0)
}
pub fn encode_floats(values: &[f64], _e: Effort, _s: &mut Scratch, out: &mut Vec<u8>) -> CodecId {
    for v in values {
        out.extend_from_slice(&v.to_le_bytes());
    }
    CodecId(0)
}
pub fn decode_ints(_c: CodecId, bytes: &[u8], out: &mut [i64]) -> Result<(), CodecError> {
    if bytes.len() != out.len() * 8 {
        return Err(CodecError("len"));
    }
    for (o, b) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *o = i64::from_le_bytes(b.try_into().unwrap());
    }
    Ok(())
}
pub fn decode_floats(_c: CodecId, bytes: &[u8], out: &mut [f64]) -> Result<(), CodecError> {
    if bytes.len() != out.len() * 8 {
        return Err(CodecError("len"));
    }
    for (o, b) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *o = f64::from_le_bytes(b.try_into().unwrap());
    }
    Ok(())
}
pub fn encode_bytes(bytes: &[u8], _e: Effort, out: &mut Vec<u8>) -> CodecId {
    out.extend_from_slice(bytes);
    CodecId(0)
}
pub fn decode_bytes(_c: CodecId, bytes: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    if bytes.len() != len {
        return Err(CodecError("len"));
    }
    Ok(bytes.to_vec())
}
