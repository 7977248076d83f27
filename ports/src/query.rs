//! The query language: text in, a tree out, once, before any engine sees it.
//!
//! ```text
//! query   = and { "OR" and }
//! and     = not { [ "AND" ] not }
//! not     = { "NOT" | "-" } operand
//! operand = "(" query ")" | [ field ":" ] ( word | '"' words '"' ) | "*"
//! ```
//!
//! Operators are upper case; `and` is a word like any other. Inside quotes `\"` and `\\` stand for
//! a quote and a backslash. Blank text and `*` mean every video.

use crate::{Match, Query, QueryError};
use jiff::civil::Date;
use std::fmt;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// The fields of `field:value`. A quoted value of several words means them in order.
pub const QUERY_FIELDS: [&str; 9] =
    ["label", "person", "place", "text", "owner", "assessment", "title", "after", "before"];

/// Longest query, in characters.
pub const MAX_QUERY_CHARS: usize = 1_000;

/// Deepest nesting of parentheses and negations.
pub const MAX_QUERY_DEPTH: usize = 50;

/// Parses what a user typed.
///
/// # Errors
/// The place and the problem, for a person: unbalanced quotes or parentheses, an operator without
/// its operand, an unknown field, a date that is none, text that is too long or nested too deep.
pub fn parse_query(text: &str) -> Result<Query, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_QUERY_CHARS {
        return Err(wrong(
            MAX_QUERY_CHARS,
            format!("{} characters are too many, at most {MAX_QUERY_CHARS} fit", chars.len()),
        ));
    }
    let tokens = Lexer { chars: &chars, at: 0 }.tokens()?;
    if tokens.is_empty() {
        return Ok(Query::All);
    }
    let mut parser = Parser { tokens, next: 0, end: chars.len(), depth: 0 };
    let query = parser.or()?;
    match parser.peek() {
        None => Ok(query),
        // Everything else continues an AND, so only a closing parenthesis can be left.
        Some(_) => {
            Err(wrong(parser.position(), "this parenthesis closes nothing, remove it or open one"))
        }
    }
}

/// The first millisecond (since 1970, UTC) of a day written `YYYY-MM-DD`; `None` for anything else.
///
/// `after:DAY` means recorded at or after this instant, `before:DAY` means before it.
#[must_use]
pub fn day_start_ms(day: &str) -> Option<i64> {
    // Dates have other spellings, too.
    let is_plain = day.len() == 10 && day.bytes().all(|b| b == b'-' || b.is_ascii_digit());
    let day = is_plain.then(|| day.parse::<Date>().ok()).flatten()?;
    // Not by way of an instant: those of jiff end a day before the last date.
    i64::try_from(day.duration_since(EPOCH).as_millis()).ok()
}

impl Query {
    /// The terms and phrases a match may be shown for: those under an even number of negations,
    /// each once, in the order of the text.
    #[must_use]
    pub fn positive_terms(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        self.collect_terms(true, &mut found);
        found
    }

    fn collect_terms<'a>(&'a self, positive: bool, found: &mut Vec<&'a Self>) {
        match self {
            Self::All => {}
            Self::Term(_) | Self::Phrase(_) => {
                if positive && !found.contains(&self) {
                    found.push(self);
                }
            }
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.collect_terms(positive, found);
                }
            }
            Self::Not(inner) => inner.collect_terms(!positive, found),
        }
    }
}

/// Text that parses to the same tree again.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Term(Match { field: Some(field), word }) => {
                write!(f, "{field}:")?;
                if word.is_empty() || word.contains(ends_word) {
                    return write_quoted(f, word);
                }
                f.write_str(word)
            }
            Self::Term(Match { field: None, word }) => {
                if reads_as_word(word) {
                    f.write_str(word)
                } else {
                    write_quoted(f, word)
                }
            }
            Self::Phrase(words) => write_quoted(f, &words.join(" ")),
            Self::And(parts) => write_joined(f, parts, " "),
            Self::Or(parts) => write_joined(f, parts, " OR "),
            Self::Not(inner) => match **inner {
                Self::And(_) | Self::Or(_) => write!(f, "-({inner})"),
                _ => write!(f, "-{inner}"),
            },
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Query], separator: &str) -> fmt::Result {
    let is_and = separator == " ";
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        match part {
            // AND binds tighter than OR, so inside an OR it needs no parentheses.
            Query::And(_) if !is_and => write!(f, "{part}")?,
            Query::And(_) | Query::Or(_) => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '"')
}

/// Whether an unquoted word is read as that word.
fn reads_as_word(word: &str) -> bool {
    !matches!(word, "" | "AND" | "OR" | "NOT" | "*")
        && !word.starts_with('-')
        && !word.contains(ends_word)
        && split_field(word).is_none()
}

/// `label:car` is a field and its value; `12:30` and `a/b:c` are words.
fn split_field(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once(':')?;
    name.chars().all(|c| c.is_alphabetic() || c == '_').then_some((name, value))
}

fn wrong(at: usize, problem: impl Into<String>) -> QueryError {
    QueryError { at, problem: problem.into() }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Operand(Query),
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    /// Tokens, each with its position.
    fn tokens(mut self) -> Result<Vec<(usize, Token)>, QueryError> {
        let mut tokens = Vec::new();
        while let Some(&c) = self.chars.get(self.at) {
            let start = self.at;
            let token = match c {
                c if c.is_whitespace() => {
                    self.at += 1;
                    continue;
                }
                '(' => self.single(Token::Open),
                ')' => self.single(Token::Close),
                '-' => self.single(Token::Not),
                '"' => {
                    let mut words = self.quoted()?;
                    Token::Operand(if words.len() == 1 {
                        Query::Term(Match { field: None, word: words.remove(0) })
                    } else {
                        Query::Phrase(words)
                    })
                }
                _ => self.word()?,
            };
            tokens.push((start, token));
        }
        Ok(tokens)
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    /// The words between the quote here and the next one.
    fn quoted(&mut self) -> Result<Vec<String>, QueryError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let next = self.chars.get(self.at + 1);
            match self.chars.get(self.at) {
                None => return Err(wrong(start, "this quote is not closed, add another \"")),
                Some('"') => break,
                Some('\\') if matches!(next, Some('"' | '\\')) => {
                    text.extend(next);
                    self.at += 2;
                }
                Some(c) => {
                    text.push(*c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        let words: Vec<String> =
            text.split_whitespace().filter(|word| has_content(word)).map(str::to_owned).collect();
        if words.is_empty() {
            return Err(wrong(start, "there is no word between these quotes"));
        }
        Ok(words)
    }

    fn word(&mut self) -> Result<Token, QueryError> {
        let start = self.at;
        let rest = self.chars.get(start..).unwrap_or_default();
        let word: String = rest.iter().take_while(|c| !ends_word(**c)).collect();
        self.at += word.chars().count();
        match word.as_str() {
            "AND" => return Ok(Token::And),
            "OR" => return Ok(Token::Or),
            "NOT" => return Ok(Token::Not),
            "*" => return Ok(Token::Operand(Query::All)),
            _ => {}
        }
        let Some((name, value)) = split_field(&word) else {
            if !has_content(&word) {
                return Err(wrong(start, format!("`{word}` has no letter or digit to look for")));
            }
            return Ok(Token::Operand(Query::Term(Match { field: None, word })));
        };
        let field = known_field(name).map_err(|problem| wrong(start, problem))?;
        let value_at = start + name.chars().count() + 1;
        let value = match (value, self.chars.get(self.at)) {
            ("", Some('"')) => self.quoted()?.join(" "),
            ("", Some('(')) => {
                return Err(wrong(
                    value_at,
                    format!("a field takes one value, write {field}:one OR {field}:two"),
                ));
            }
            ("", _) => return Err(wrong(value_at, format!("`{field}:` needs a value"))),
            (value, _) => value.to_owned(),
        };
        if matches!(field, "after" | "before") && day_start_ms(&value).is_none() {
            return Err(wrong(value_at, format!("`{value}` is not a day, write 2026-01-31")));
        }
        if !has_content(&value) {
            return Err(wrong(value_at, format!("`{value}` has no letter or digit to look for")));
        }
        Ok(Token::Operand(Query::Term(Match { field: Some(field.to_owned()), word: value })))
    }
}

fn has_content(word: &str) -> bool {
    word.chars().any(char::is_alphanumeric)
}

fn known_field(name: &str) -> Result<&'static str, String> {
    if name.is_empty() {
        return Err("the name of a field is missing before the colon".to_owned());
    }
    let lower = name.to_lowercase();
    if let Some(field) = QUERY_FIELDS.iter().find(|field| **field == lower) {
        return Ok(field);
    }
    let nearest = schemas::nearest(&lower, QUERY_FIELDS.iter().copied());
    Err(format!(
        "there is no field `{name}`, the nearest is `{nearest}`; put the words into quotes to look \
         for them as they are"
    ))
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// Position behind the last character.
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn or(&mut self) -> Result<Query, QueryError> {
        let first = self.and()?;
        let mut parts = vec![first];
        while self.peek() == Some(&Token::Or) {
            self.next += 1;
            parts.push(self.and()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Query::Or(parts) })
    }

    fn and(&mut self) -> Result<Query, QueryError> {
        let first = self.not()?;
        let mut parts = vec![first];
        loop {
            match self.peek() {
                None | Some(Token::Or | Token::Close) => break,
                Some(Token::And) => self.next += 1,
                Some(Token::Open | Token::Not | Token::Operand(_)) => {}
            }
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Query::And(parts) })
    }

    fn not(&mut self) -> Result<Query, QueryError> {
        let at = self.position();
        let token = self.peek().cloned();
        self.next += 1;
        match token {
            Some(Token::Operand(query)) => Ok(query),
            Some(Token::Not) => {
                self.enter(at)?;
                let inner = self.not()?;
                self.depth -= 1;
                Ok(Query::Not(Box::new(inner)))
            }
            Some(Token::Open) => {
                self.enter(at)?;
                let inner = self.or()?;
                if self.peek() != Some(&Token::Close) {
                    return Err(wrong(at, "this parenthesis is not closed, add a )"));
                }
                self.next += 1;
                self.depth -= 1;
                Ok(inner)
            }
            Some(Token::Close) => Err(wrong(at, "a word is missing before this parenthesis")),
            Some(Token::And) => Err(wrong(at, "a word is missing before this AND")),
            Some(Token::Or) => Err(wrong(at, "a word is missing before this OR")),
            None => Err(wrong(at, "a word is missing at the end")),
        }
    }

    fn enter(&mut self, at: usize) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > MAX_QUERY_DEPTH {
            return Err(wrong(at, format!("nested deeper than {MAX_QUERY_DEPTH} levels")));
        }
        Ok(())
    }
}
