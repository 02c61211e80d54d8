//! Says what is wrong with a token that cannot stand where it does.

use super::Problem;
use super::lex::Token;
use super::parse::Parser;

impl Parser<'_> {
    /// What is here where a value should be.
    pub fn expected_value(&self) -> Problem {
        let problem = Problem::new(self.span(), "a value is missing here");
        match self.peek() {
            Token::End => problem.label("the expression ends"),
            _ => problem.label("expected a name, a number, a text or `(`"),
        }
    }

    /// The token here where an operator, `close` or the end should be.
    pub fn stray(&self, close: &str) -> Problem {
        let span = self.span();
        let text = &self.source[span.clone()];
        if let Token::Word(word) = self.peek()
            && let Some(sign) = joining_word(word)
        {
            return Problem::new(span, format!("`{word}` is not an operator"))
                .label("not an operator")
                .help(format!("write {sign}"));
        }
        match self.peek() {
            Token::End => {
                Problem::new(span, format!("`{close}` is missing")).label("the expression ends")
            }
            Token::Sign(")") => {
                Problem::new(span, "this `)` was never opened").label("no `(` before it")
            }
            Token::Sign("[") => Problem::new(span, "a value has no elements")
                .label("not a list")
                .help("a list can only follow `in`"),
            _ => Problem::new(span, format!("`{text}` cannot follow here"))
                .label("expected an operator"),
        }
    }
}

/// The operator people mean by a word between two values.
pub(super) fn joining_word(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => "`&&`",
        "or" => "`||`",
        "is" | "equals" => "`==`",
        "not" => "`!=`, or `!` before the condition",
        _ => return None,
    })
}
