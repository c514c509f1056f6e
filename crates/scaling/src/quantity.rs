//! Kubernetes quantities (`500m`, `1.5Gi`, `1e3`), exact.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: values are whole billionths, finer ones are rounded away
//! from zero; magnitudes beyond 2^63−1 are capped there; the printed form is canonical (the largest suffix
//! without a fraction, binary only from 1024 up) and reads back to the same value.

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
/// 2^63−1 units, the largest magnitude that the API server keeps.
const MAX_NANO: i128 = i64::MAX as i128 * NANO;

/// Which family of suffixes a quantity was written in, and is printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `Ki`, `Mi`, `Gi` …: powers of 1024.
    BinarySi,
    /// `n`, `u`, `m`, none, `k`, `M` …: powers of 1000.
    DecimalSi,
    /// `e3`, `E-3`: powers of ten.
    DecimalExponent,
}

/// An amount of a resource: cores, bytes, or a metric's value.
///
/// Two quantities are equal when they are the same amount, however they were written.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No digit where a number should be.
    #[error("no number: write digits, then a suffix such as m, Ki, Mi or Gi")]
    NoNumber,
    /// The suffix is none of Kubernetes'.
    #[error("unknown suffix: use n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent")]
    UnknownSuffix,
}

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    /// A quantity of whole thousandths, printed with decimal suffixes.
    pub fn from_milli(milli: i64) -> Self {
        Self { nano: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// A quantity of whole bytes, printed with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nano: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// In thousandths, rounded up, as the controllers read it. Saturates at the bounds of `i64`.
    pub fn milli(self) -> i64 {
        saturate(div_away(self.nano, NANO / 1000))
    }

    /// In whole units, rounded up, as the controllers read it.
    pub fn units(self) -> i64 {
        saturate(div_away(self.nano, NANO))
    }

    /// In billionths, exact.
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// As a float, for messages and ratios only.
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "documented as inexact")]
        let value = self.nano as f64;
        value / 1e9
    }

    /// How it was written.
    pub fn format(self) -> Format {
        self.format
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Division that rounds a remainder away from zero for positive values and toward it for negative ones
/// (`ScaledValue` rounds up).
fn div_away(value: i128, by: i128) -> i128 {
    let whole = value.div_euclid(by);
    if value.rem_euclid(by) == 0 { whole } else { whole + 1 }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(QuantityError::NoNumber),
        };
        let number_len = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
        let (number, suffix) = body.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::NoNumber);
        }
        let (scale, format) = scale_of(suffix).ok_or(QuantityError::UnknownSuffix)?;
        let magnitude = magnitude(whole, fraction, scale);
        Ok(Self { nano: if negative { -magnitude } else { magnitude }, format })
    }
}

#[derive(Clone, Copy)]
enum Scale {
    Two(u32),
    Ten(i32),
}

fn scale_of(suffix: &str) -> Option<(Scale, Format)> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Scale::Two(*power), Format::BinarySi));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Scale::Ten(*power), Format::DecimalSi));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Any exponent beyond ±1000 saturates to the cap or to one billionth all the same.
    let power: i32 = digits.parse().unwrap_or(1000).min(1000);
    let power = if exponent.starts_with('-') { -power } else { power };
    Some((Scale::Ten(power), Format::DecimalExponent))
}

/// `whole.fraction × scale` in billionths, rounded up and capped.
fn magnitude(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    // The point stands `places` digits from the right.
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let (power_of_ten, power_of_two) = match scale {
        Scale::Ten(power) => (i64::from(power) + 9 - places, 0),
        Scale::Two(power) => (9 - places, power),
    };
    // Keep 39 digits at most: more than that is either capped or below a billionth's share.
    let (kept, dropped) = digits.split_at(digits.len().min(20));
    let mut value: i128 = kept.parse().unwrap_or(i128::MAX);
    let mut inexact = dropped.bytes().any(|byte| byte != b'0');
    let power = power_of_ten.saturating_add(i64::try_from(dropped.len()).unwrap_or(i64::MAX));
    value = value.checked_mul(1_i128 << power_of_two.min(60)).unwrap_or(i128::MAX);
    let mut power = power;
    while power > 0 && value <= MAX_NANO {
        value = value.saturating_mul(10);
        power -= 1;
    }
    while power < 0 && value > 0 {
        inexact |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    if inexact {
        value = value.saturating_add(1);
    }
    value.min(MAX_NANO)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let small = self.nano.unsigned_abs() < 1024 * NANO.unsigned_abs();
        match self.format {
            Format::BinarySi if !small && self.nano % NANO == 0 => {
                let units = self.nano / NANO;
                let (suffix, power) = BINARY
                    .iter()
                    .rev()
                    .find(|(_, power)| units % (1_i128 << power) == 0)
                    .map_or(("", 0), |(suffix, power)| (*suffix, *power));
                write!(f, "{}{suffix}", units >> power)
            }
            Format::BinarySi | Format::DecimalSi => {
                let (suffix, value) = decimal(self.nano);
                write!(f, "{value}{suffix}")
            }
            Format::DecimalExponent => {
                let mut value = self.nano;
                let mut power = -9;
                while value % 1000 == 0 {
                    value /= 1000;
                    power += 3;
                }
                if power == 0 { write!(f, "{value}") } else { write!(f, "{value}e{power}") }
            }
        }
    }
}

/// The largest decimal suffix that leaves no fraction.
fn decimal(nano: i128) -> (&'static str, i128) {
    let mut value = nano;
    let mut index = 0;
    while value % 1000 == 0 && index + 1 < DECIMAL.len() {
        value /= 1000;
        index += 1;
    }
    (DECIMAL[index].0, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn milli(text: &str) -> i64 {
        text.parse::<Quantity>().unwrap().milli()
    }

    #[test]
    fn each_suffix_means_what_kubernetes_says() {
        let cases = [
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5000),
            ("1", 1000),
            ("-2", -2000),
            ("+2", 2000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("12E-3", 12),
            ("100n", 1),
            ("1u", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(milli(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-", "m", "1.2.3", "Mi"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::NoNumber), "{text}");
        }
        for text in ["1mb", "1 Gi", "500mi", "1e", "1e+", "2GB", "1K", "0x10"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::UnknownSuffix), "{text}");
        }
    }

    #[test]
    fn the_printed_form_is_the_canonical_one() {
        let cases = [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("1000000", "1M"),
            ("0.5Ki", "512"),
            ("1000e3", "1e6"),
            ("0.0000000001", "1n"),
            ("10E", "9223372036854775807"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn huge_numbers_saturate() {
        let huge = format!("{}E", "9".repeat(5000)).parse::<Quantity>().unwrap();
        assert_eq!(huge.units(), i64::MAX);
        assert_eq!(huge.milli(), i64::MAX);
        assert_eq!("1e999999999999".parse::<Quantity>().unwrap().units(), i64::MAX);
        assert_eq!("1e-999999999999".parse::<Quantity>().unwrap().nano(), 1);
        assert_eq!("-10E".parse::<Quantity>().unwrap().units(), -i64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(nano in any::<i128>(), format in 0..3_usize) {
            let format = [Format::BinarySi, Format::DecimalSi, Format::DecimalExponent][format];
            let quantity = Quantity { nano: nano.clamp(-MAX_NANO, MAX_NANO), format };
            let back: Quantity = quantity.to_string().parse().unwrap();
            prop_assert_eq!(back, quantity);
        }

        #[test]
        fn small_values_round_trip_in_milli(value in -10_000_000_i64..10_000_000) {
            let quantity = Quantity::from_milli(value);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap().milli(), value);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eEKMGTPinum]{0,24}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
