use ::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};
use ::cel::parser::Expression as Tree;
use bowline_types::closest;

use super::{COMPREHENSION_DEPTH_MAX, DEPTH_MAX, FUNCTIONS, NODES_MAX, VARIABLES};

/// The most `matches` calls of one expression; each keeps an automaton.
const PATTERNS_MAX: usize = 8;

/// The names of types, for `type(x) == int`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Checks the bounds and the names of a tree, and returns the patterns of its `matches` calls.
pub(super) fn check(tree: &Tree) -> Result<Vec<&str>, String> {
    let mut walk = Walk { nodes: 0, scope: Vec::new(), patterns: Vec::new() };
    walk.visit(tree, 0, 0)?;
    Ok(walk.patterns)
}

struct Walk<'t> {
    nodes: usize,
    /// The names that the comprehensions around the node bind.
    scope: Vec<&'t str>,
    patterns: Vec<&'t str>,
}

// === impl Walk ===

impl<'t> Walk<'t> {
    fn visit(&mut self, tree: &'t Tree, depth: usize, comprehensions: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("more than {NODES_MAX} operations"));
        }
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        let depth = depth + 1;
        match &tree.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => self.visit(&select.operand, depth, comprehensions),
            Expr::Call(call) => {
                self.call(call)?;
                let operands = call.target.as_deref().into_iter().chain(&call.args);
                operands.into_iter().try_for_each(|each| self.visit(each, depth, comprehensions))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|each| self.visit(each, depth, comprehensions)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth, comprehensions)?;
                    self.visit(&entry.value, depth, comprehensions)
                }
                EntryExpr::StructField(_) => Err("messages are not available".to_owned()),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth, comprehensions),
            Expr::Struct(_) => Err("messages are not available".to_owned()),
            Expr::Unspecified => Err("does not parse".to_owned()),
        }
    }

    fn comprehension(&mut self, each: &'t ComprehensionExpr, depth: usize, outer: usize) -> Result<(), String> {
        self.visit(&each.iter_range, depth, outer)?;
        self.visit(&each.accu_init, depth, outer)?;
        let inner = outer + 1;
        if inner > COMPREHENSION_DEPTH_MAX {
            return Err(format!(
                "`all`, `exists`, `map` and `filter` are nested deeper than {COMPREHENSION_DEPTH_MAX}"
            ));
        }
        let outside = self.scope.len();
        self.scope.push(&each.accu_var);
        self.scope.push(&each.iter_var);
        self.scope.extend(each.iter_var2.as_deref());
        for part in [&each.loop_cond, &each.loop_step, &each.result] {
            self.visit(part, depth, inner)?;
        }
        self.scope.truncate(outside);
        Ok(())
    }

    fn ident(&self, name: &str) -> Result<(), String> {
        if VARIABLES.contains(&name) || TYPES.contains(&name) || self.scope.contains(&name) {
            return Ok(());
        }
        let hint = closest(name, VARIABLES.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        Err(format!(
            "unknown variable `{name}`{}",
            hint.unwrap_or_else(|| format!(" (known: {})", VARIABLES.join(", ")))
        ))
    }

    fn call(&mut self, call: &'t CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        // Operators are named `_+_`, `!_`, `@in`, …; no function that can be written is.
        let operator = name.starts_with(['_', '!', '-', '@']) && !name.contains('?') || name == "_?_:_";
        if !operator && !FUNCTIONS.contains(&name) {
            let hint = closest(name, FUNCTIONS.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            return Err(format!("function `{name}` is not available{}", hint.unwrap_or_default()));
        }
        if name == "matches" {
            let pattern = call.args.last().map(|last| &last.expr);
            let Some(Expr::Literal(LiteralValue::String(pattern))) = pattern else {
                return Err("the pattern of `matches` must be a literal".to_owned());
            };
            if self.patterns.len() == PATTERNS_MAX {
                return Err(format!("more than {PATTERNS_MAX} patterns"));
            }
            self.patterns.push(pattern.inner());
        }
        Ok(())
    }
}
