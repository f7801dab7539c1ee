//! Axes: their range, their ticks and the format of numbers.

/// An axis.
#[derive(Clone, Debug, Default)]
pub struct ChartAxis {
    /// The quantity and its unit.
    pub label: String,
    /// The format of its numbers.
    pub format: Format,
    /// A value that the range must include at its lower end.
    pub from: Option<f64>,
    /// A value that the range must include at its upper end.
    pub to: Option<f64>,
}

/// The format of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Decimal numbers, with as many decimals as the distance between ticks needs.
    #[default]
    Number,
    /// Whole numbers only, such as epochs.
    Whole,
    /// Fractions of 1, written as percentages.
    Percent,
}

impl ChartAxis {
    /// An axis without required bounds.
    pub fn new(label: &str, format: Format) -> Self {
        Self { label: label.into(), format, from: None, to: None }
    }

    /// The same axis with a range that includes at least `from` to `to`.
    #[must_use]
    pub fn within(self, from: f64, to: f64) -> Self {
        Self { from: Some(from), to: Some(to), ..self }
    }

    /// The range and the ticks for these values. Values that are not finite are ignored.
    pub(crate) fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let all = values.chain(self.from).chain(self.to).filter(|x| x.is_finite());
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        let least = low;
        let most = high;
        let (low, high) = match (low, high) {
            (l, h) if l > h => (0.0, 1.0),
            // A single value gets a margin on either side.
            (l, h) if l == h => (l - 0.5 * room(l), h + 0.5 * room(h)),
            both => both,
        };
        let whole = self.format == Format::Whole;
        let step = nice_step((high - low) / 5.0, whole);
        let fixed_low = self.from.is_some_and(|from| from <= low);
        let fixed_high = self.to.is_some_and(|to| to >= high);
        // An axis of whole numbers, such as epochs, may begin and end between ticks.
        let low = if fixed_low || whole { low } else { (low / step + 1e-9).floor() * step };
        let high = if fixed_high || whole { high } else { (high / step - 1e-9).ceil() * step };
        // There are no shares above all or below nothing.
        let is_share = self.format == Format::Percent;
        let low = if is_share && least >= 0.0 { low.max(0.0) } else { low };
        let high = if is_share && most <= 1.0 { high.min(1.0) } else { high };
        Scale { low, high, step, format: self.format }
    }
}

fn room(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.abs() * 0.1 }
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `rough`. With `whole`, an integer.
fn nice_step(rough: f64, whole: bool) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power);
    let fits = |step: &&f64| **step >= rough * (1.0 - 1e-9) && (!whole || step.fract() == 0.0);
    steps.iter().find(fits).copied().unwrap_or(1.0).max(if whole { 1.0 } else { 0.0 })
}

/// A range of values with ticks at round numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    step: f64,
    format: Format,
}

impl Scale {
    /// The relative position of a value, from 0 (lower end) to 1 (upper end). Values outside are clamped.
    pub(crate) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The ticks: their values and labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * self.step).map(|x| (x, self.tick(x))).collect()
    }

    fn tick(&self, value: f64) -> String {
        let (unit, factor, suffix) = match self.format {
            Format::Percent => (self.step * 100.0, 100.0, " %"),
            _ => (self.step, 1.0, ""),
        };
        let decimals = (0..9).find(|&d| is_whole(unit * 10f64.powi(d))).unwrap_or(9) as usize;
        // Avoids "-0".
        let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
        format!("{:.decimals$}{suffix}", value * factor)
    }
}

fn is_whole(x: f64) -> bool {
    (x - x.round()).abs() < 1e-6
}

impl Format {
    /// Formats a single value without regard to ticks.
    pub fn value(self, x: f64) -> String {
        match self {
            Self::Percent => format!("{:.1} %", 100.0 * x),
            Self::Whole => format!("{x:.0}"),
            Self::Number => significant(x),
        }
    }
}

/// Three significant digits; an exponent only below 1e-6.
fn significant(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return "0".into();
    }
    let decimals = (2 - x.abs().log10().floor() as i64).clamp(0, 8) as usize;
    if x.abs() < 1e-6 { format!("{x:.1e}") } else { format!("{x:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(format: Format, values: &[f64]) -> Vec<String> {
        let scale = ChartAxis::new("", format).scale(values.iter().copied());
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_have_the_decimals_they_need() {
        assert_eq!(ticks(Format::Number, &[0.03, 2.4]), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
        assert_eq!(ticks(Format::Number, &[0.0001, 0.05]), ["0.00", "0.01", "0.02", "0.03", "0.04", "0.05"]);
        assert_eq!(ticks(Format::Percent, &[0.0, 1.0]), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(
            ticks(Format::Percent, &[0.983, 0.994]),
            ["98.25 %", "98.50 %", "98.75 %", "99.00 %", "99.25 %", "99.50 %"]
        );
        assert_eq!(ticks(Format::Percent, &[0.93, 1.0]).last().unwrap(), "100 %");
        let scale = ChartAxis::new("", Format::Percent).scale([0.4, 1.0].into_iter());
        assert!(scale.high <= 1.0, "{scale:?}");
        assert_eq!(ticks(Format::Whole, &[1.0, 3.0]), ["1", "2", "3"]);
        assert_eq!(ticks(Format::Whole, &[0.0, 150.0]), ["0", "50", "100", "150"]);
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for values in [&[0.2, 0.7][..], &[5.0], &[0.0], &[-3.0, 1e6], &[1e-9, 2e-9], &[]] {
            let scale = ChartAxis::new("", Format::Number).scale(values.iter().copied());
            assert!(scale.low < scale.high, "{values:?}: {scale:?}");
            assert!(values.iter().all(|&x| scale.low <= x && x <= scale.high), "{values:?}: {scale:?}");
            assert!((2..=12).contains(&scale.ticks().len()), "{values:?}: {scale:?}");
        }
    }

    #[test]
    fn values_that_are_no_numbers_do_not_stretch_an_axis() {
        let scale = ChartAxis::new("", Format::Number).scale([f64::NAN, 0.0, f64::INFINITY, 1.0].into_iter());
        assert_eq!((scale.low, scale.high), (0.0, 1.0));
    }

    #[test]
    fn bounds_are_kept_where_values_allow_it() {
        let scale = ChartAxis::new("", Format::Number).within(0.0, 58.5).scale([57.0, 58.2].into_iter());
        assert_eq!((scale.low, scale.high), (0.0, 58.5));
    }

    #[test]
    fn single_values_have_three_significant_digits() {
        let texts = [0.0, 0.000123456, 0.0305, 2.5, 58.5, 1234.5].map(|x| Format::Number.value(x));
        assert_eq!(texts, ["0", "0.000123", "0.0305", "2.50", "58.5", "1234"]);
    }
}
