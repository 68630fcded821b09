//! How much one operation may ask for, told with MLflow's words.

use super::document::{Document, Selection};
use super::introspection;

/// Most fields at the root of an operation.
const ROOT_FIELDS_MAX: usize = 10;
/// Most fields under other names within one selection.
const ALIASES_MAX: usize = 10;
/// Deepest nesting of selections.
const DEPTH_MAX: usize = 10;
/// Deepest nesting within `__schema` and `__type`: the query that tools for GraphQL send goes deeper than any other.
const INTROSPECTION_DEPTH_MAX: usize = 20;
/// Most selections, fragments counted wherever they are spread.
const SELECTIONS_MAX: usize = 1000;

/// Checks an operation before anything of it is answered.
///
/// # Errors
/// The limit that it is beyond.
pub(super) fn check(document: &Document, operation: &[Selection]) -> Result<(), String> {
    let (mut left, mut aliases_most) = (SELECTIONS_MAX, 0);
    let mut levels = vec![(operation, 1, DEPTH_MAX)];
    let mut roots = 0;
    while let Some((selections, depth, depth_max)) = levels.pop() {
        if depth > depth_max {
            return Err(format!("Query exceeds maximum depth of {depth_max}"));
        }
        let (mut aliases, mut same_level) = (0, vec![selections]);
        while let Some(selections) = same_level.pop() {
            for selection in selections {
                if left == 0 {
                    return Err(format!("Query exceeds maximum total selections of {SELECTIONS_MAX}"));
                }
                left -= 1;
                match selection {
                    Selection::Field(field) => {
                        roots += usize::from(depth == 1);
                        aliases += usize::from(field.has_alias());
                        if !field.selections.is_empty() {
                            let introspects = depth == 1 && introspection::root(&field.name).is_some();
                            let most = if introspects { INTROSPECTION_DEPTH_MAX } else { depth_max };
                            levels.push((&field.selections[..], depth + 1, most));
                        }
                    }
                    Selection::Inline { selections, .. } => same_level.push(selections),
                    // A fragment that spreads itself ends with the count of selections.
                    Selection::Spread(name) => {
                        same_level.extend(document.fragment(name).map(|one| &one.selections[..]))
                    }
                }
            }
        }
        aliases_most = aliases_most.max(aliases);
    }
    if roots > ROOT_FIELDS_MAX {
        return Err(format!(
            "GraphQL queries should have at most {ROOT_FIELDS_MAX} root fields, got {roots} root fields."
        ));
    }
    if aliases_most > ALIASES_MAX {
        return Err(format!("GraphQL queries should have at most {ALIASES_MAX} aliases, got {aliases_most} aliases."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn said(text: &str) -> String {
        let document = parse(text).unwrap();
        check(&document, document.operation(None).unwrap()).map_or_else(|said| said, |()| String::new())
    }

    #[test]
    fn each_limit_is_told() {
        let many = |count: usize, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(" ");
        let wide = |count| format!("{{ {} }}", many(count, &|at| format!("k{at}: test {{ output }}")));
        assert_eq!((said(&wide(10)).as_str(), said(&wide(11)).contains("at most 10 root fields, got 11")), ("", true));
        let named = |count| format!("{{ a {{ {} }} }}", many(count, &|at| format!("k{at}: b {{ c }}")));
        assert_eq!((said(&named(10)).as_str(), said(&named(12)).contains("at most 10 aliases, got 12")), ("", true));
        let deep = |count: usize| format!("{{ a {}b{} }}", "{ a ".repeat(count), " }".repeat(count));
        assert_eq!((said(&deep(8)), said(&deep(11))), (String::new(), "Query exceeds maximum depth of 10".into()));
        let schema = |count: usize| format!("{{ __schema {{ {}b{} }} }}", "a { ".repeat(count), " }".repeat(count));
        assert_eq!((said(&schema(18)), said(&schema(21))), (String::new(), "Query exceeds maximum depth of 20".into()));
        let long = format!("{{ a {{ {} }} }}", many(1002, &|at| format!("f{at} {{ g }}")));
        assert_eq!(said(&long), "Query exceeds maximum total selections of 1000");
        let round = "{ a { ...x } } fragment x on A { ...x }";
        assert_eq!(said(round), "Query exceeds maximum total selections of 1000");
    }
}
