//! The tables and columns that statements name.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, Ident, Insert, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableFactor, TableObject, TableWithJoins, Update, Visitor,
};

/// What a column or table is named for.
type Action = &'static str;

/// What was found so far.
#[derive(Default)]
pub(super) struct Names {
    /// What the statement at hand writes to.
    targets: Vec<(Action, ObjectName)>,
    tables: Vec<(Action, ObjectName)>,
    /// Columns with the table or alias before them.
    columns: Vec<(Action, Option<String>, String)>,
    aliases: BTreeMap<String, String>,
}

/// Stands for every column.
const EVERY: &str = "(.*)";

// === impl Names ===

impl Names {
    /// Returns `{action}::{database or null}::{table}`, each once.
    pub(super) fn tables(&self) -> Vec<String> {
        let written = self.tables.iter().map(|(action, name)| {
            let parts = parts(name);
            let (table, database) = match parts.as_slice() {
                [] => ("", "null"),
                [table] => (table.as_str(), "null"),
                [.., database, table] => (table.as_str(), database.as_str()),
            };
            format!("{action}::{database}::{table}")
        });
        once(written)
    }

    /// Returns `{action}::{table or null}::{column}`, each once, with aliases of tables resolved.
    pub(super) fn columns(&self) -> Vec<String> {
        let written = self.columns.iter().map(|(action, table, column)| {
            let table = table.as_ref().map(|table| self.aliases.get(table).unwrap_or(table));
            format!("{action}::{}::{column}", table.map_or("null", String::as_str))
        });
        once(written)
    }

    fn target(&mut self, action: Action, name: &ObjectName) {
        self.targets.push((action, name.clone()));
    }

    fn insert(&mut self, insert: &Insert) {
        let TableObject::TableName(name) = &insert.table else { return };
        self.target("insert", name);
        let table = parts(name).pop();
        for column in &insert.columns {
            self.columns.push(("insert", table.clone(), parts(column).pop().unwrap_or_default()));
        }
    }

    fn update(&mut self, update: &Update) {
        if let TableFactor::Table { name, .. } = &update.table.relation {
            self.target("update", name);
        }
        for assignment in &update.assignments {
            let names: Vec<&ObjectName> = match &assignment.target {
                AssignmentTarget::ColumnName(name) => vec![name],
                AssignmentTarget::Tuple(names) => names.iter().collect(),
            };
            for name in names {
                let mut parts = parts(name);
                let column = parts.pop().unwrap_or_default();
                self.columns.push(("update", parts.pop(), column));
            }
        }
    }

    fn delete(&mut self, delete: &Delete) {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let from = from.iter().filter_map(|TableWithJoins { relation, .. }| match relation {
            TableFactor::Table { name, .. } => Some(name),
            _ => None,
        });
        let names: Vec<&ObjectName> =
            if delete.tables.is_empty() { from.collect() } else { delete.tables.iter().collect() };
        for name in names {
            self.target("delete", name);
            self.columns.push(("delete", parts(name).pop(), EVERY.to_owned()));
        }
    }
}

fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect()
}

impl Visitor for Names {
    type Break = std::convert::Infallible;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::CreateTable(create) => self.target("create", &create.name),
            Statement::Drop { names, .. } => names.iter().for_each(|name| self.tables.push(("drop", name.clone()))),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_statement(&mut self, _: &Statement) -> ControlFlow<Self::Break> {
        self.targets.clear();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Self::Break> {
        let dropped = self.tables.iter().any(|(action, table)| *action == "drop" && table == name);
        let action = self.targets.iter().find(|(_, target)| target == name).map_or("select", |(action, _)| action);
        if !dropped {
            self.tables.push((action, name.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias: Some(alias), .. } = factor
            && let Some(table) = parts(name).pop()
        {
            self.aliases.insert(alias.name.value.clone(), table);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => self.columns.push(("select", None, EVERY.to_owned())),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.columns.push(("select", parts(name).pop(), EVERY.to_owned()));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Self::Break> {
        let parts: &[Ident] = match expression {
            Expr::Identifier(ident) => std::slice::from_ref(ident),
            Expr::CompoundIdentifier(parts) => parts,
            _ => &[],
        };
        match parts {
            [] => {}
            [column] => self.columns.push(("select", None, column.value.clone())),
            [.., table, column] => self.columns.push(("select", Some(table.value.clone()), column.value.clone())),
        }
        ControlFlow::Continue(())
    }
}
