//! GraphQL documents: operations, fragments, selections and arguments. Types of variables and directives are read and
//! passed over.

use serde_json::{Map, Value};

/// Longest document, in bytes.
const BYTES_MAX: usize = 32 << 10;
/// Deepest nesting of selections or values.
const NESTING_MAX: usize = 32;

/// A document.
#[derive(Debug, Default)]
pub(super) struct Document {
    operations: Vec<(Option<String>, Vec<Selection>)>,
    fragments: Vec<Fragment>,
}

/// A named fragment.
#[derive(Debug)]
pub(super) struct Fragment {
    name: String,
    /// The type that it is of.
    pub(super) on: String,
    pub(super) selections: Vec<Selection>,
}

/// What is selected of an object.
#[derive(Debug)]
pub(super) enum Selection {
    Field(Field),
    Inline { on: Option<String>, selections: Vec<Selection> },
    Spread(String),
}

/// A field that is selected.
#[derive(Debug)]
pub(super) struct Field {
    alias: Option<String>,
    pub(super) name: String,
    arguments: Vec<(String, Given)>,
    pub(super) selections: Vec<Selection>,
}

/// A value in a document.
#[derive(Debug)]
enum Given {
    Variable(String),
    Plain(Value),
    List(Vec<Given>),
    Object(Vec<(String, Given)>),
}

impl Document {
    /// The selections of an operation: the one of that name, or the only one.
    ///
    /// # Errors
    /// When there is none, or a name is needed to tell.
    pub(super) fn operation(&self, name: Option<&str>) -> Result<&[Selection], String> {
        let found = match (name, &self.operations[..]) {
            (Some(name), all) => all.iter().find(|(known, _)| known.as_deref() == Some(name)),
            (None, [only]) => Some(only),
            (None, []) => None,
            (None, _) => return Err("Must provide operation name if query contains multiple operations.".into()),
        };
        found.map(|(_, selections)| &selections[..]).ok_or_else(|| "Must provide an operation.".into())
    }

    /// The fragment of a name.
    pub(super) fn fragment(&self, name: &str) -> Option<&Fragment> {
        self.fragments.iter().find(|fragment| fragment.name == name)
    }
}

impl Field {
    /// The name under which it is answered.
    pub(super) fn shown(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is answered under another name than its own.
    pub(super) fn has_alias(&self) -> bool {
        self.alias.is_some()
    }

    /// An argument, with its variables put in.
    pub(super) fn argument(&self, name: &str, variables: &Map<String, Value>) -> Option<Value> {
        self.arguments.iter().find(|(known, _)| known == name).map(|(_, given)| given.value(variables))
    }
}

impl Given {
    fn value(&self, variables: &Map<String, Value>) -> Value {
        match self {
            Self::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
            Self::Plain(value) => value.clone(),
            Self::List(items) => items.iter().map(|item| item.value(variables)).collect(),
            Self::Object(fields) => {
                fields.iter().map(|(name, given)| (name.clone(), given.value(variables))).collect::<Map<_, _>>().into()
            }
        }
    }
}

/// Parses a document.
///
/// # Errors
/// What was expected, and where.
pub(super) fn parse(text: &str) -> Result<Document, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("the document is over {BYTES_MAX} bytes"));
    }
    let mut parser = Parser { text, at: 0, nesting: 0 };
    let mut document = Document::default();
    parser.skip();
    while !parser.rest().is_empty() {
        parser.definition(&mut document)?;
    }
    Ok(document)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over blanks, commas and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']).len();
            self.at += blank;
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn error<T>(&self, expected: &str) -> Result<T, String> {
        let found: String = self.rest().chars().take(10).collect();
        Err(format!("expected {expected} at byte {}, found {found:?}", self.at))
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len();
            self.skip();
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { self.error(mark) }
    }

    fn name(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end == 0 || rest.as_bytes()[0].is_ascii_digit() {
            return self.error("a name");
        }
        self.at += end;
        self.skip();
        Ok(rest[..end].to_owned())
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(format!("nested deeper than {NESTING_MAX} levels"));
        }
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn definition(&mut self, document: &mut Document) -> Result<(), String> {
        if self.rest().starts_with('{') {
            document.operations.push((None, self.selections()?));
            return Ok(());
        }
        match self.name()?.as_str() {
            "query" | "mutation" => {
                let name = if self.rest().starts_with(['(', '@', '{']) { None } else { Some(self.name()?) };
                if self.take("(") {
                    while !self.take(")") {
                        self.variable_definition()?;
                    }
                }
                self.directives()?;
                document.operations.push((name, self.selections()?));
                Ok(())
            }
            "fragment" => {
                let name = self.name()?;
                if self.name()? != "on" {
                    return self.error("on");
                }
                let on = self.name()?;
                self.directives()?;
                document.fragments.push(Fragment { name, on, selections: self.selections()? });
                Ok(())
            }
            _ => self.error("query, mutation or fragment"),
        }
    }

    fn variable_definition(&mut self) -> Result<(), String> {
        self.expect("$")?;
        self.name()?;
        self.expect(":")?;
        while self.take("[") {}
        self.name()?;
        while self.take("]") || self.take("!") {}
        if self.take("=") {
            self.value()?;
        }
        self.directives()
    }

    fn directives(&mut self) -> Result<(), String> {
        while self.take("@") {
            self.name()?;
            self.arguments()?;
        }
        Ok(())
    }

    fn arguments(&mut self) -> Result<Vec<(String, Given)>, String> {
        let mut arguments = Vec::new();
        if self.take("(") {
            while !self.take(")") {
                let name = self.name()?;
                self.expect(":")?;
                arguments.push((name, self.value()?));
            }
        }
        Ok(arguments)
    }

    fn selections(&mut self) -> Result<Vec<Selection>, String> {
        self.nested(|parser| {
            parser.expect("{")?;
            let mut selections = Vec::new();
            while !parser.take("}") {
                selections.push(parser.selection()?);
            }
            Ok(selections)
        })
    }

    fn selection(&mut self) -> Result<Selection, String> {
        if self.take("...") {
            if self.rest().starts_with(['{', '@']) {
                self.directives()?;
                return Ok(Selection::Inline { on: None, selections: self.selections()? });
            }
            let name = self.name()?;
            if name != "on" {
                self.directives()?;
                return Ok(Selection::Spread(name));
            }
            let on = Some(self.name()?);
            self.directives()?;
            return Ok(Selection::Inline { on, selections: self.selections()? });
        }
        let mut name = self.name()?;
        let mut alias = None;
        if self.take(":") {
            alias = Some(std::mem::replace(&mut name, self.name()?));
        }
        let arguments = self.arguments()?;
        self.directives()?;
        let selections = if self.rest().starts_with('{') { self.selections()? } else { Vec::new() };
        Ok(Selection::Field(Field { alias, name, arguments, selections }))
    }

    fn value(&mut self) -> Result<Given, String> {
        self.nested(|parser| {
            let rest = parser.rest();
            match rest.as_bytes().first() {
                Some(b'$') => {
                    parser.expect("$")?;
                    Ok(Given::Variable(parser.name()?))
                }
                Some(b'[') => {
                    parser.expect("[")?;
                    let mut items = Vec::new();
                    while !parser.take("]") {
                        items.push(parser.value()?);
                    }
                    Ok(Given::List(items))
                }
                Some(b'{') => {
                    parser.expect("{")?;
                    let mut fields = Vec::new();
                    while !parser.take("}") {
                        let name = parser.name()?;
                        parser.expect(":")?;
                        fields.push((name, parser.value()?));
                    }
                    Ok(Given::Object(fields))
                }
                // Strings and numbers are JSON's.
                Some(b'"' | b'-' | b'0'..=b'9') => {
                    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
                    let Some(Ok(value)) = values.next() else { return parser.error("a value") };
                    parser.at += values.byte_offset();
                    parser.skip();
                    Ok(Given::Plain(value))
                }
                _ => Ok(Given::Plain(match parser.name()?.as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    name => name.into(),
                })),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_the_ui_are_parsed() {
        let text = r#"
            # a comment
            query GetRun($data: MlflowGetRunInput!, $x: [Int!]! = [1, 2]) @component(name: "MLflow.ExperimentRunTracking") {
              mlflowGetRun(input: $data) { apiError { ...Err } one: run @include(if: true) { info { runId } ... on A { b } } }
            }
            fragment Err on ApiError { code message }"#;
        let document = parse(text).unwrap();
        let selections = document.operation(Some("GetRun")).unwrap();
        let [Selection::Field(root)] = selections else { panic!("{selections:?}") };
        let variables = serde_json::from_str(r#"{"data":{"runId":"a"}}"#).unwrap();
        assert_eq!(root.argument("input", &variables).unwrap()["runId"], "a");
        let Selection::Field(run) = &root.selections[1] else { panic!() };
        assert_eq!((run.shown(), run.name.as_str()), ("one", "run"));
        assert_eq!(document.fragment("Err").unwrap().on, "ApiError");
        assert!(document.operation(None).is_ok() && document.operation(Some("Other")).is_err());
        let inline = parse(r#"{ a(input: {ids: ["x", $y], n: -1.5, e: ALL, t: true}) { b } }"#).unwrap();
        let [Selection::Field(a)] = inline.operation(None).unwrap() else { panic!() };
        assert_eq!(
            a.argument("input", &Map::new()).unwrap().to_string(),
            r#"{"ids":["x",null],"n":-1.5,"e":"ALL","t":true}"#
        );
    }

    #[test]
    fn broken_documents_are_errors() {
        for text in [
            "{",
            "query",
            "query {a",
            "{a(}",
            "{a(b:)}",
            "fragment x y {a}",
            "{1}",
            "{a:}",
            "\u{e9}",
            "{a(b: \"x)}",
            "}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"{a".repeat(5000)).is_err());
        assert!(parse(&format!("{{a(b:{}", "[".repeat(20_000))).is_err());
        assert!(parse(&" ".repeat(40_000)).is_err());
    }
}
