use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Writes JSON in its one canonical form, as RFC 8785 ("JSON Canonicalization Scheme") has it.
///
/// Keys are sorted by UTF-16 code units, nothing stands between tokens, strings are escaped as little as JSON allows, and
/// numbers are written as ECMAScript writes doubles: `1.0` and `1` are the same.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Returns the first integer inside `value` that a double may not hold: beyond ±(2^53 - 1).
pub(crate) fn inexact_integer(value: &Value) -> Option<&Number> {
    const EXACT_MAX: u64 = (1 << 53) - 1;
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            magnitude.is_some_and(|magnitude| magnitude > EXACT_MAX).then_some(number)
        }
        Value::Array(items) => items.iter().find_map(inexact_integer),
        Value::Object(entries) => entries.values().find_map(inexact_integer),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Without the feature for arbitrary precision, every number is an integer of 64 bits or a finite double.
        Value::Number(number) => write_double(out, number.as_f64().unwrap_or_default()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// ECMA-262, `Number::toString`: the shortest digits that read back as the same double, in its rules of notation.
fn write_double(out: &mut String, double: f64) {
    let Some((digits, point)) = shortest(double.abs()) else { return out.push('0') };
    if double < 0.0 {
        out.push('-');
    }
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or_default());
    match point {
        1..=21 if count <= point => out.extend([digits.as_str(), &zeros(point - count)]),
        1..=21 => {
            let (whole, part) = split(point);
            out.extend([whole, ".", part]);
        }
        -5..=0 => out.extend(["0.", &zeros(-point), &digits]),
        _ => {
            let (first, rest) = split(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let sign = if point > 0 { "+" } else { "-" };
            out.extend([first, dot, rest, "e", sign, &(point - 1).unsigned_abs().to_string()]);
        }
    }
}

/// Returns the shortest digits of a positive double and the place of its point, counted from their left; `None` for zero.
///
/// They are taken from serde_json: where two shortest texts are equally near, it takes the even one, as RFC 8785 has it,
/// and the formatter of the standard library does not.
fn shortest(double: f64) -> Option<(String, i32)> {
    let text = Number::from_f64(double)?.to_string();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{part}");
    let significant = all.trim_start_matches('0');
    let leading = all.len() - significant.len();
    let place = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let point = place(whole.len()) - place(leading) + exponent.parse::<i32>().unwrap_or_default();
    let digits = significant.trim_end_matches('0');
    (!digits.is_empty()).then(|| (digits.to_owned(), point))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_are_those_of_the_rfc() {
        let check = |bits: u64, expected: &str| {
            let mut out = String::new();
            write_double(&mut out, f64::from_bits(bits));
            assert_eq!(out, expected, "{bits:016x}");
        };
        check(0x0000_0000_0000_0000, "0");
        check(0x8000_0000_0000_0000, "0");
        check(0x0000_0000_0000_0001, "5e-324");
        check(0x8000_0000_0000_0001, "-5e-324");
        check(0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308");
        check(0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308");
        check(0x4340_0000_0000_0000, "9007199254740992");
        check(0xc340_0000_0000_0000, "-9007199254740992");
        check(0x4430_0000_0000_0000, "295147905179352830000");
        check(0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22");
        check(0x44b5_2d02_c7e1_4af6, "1e+23");
        check(0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23");
        check(0x444b_1ae4_d6e2_ef4e, "999999999999999700000");
        check(0x444b_1ae4_d6e2_ef4f, "999999999999999900000");
        check(0x444b_1ae4_d6e2_ef50, "1e+21");
        check(0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7");
        check(0x3eb0_c6f7_a0b5_ed8d, "0.000001");
        check(0x41b3_de43_5555_5553, "333333333.3333332");
        check(0x41b3_de43_5555_5554, "333333333.33333325");
        check(0x41b3_de43_5555_5555, "333333333.3333333");
        check(0x41b3_de43_5555_5556, "333333333.3333334");
        check(0x41b3_de43_5555_5557, "333333333.33333343");
        check(0xbecb_f647_612f_3696, "-0.0000033333333333333333");
        check(0x4314_3ff3_c1cb_0959, "1424953923781206.2");
    }

    /// RFC 8785, section 3.2.3 (order of keys) and 3.2.2.2 (strings).
    #[test]
    fn keys_and_strings_are_those_of_the_rfc() {
        let keys = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
             \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\
             \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(canonical_json(&keys), expected);
        let text = json!("\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/");
        assert_eq!(canonical_json(&text), r#""€$\u000f\nA'B\"\\\\\"/""#);
    }

    #[test]
    fn large_integers_are_found() {
        assert_eq!(
            inexact_integer(&json!({"a": [9_007_199_254_740_991_i64, -9_007_199_254_740_991_i64, 1e300]})),
            None
        );
        for number in [json!(9_007_199_254_740_992_u64), json!(i64::MIN), json!(u64::MAX)] {
            assert!(inexact_integer(&json!({"a": [1, number]})).is_some(), "{number}");
        }
    }

    proptest! {
        #[test]
        fn doubles_read_back(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let mut out = String::new();
            write_double(&mut out, double);
            prop_assert_eq!(out.parse::<f64>().unwrap(), double);
        }
    }
}
