//! A reading position in a text that knows its line and column.

/// Walks a text character by character.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    rest: &'t str,
    line: u32,
    column: u32,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text, line: 1, column: 1 }
    }

    /// Line and column of the next character, from 1.
    pub(super) fn place(&self) -> (u32, u32) {
        (self.line, self.column)
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }

    /// The next character, left in place.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Reads one character.
    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(c)
    }

    /// Reads characters while `accept` holds and returns them.
    pub(super) fn take_while(&mut self, mut accept: impl FnMut(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        self.take_bytes(end)
    }

    /// Reads `count` bytes and returns them; `count` must fall between two characters.
    pub(super) fn take_bytes(&mut self, count: usize) -> &'t str {
        let whole = self.rest;
        let target = whole.len().saturating_sub(count);
        while self.rest.len() > target && self.bump().is_some() {}
        whole.get(..whole.len() - self.rest.len()).unwrap_or_default()
    }

    /// Reads spaces and tabs.
    pub(super) fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Reads white space of any kind, new lines included.
    pub(super) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Reads white space and comments (`#` and `//`, to the end of the line).
    pub(super) fn skip_space_and_comments(&mut self) {
        loop {
            self.skip_space();
            if !self.at_comment() {
                return;
            }
            self.take_while(|c| !is_line_end(c));
        }
    }

    /// Whether a comment starts here.
    pub(super) fn at_comment(&self) -> bool {
        self.rest.starts_with('#') || self.rest.starts_with("//")
    }
}

/// Space or tab.
pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Line feed or carriage return.
pub(super) fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_in_characters() {
        let mut cursor = Cursor::new("é\tb\n x");
        assert_eq!(cursor.place(), (1, 1));
        assert_eq!(cursor.take_bytes(3), "é\t");
        assert_eq!(cursor.place(), (1, 3));
        assert_eq!(cursor.bump(), Some('b'));
        cursor.skip_space();
        assert_eq!((cursor.place(), cursor.rest()), ((2, 2), "x"));
    }

    #[test]
    fn comments_of_both_kinds_are_skipped() {
        let mut cursor = Cursor::new(" # one\n// two\r\n/x");
        cursor.skip_space_and_comments();
        assert_eq!(cursor.rest(), "/x");
    }
}
