//! `is-sql` and `contains-sql`: whether a parser of the dialect takes the text, and which tables and columns it names.
//!
//! The lists of `allowedTables` and `allowedColumns` are those of promptfoo: `{action}::{database or null}::{table}` and
//! `{action}::{table or null}::{column}`, each a regular expression. Two more signs of a mistake count as errors, as they do there:
//! `select a b from`, where a comma is missing more often than an alias is meant, and `generate_series(` in MySQL.

use std::ops::ControlFlow;

use serde_json::Value;
use sqlparser::ast::{Statement, Visit};
use sqlparser::dialect::{
    AnsiDialect, BigQueryDialect, Dialect, GenericDialect, HiveDialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect,
    RedshiftSqlDialect, SQLiteDialect, SnowflakeDialect,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::pattern::Pattern;
use super::verdict;
use crate::assertion::Kind;
use crate::subject::{Grade, Subject};

mod names;

use names::Names;

/// The longest text that is parsed, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The dialects, by promptfoo's words in small letters.
const DIALECTS: &[(&str, &'static (dyn Dialect + Sync))] = &[
    ("athena", &GenericDialect),
    ("bigquery", &BigQueryDialect),
    ("db2", &AnsiDialect {}),
    ("flinksql", &GenericDialect),
    ("hive", &HiveDialect {}),
    ("mariadb", &MySqlDialect {}),
    ("mysql", &MySqlDialect {}),
    ("postgresql", &PostgreSqlDialect {}),
    ("redshift", &RedshiftSqlDialect {}),
    ("snowflake", &SnowflakeDialect),
    ("sqlite", &SQLiteDialect {}),
    ("transactsql", &MsSqlDialect {}),
    ("trino", &GenericDialect),
];

/// Words between `select` and the first column.
const MODIFIERS: &[&str] = &["all", "distinct"];
const MODIFIERS_MYSQL: &[&str] = &[
    "all",
    "distinct",
    "distinctrow",
    "high_priority",
    "sql_big_result",
    "sql_buffer_result",
    "sql_cache",
    "sql_calc_found_rows",
    "sql_no_cache",
    "sql_small_result",
    "straight_join",
];

/// `is-sql`, `contains-sql`.
pub(super) struct Sql {
    contained: bool,
    /// As the file writes it, and in small letters.
    dialect_name: String,
    dialect: &'static (dyn Dialect + Sync),
    mysql: bool,
    tables: Option<Allowed>,
    columns: Option<Allowed>,
}

/// A list of what may be named.
struct Allowed {
    written: Vec<String>,
    patterns: Vec<Pattern>,
}

// === impl Sql ===

impl Sql {
    pub(super) fn new(value: &Value, kind: Kind) -> Result<Self, String> {
        let member = |name: &str| match value {
            Value::Null | Value::Object(_) => Ok(value.get(name)),
            Value::String(text) if text.is_empty() => Ok(None),
            _ => Err(format!("`{}` needs an object as its value, or none", kind.as_str())),
        };
        let dialect_name = member("databaseType")?.and_then(Value::as_str).unwrap_or("MySQL").to_owned();
        let lowered = dialect_name.to_lowercase();
        let Some((_, dialect)) = DIALECTS.iter().find(|(name, _)| *name == lowered) else {
            let known: Vec<&str> = DIALECTS.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no `databaseType` `{dialect_name}`; hint: {}", known.join(", ")));
        };
        let list = |name: &str| -> Result<Option<Vec<String>>, String> {
            let Some(list) = member(name)? else { return Ok(None) };
            let entries =
                list.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
            entries.flatten().map(Some).ok_or_else(|| format!("`{name}` of `{}` is no list of texts", kind.as_str()))
        };
        let columns = list("allowedColumns")?.map(|written| {
            // A column of a table may be named without it.
            let bare = written.iter().filter_map(|entry| match entry.split("::").collect::<Vec<_>>().as_slice() {
                [action, table, column] if *table != "null" => Some(format!("{action}::null::{column}")),
                _ => None,
            });
            Allowed::new(written.clone(), bare)
        });
        let tables = list("allowedTables")?.map(|written| Allowed::new(written, std::iter::empty()));
        Ok(Self {
            contained: kind == Kind::ContainsSql,
            mysql: matches!(lowered.as_str(), "mysql" | "mariadb"),
            dialect_name,
            dialect: *dialect,
            tables: tables.transpose()?,
            columns: columns.transpose()?,
        })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let text = &subject.text;
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("the answer is longer than {TEXT_BYTES_MAX} bytes, which is too long to parse as SQL"));
        }
        let fault = if self.contained {
            let blocks = code_blocks(text);
            let candidates = if blocks.is_empty() { vec![text.clone()] } else { blocks };
            let mut fault = Some("the answer contains no SQL".to_owned());
            for candidate in candidates.iter().filter(|candidate| !candidate.trim().is_empty()) {
                fault = self.fault(candidate)?;
                if fault.is_none() {
                    break;
                }
            }
            fault
        } else {
            self.fault(text)?
        };
        Ok(verdict(fault.is_none(), negated, || {
            fault.unwrap_or_else(|| format!("the answer is valid SQL of {}", self.dialect_name))
        }))
    }

    /// Says what is wrong with a text, `None` where nothing is.
    fn fault(&self, text: &str) -> Result<Option<String>, String> {
        let invalid = |why: &str| Some(format!("this is no SQL of {}: {why}", self.dialect_name));
        if text.trim().is_empty() {
            return Ok(invalid("it is empty"));
        }
        if !text.matches('`').count().is_multiple_of(2) {
            return Ok(invalid("a backquote has no partner"));
        }
        let tokens = match Tokenizer::new(self.dialect, text).tokenize() {
            Ok(tokens) => tokens,
            Err(error) => return Ok(invalid(&error.to_string())),
        };
        if let Some(suspicion) = self.suspicion(&tokens) {
            return Ok(invalid(suspicion));
        }
        let statements: Vec<Statement> = match Parser::parse_sql(self.dialect, text) {
            Ok(statements) => statements,
            Err(error) => return Ok(invalid(&error.to_string())),
        };
        let mut names = Names::default();
        for statement in &statements {
            let ControlFlow::Continue(()) = statement.visit(&mut names);
        }
        let tables = refused(self.tables.as_ref(), &names.tables())?.map(|name| (name, "table", self.tables.as_ref()));
        let columns =
            refused(self.columns.as_ref(), &names.columns())?.map(|name| (name, "column", self.columns.as_ref()));
        Ok(tables.or(columns).map(|(name, what, allowed)| {
            let allowed = allowed.map(|allowed| allowed.written.join(", ")).unwrap_or_default();
            format!("the {what} `{name}` is not allowed; allowed are {allowed}")
        }))
    }

    /// Finds what parses, and is still more likely a mistake.
    fn suspicion(&self, tokens: &[Token]) -> Option<&'static str> {
        let modifiers = if self.mysql { MODIFIERS_MYSQL } else { MODIFIERS };
        // Quoted names and texts are no plain words.
        let words: Vec<Option<String>> =
            tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).map(plain).collect();
        let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.as_deref() == Some(word));
        for at in 0..words.len() {
            if self.mysql
                && self.dialect_name.eq_ignore_ascii_case("mysql")
                && is(at, "generate_series")
                && is(at + 1, "(")
            {
                return Some("there is no `generate_series`");
            }
            if !is(at, "select") {
                continue;
            }
            let named = |word: &Option<String>| word.as_ref().is_some_and(|word| modifiers.contains(&word.as_str()));
            let first = at + 1 + words.iter().skip(at + 1).take_while(|word| named(word)).count();
            let is_word = |at: usize| words.get(at).and_then(Option::as_ref).is_some_and(|word| *word != "(");
            if is_word(first) && is_word(first + 1) && is(first + 2, "from") {
                return Some("a comma is missing between two columns");
            }
        }
        None
    }
}

/// Returns a plain word in small letters, or an opening bracket.
fn plain(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_lowercase()),
        Token::LParen => Some("(".to_owned()),
        _ => None,
    }
}

/// Returns the first name that is not allowed.
fn refused(allowed: Option<&Allowed>, names: &[String]) -> Result<Option<String>, String> {
    let Some(allowed) = allowed.filter(|allowed| !allowed.patterns.is_empty()) else { return Ok(None) };
    for name in names {
        let mut matched = false;
        for pattern in &allowed.patterns {
            matched = matched || pattern.is_match(name)?;
        }
        if !matched {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

// === impl Allowed ===

impl Allowed {
    fn new(written: Vec<String>, more: impl Iterator<Item = String>) -> Result<Self, String> {
        let more: Vec<String> = more.collect();
        let patterns = written.iter().chain(&more).map(|entry| Pattern::compile_any_case(&format!("^{entry}$")));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()?, written })
    }
}

/// Returns the blocks of Markdown that are fenced as SQL, or as nothing.
fn code_blocks(text: &str) -> Vec<String> {
    /// The fence at the beginning of a line: its character, its length, and what follows.
    fn fence(line: &str) -> Option<(char, usize, &str)> {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let rest = line.trim_start_matches([' ', '\t']);
        let character = rest.chars().next().filter(|character| matches!(character, '`' | '~'))?;
        let after = rest.trim_start_matches(character);
        let length = rest.len() - after.len();
        (indent <= 3 && length >= 3).then_some((character, length, after.trim()))
    }

    let mut blocks = Vec::new();
    let mut open: Option<(char, usize, bool, Vec<&str>)> = None;
    for line in text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
        match (&mut open, fence(line)) {
            (None, Some((character, length, language))) => {
                let language = language.to_lowercase();
                open = Some((character, length, matches!(language.as_str(), "" | "sql"), Vec::new()));
            }
            (None, None) => {}
            (Some((character, length, ..)), Some((closing, closing_length, "")))
                if closing == *character && closing_length >= *length =>
            {
                if let Some((.., true, lines)) = open.take() {
                    blocks.push(lines.join("\n").trim().to_owned());
                }
            }
            (Some((.., lines)), _) => lines.push(line),
        }
    }
    blocks
}
