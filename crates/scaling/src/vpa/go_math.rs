//! Powers and exponentials as Go's `math` computes them.
//!
//! The recommender truncates floats to whole millicores and bytes, so the last bit can decide. Rust
//! calls the platform's C library, which rounds differently from Go's own code and from platform to
//! platform; these two follow the algorithms that Go documents (FreeBSD's `e_exp.c` for the
//! polynomial), so that the results are the recommender's everywhere.

/// `x^n` for a finite positive `x`: squaring of the fraction, the exponent kept apart.
pub(super) fn pow(x: f64, n: i32) -> f64 {
    if n == 0 {
        return 1.0;
    }
    if n == 1 {
        return x;
    }
    if !x.is_finite() || x <= 0.0 {
        return x.powi(n);
    }
    let (mut fraction, mut exponent) = split(x);
    let (mut result, mut result_exponent) = (1.0, 0_i64);
    let mut left = n.unsigned_abs();
    while left != 0 {
        if !(-4096..=4096).contains(&exponent) {
            result_exponent += exponent;
            break;
        }
        if left & 1 == 1 {
            result *= fraction;
            result_exponent += exponent;
        }
        fraction *= fraction;
        exponent <<= 1;
        if fraction < 0.5 {
            fraction += fraction;
            exponent -= 1;
        }
        left >>= 1;
    }
    if n < 0 {
        result = 1.0 / result;
        result_exponent = -result_exponent;
    }
    times_power_of_two(result, result_exponent)
}

/// `2^x`.
pub(super) fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x.is_nan() {
        return 0.0;
    }
    if x > 1_023.999_999_999_999_9 {
        return f64::INFINITY;
    }
    if x < -1074.0 {
        return 0.0;
    }
    let whole = if x > 0.0 {
        (x + 0.5).trunc()
    } else if x < 0.0 {
        (x - 0.5).trunc()
    } else {
        0.0
    };
    let rest = x - whole;
    #[expect(clippy::cast_possible_truncation, reason = "whole is between -1075 and 1024")]
    let exponent = whole as i64;
    times_power_of_two(exp_of_split(rest * LN2_HIGH, -rest * LN2_LOW), exponent)
}

/// `e^(high - low)` for a small argument.
fn exp_of_split(high: f64, low: f64) -> f64 {
    const P1: f64 = 1.666_666_666_666_666_6e-1;
    const P2: f64 = -2.777_777_777_701_559_3e-3;
    const P3: f64 = 6.613_756_321_437_934e-5;
    const P4: f64 = -1.653_390_220_546_525_2e-6;
    const P5: f64 = 4.138_136_797_057_238_5e-8;
    let r = high - low;
    let t = r * r;
    let c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
    1.0 - ((low - (r * c) / (2.0 - c)) - high)
}

/// A fraction in [0.5, 1) and the exponent that makes `x` of it; `x` is finite and positive.
fn split(x: f64) -> (f64, i64) {
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * 2_f64.powi(52), -52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1022 + shift;
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), exponent)
}

/// `x · 2^exponent`, in steps so that no factor overflows.
pub(super) fn times_power_of_two(x: f64, exponent: i64) -> f64 {
    let mut left = exponent.clamp(-4096, 4096);
    let mut result = x;
    while left > 1000 {
        result *= 2_f64.powi(1000);
        left -= 1000;
    }
    while left < -1000 {
        result *= 2_f64.powi(-1000);
        left += 1000;
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -1000 and 1000")]
    let last = left as i32;
    result * 2_f64.powi(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_exponents_are_exact() {
        for n in [-1000, -100, -1, 0, 1, 52, 1023] {
            assert_eq!(exp2(f64::from(n)), 2_f64.powi(n), "2^{n}");
        }
    }

    #[test]
    fn powers_are_within_a_few_last_bits_of_the_library() {
        for n in 0..400 {
            let ratio = pow(1.05, n) / 1.05_f64.powi(n);
            assert!((ratio - 1.0).abs() < 1e-13, "1.05^{n}");
        }
        assert_eq!(pow(2.0, -2), 0.25);
        assert_eq!(pow(f64::INFINITY, -2), 0.0);
    }

    #[test]
    fn exponentials_are_within_a_last_bit_of_the_library() {
        for step in -500..500 {
            let x = f64::from(step) * 0.037;
            let ratio = exp2(x) / x.exp2();
            assert!((ratio - 1.0).abs() < 4e-16, "2^{x}");
        }
    }
}
