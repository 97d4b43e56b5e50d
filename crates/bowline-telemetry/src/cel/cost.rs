//! An upper bound of the time of an expression on inputs of a given size.
//!
//! Every node gets a [`Size`] its value cannot exceed and a time. All formulas are sums and products of sizes with coefficients
//! that are not negative. For such an f, the sum of f over the parts of a whole is at most f(whole) + n f(nothing): so a loop
//! over n elements that together have size S costs at most one round on an element of size S and n rounds on an empty one.
//! That is exact for what is linear in an element, which nearly everything is, and safe for the rest.

use ::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use ::cel::parser::Expression as Tree;

use super::input::Sizes;

/// The most time an expression may need.
pub(super) const NANOS_MAX: u64 = 10_000_000;

// About three times what a release build was measured to need (50, 10, below 0.5 and 2), for slower machines.
const NODE_NANOS: u64 = 150;
const VALUE_NANOS: u64 = 30;
const BYTE_NANOS: u64 = 1;
const MATCH_BYTE_NANOS: u64 = 6;
/// The longest text of a number, a bool or the name of a type.
const SCALAR_BYTES: u64 = 350;

/// A bound of the size of a value: how many values it holds, itself included, and the bytes of their texts.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) values: u64,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Bound {
    nanos: u64,
    size: Size,
}

/// The names that comprehensions bind, innermost last.
type Scope<'t> = Vec<(&'t str, Size)>;

/// Returns the bound for a whole expression, with the conversion of its inputs.
pub(super) fn nanos(tree: &Tree, inputs: &Sizes) -> u64 {
    let all = inputs.text.plus(inputs.output).plus(inputs.variables).plus(inputs.finish);
    bound(tree, &mut Vec::new(), inputs).nanos.saturating_add(all.copy_nanos())
}

// === impl Size ===

impl Size {
    const SCALAR: Self = Self { values: 1, bytes: 0 };

    pub(super) fn of_text(text: &str) -> Self {
        Self { values: 1, bytes: u64::try_from(text.len()).unwrap_or(u64::MAX) }
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self { values: self.values.saturating_add(other.values), bytes: self.bytes.saturating_add(other.bytes) }
    }

    const fn without(self, part: Self) -> Self {
        Self { values: self.values.saturating_sub(part.values), bytes: self.bytes.saturating_sub(part.bytes) }
    }

    const fn times(self, count: u64) -> Self {
        Self { values: self.values.saturating_mul(count), bytes: self.bytes.saturating_mul(count) }
    }

    /// The time to copy, compare or search a value of this size.
    const fn copy_nanos(self) -> u64 {
        self.values.saturating_mul(VALUE_NANOS).saturating_add(self.bytes.saturating_mul(BYTE_NANOS))
    }
}

// === impl Bound ===

impl Bound {
    const fn then(self, next: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(next.nanos), size: self.size.plus(next.size) }
    }
}

fn bound<'t>(tree: &'t Tree, scope: &mut Scope<'t>, inputs: &Sizes) -> Bound {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Bound { nanos: NODE_NANOS, size: Size::of_text(text.inner()) },
        Expr::Literal(LiteralValue::Bytes(bytes)) => Bound {
            nanos: NODE_NANOS,
            size: Size { values: 1, bytes: u64::try_from(bytes.inner().len()).unwrap_or(u64::MAX) },
        },
        Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Bound { nanos: NODE_NANOS, size: Size::SCALAR },
        Expr::Ident(name) => Bound { nanos: NODE_NANOS, size: variable(name, scope, inputs) },
        Expr::Select(select) => {
            let mut operand = bound(&select.operand, scope, inputs);
            operand.nanos = operand.nanos.saturating_add(NODE_NANOS);
            operand
        }
        Expr::Call(call) => self::call(call, scope, inputs),
        Expr::List(list) => collected(&mut list.elements.iter(), scope, inputs),
        Expr::Map(map) => {
            let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                EntryExpr::StructField(_) => None,
            });
            collected(&mut entries.flatten(), scope, inputs)
        }
        Expr::Comprehension(each) => comprehension(each, scope, inputs),
    }
}

fn variable(name: &str, scope: &Scope<'_>, inputs: &Sizes) -> Size {
    let bound = scope.iter().rev().find(|(bound, _)| *bound == name).map(|(_, size)| *size);
    bound.unwrap_or(match name {
        "text" => inputs.text,
        "output" => inputs.output,
        "variables" => inputs.variables,
        "finish" => inputs.finish,
        _ => Size::SCALAR,
    })
}

/// A list or map literal: all elements are copied into it.
fn collected<'t>(elements: &mut dyn Iterator<Item = &'t Tree>, scope: &mut Scope<'t>, inputs: &Sizes) -> Bound {
    let own = Bound { nanos: NODE_NANOS, size: Size::SCALAR };
    let all = elements.fold(own, |all, each| all.then(bound(each, scope, inputs)));
    Bound { nanos: all.nanos.saturating_add(all.size.copy_nanos()), size: all.size }
}

/// A call reads each operand at most once, whole: every available function and operator does.
fn call<'t>(call: &'t CallExpr, scope: &mut Scope<'t>, inputs: &Sizes) -> Bound {
    let mut operands = Bound { nanos: NODE_NANOS, size: Size::default() };
    let mut first = None;
    for operand in call.target.as_deref().into_iter().chain(&call.args) {
        let operand = bound(operand, scope, inputs);
        first.get_or_insert(operand.size);
        operands = operands.then(operand);
    }
    let size = match call.func_name.as_str() {
        operators::ADD => operands.size,
        operators::CONDITIONAL => operands.size.without(first.unwrap_or_default()),
        operators::INDEX | "dyn" => first.unwrap_or_default(),
        "string" | "bytes" => Size { values: 1, bytes: operands.size.bytes.saturating_add(SCALAR_BYTES) },
        _ => Size::SCALAR,
    };
    let matching = if call.func_name == "matches" { operands.size.bytes.saturating_mul(MATCH_BYTE_NANOS) } else { 0 };
    Bound { nanos: operands.nanos.saturating_add(operands.size.copy_nanos()).saturating_add(matching), size }
}

fn comprehension<'t>(each: &'t ComprehensionExpr, scope: &mut Scope<'t>, inputs: &Sizes) -> Bound {
    let range = bound(&each.iter_range, scope, inputs);
    let init = bound(&each.accu_init, scope, inputs);
    let rounds = range.size.values;
    let mut round = |element: Size| {
        let outside = scope.len();
        // The accumulators of the macros are a bool, an int, or a list that is appended to in place: only what is added counts.
        scope.push((each.accu_var.as_str(), Size::default()));
        scope.push((each.iter_var.as_str(), element));
        if let Some(second) = &each.iter_var2 {
            scope.push((second.as_str(), element));
        }
        let condition = bound(&each.loop_cond, scope, inputs);
        let step = bound(&each.loop_step, scope, inputs);
        scope.truncate(outside);
        Bound { nanos: condition.nanos.saturating_add(step.nanos).saturating_add(NODE_NANOS), size: step.size }
    };
    let (whole, empty) = (round(range.size), round(Size::default()));
    let collects = matches!(each.accu_init.expr, Expr::List(_));
    let grown = if collects { whole.size.plus(empty.size.times(rounds)).plus(init.size) } else { Size::SCALAR };
    let loops = whole.nanos.saturating_add(empty.nanos.saturating_mul(rounds));
    let copies = range.size.plus(grown).copy_nanos();
    let nanos = [range.nanos, init.nanos, loops, copies, NODE_NANOS].into_iter().fold(0, u64::saturating_add);
    Bound { nanos, size: grown }
}
