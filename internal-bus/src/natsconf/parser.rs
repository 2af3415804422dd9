//! The grammar: from text to the value tree, with variables and includes resolved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Cursor, is_blank, is_line_end};
use super::limits;
use super::report::{ConfError, Position};
use super::scalar::{Word, classify, unescape};
use super::source::{Bytes, Environment, Shared};
use super::value::{Entry, Kind, Map, Value, Weight};

/// Reads a file and everything it includes.
pub(super) fn read_file(path: &Path, environment: Environment<'_>) -> Result<Map, ConfError> {
    let name: Arc<str> = Arc::from(path.display().to_string());
    let mut shared = Shared::new(environment);
    let text = shared.open(path).map_err(|what| ConfError { at: Position::whole(&name), what })?;
    Parser::new(&mut shared, &text.decode(&name)?, name, parent_of(path)).file()
}

/// Reads a text as if it stood in the file `name`; includes are relative to the folder of `name`.
pub(super) fn read_text(name: &str, text: &str, environment: Environment<'_>) -> Result<Map, ConfError> {
    let text = Bytes(text.as_bytes().to_vec());
    let file: Arc<str> = Arc::from(name);
    Parser::new(&mut Shared::new(environment), &text.decode(&file)?, file, parent_of(Path::new(name))).file()
}

fn parent_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// How a list of keys ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    /// The file itself: ends with it.
    File,
    /// The whole file is one `{ … }`, as JSON is.
    Wrapped,
    /// The value of a key: ends with `}`.
    Braces,
}

/// Reads one file (or the value of one environment variable).
struct Parser<'s, 'e, 't> {
    shared: &'s mut Shared<'e>,
    cursor: Cursor<'t>,
    file: Arc<str>,
    folder: PathBuf,
    /// The maps that are open here, outermost first: variables are looked up in them.
    scopes: Vec<Map>,
    /// Maps and lists open, here and in the files that include this one.
    depth: usize,
}

impl<'s, 'e, 't> Parser<'s, 'e, 't> {
    fn new(shared: &'s mut Shared<'e>, text: &'t str, file: Arc<str>, folder: PathBuf) -> Self {
        Self { shared, cursor: Cursor::new(text), file, folder, scopes: vec![Map::default()], depth: 0 }
    }

    /// The parser of a text that this one's text refers to; it inherits the depth.
    fn inner<'u>(&mut self, text: &'u str, file: Arc<str>, folder: PathBuf) -> Parser<'_, 'e, 'u> {
        let depth = self.depth;
        Parser { depth, ..Parser::new(self.shared, text, file, folder) }
    }

    fn here(&self) -> Position {
        let (line, column) = self.cursor.place();
        Position { file: Arc::clone(&self.file), line, column }
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T, ConfError> {
        Err(ConfError { at: self.here(), what: what.into() })
    }

    /// The next character in words.
    fn found(&self) -> String {
        match self.cursor.peek() {
            None => "the end of the file".to_owned(),
            Some(c) if is_line_end(c) => "the end of the line".to_owned(),
            Some(c) => format!("`{}`", c.escape_debug()),
        }
    }

    fn file(mut self) -> Result<Map, ConfError> {
        self.cursor.skip_space_and_comments();
        if self.cursor.peek() == Some('{') {
            self.cursor.bump();
            self.entries(Body::Wrapped)?;
        }
        self.entries(Body::File)?;
        Ok(self.scopes.pop().unwrap_or_default())
    }

    fn entries(&mut self, body: Body) -> Result<(), ConfError> {
        let start = self.here();
        loop {
            self.cursor.skip_space_and_comments();
            match self.cursor.peek() {
                None if body == Body::File => return Ok(()),
                None => {
                    return Err(ConfError { at: start, what: "the `{` before this is never closed".into() });
                }
                Some('}') => {
                    let at = self.here();
                    self.cursor.bump();
                    return if body == Body::File { self.stray_brace(at) } else { Ok(()) };
                }
                Some(_) => {
                    self.entry(body)?;
                    self.entry_end(body)?;
                }
            }
        }
    }

    /// One closing brace too many is forgiven at the very end of a file, where it does no harm.
    fn stray_brace(&mut self, at: Position) -> Result<(), ConfError> {
        self.cursor.skip_space_and_comments();
        if self.cursor.peek().is_none() {
            return Ok(());
        }
        Err(ConfError { at, what: "this `}` closes nothing".to_owned() })
    }

    fn entry(&mut self, body: Body) -> Result<(), ConfError> {
        let at = self.here();
        let quoted = matches!(self.cursor.peek(), Some('"' | '\''));
        let key = self.key()?;
        let spaced = self.cursor.peek().is_some_and(char::is_whitespace);
        if !quoted && spaced && key.eq_ignore_ascii_case("include") {
            return self.include(at);
        }
        self.separator(body, &key)?;
        if matches!(self.cursor.peek(), None | Some('}' | ']' | ',' | ';')) {
            return self.fail(format!("`{}` has no value; found {}", key.escape_debug(), self.found()));
        }
        let value = self.value()?;
        let bytes = key.len();
        self.spend(Weight { values: 0, bytes }, &at)?;
        self.insert(Entry { key, at, value, used_as_variable: false });
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(map) = self.scopes.last_mut() {
            map.insert(entry);
        }
    }

    fn spend(&mut self, weight: Weight, at: &Position) -> Result<(), ConfError> {
        self.shared.spend(weight).map_err(|what| ConfError { at: at.clone(), what })
    }

    fn key(&mut self) -> Result<String, ConfError> {
        let at = self.here();
        let key = match self.cursor.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.cursor.bump();
                self.until_quote(quote, &at)?
            }
            Some(':' | '=' | ',' | ';') => {
                return self.fail(format!("expected a key, found {}", self.found()));
            }
            _ => {
                let key = self.cursor.take_while(|c| !c.is_whitespace() && c != ':' && c != '=');
                if let Some(c) = key.chars().find(|c| matches!(c, '{' | '}' | '[' | ']')) {
                    let what = format!("`{c}` inside a key; put a space before it, or quote the key");
                    return Err(ConfError { at, what });
                }
                key
            }
        };
        if key.is_empty() {
            return Err(ConfError { at, what: "a key can't be empty".to_owned() });
        }
        Ok(key.to_owned())
    }

    /// Reads up to `quote` and the quote; what stands between is returned as it is.
    fn until_quote(&mut self, quote: char, at: &Position) -> Result<&'t str, ConfError> {
        let text = self.cursor.take_while(|c| c != quote);
        match self.cursor.bump() {
            Some(_) => Ok(text),
            None => Err(ConfError { at: at.clone(), what: "this quote is never closed".to_owned() }),
        }
    }

    /// What stands between a key and its value: `:`, `=`, or nothing but space.
    fn separator(&mut self, body: Body, key: &str) -> Result<(), ConfError> {
        self.cursor.skip_space();
        if !matches!(self.cursor.peek(), Some(':' | '=')) {
            return Ok(());
        }
        self.cursor.bump();
        if body == Body::Braces {
            self.cursor.skip_space();
            return Ok(());
        }
        self.cursor.skip_blanks();
        if self.cursor.peek().is_some_and(is_line_end) {
            return self
                .fail(format!("the value of `{}` must start on the line of its key", key.escape_debug()));
        }
        Ok(())
    }

    fn entry_end(&mut self, body: Body) -> Result<(), ConfError> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            None | Some('\n' | '\r' | '}') => Ok(()),
            Some(',' | ';') => {
                self.cursor.bump();
                Ok(())
            }
            Some(_) if self.cursor.at_comment() => Ok(()),
            Some(_) => {
                let ends = if body == Body::File { "a new line" } else { "a new line, `,` or `}`" };
                self.fail(format!("expected {ends} after the value, found {}", self.found()))
            }
        }
    }

    fn value(&mut self) -> Result<Value, ConfError> {
        let at = self.here();
        let kind = match self.cursor.peek() {
            Some('{') => self.nested(Self::map)?,
            Some('[') => self.nested(Self::list)?,
            Some('(') => Kind::Text(self.block()?),
            Some('\'') => {
                self.cursor.bump();
                Kind::Text(self.until_quote('\'', &at)?.to_owned())
            }
            Some('"') => self.double_quoted(&at)?,
            _ => return self.word(at),
        };
        let bytes = if let Kind::Text(text) = &kind { text.len() } else { 0 };
        self.spend(Weight { values: 1, bytes }, &at)?;
        Ok(Value { at, kind })
    }

    /// Reads a map or list, its opening bracket first, one level deeper.
    fn nested(&mut self, read: fn(&mut Self) -> Result<Kind, ConfError>) -> Result<Kind, ConfError> {
        if self.depth >= limits::DEPTH {
            return self.fail(format!("maps and lists are nested more than {} deep", limits::DEPTH));
        }
        self.cursor.bump();
        self.depth += 1;
        let kind = read(self);
        self.depth -= 1;
        kind
    }

    fn map(&mut self) -> Result<Kind, ConfError> {
        self.scopes.push(Map::default());
        let read = self.entries(Body::Braces);
        let map = self.scopes.pop().unwrap_or_default();
        read.map(|()| Kind::Map(map))
    }

    fn list(&mut self) -> Result<Kind, ConfError> {
        let start = self.here();
        let mut items = Vec::new();
        loop {
            self.cursor.skip_space_and_comments();
            match self.cursor.peek() {
                None => {
                    return Err(ConfError { at: start, what: "the `[` before this is never closed".into() });
                }
                Some(']') => {
                    self.cursor.bump();
                    return Ok(Kind::List(items));
                }
                Some(',' | ';' | '}') => {
                    return self.fail(format!("expected a value or `]`, found {}", self.found()));
                }
                Some(_) => items.push(self.value()?),
            }
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                None | Some(']' | '\n' | '\r') => {}
                Some(',') => {
                    self.cursor.bump();
                }
                Some(_) if self.cursor.at_comment() => {}
                Some(_) => {
                    return self
                        .fail(format!("expected `,`, a new line or `]` in a list, found {}", self.found()));
                }
            }
        }
    }

    fn double_quoted(&mut self, at: &Position) -> Result<Kind, ConfError> {
        self.cursor.bump();
        let mut escaped = false;
        let raw = self.cursor.take_while(|c| {
            let end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            !end
        });
        let closed = self.cursor.bump().is_some();
        let text = if closed { unescape(raw) } else { Err("this quote is never closed".to_owned()) };
        text.map(Kind::Text).map_err(|what| ConfError { at: at.clone(), what })
    }

    /// `(`, then text up to a line that holds nothing but `)`.
    fn block(&mut self) -> Result<String, ConfError> {
        let at = self.here();
        self.cursor.bump();
        let rest = self.cursor.rest();
        let ends_line = |at: usize| {
            let after = rest.get(at + 2..).unwrap_or_default();
            after.is_empty() || after.starts_with('\n') || after.starts_with("\r\n")
        };
        let Some((end, _)) = rest.match_indices("\n)").find(|(at, _)| ends_line(*at)) else {
            let what = "this `(` needs a `)` on a line of its own".to_owned();
            return Err(ConfError { at, what });
        };
        let text = self.cursor.take_bytes(end + 1).to_owned();
        self.cursor.bump();
        Ok(text)
    }

    /// An unquoted value.
    fn word(&mut self, at: Position) -> Result<Value, ConfError> {
        let ends = |c: char| is_blank(c) || is_line_end(c) || matches!(c, ',' | ';' | ']' | '}');
        let word = self.cursor.take_while(|c| !ends(c));
        match classify(word).map_err(|what| ConfError { at: at.clone(), what })? {
            Word::Variable(name) => self.variable(&name, at),
            Word::Value(kind) => {
                self.spend(Weight { values: 1, bytes: word.len() }, &at)?;
                Ok(Value { at, kind })
            }
        }
    }

    /// The value of `$name`: from the innermost map that has such a key, else from the environment.
    fn variable(&mut self, name: &str, at: Position) -> Result<Value, ConfError> {
        if let Some(entry) = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name)) {
            entry.used_as_variable = true;
            let weight = entry.value.weight();
            self.shared.spend(weight).map_err(|what| ConfError { at: at.clone(), what })?;
            return Ok(Value { at, kind: entry.value.kind.clone() });
        }
        let refuse = |what: String| Err(ConfError { at: at.clone(), what });
        let shown = name.escape_debug();
        let Some(text) = (self.shared.environment)(name) else {
            return refuse(format!("variable `{shown}` is defined neither above nor in the environment"));
        };
        if self.shared.open_variables.iter().any(|open| open == name) {
            return refuse(format!("environment variable `{shown}` refers to itself"));
        }
        if self.shared.open_variables.len() >= limits::INCLUDE_DEPTH || text.len() > limits::FILE_BYTES {
            return refuse(format!("environment variable `{shown}` is too long or nested too deep"));
        }
        self.shared.open_variables.push(name.to_owned());
        let inner: Arc<str> = Arc::from(format!("${name}"));
        let value = self.inner(&text, inner, self.folder.clone()).lone_value();
        self.shared.open_variables.pop();
        match value {
            Ok(value) => Ok(Value { at, kind: value.kind }),
            Err(error) => refuse(format!("environment variable `{shown}` is not a value: {}", error.what)),
        }
    }

    /// A text that holds one value and nothing else.
    fn lone_value(mut self) -> Result<Value, ConfError> {
        self.cursor.skip_blanks();
        if self.cursor.peek().is_none_or(|c| is_line_end(c) || matches!(c, '}' | ']' | ',' | ';')) {
            return self.fail("it is empty");
        }
        let value = self.value()?;
        self.cursor.skip_space_and_comments();
        match self.cursor.peek() {
            None => Ok(value),
            Some(_) => self.fail(format!("unexpected {} after it; put text in quotes", self.found())),
        }
    }

    /// `include FILE`: the keys of another file, relative to this one.
    fn include(&mut self, at: Position) -> Result<(), ConfError> {
        self.cursor.skip_blanks();
        let name_at = self.here();
        let name = match self.cursor.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.cursor.bump();
                self.until_quote(quote, &name_at)?
            }
            Some('{' | '[' | '(') => "",
            _ => self.cursor.take_while(|c| !is_blank(c) && !is_line_end(c) && !matches!(c, ';' | '}')),
        };
        if name.is_empty() {
            return Err(ConfError { at: name_at, what: "`include` needs the name of a file".to_owned() });
        }
        let path = self.folder.join(name);
        let bytes = self.shared.open(&path).map_err(|what| ConfError { at, what })?;
        let file: Arc<str> = Arc::from(path.display().to_string());
        let text = bytes.decode(&file)?;
        let map = self.inner(&text, file, parent_of(&path)).file()?;
        self.shared.open_files.pop();
        map.into_entries().into_iter().for_each(|entry| self.insert(entry));
        Ok(())
    }
}
