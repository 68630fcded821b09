//! How curves are told apart: twelve colours, and dashes where there are more curves than colours.

use std::fmt::Write;

/// Twelve colours on white. Any two differ by at least 0.1 in OKLab for eyes of all kinds (normal, and without one of
/// the three cones), and the first ones differ most.
pub(crate) const COLOURS: [(u8, u8, u8); 12] = [
    (0x00, 0x77, 0xaa),
    (0xdd, 0x66, 0x00),
    (0x66, 0x11, 0x33),
    (0x77, 0xbb, 0xee),
    (0x00, 0x11, 0xcc),
    (0xbb, 0x11, 0x00),
    (0xbb, 0xbb, 0x11),
    (0x88, 0x88, 0xee),
    (0x55, 0x00, 0x88),
    (0x88, 0x33, 0x66),
    (0x99, 0x22, 0xff),
    (0xff, 0x88, 0xaa),
];

/// Lengths of dashes and of the gaps between them, in widths of the line.
const DASHES: [&[f32]; 4] = [&[], &[5.0, 2.5], &[1.5, 1.5], &[7.0, 2.0, 1.5, 2.0]];

/// How the curve of a number is drawn. 48 curves differ; then they repeat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Style {
    /// Red, green, blue.
    pub(crate) colour: (u8, u8, u8),
    dashes: &'static [f32],
}

impl Style {
    /// The style of the curve at a place in the list.
    pub(crate) fn of(index: usize) -> Self {
        Self { colour: COLOURS[index % COLOURS.len()], dashes: DASHES[index / COLOURS.len() % DASHES.len()] }
    }

    /// The colour as `#rrggbb`.
    pub(crate) fn hex(self) -> String {
        let (red, green, blue) = self.colour;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// SVG's attributes of a line of this style.
    pub(crate) fn stroke(self, width: f32) -> String {
        let mut text = format!("stroke=\"{}\" stroke-width=\"{width}\"", self.hex());
        if !self.dashes.is_empty() {
            let dashes: Vec<String> = self.dashes.iter().map(|length| (length * width).to_string()).collect();
            _ = write!(text, " stroke-dasharray=\"{}\"", dashes.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    /// How colours look to eyes of all kinds: linear light to linear light (Machado, Oliveira and Fernandes, 2009).
    const EYES: [Matrix; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];
    const CONES: Matrix = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ];
    const OKLAB: Matrix = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ];

    fn times(matrix: Matrix, vector: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
    }

    fn linear((red, green, blue): (u8, u8, u8)) -> [f64; 3] {
        [red, green, blue].map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    #[test]
    fn colours_differ_for_all_eyes_and_stand_out_from_white() {
        for (index, &one) in COLOURS.iter().enumerate() {
            let light: f64 = linear(one).iter().zip([0.2126, 0.7152, 0.0722]).map(|(a, b)| a * b).sum();
            assert!(1.05 / (light + 0.05) > 2.0, "{one:?} is too light");
            for &other in &COLOURS[..index] {
                for eye in EYES {
                    let seen = |colour| {
                        times(
                            OKLAB,
                            times(CONES, times(eye, linear(colour)).map(|part| part.clamp(0.0, 1.0))).map(f64::cbrt),
                        )
                    };
                    let distance = seen(one).iter().zip(seen(other)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(distance > 0.1, "{one:?} and {other:?}: {distance}");
                }
            }
        }
    }

    #[test]
    fn forty_eight_curves_differ() {
        for index in 0..48 {
            assert!((0..index).all(|other| Style::of(other) != Style::of(index)), "{index}");
        }
    }
}
