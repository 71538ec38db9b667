use crate::json::MAX_DEPTH;
use crate::json::key::{Key, slot_of};
use crate::json::plain_number::PlainNumber;
use crate::json::string::is_utf8;
use crate::json::work;
use crate::{Json, JsonError, JsonNumber, JsonStr, RawJson};

/// Cursor over a JSON text. Every method that reads a value leaves the cursor after it.
///
/// The text read so far is valid UTF-8: strings are checked as they are read, and everything else in JSON is ASCII.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    /// Text not read yet.
    rest: &'a [u8],
    /// Reason for which reading stopped. Meaningless before.
    fault: Fault,
}

/// Place in a text: what is left of it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(&'a [u8]);

/// Error that carries nothing, so that results stay in registers. [`Reader::error`] returns the details.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Unexpected(&'static str),
    TooDeep,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { text, rest: text, fault: Fault::Unexpected("") }
    }

    /// Returns the next byte that is not white space, without consuming it.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            work::count(1);
            match *self.rest {
                [byte @ b'!'..=u8::MAX, ..] => return Some(byte),
                [b' ' | b'\t' | b'\n' | b'\r', ref rest @ ..] => self.rest = rest,
                [byte, ..] => return Some(byte),
                [] => return None,
            }
        }
    }

    /// Skips bytes that were peeked at.
    #[inline(always)]
    pub(crate) fn step(&mut self, count: usize) {
        work::count(count);
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Consumes `byte` if exactly this byte is next.
    #[inline(always)]
    pub(crate) fn consume(&mut self, byte: u8) -> bool {
        work::count(1);
        if let [next, rest @ ..] = self.rest
            && *next == byte
        {
            self.rest = rest;
            return true;
        }
        false
    }

    #[inline(always)]
    const fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Returns the place of the next value, for [`Reader::since`].
    #[inline]
    pub(crate) fn place(&mut self) -> Place<'a> {
        self.peek();
        Place(self.rest)
    }

    /// Returns the value that was read since a place.
    #[inline]
    pub(crate) fn since(&self, Place(start): Place<'a>) -> RawJson<'a> {
        RawJson(start.get(..start.len().wrapping_sub(self.rest.len())).unwrap_or_default())
    }

    /// Checks that only white space and NUL bytes follow. Some firmware sends the NUL that ends a C string.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        while let Some(byte) = self.peek() {
            if byte != 0 {
                return Err(self.unexpected("the end"));
            }
            self.step(1);
        }
        Ok(())
    }

    /// Records a syntax error at the current offset.
    #[cold]
    pub(crate) fn unexpected(&mut self, expected: &'static str) -> Stop {
        self.fault = Fault::Unexpected(expected);
        Stop
    }

    /// Returns the error for which reading stopped.
    #[cold]
    pub(crate) fn error(&self) -> JsonError {
        let at = self.at();
        match self.fault {
            Fault::TooDeep => JsonError::TooDeep { at },
            Fault::Unexpected(expected) if self.rest.is_empty() => JsonError::Truncated { at, expected },
            Fault::Unexpected(expected) => JsonError::Syntax { at, expected },
        }
    }

    /// Consumes the opening bracket of an object and the white space behind it, and the closing bracket if the object is empty.
    /// Returns `true` if a key must follow, and `None`, consuming nothing but white space, if the value is not an object.
    ///
    /// With `BLANKS`, white space is expected.
    #[inline(always)]
    pub(crate) fn open_object<const BLANKS: bool>(&mut self) -> Option<bool> {
        work::count(1);
        if let [b'{', behind @ ..] = self.rest {
            let behind = if BLANKS { skip_line(behind) } else { behind };
            if let [b'"', ..] = behind {
                self.rest = behind;
                return Some(true);
            }
        }
        self.open_unusual_object()
    }

    #[cold]
    #[inline(never)]
    fn open_unusual_object(&mut self) -> Option<bool> {
        if self.peek() != Some(b'{') {
            return None;
        }
        self.step(1);
        self.rest = skip_line(self.rest);
        let more = self.peek() != Some(b'}');
        self.step(usize::from(!more));
        Some(more)
    }

    /// Consumes the comma and the white space behind it, or the closing bracket, behind the value of a member. Returns `true`
    /// if a key must follow.
    #[inline(always)]
    pub(crate) fn next_key(&mut self) -> Result<bool, Stop> {
        if self.comma::<true>() {
            return Ok(true);
        }
        if self.close_object::<true>() {
            return Ok(false);
        }
        if self.comma::<true>() { Ok(true) } else { Err(self.unexpected("',' or '}'")) }
    }

    /// Fast path: consumes the closing bracket of an object, and with `BLANKS` the white space before it, if the bracket is next.
    #[inline(always)]
    pub(crate) fn close_object<const BLANKS: bool>(&mut self) -> bool {
        if BLANKS {
            self.rest = skip_line(self.rest);
        }
        self.consume(b'}')
    }

    /// Fast path: consumes a comma, and with `BLANKS` the white space behind it, if the comma is next.
    #[inline(always)]
    pub(crate) fn comma<const BLANKS: bool>(&mut self) -> bool {
        work::count(1);
        let [b',', behind @ ..] = self.rest else { return false };
        self.rest = if BLANKS { skip_line(behind) } else { behind };
        true
    }

    /// Fast path: consumes `key`, given with its quotes and colon, and with `BLANKS` a blank behind it, if these bytes follow.
    /// Readers of values skip any other white space.
    #[inline(always)]
    pub(crate) fn consume_key<const BLANKS: bool, const N: usize>(&mut self, key: &[u8; N]) -> bool {
        work::count(1);
        match self.rest.split_first_chunk() {
            Some((next, behind)) if same(next, key) => {
                self.rest = match behind {
                    [b' ', behind @ ..] if BLANKS => behind,
                    _ => behind,
                };
                true
            }
            _ => false,
        }
    }

    /// First bytes of the object that is next, from its first key.
    #[inline(always)]
    pub(crate) fn first_key(&self) -> Option<&'a [u8; 4]> {
        let [b'{', behind @ ..] = self.rest else { return None };
        skip_line(behind).first_chunk()
    }

    /// Slot of the key that is next, in a table of [`Key::slot`]. `None` if too little text follows.
    #[inline(always)]
    pub(crate) fn slot<const SLOTS: usize>(&self) -> Option<usize> {
        Some(slot_of::<SLOTS>(*self.rest.first_chunk()?))
    }

    /// Consumes `text` if exactly this text is next.
    #[inline(always)]
    pub(crate) fn consume_text<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        work::count(1);
        match self.rest.split_first_chunk() {
            Some((next, rest)) if same(next, text) => self.rest = rest,
            _ => return false,
        }
        true
    }

    /// True if a key with a capital letter is next.
    #[inline(always)]
    pub(crate) const fn is_capital_key(&self) -> bool {
        matches!(self.rest, [b'"', b'A'..=b'Z', ..])
    }

    /// True if more than an opening bracket was read since a place.
    #[inline(always)]
    pub(crate) const fn has_blanks_since(&self, Place(start): Place<'a>) -> bool {
        start.len() > self.rest.len() + 1
    }

    /// True if white space is next.
    #[inline(always)]
    pub(crate) const fn is_blank(&self) -> bool {
        matches!(self.rest, [b' ' | b'\t' | b'\n' | b'\r', ..])
    }

    /// Slow path: reads any key, its colon, and the white space behind.
    #[inline(never)]
    pub(crate) fn any_key(&mut self) -> Result<Key, Stop> {
        if let [b'"', text @ ..] = self.rest
            && let Some((key, [b':', behind @ ..])) = Key::read(text, self.text)
        {
            self.rest = behind;
            self.peek();
            return Ok(key);
        }
        let key = self.key()?;
        self.peek();
        Ok(match key.plain_bytes() {
            Some(key) => Key::of(key),
            None => Key::of_escaped(key.raw_bytes()),
        })
    }

    /// Consumes a bracket or comma. Returns `true` if a member or element follows.
    #[inline]
    pub(crate) fn advance(&mut self, open: u8, close: u8, started: &mut bool) -> Result<bool, Stop> {
        let first = !*started;
        *started = true;
        if first {
            if self.peek() != Some(open) {
                return Err(self.unexpected("an object or array"));
            }
            self.step(1);
            if self.peek() == Some(close) {
                self.step(1);
                return Ok(false);
            }
            return Ok(true);
        }
        match self.peek() {
            Some(b',') => {
                self.step(1);
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.step(1);
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b'}' { "',' or '}'" } else { "',' or ']'" })),
        }
    }

    /// Reads a key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<JsonStr<'a>, Stop> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.step(1);
        Ok(key)
    }

    /// Reads the string whose opening quote is next.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<JsonStr<'a>, Stop> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let (length, ascii) = plain_length(inside);
        match inside.split_at_checked(length) {
            Some((raw, [b'"', behind @ ..])) if ascii || is_utf8(raw) => {
                self.rest = behind;
                Ok(JsonStr::from_raw(raw, false))
            }
            _ => self.escaped_string(inside, length, ascii).map(|raw| JsonStr::from_raw(raw, true)),
        }
    }

    /// Slow path: reads a string that has escapes, has no end, or is not UTF-8, from its first character that is not plain.
    /// Returns the text between the quotes.
    #[cold]
    #[inline(never)]
    fn escaped_string(
        &mut self,
        inside: &'a [u8],
        mut length: usize,
        mut ascii: bool,
    ) -> Result<&'a [u8], Stop> {
        loop {
            match inside.get(length..) {
                // The character after a backslash, such as a quote, never ends the string.
                Some([b'\\', escaped, behind @ ..]) => {
                    work::count(2);
                    let (plain, plain_ascii) = plain_length(behind);
                    ascii = ascii && plain_ascii && escaped.is_ascii();
                    length += 2 + plain;
                }
                Some([b'"', behind @ ..]) => {
                    let raw = inside.get(..length).unwrap_or_default();
                    if !ascii && !is_utf8(raw) {
                        self.rest = inside.get(length..).unwrap_or_default();
                        return Err(self.unexpected("UTF-8"));
                    }
                    self.rest = behind;
                    return Ok(raw);
                }
                _ => {
                    self.rest = &[];
                    return Err(self.unexpected("the rest of a string"));
                }
            }
        }
    }

    /// Reads a number. `None` for `-inf` and similar literals.
    #[inline(never)]
    pub(crate) fn number(&mut self) -> Result<Option<JsonNumber<'a>>, Stop> {
        let rest = self.rest;
        match JsonNumber::read(rest) {
            Ok((number, used)) => {
                self.step(used);
                Ok(Some(number))
            }
            Err(_) if rest.starts_with(b"-") && self.not_a_number(1) => Ok(None),
            Err(used) => {
                self.step(used);
                Err(self.unexpected("a digit"))
            }
        }
    }

    /// Fast path: reads a number in plain notation that `make` accepts. `None` consumes nothing: [`Reader::number`]
    /// reads every number.
    #[inline(always)]
    pub(crate) fn plain_number<T>(&mut self, make: impl FnOnce(PlainNumber) -> Option<T>) -> Option<T> {
        let (number, rest) = PlainNumber::read(self.rest)?;
        let made = make(number)?;
        self.rest = rest;
        Some(made)
    }

    /// Like [`Reader::plain_number`], for the usual form of a measured value, in hundredths.
    #[inline(always)]
    pub(crate) fn hundredths(&mut self) -> Option<u16> {
        let (hundredths, rest) = PlainNumber::read_hundredths(self.rest)?;
        self.rest = rest;
        Some(hundredths)
    }

    /// Like [`Reader::plain_number`], for an integer of one or two digits.
    #[inline(always)]
    pub(crate) fn small_whole(&mut self) -> Option<u8> {
        let (number, rest) = PlainNumber::read_small(self.rest)?;
        self.rest = rest;
        Some(number)
    }

    /// Like [`Reader::plain_number`], for an integer of ten digits.
    #[inline(always)]
    pub(crate) fn ten_whole(&mut self) -> Option<u64> {
        let (number, rest) = PlainNumber::read_ten(self.rest)?;
        self.rest = rest;
        Some(number)
    }

    /// Like [`Reader::plain_number`], for an integer that is not negative.
    #[inline(always)]
    pub(crate) fn plain_whole(&mut self) -> Option<u64> {
        let (number, rest) = PlainNumber::read_whole(self.rest)?;
        self.rest = rest;
        Some(number)
    }

    /// Reads any value. Arrays and objects are skipped and returned as text.
    pub(crate) fn value(&mut self) -> Result<Json<'a>, Stop> {
        Ok(match self.peek() {
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?.map_or(Json::Null, Json::Number),
            Some(b'{') => Json::Object(self.nested()?),
            Some(b'[') => Json::Array(self.nested()?),
            _ => self.literal()?,
        })
    }

    /// Skips the version of a message, which all devices write as the same string.
    #[inline(always)]
    pub(crate) fn skip_version(&mut self) -> Result<(), Stop> {
        if self.consume_text(b"\"1.0\"") { Ok(()) } else { self.skip_unusual_version() }
    }

    #[cold]
    #[inline(never)]
    fn skip_unusual_version(&mut self) -> Result<(), Stop> {
        self.peek();
        if self.consume_text(b"\"1.0\"") { Ok(()) } else { self.skip_value().map(drop) }
    }

    /// Skips a value and returns its text.
    pub(crate) fn skip_value(&mut self) -> Result<RawJson<'a>, Stop> {
        let start = self.place();
        self.value()?;
        Ok(self.since(start))
    }

    fn literal(&mut self) -> Result<Json<'a>, Stop> {
        let rest = self.rest;
        for (word, value) in
            [(&b"null"[..], Json::Null), (b"true", Json::Bool(true)), (b"false", Json::Bool(false))]
        {
            if rest.starts_with(word) {
                self.step(word.len());
                return Ok(value);
            }
            if !rest.is_empty() && word.starts_with(rest) {
                self.rest = &[];
                return Err(self.unexpected("the rest of a literal"));
            }
        }
        if self.not_a_number(0) { Ok(Json::Null) } else { Err(self.unexpected("a value")) }
    }

    /// Skips the literals that C and JavaScript print for floats that are not numbers.
    fn not_a_number(&mut self, sign: usize) -> bool {
        let rest = self.rest.get(sign..).unwrap_or_default();
        for word in ["nan", "NaN", "NAN", "infinity", "Infinity", "inf", "Inf", "INF"] {
            if rest.starts_with(word.as_bytes()) {
                self.step(sign + word.len());
                return true;
            }
        }
        false
    }

    /// Skips an array or object without recursion. One bit for each level records whether it is an object.
    fn nested(&mut self) -> Result<RawJson<'a>, Stop> {
        let start = Place(self.rest);
        let (mut objects, mut depth) = (0_u64, 0_u32);
        loop {
            // A value must follow.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        self.fault = Fault::TooDeep;
                        return Err(Stop);
                    }
                    let object = open == b'{';
                    (objects, depth) = (objects << 1 | u64::from(object), depth + 1);
                    self.step(1);
                    if self.peek() == Some(if object { b'}' } else { b']' }) {
                        (objects, depth) = (objects >> 1, depth - 1);
                        self.step(1);
                    } else {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                _ => {
                    self.literal()?;
                }
            }
            // A value has ended: close the levels that end with it.
            loop {
                if depth == 0 {
                    return Ok(self.since(start));
                }
                let object = objects & 1 == 1;
                match (self.peek(), object) {
                    (Some(b','), _) => {
                        self.step(1);
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        (objects, depth) = (objects >> 1, depth - 1);
                        self.step(1);
                    }
                    (_, true) => return Err(self.unexpected("',' or '}'")),
                    (_, false) => return Err(self.unexpected("',' or ']'")),
                }
            }
        }
    }
}

/// Skips the white space around a bracket or comma: probably none, a blank, or a line break and an even number of blanks.
///
/// The blanks of a line are compared, not counted: the processor predicts a comparison, as lines are indented like those of the
/// message before, and goes on without waiting for a count.
#[cfg_attr(not(target_os = "none"), inline(always))]
fn skip_line(text: &[u8]) -> &[u8] {
    let rest = match text {
        [b'!'..=u8::MAX, ..] => return text,
        [b' ', behind @ ..] => behind,
        [b'\n', behind @ ..] => {
            let mut rest = behind;
            while let Some(behind) = after(rest, b"    ") {
                rest = behind;
            }
            if let Some(behind) = after(rest, b"  ") {
                rest = behind;
            }
            rest
        }
        _ => text,
    };
    if let [..=b' ', ..] = rest { skip_blanks(rest) } else { rest }
}

/// Skips white space.
// A function of its own, so that the fast path stays small.
#[cold]
#[inline(never)]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        work::count(1);
        while let Some(rest) = after(text, b"    ") {
            text = rest;
        }
        text = match text {
            [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] => rest,
            _ => return text,
        };
    }
}

/// Text behind `word`, if it begins with that. A pattern would compare byte by byte.
#[inline(always)]
fn after<'a, const N: usize>(text: &'a [u8], word: &[u8; N]) -> Option<&'a [u8]> {
    work::count(N);
    match text.split_first_chunk() {
        Some((next, behind)) if next == word => Some(behind),
        _ => None,
    }
}

/// Compares two words that overlap. `==` would put a word of `N` bytes together first.
#[inline(always)]
fn same<const N: usize>(text: &[u8; N], key: &[u8; N]) -> bool {
    #[inline(always)]
    fn ends<const WORD: usize>(bytes: &[u8]) -> Option<(&[u8; WORD], &[u8; WORD])> {
        Some((bytes.first_chunk()?, bytes.last_chunk()?))
    }
    match N {
        4..8 => ends::<4>(text) == ends::<4>(key),
        8..=16 => ends::<8>(text) == ends::<8>(key),
        _ => text == key,
    }
}

/// Marks zero bytes. Only the lowest mark is reliable: a borrow can mark bytes above it.
#[inline(always)]
pub(crate) const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(u64::from_ne_bytes([0x01; 8])) & !word & HIGH
}

/// Highest bit of each byte.
pub(crate) const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Length of the text before the first quote or backslash, and whether that text is certainly ASCII.
#[inline(always)]
fn plain_length(bytes: &[u8]) -> (usize, bool) {
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    let (mut at, mut seen) = (0, 0);
    while let Some(&eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        work::count(8);
        let eight = u64::from_le_bytes(eight);
        seen |= eight;
        let found = zeros(eight ^ QUOTES) | zeros(eight ^ BACKSLASHES);
        if found != 0 {
            return (at + found.trailing_zeros() as usize / 8, seen & HIGH == 0);
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    work::count(rest.len());
    (at + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count(), false)
}
