//! CEL expressions of a success contract, with bounded cost.
//!
//! An expression sees `text` (the answer), `output` (the answer as JSON where it is JSON, else the text), `variables` (of the
//! prompt) and `finish` (why the model stopped, or an empty text), and passes where it is `true`. Integers of JSON are `int`.
//! Available are the operators and macros of CEL and the functions in [`FUNCTIONS`]; `matches` takes a literal pattern.
//!
//! An answer comes from outside and an expression from a file, so neither is trusted with our time. Bounds, in order:
//! 1. The source is short, its tree small and shallow, comprehensions are nested at most twice, names are known: checked once.
//! 2. The values that it reads are bounded in number and bytes.
//! 3. `cost` gives an upper bound of its time on values of that size, before it runs. Above 10 ms it does not run.
//!
//! What exceeds 2 or 3 is unknown, never a pass or a fail.

mod cost;
mod input;
mod pattern;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::cel::extractors::This;
use ::cel::parser::Expression as Tree;
use ::cel::{Context, Env, ExecutionError, Value};

pub use input::Inputs;

use crate::UnknownReason;
use pattern::Pattern;

/// The longest expression, in bytes.
pub const SOURCE_BYTES_MAX: usize = 2_048;

/// The most nodes of the tree of an expression, after its macros are expanded.
pub const NODES_MAX: usize = 400;

/// The deepest nesting of the tree of an expression.
pub const DEPTH_MAX: usize = 32;

/// The deepest nesting of `all`, `exists`, `exists_one`, `map` and `filter` within each other.
pub const COMPREHENSION_DEPTH_MAX: usize = 2;

/// The functions that an expression may call.
pub const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// The variables that an expression sees.
pub const VARIABLES: &[&str] = &["finish", "output", "text", "variables"];

/// The deepest nesting of brackets. A level takes the parser up to 90 kB of stack in a debug build, of the 2 MB that threads have.
const BRACKET_DEPTH_MAX: u16 = 12;

/// A checked expression.
pub struct Expression {
    tree: Tree,
    environment: Arc<Env>,
    patterns: Arc<BTreeMap<String, Pattern>>,
}

/// Checks an expression as `bowline check` does.
///
/// # Errors
/// Returns why it is refused: it does not parse, names something unknown, or exceeds a bound.
pub fn check(source: &str) -> Result<(), String> {
    Expression::compile(source).map(|_| ())
}

// === impl Expression ===

impl Expression {
    /// Checks an expression and keeps it.
    ///
    /// # Errors
    /// Returns why it is refused: it does not parse, names something unknown, or exceeds a bound.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("longer than {SOURCE_BYTES_MAX} bytes"));
        }
        let environment = Env::stdlib().with_optional_support(false);
        let parser = environment.parser().max_recursion_depth(BRACKET_DEPTH_MAX);
        let tree = parser.parse(source).map_err(|errors| syntax_error(&errors))?;
        let mut patterns = BTreeMap::new();
        for literal in tree::check(&tree)? {
            patterns.insert(literal.to_owned(), Pattern::compile(literal)?);
        }
        let expression = Self { tree, environment: Arc::new(environment), patterns: Arc::new(patterns) };
        expression.context().map(|_| ()).map_err(|error| error.to_string())?;
        Ok(expression)
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// Says why it is neither true nor false.
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Result<bool, UnknownReason> {
        let references = self.tree.references();
        let reads = |name: &str| references.has_variable(name);
        let sizes = inputs.measure(reads).ok_or(UnknownReason::InputTooLarge)?;
        if cost::nanos(&self.tree, &sizes) > cost::NANOS_MAX {
            return Err(UnknownReason::TooCostly);
        }
        let mut context = self.context().map_err(|_| UnknownReason::EvaluationFailed)?;
        inputs.bind(reads, &mut context);
        match Value::resolve(&self.tree, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(UnknownReason::NotBoolean),
            Err(_) => Err(UnknownReason::EvaluationFailed),
        }
    }

    fn context<'v>(&self) -> Result<Context<'static, 'v>, ::cel::DeclarationError> {
        let mut context = Context::with_env(Arc::clone(&self.environment));
        let patterns = Arc::clone(&self.patterns);
        context.add_function("matches", move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let matched = patterns.get(pattern.as_str()).and_then(|compiled| compiled.matches(&text));
            matched.ok_or_else(|| ExecutionError::function_error("matches", "pattern refused"))
        })?;
        Ok(context)
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expression")
    }
}

/// Returns the first syntax error in one line.
fn syntax_error(errors: &::cel::ParseErrors) -> String {
    errors
        .errors
        .first()
        .map_or_else(|| "does not parse".to_owned(), |error| format!("column {}: {}", error.pos.1, error.msg))
}

#[cfg(test)]
mod tests;
