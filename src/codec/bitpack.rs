//! Numbers of one width, side by side: blocks of 256 in four lanes of 64-bit words, the rest as one bit string.

// Q: Why lanes? A: the four numbers of a row sit at the same shift of four neighbouring words, so that plain code over
// arrays of four becomes vector instructions. The rest below a block has no padding, so that short columns stay short.

/// Numbers of one full block.
pub(super) const BLOCK: usize = 256;
const LANES: usize = 4;
const WORD_BITS: u32 = 64;

/// The lowest `width` bits set; `width` is 0 to 64.
pub(super) fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (WORD_BITS - width) }
}

/// Bytes of `count` numbers of `width` bits; `count` is at most 2^32.
pub(super) fn packed_len(count: usize, width: u32) -> usize {
    let width = width as usize;
    count / BLOCK * (BLOCK / 8) * width + (count % BLOCK * width).div_ceil(8)
}

/// Appends the low `width` bits of each value.
pub(super) fn pack(values: &[i64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    out.reserve(packed_len(values.len(), width));
    let mut blocks = values.chunks_exact(BLOCK);
    for block in &mut blocks {
        pack_block(block, width, out);
    }
    pack_rest(blocks.remainder(), width, out);
}

fn pack_block(block: &[i64], width: u32, out: &mut Vec<u8>) {
    let mask = mask(width);
    let mut words = [0_u64; LANES];
    let mut filled = 0;
    for row in block.chunks_exact(LANES) {
        let mut bits = [0_u64; LANES];
        for lane in 0..LANES {
            bits[lane] = row[lane] as u64 & mask;
            words[lane] |= bits[lane] << filled;
        }
        filled += width;
        if filled >= WORD_BITS {
            for word in words {
                out.extend_from_slice(&word.to_le_bytes());
            }
            filled -= WORD_BITS;
            for lane in 0..LANES {
                words[lane] = if filled == 0 { 0 } else { bits[lane] >> (width - filled) };
            }
        }
    }
}

fn pack_rest(values: &[i64], width: u32, out: &mut Vec<u8>) {
    let mask = mask(width);
    let (mut word, mut filled) = (0_u64, 0);
    for &value in values {
        let bits = value as u64 & mask;
        word |= bits << filled;
        filled += width;
        if filled >= WORD_BITS {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= WORD_BITS;
            word = if filled == 0 { 0 } else { bits >> (width - filled) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// Fills `out` with `base` plus each number (wrapping), from bytes of exactly [`packed_len`]; the caller has checked
/// their length.
pub(super) fn unpack(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) {
    debug_assert_eq!(bytes.len(), packed_len(out.len(), width));
    if width == 0 {
        out.fill(base);
        return;
    }
    let (blocks, rest) = bytes.split_at(packed_len(out.len() / BLOCK * BLOCK, width));
    let mut out_blocks = out.chunks_exact_mut(BLOCK);
    for (block, out) in blocks.chunks_exact(BLOCK / 8 * width as usize).zip(&mut out_blocks) {
        unpack_block(block, width, base, out);
    }
    unpack_rest(rest, width, base, out_blocks.into_remainder());
}

fn unpack_block(block: &[u8], width: u32, base: i64, out: &mut [i64]) {
    let (rows, _) = block.as_chunks::<{ LANES * 8 }>();
    let row = |at: usize| -> [u64; LANES] {
        let (words, _) = rows[at].as_chunks::<8>();
        std::array::from_fn(|lane| u64::from_le_bytes(words[lane]))
    };
    let (mask, last) = (mask(width), rows.len() - 1);
    let mut bit = 0;
    for out in out.chunks_exact_mut(LANES) {
        let (at, shift) = ((bit / WORD_BITS) as usize, bit % WORD_BITS);
        // Each number looks at two rows without a branch. One that ends in the first takes nothing of the second, so
        // that for the last of all any row will do.
        let (low, high) = (row(at), row((at + 1).min(last)));
        for lane in 0..LANES {
            let bits = (low[lane] >> shift | high[lane] << (WORD_BITS - 1 - shift) << 1) & mask;
            out[lane] = base.wrapping_add(bits as i64);
        }
        bit += width;
    }
}

fn unpack_rest(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) {
    let mask = mask(width);
    // Where eight bytes that hold the whole number are there, one load does.
    let whole = match bytes.len().checked_sub(8) {
        Some(last) if width <= 56 => ((last * 8 + 7) / width as usize + 1).min(out.len()),
        _ => 0,
    };
    let (by_load, by_bytes) = out.split_at_mut(whole);
    let mut bit = 0;
    for out in by_load {
        let word = bytes[bit / 8..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        *out = base.wrapping_add((word >> (bit % 8) & mask) as i64);
        bit += width as usize;
    }
    for out in by_bytes {
        let (at, shift) = (bit / 8, bit % 8);
        // Nine bytes hold any 64 bits at any shift.
        let (low, last) = match bytes.get(at..) {
            Some([a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest.first().copied().unwrap_or(0))
            }
            left => {
                let (mut window, left) = ([0; 8], left.unwrap_or_default());
                window[..left.len()].copy_from_slice(left);
                (u64::from_le_bytes(window), 0)
            }
        };
        *out = base.wrapping_add(((low >> shift | u64::from(last) << (63 - shift) << 1) & mask) as i64);
        bit += width as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_width_and_length_round_trips() {
        for width in 0..=64 {
            for count in [0, 1, 2, 63, 64, 65, 255, 256, 257, 511, 512, 1023, 1024, 1025] {
                let values: Vec<i64> = (0..count as u64)
                    .map(|i| (i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask(width)) as i64)
                    .collect();
                let mut bytes = Vec::new();
                pack(&values, width, &mut bytes);
                assert_eq!(bytes.len(), packed_len(count, width), "{width} {count}");
                let mut back = vec![-1; count];
                unpack(&bytes, width, 0, &mut back);
                assert_eq!(back, values, "{width} {count}");
                unpack(&bytes, width, i64::MAX, &mut back);
                assert!(back.iter().zip(&values).all(|(&back, value)| back == i64::MAX.wrapping_add(*value)));
            }
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        let mut bytes = Vec::new();
        pack(&[1, 2, 3, 4, 5], 3, &mut bytes);
        assert_eq!(bytes, [0b1101_0001, 0b0101_1000]);
        let block: Vec<i64> = (0..BLOCK as i64).map(|i| i % 4).collect();
        bytes.clear();
        pack(&block, 2, &mut bytes);
        // Each of the two rows of words: lane 0 holds zeros, lane 1 ones, lane 2 twos, lane 3 threes.
        let row = [[0x00; 8], [0x55; 8], [0xAA; 8], [0xFF; 8]].concat();
        assert_eq!(bytes, [row.clone(), row].concat());
    }
}
