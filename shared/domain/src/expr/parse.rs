//! Reads tokens into a tree, with CEL's precedence.
//!
//! The tree is bounded in size and nesting while it is read, so nothing that walks it later can
//! run out of stack. Chains of `&&` and `||` are one flat node.

use std::ops::Range;

use super::lex::{Spanned, Token, tokens};
use super::stray::joining_word;
use super::tree::{Arith, Compare, Join, Kind, Tree};
use super::{MAX_BYTES, MAX_DEPTH, MAX_NODES, Problem};

/// Reads one expression, or says what is first wrong with it.
pub(super) fn parse(source: &str) -> Result<Tree<'_>, Problem> {
    if source.len() > MAX_BYTES {
        let end = source.floor_char_boundary(MAX_BYTES);
        return Err(Problem::new(0..end, "this expression is too long")
            .label(format!("more than {MAX_BYTES} bytes"))
            .help("split it into named segments"));
    }
    let mut parser = Parser { source, tokens: tokens(source)?, at: 0, nodes: 0, depth: 0 };
    if parser.peek() == &Token::End {
        return Err(Problem::new(0..source.len(), "the condition is empty")
            .help("write a comparison; one that starts with `!` needs quotes in YAML"));
    }
    let tree = parser.or()?;
    match parser.peek() {
        Token::End => Ok(tree),
        _ => Err(parser.stray("the end")),
    }
}

pub(super) struct Parser<'a> {
    pub source: &'a str,
    tokens: Vec<Spanned<'a>>,
    at: usize,
    nodes: u32,
    depth: u32,
}

impl<'a> Parser<'a> {
    pub fn peek(&self) -> &Token<'a> {
        &self.tokens[self.at].0
    }

    pub fn span(&self) -> Range<usize> {
        self.tokens[self.at].1.clone()
    }

    /// The sign here, if it is one.
    fn sign(&self) -> Option<&'static str> {
        match self.peek() {
            Token::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    /// Moves past the token here; the last one, the end, stays.
    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn skip(&mut self, sign: &str) -> bool {
        let found = self.sign() == Some(sign);
        if found {
            self.advance();
        }
        found
    }

    fn node(&mut self, kind: Kind<'a>, span: Range<usize>) -> Result<Tree<'a>, Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(0..self.source.len(), "this expression is too large")
                .label(format!("more than {MAX_NODES} names, constants and operators"))
                .help("split it into named segments"));
        }
        Ok(Tree { kind, span })
    }

    /// Reads something one level deeper.
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.depth == MAX_DEPTH {
            return Err(Problem::new(self.span(), "this expression is nested too deeply")
                .label(format!("more than {MAX_DEPTH} levels"))
                .help("split it into named segments"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn or(&mut self) -> Result<Tree<'a>, Problem> {
        self.join(Join::Or, "||", Self::and)
    }

    fn and(&mut self) -> Result<Tree<'a>, Problem> {
        self.join(Join::And, "&&", Self::relation)
    }

    fn join(
        &mut self,
        join: Join,
        sign: &str,
        part: fn(&mut Self) -> Result<Tree<'a>, Problem>,
    ) -> Result<Tree<'a>, Problem> {
        let start = self.span().start;
        let first = part(self)?;
        if self.sign() != Some(sign) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip(sign) {
            parts.push(part(self)?);
        }
        let end = self.end();
        self.node(Kind::Join(join, parts), start..end)
    }

    /// Where the token before this one ended.
    fn end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |before| self.tokens[before].1.end)
    }

    fn relation(&mut self) -> Result<Tree<'a>, Problem> {
        let start = self.span().start;
        let left = self.sum()?;
        let tree = if let Some(compare) = self.compare() {
            self.advance();
            let right = self.sum()?;
            let end = self.end();
            self.node(Kind::Compare(compare, Box::new([left, right])), start..end)?
        } else if self.peek() == &Token::Word("in") {
            self.advance();
            let list = self.list()?;
            let end = self.end();
            self.node(Kind::In(Box::new(left), list), start..end)?
        } else {
            return Ok(left);
        };
        if self.compare().is_some() || self.peek() == &Token::Word("in") {
            return Err(Problem::new(self.span(), "comparisons cannot be chained")
                .label("a second comparison")
                .help("join two with `&&`: `1 < x && x < 3`"));
        }
        Ok(tree)
    }

    fn compare(&self) -> Option<Compare> {
        Some(match self.sign()? {
            "==" => Compare::Equal,
            "!=" => Compare::NotEqual,
            "<" => Compare::Less,
            "<=" => Compare::LessOrEqual,
            ">" => Compare::Greater,
            ">=" => Compare::GreaterOrEqual,
            _ => return None,
        })
    }

    fn list(&mut self) -> Result<Vec<Tree<'a>>, Problem> {
        if !self.skip("[") {
            return Err(Problem::new(self.span(), "a list must follow `in`")
                .label("not a list")
                .help("write the values in brackets: `x in [\"a\", \"b\"]`"));
        }
        self.nested(|parser| parser.separated("]"))
    }

    /// Expressions with commas between them, up to and with `close`.
    fn separated(&mut self, close: &'static str) -> Result<Vec<Tree<'a>>, Problem> {
        let mut items = Vec::new();
        if self.skip(close) {
            return Ok(items);
        }
        loop {
            items.push(self.or()?);
            if self.skip(close) {
                return Ok(items);
            }
            if !self.skip(",") {
                return Err(self.stray(close));
            }
        }
    }

    fn sum(&mut self) -> Result<Tree<'a>, Problem> {
        let start = self.span().start;
        let mut left = self.product()?;
        loop {
            let arith = match self.sign() {
                Some("+") => Arith::Add,
                Some("-") => Arith::Subtract,
                _ => return Ok(left),
            };
            self.advance();
            let right = self.product()?;
            let end = self.end();
            left = self.node(Kind::Arith(arith, Box::new([left, right])), start..end)?;
        }
    }

    fn product(&mut self) -> Result<Tree<'a>, Problem> {
        let start = self.span().start;
        let mut left = self.unary()?;
        loop {
            let arith = match self.sign() {
                Some("*") => Arith::Multiply,
                Some("/") => Arith::Divide,
                Some("%") => Arith::Remainder,
                _ => return Ok(left),
            };
            let sign = self.span();
            self.advance();
            if let (Arith::Remainder, Kind::Number { value, .. }) = (arith, &left.kind)
                && !self.is_operand()
            {
                return Err(Problem::new(start..sign.end, "there are no percentages")
                    .label("`%` is the remainder of a division")
                    .help(format!("write the share as a number: {}", value / 100.0)));
            }
            let right = self.unary()?;
            let end = self.end();
            left = self.node(Kind::Arith(arith, Box::new([left, right])), start..end)?;
        }
    }

    /// Whether an operand may start here.
    fn is_operand(&self) -> bool {
        match self.peek() {
            Token::End => false,
            Token::Word(word) => *word != "in" && joining_word(word).is_none(),
            Token::Sign(sign) => matches!(*sign, "(" | "-" | "!"),
            Token::Number { .. } | Token::Text(_) => true,
        }
    }

    fn unary(&mut self) -> Result<Tree<'a>, Problem> {
        let start = self.span().start;
        if self.skip("!") {
            let inner = self.nested(Self::unary)?;
            let end = self.end();
            return self.node(Kind::Not(Box::new(inner)), start..end);
        }
        if self.skip("-") {
            let inner = self.nested(Self::unary)?;
            let end = self.end();
            return self.node(Kind::Negate(Box::new(inner)), start..end);
        }
        self.operand()
    }

    fn operand(&mut self) -> Result<Tree<'a>, Problem> {
        let span = self.span();
        let kind = match self.peek().clone() {
            Token::Number { value, whole } => Kind::Number { value, whole },
            Token::Text(text) => Kind::Text(text),
            Token::Word("true") => Kind::YesNo(true),
            Token::Word("false") => Kind::YesNo(false),
            Token::Word(word) => return self.word(word, span),
            Token::Sign("(") => {
                self.advance();
                let inner = self.nested(Self::or)?;
                return if self.skip(")") { Ok(inner) } else { Err(self.stray(")")) };
            }
            Token::Sign("[") => {
                return Err(Problem::new(span, "a list can only follow `in`")
                    .label("a list")
                    .help("write `x in [\"a\", \"b\"]`"));
            }
            Token::Sign(_) | Token::End => return Err(self.expected_value()),
        };
        self.advance();
        self.node(kind, span)
    }

    fn word(&mut self, word: &'a str, span: Range<usize>) -> Result<Tree<'a>, Problem> {
        if word == "null" {
            return Err(Problem::new(span, "there is no `null`")
                .label("not a value")
                .help("write `has(x)` or `!has(x)` to ask whether a value is known"));
        }
        self.advance();
        if self.skip("(") {
            let arguments = self.nested(|parser| parser.separated(")"))?;
            let whole = span.start..self.end();
            return self.node(Kind::Call { name: word, name_span: span, arguments }, whole);
        }
        if word == "not" && self.is_operand() {
            return Err(Problem::new(span, "`not` is not an operator")
                .label("not an operator")
                .help("write `!`, or put the condition in a list under `none:`"));
        }
        if word.split('.').any(|part| matches!(part, "in" | "true" | "false" | "null")) {
            return Err(Problem::new(span, format!("`{word}` is not a name"))
                .label("a word of the language")
                .help("rename it: `in`, `true`, `false` and `null` have a meaning of their own"));
        }
        self.node(Kind::Path(word), span)
    }
}
