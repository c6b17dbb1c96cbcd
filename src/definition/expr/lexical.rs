//! What is refused before CEL sees a text. The parser and the evaluator of CEL recurse, and a stack that runs out
//! ends the process; so length, operators and nesting are bounded here, by looking at characters alone.

use super::ExprError;

/// Bytes of one expression.
const TEXT_MAX: usize = 1024;
const OPERATORS_MAX: usize = 64;
const DOTS_MAX: usize = 96;
const NESTING_MAX: usize = 16;

/// Refuses a text that is empty, too long, too deep, or that leaves a quote or a bracket open.
pub(super) fn check(text: &str) -> Result<(), ExprError> {
    if text.trim().is_empty() {
        return Err(error("an expression is missing here", 0));
    }
    if text.len() > TEXT_MAX {
        return Err(error(format!("an expression has at most {TEXT_MAX} bytes; this one has {}", text.len()), 0));
    }
    let mut counted = Counted::default();
    let mut scan = Scan::new(text);
    while let Some((offset, token)) = scan.next()? {
        counted.see(offset, token)?;
    }
    match counted.open.last() {
        Some((bracket, offset)) => Err(error(format!("`{}` is never closed", char::from(*bracket)), *offset)),
        None => Ok(()),
    }
}

/// The bytes of an expression up to the `}` that closes it; `text` begins behind the `${`.
pub(super) fn until_closing_brace(text: &str) -> Result<usize, ExprError> {
    let mut depth = 0usize;
    let mut scan = Scan::new(text);
    while let Some((offset, token)) = scan.next()? {
        match token {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Ok(offset),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    Err(error("`${` is never closed with `}`", 0))
}

#[derive(Default)]
struct Counted {
    operators: usize,
    dots: usize,
    open: Vec<(u8, usize)>,
}

impl Counted {
    fn see(&mut self, offset: usize, token: u8) -> Result<(), ExprError> {
        match token {
            b'(' | b'[' | b'{' => {
                self.open.push((token, offset));
                self.operators += 1;
            }
            b')' | b']' | b'}' => {
                let opened = self.open.pop().map(|(bracket, _)| bracket);
                if opened != Some(opening(token)) {
                    return Err(error(format!("`{}` closes nothing", char::from(token)), offset));
                }
            }
            b'.' => self.dots += 1,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' | b'&' | b'|' | b'?' | b':' | b',' => {
                self.operators += 1;
            }
            _ => {}
        }
        if self.open.len() > NESTING_MAX {
            return Err(error(format!("an expression nests at most {NESTING_MAX} deep"), offset));
        }
        // `==`, `&&` and their kind are two characters and count once.
        if self.operators > OPERATORS_MAX * 2 || self.dots > DOTS_MAX {
            return Err(error(format!("an expression has at most {OPERATORS_MAX} operators"), offset));
        }
        Ok(())
    }
}

const fn opening(closing: u8) -> u8 {
    match closing {
        b')' => b'(',
        b']' => b'[',
        _ => b'{',
    }
}

/// Walks over the characters that are not inside a quoted string.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    fn next(&mut self) -> Result<Option<(usize, u8)>, ExprError> {
        let Some(&byte) = self.bytes.get(self.at) else { return Ok(None) };
        let offset = self.at;
        if byte == b'"' || byte == b'\'' {
            self.skip_string(byte, offset)?;
        } else {
            self.at += 1;
        }
        Ok(Some((offset, byte)))
    }

    fn skip_string(&mut self, quote: u8, offset: usize) -> Result<(), ExprError> {
        if self.bytes.get(offset..offset + 3) == Some(&[quote; 3]) {
            return Err(error("a text stands in single quotation marks, not in three", offset));
        }
        let raw = offset > 0 && matches!(self.bytes.get(offset - 1), Some(b'r' | b'R'));
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' if !raw => self.at += 1,
                byte if byte == quote => return Ok(()),
                _ => {}
            }
        }
        Err(error("a text is never closed with its quotation mark", offset))
    }
}

fn error(message: impl Into<String>, offset: usize) -> ExprError {
    ExprError { message: message.into(), offset, help: None, unknown_name: None }
}
