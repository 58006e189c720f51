//! Figures of several rounds, as a table shows them.

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// This, or less.
    AtMost(f64),
    /// This, or more.
    AtLeast(f64),
}

impl Goal {
    /// Whether `value` meets it, as the end of a line.
    pub fn verdict(self, value: f64) -> String {
        let (is_met, bound, goal) = match self {
            Self::AtMost(goal) => (value <= goal, "<=", goal),
            Self::AtLeast(goal) => (value >= goal, ">=", goal),
        };
        format!("  goal {bound} {goal}: {}", if is_met { "met" } else { "MISSED" })
    }
}

/// The one in the middle; of an even number the greater of the two. It is no number when there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Median, least and most.
pub fn shown(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(values))
}
