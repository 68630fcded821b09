//! Steps of a training whose iterations restart in each epoch, as MMDetection logs them: `mode`, `epoch` and `iter`.
//!
//! If the iterations of a training row restart in a later epoch, its steps continue from the last step of the epoch
//! before. The iterations of other rows count what was evaluated; their step is that of the training at that time. A
//! log whose iterations do not restart is left as it is. Each step depends only on earlier rows, so the steps of a
//! growing log do not change.

/// What is told where steps are not those of the rows.
pub(crate) const NOTE: &str = "its iterations count anew in each epoch: steps go on from the last one of the epoch \
                               before; --step-column iter takes them as they are";

/// Where a training stands.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    /// The last step of the epoch before.
    offset: i64,
    /// The epoch and the step of the last row of training.
    last: Option<(i64, i64)>,
    /// Whether a step is not its row's own.
    pub(crate) changed: bool,
}

impl Epochs {
    /// The step of a row of this part of the training.
    pub(crate) fn step(&mut self, part: &str, epoch: i64, iteration: i64) -> i64 {
        let step = if part.to_ascii_lowercase().starts_with("train") {
            if let Some((known, last)) = self.last
                && epoch > known
                && iteration <= last.saturating_sub(self.offset)
            {
                self.offset = last;
            }
            let step = self.offset.saturating_add(iteration);
            self.last = Some((epoch, step));
            step
        } else {
            self.last.map_or(iteration, |(_, last)| last)
        };
        self.changed |= step != iteration;
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rows: &[(&str, i64, i64)]) -> (Vec<i64>, bool) {
        let mut epochs = Epochs::default();
        let steps = rows.iter().map(|(part, epoch, iteration)| epochs.step(part, *epoch, *iteration)).collect();
        (steps, epochs.changed)
    }

    #[test]
    fn iterations_that_count_anew_go_on_from_the_epoch_before() {
        let rows = [
            ("train", 1, 50),
            ("train", 1, 100),
            ("val", 1, 5000),
            ("train", 2, 50),
            ("train", 2, 100),
            ("train", 3, 100),
            ("val", 3, 5000),
        ];
        assert_eq!(steps(&rows), (vec![50, 100, 100, 150, 200, 300, 300], true));
    }

    #[test]
    fn iterations_that_go_on_to_count_stay_as_they_are() {
        let rows = [("val", 1, 9), ("train", 1, 50), ("train", 1, 100), ("train", 2, 150), ("val", 2, 150)];
        assert_eq!(steps(&rows), (vec![9, 50, 100, 150, 150], false));
        assert_eq!(steps(&[("train", 5, 50), ("train", 5, 20), ("train", 4, 10)]).0, [50, 20, 10]);
    }
}
