//! Parses what follows a name in a filter: an operator and its operands.

use regex::{Regex, RegexBuilder};

use crate::search::ast::{Comparison, Number, NumberTest, TextTest};
use crate::search::dialect::{Kind as Compared, Operator, Rules};
use crate::search::lexer::{Kind, Token};
use crate::search::like::Like;
use crate::search::parser::{Parser, Test, alternatives};
use crate::search::refusal::{Form, Parsed, Reason, Refusal};

/// Most memory that one compiled regular expression takes, in bytes; its cache of states is bounded by the same.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Words that are not values.
const KEYWORDS: [&str; 8] = ["AND", "OR", "NOT", "IN", "IS", "LIKE", "ILIKE", "NULL"];
/// Operators of one word: the word, what it means, and what it means behind NOT.
const WORDS: [(&str, Operator, Operator); 5] = [
    ("LIKE", Operator::Like, Operator::NotLike),
    ("ILIKE", Operator::Ilike, Operator::NotIlike),
    ("RLIKE", Operator::Matches, Operator::NotMatches),
    ("IN", Operator::In, Operator::NotIn),
    ("BETWEEN", Operator::Between, Operator::NotBetween),
];
/// What follows IS.
const STATES: [(&str, Operator, Operator); 2] =
    [("NULL", Operator::Null, Operator::NotNull), ("NAN", Operator::Nan, Operator::NotNan)];

impl<'a, A: Copy> Parser<'_, 'a, A> {
    /// An allowed operator and its operands.
    pub(super) fn test(&mut self, rules: Rules) -> Parsed<Test> {
        let operator = self.operator(rules)?;
        match rules.kind {
            Compared::Text { loose } => self.text_test(operator, loose).map(Test::Text),
            kind => self.number_test(operator, kind, rules).map(Test::Number),
        }
    }

    fn operator(&mut self, rules: Rules) -> Parsed<Operator> {
        let from = self.at;
        let takes = |operator: &Operator| rules.operators.contains(operator);
        let is = self.keyword("IS");
        let not = self.keyword("NOT");
        let after_not = self.at;
        let pair = |pairs: &[(&'static str, Operator, Operator)], parser: &mut Self| {
            let (word, plain, negated) = pairs.iter().find(|(word, ..)| parser.keyword(word))?;
            Some((*word, if not { *negated } else { *plain }))
        };
        let found = if is { pair(&STATES, self) } else { pair(&WORDS, self) };
        let (spelled, operator) = match (found, self.peek().map(|token| token.kind)) {
            (Some((word, operator)), _) => {
                (format!("{}{}{word}", if is { "IS " } else { "" }, if not { "NOT " } else { "" }), Some(operator))
            }
            (None, Some(Kind::Operator(symbols))) if !is && !not => {
                self.at += 1;
                let operator = match symbols {
                    "=~" => Some(Operator::Matches),
                    "!~" => Some(Operator::NotMatches),
                    _ => Comparison::of(symbols).map(Operator::Is),
                };
                (symbols.to_owned(), operator)
            }
            _ => (String::new(), None),
        };
        if let Some(operator) = operator.filter(takes) {
            return Ok(operator);
        }
        let states: Vec<Operator> = STATES.iter().flat_map(|(_, plain, not)| [*plain, *not]).filter(takes).collect();
        if is && !states.is_empty() {
            self.at = after_not;
            let states: Vec<&str> = states.iter().map(|state| state.as_str().trim_start_matches("IS ")).collect();
            return Err(self.expected(alternatives(&states)));
        }
        let is_text = matches!(rules.kind, Compared::Text { .. });
        if not && spelled.is_empty() && is_text && takes(&Operator::NotLike) {
            return Err(self.expected("IN, LIKE, ILIKE or RLIKE; or put NOT before the whole comparison"));
        }
        let wanted = if is_text && operator == Some(Operator::Between) && takes(&Operator::NotLike) {
            "another test: BETWEEN compares numbers, and this is a text".to_owned()
        } else {
            format!("{} for a {}", spellings(rules.operators), if is_text { "text" } else { "number" })
        };
        let (form, value) = (self.form(), self.value());
        self.at = from;
        Err(self.refuse_next(Reason::Operator { operator: spelled, known: rules.operators, wanted, form, value }))
    }

    /// The form of what comes next.
    fn form(&self) -> Form {
        match self.peek().map(|token| token.kind) {
            Some(Kind::Quoted('\'' | '"', _)) => Form::Text,
            Some(Kind::Number(_)) => Form::Number,
            Some(Kind::Punctuation('(')) => Form::List,
            // NULL is taken for a value that is wrong; the other keywords are none.
            Some(Kind::Word(word)) if !word.eq_ignore_ascii_case("NULL") && is_keyword(word) => Form::None,
            Some(Kind::Word(_) | Kind::Quoted(..)) => Form::Word,
            _ => Form::None,
        }
    }

    /// What comes next as it is written, a list to its end.
    fn value(&self) -> String {
        let rest = self.peek().map_or("", |token| &self.text[token.start..]);
        match (self.form(), rest.find(')')) {
            (Form::List, Some(end)) => rest[..=end].to_owned(),
            (Form::List, None) => rest.to_owned(),
            _ => self.found().to_owned(),
        }
    }

    /// An error: the next token is not a valid operand.
    fn unwanted(&self, operator: Operator, wanted: impl Into<String>) -> Box<Refusal> {
        let (form, value) = (self.form(), self.value());
        self.refuse_next(Reason::Value { operator, wanted: wanted.into(), form, value })
    }

    fn number_test(&mut self, operator: Operator, kind: Compared, rules: Rules) -> Parsed<NumberTest> {
        Ok(match operator {
            Operator::Null => NumberTest::Null,
            Operator::NotNull => NumberTest::NotNull,
            Operator::Nan => NumberTest::Nan,
            Operator::NotNan => NumberTest::NotNan,
            Operator::Between | Operator::NotBetween => {
                let from = self.at;
                let low = self.number(operator, kind, rules)?;
                if !self.keyword("AND") {
                    return Err(self.expected("AND and a second number, as in BETWEEN 1 AND 2"));
                }
                let high = self.number(operator, kind, rules)?;
                let reversed = match (low.integer, high.integer) {
                    (Some(low), Some(high)) => low > high,
                    _ => low.value > high.value,
                };
                if reversed {
                    self.at = from;
                    return Err(self.refuse_next(Reason::Reversed));
                }
                self.comparisons += 1;
                if operator == Operator::Between {
                    NumberTest::Between(low, high)
                } else {
                    NumberTest::NotBetween(low, high)
                }
            }
            Operator::Is(comparison) => NumberTest::Is(comparison, self.number(operator, kind, rules)?),
            _ => return Err(self.unwanted(operator, "a comparison of numbers")),
        })
    }

    fn number(&mut self, operator: Operator, kind: Compared, rules: Rules) -> Parsed<Number> {
        let whole = |number: i64| Number { value: number as f64, integer: Some(number) };
        let infinities = self.dialect.statistics;
        let number = match (self.peek().map(|token| token.kind), kind) {
            (Some(Kind::Number(text)), Compared::Integer { .. }) => text.parse().ok().map(whole),
            (Some(Kind::Quoted('\'' | '"', text)), Compared::Integer { quoted: true }) => text.parse().ok().map(whole),
            (Some(Kind::Number(text)), _) if infinities || text != "-inf" => Number::parse(text),
            (Some(Kind::Word(word)), Compared::Number) if infinities && word.eq_ignore_ascii_case("inf") => {
                Some(Number { value: f64::INFINITY, integer: None })
            }
            _ => None,
        };
        let Some(number) = number else {
            let nan =
                self.peek().is_some_and(|token| token.is_keyword("NAN")) && rules.operators.contains(&Operator::Nan);
            return Err(self.unwanted(
                operator,
                match kind {
                    _ if nan => "a number; NaN is found by IS NAN",
                    Compared::Integer { .. } => "a whole number without quotes",
                    _ => "a number without quotes, as 0.5, -1 or 1e-3",
                },
            ));
        };
        self.at += 1;
        Ok(number)
    }

    fn text_test(&mut self, operator: Operator, loose: bool) -> Parsed<TextTest> {
        Ok(match operator {
            Operator::Null => TextTest::Null,
            Operator::NotNull => TextTest::NotNull,
            Operator::In => TextTest::In(self.list(operator)?),
            Operator::NotIn => TextTest::NotIn(self.list(operator)?),
            Operator::Matches => TextTest::Matches(self.regex(operator)?),
            Operator::NotMatches => TextTest::NotMatches(self.regex(operator)?),
            Operator::Like | Operator::Ilike => {
                TextTest::Like(Like::new(self.word(operator, loose)?, operator == Operator::Ilike))
            }
            Operator::NotLike | Operator::NotIlike => {
                TextTest::NotLike(Like::new(self.word(operator, loose)?, operator == Operator::NotIlike))
            }
            Operator::Is(Comparison::Equal) => TextTest::Equal(self.word(operator, loose)?.to_owned()),
            Operator::Is(Comparison::NotEqual) => TextTest::NotEqual(self.word(operator, loose)?.to_owned()),
            _ => return Err(self.unwanted(operator, "a comparison of texts")),
        })
    }

    /// A quoted text; if `loose`, also a word or number without quotes.
    fn word(&mut self, operator: Operator, loose: bool) -> Parsed<&'a str> {
        let text = match self.peek() {
            Some(Token { kind: Kind::Quoted('\'' | '"', text), .. }) => *text,
            Some(token @ Token { kind: Kind::Word(_) | Kind::Number(_), .. })
                if loose && !is_keyword(&self.text[token.start..token.end]) =>
            {
                self.found()
            }
            _ => return Err(self.unwanted(operator, "a text in quotes, as 'adam'")),
        };
        self.at += 1;
        Ok(text)
    }

    fn list(&mut self, operator: Operator) -> Parsed<Vec<String>> {
        let whole = self.value();
        if !self.punctuation('(') {
            return Err(self.unwanted(operator, "a list of texts, as ('a', 'b')"));
        }
        let mut list = Vec::new();
        loop {
            let Ok(text) = self.word(operator, false) else {
                let (wanted, form) = ("a text in quotes, as 'adam'".into(), Form::List);
                return Err(self.refuse_next(Reason::Value { operator, wanted, form, value: whole }));
            };
            list.push(text.to_owned());
            let comma = self.punctuation(',');
            // One comma may follow the last, as in Python's tuples, of which clients make lists.
            if self.punctuation(')') {
                return Ok(list);
            }
            if !comma {
                return Err(self.expected("',' or ')'"));
            }
        }
    }

    fn regex(&mut self, operator: Operator) -> Parsed<Regex> {
        let from = self.at;
        let pattern = self.word(operator, false)?;
        let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
        built.map_err(|error| {
            self.at = from;
            self.refuse_next(Reason::Regex(error.to_string().replace('\n', " ")))
        })
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Operators as they may be written.
fn spellings(operators: &[Operator]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for operator in operators {
        match operator {
            Operator::Matches => words.extend(["=~", "RLIKE"]),
            Operator::NotMatches => words.extend(["!~", "NOT RLIKE"]),
            Operator::Null | Operator::NotNull | Operator::Nan | Operator::NotNan if words.contains(&"IS") => {}
            Operator::Null | Operator::NotNull | Operator::Nan | Operator::NotNan => words.push("IS"),
            operator => words.push(operator.as_str()),
        }
    }
    alternatives(&words)
}
