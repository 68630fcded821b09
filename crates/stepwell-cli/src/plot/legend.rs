//! The legend: how many rows and columns it takes, and what is left out.

/// Where the entries of a legend go, in any unit of width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Entries beside each other.
    pub(crate) columns: usize,
    /// The width of each, beyond which its text is cut.
    pub(crate) width: f32,
    /// How many entries are shown; of the others their number is told in one place more.
    pub(crate) shown: usize,
    /// Rows, the one that tells of the others included.
    pub(crate) rows: usize,
}

/// Lays out entries of these widths in `room`. There are at most `rows_max` rows; texts are cut before entries are left
/// out, but not below `least`.
pub(crate) fn arrange(widths: &[f32], room: f32, rows_max: usize, least: f32) -> Layout {
    let (count, rows_max) = (widths.len(), rows_max.max(1));
    let widest = widths.iter().fold(least, |widest, &width| widest.max(width)).min(room.max(1.0));
    let fitting = ((room / widest) as usize).max(1);
    let at_most = ((room / least) as usize).max(fitting);
    let columns = count.div_ceil(rows_max).clamp(fitting, at_most).min(count.max(1));
    let places = columns * rows_max;
    let shown = if count > places { places - 1 } else { count };
    let rows = (shown + usize::from(shown < count)).div_ceil(columns);
    Layout { columns, width: room / columns as f32, shown, rows }
}

/// What stands in the last place of a legend that leaves some out.
pub(crate) fn more(count: usize) -> String {
    format!("… and {count} more")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_go_beside_each_other_before_they_are_cut_or_left_out() {
        assert_eq!(arrange(&[90.0; 3], 300.0, 4, 40.0), Layout { columns: 3, width: 100.0, shown: 3, rows: 1 });
        assert_eq!(arrange(&[290.0; 8], 300.0, 4, 40.0), Layout { columns: 2, width: 150.0, shown: 8, rows: 4 });
        let many = arrange(&[290.0; 40], 300.0, 4, 100.0);
        assert_eq!((many.columns, many.shown, many.rows), (3, 11, 4));
    }

    proptest! {
        #[test]
        fn a_legend_keeps_its_room(
            widths in prop::collection::vec(1.0..2000.0_f32, 1..200), room in 50.0..3000.0_f32, rows_max in 1_usize..20,
        ) {
            let layout = arrange(&widths, room, rows_max, 120.0);
            prop_assert!(layout.rows <= rows_max && layout.shown <= widths.len());
            prop_assert!(layout.columns as f32 * layout.width <= room * 1.001);
            prop_assert!(layout.columns * layout.rows >= layout.shown + usize::from(layout.shown < widths.len()));
        }
    }
}
