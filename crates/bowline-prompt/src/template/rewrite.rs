//! Makes the engine see two roots: the variables, and the values given beside them as `@name`.
//!
//! The engine's `@name` stops at the first name, so that `{{@auth.email}}` would print the whole of `@auth`, and `{{@root}}`
//! alone is nothing. So a render runs over `{variables, context}` with the scope inside `variables`, and paths that
//! start at a root are rewritten to say which.

use handlebars::Path;
use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Template, TemplateElement};

/// The key of the variables in the data of a render.
pub(super) const VARIABLES: &str = "variables";
/// The key of the values beside them.
pub(super) const CONTEXT: &str = "context";
/// What a block of the engine sets.
const SET_BY_BLOCKS: [&str; 4] = ["index", "key", "first", "last"];

/// Rewrites the paths of `template`.
pub(super) fn rewrite(template: &mut Template) {
    for element in &mut template.elements {
        rewrite_element(element);
    }
}

/// Returns a rewritten path as it was written, for messages.
pub(super) fn as_written(path: &str) -> String {
    let rest = path.strip_prefix("@root/").unwrap_or(path);
    if let Some(name) = rest.strip_prefix(CONTEXT).and_then(|rest| rest.strip_prefix('/')) {
        return format!("@{name}");
    }
    match rest.strip_prefix(VARIABLES) {
        Some(name) if path.starts_with("@root/") => format!("@root{}", name.replacen('/', ".", 1)),
        _ => path.to_owned(),
    }
}

fn rewrite_element(element: &mut TemplateElement) {
    match element {
        TemplateElement::Expression(helper)
        | TemplateElement::HtmlExpression(helper)
        | TemplateElement::HelperBlock(helper) => rewrite_helper(helper),
        TemplateElement::DecoratorExpression(decorator)
        | TemplateElement::DecoratorBlock(decorator)
        | TemplateElement::PartialExpression(decorator)
        | TemplateElement::PartialBlock(decorator) => rewrite_decorator(decorator),
        _ => {}
    }
}

fn rewrite_helper(helper: &mut HelperTemplate) {
    rewrite_parameter(&mut helper.name);
    helper.params.iter_mut().chain(helper.hash.values_mut()).for_each(rewrite_parameter);
    helper.template.iter_mut().chain(&mut helper.inverse).for_each(rewrite);
}

fn rewrite_decorator(decorator: &mut DecoratorTemplate) {
    rewrite_parameter(&mut decorator.name);
    decorator.params.iter_mut().chain(decorator.hash.values_mut()).for_each(rewrite_parameter);
    decorator.template.iter_mut().for_each(rewrite);
}

fn rewrite_parameter(parameter: &mut Parameter) {
    match parameter {
        Parameter::Path(path) => {
            if let Some(rewritten) = rewritten(path) {
                *path = rewritten;
            }
        }
        Parameter::Subexpression(inner) => rewrite_element(&mut inner.element),
        _ => {}
    }
}

fn rewritten(path: &Path) -> Option<Path> {
    let (Path::Relative((_, text)) | Path::Local((_, _, text))) = path;
    let text = match (path, text.strip_prefix("@root")) {
        (_, Some("")) => format!("@root/{VARIABLES}"),
        (_, Some(rest)) if rest.starts_with(['.', '/']) => format!("@root/{VARIABLES}/{}", rest.get(1..)?),
        (Path::Local((0, name, _)), _) if !SET_BY_BLOCKS.contains(&name.as_str()) => {
            format!("@root/{CONTEXT}/{}", text.strip_prefix('@')?)
        }
        _ => return None,
    };
    Path::parse(&text).ok()
}
