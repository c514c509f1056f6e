//! Conversions between the controller's integers and floats that saturate and never see NaN.

/// A count as float; exact, since counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "the controller computes ratios in f64")]
pub(super) fn float(value: i64) -> f64 {
    value as f64
}

/// Rounded up to whole replicas, saturating; an undefined value is 0.
#[expect(clippy::cast_possible_truncation, reason = "float to int casts saturate, NaN becomes 0")]
pub(super) fn ceil_to_i32(value: f64) -> i32 {
    value.ceil() as i32
}

/// Truncated toward zero to whole replicas, saturating; an undefined value is 0.
#[expect(clippy::cast_possible_truncation, reason = "float to int casts saturate, NaN becomes 0")]
pub(super) fn trunc_to_i32(value: f64) -> i32 {
    value as i32
}

/// Rounded up to whole thousandths, saturating; an undefined value is 0.
#[expect(clippy::cast_possible_truncation, reason = "float to int casts saturate, NaN becomes 0")]
pub(super) fn ceil_to_i64(value: f64) -> i64 {
    value.ceil() as i64
}

/// `value * numerator / denominator` without overflow in between, saturating; 0 for a zero
/// denominator.
pub(super) fn scale_i64(value: i64, numerator: i64, denominator: i64) -> i64 {
    if denominator == 0 {
        return 0;
    }
    clamp_to_i64(i128::from(value) * i128::from(numerator) / i128::from(denominator))
}

/// Saturates to `i64`.
pub(super) fn clamp_to_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Saturates to `i32`.
pub(super) fn clamp_to_i32(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// A length as `i64`.
pub(super) fn len_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
