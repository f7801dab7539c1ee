//! Reads tables from CSV or JSON files, line by line: memory holds one line and the table.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{RowLocation, TableError};
use crate::table::{Table, TableBuilder, TableEntry};

/// Longest allowed line of a CSV file, in bytes.
const MOST_BYTES: usize = 64 * 1024;
/// Longest text of a field in a message, in characters.
const SHOWN: usize = 30;
const VALID: &str = "valid";
const TEST: &str = "test";

impl Table {
    /// Reads a table from a file: JSON if its first character is `[`, otherwise CSV.
    ///
    /// # Errors
    /// [`TableError::File`] with the problem and its location.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let read = || {
            let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
            let start = file.fill_buf()?;
            let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start);
            match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'[') => Self::from_json(file),
                _ => Self::from_csv(file),
            }
        };
        read().map_err(|error| TableError::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// Reads CSV: a header, then one line per architecture. The columns `valid` and `test` are found by name; every
    /// other column is a decision. Space and quotes around values are removed, and empty lines are skipped.
    ///
    /// ```
    /// use enas_strategy::Table;
    ///
    /// let table = Table::from_csv("op1,op2,valid,test\n0,0,0.81,0.80\n0,1,0.92,0.90\n".as_bytes())?;
    /// assert_eq!((table.n_rows(), table.best_test()), (2, 0.90));
    ///
    /// let error = Table::from_csv("op1,valid,test\n0,81 %,0.8\n".as_bytes()).unwrap_err();
    /// assert_eq!(error.to_string(), "line 2, column valid: `81 %` is not a number");
    /// # Ok::<(), enas_strategy::TableError>(())
    /// ```
    ///
    /// # Errors
    /// The first line that cannot be used, or an error of [`Table::new`].
    pub fn from_csv(mut text: impl BufRead) -> Result<Self, TableError> {
        let mut line = String::new();
        let mut number = 0;
        let mut table: Option<CsvReader> = None;
        while read_line(&mut text, &mut line, &mut number)? {
            let text = line.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(&line).trim();
            match &mut table {
                _ if text.is_empty() => {}
                None => table = Some(CsvReader::new(text)?),
                Some(table) => table.push(text, RowLocation::Line(number))?,
            }
        }
        table.ok_or_else(|| TableError::Header("the file is empty".into()))?.rows.finish()
    }

    /// Reads JSON: an array of objects with the same keys.
    ///
    /// ```
    /// use enas_strategy::Table;
    ///
    /// let json = r#"[{"op1": 0, "op2": 3, "valid": 0.81, "test": 0.80}, {"op1": 1, "op2": 3, "valid": 0.92, "test":
    /// 0.90}]"#; assert_eq!(Table::from_json(json.as_bytes())?.names(), ["op1", "op2"]);
    /// # Ok::<(), enas_strategy::TableError>(())
    /// ```
    ///
    /// # Errors
    /// The first object that cannot be used, or an error of [`Table::new`].
    pub fn from_json(mut text: impl BufRead) -> Result<Self, TableError> {
        if text.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            text.consume("\u{feff}".len());
        }
        let mut objects = JsonVisitor { rows: None, error: None };
        let mut json = serde_json::Deserializer::from_reader(text);
        let read = json.deserialize_seq(&mut objects).and_then(|()| json.end());
        match (read, objects) {
            (_, JsonVisitor { error: Some(error), .. }) => Err(error),
            (Err(error), _) => Err(TableError::Json(error)),
            (Ok(()), JsonVisitor { rows: Some(rows), .. }) => rows.finish(),
            (Ok(()), _) => Err(TableError::Empty),
        }
    }
}

/// Reads the next line; `false` at the end.
fn read_line(text: &mut impl BufRead, line: &mut String, number: &mut u32) -> Result<bool, TableError> {
    line.clear();
    *number = number.saturating_add(1);
    let length = text.by_ref().take(MOST_BYTES as u64 + 1).read_line(line)?;
    if length > MOST_BYTES {
        return Err(TableError::LongLine { location: RowLocation::Line(*number), most: MOST_BYTES });
    }
    Ok(length > 0)
}

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Decision,
    Valid,
    Test,
}

impl Column {
    fn of(name: &str) -> Self {
        match name {
            _ if name.eq_ignore_ascii_case(VALID) => Self::Valid,
            _ if name.eq_ignore_ascii_case(TEST) => Self::Test,
            _ => Self::Decision,
        }
    }
}

/// A CSV table while it is read.
struct CsvReader {
    columns: Vec<Column>,
    rows: TableBuilder,
}

impl CsvReader {
    fn new(header: &str) -> Result<Self, TableError> {
        let names: Vec<&str> = header.split(',').map(unquoted).collect();
        if names.iter().any(|name| name.parse::<f64>().is_ok()) {
            return Err(TableError::Header("there is no header".into()));
        }
        let columns: Vec<Column> = names.iter().map(|name| Column::of(name)).collect();
        for (column, name) in [(Column::Valid, VALID), (Column::Test, TEST)] {
            let n = columns.iter().filter(|&&c| c == column).count();
            if n != 1 {
                return Err(TableError::Header(format!("there are {n} columns named {name}, not one")));
            }
        }
        let decisions = names.iter().zip(&columns).filter(|(_, column)| **column == Column::Decision);
        let decisions: Vec<String> = decisions.map(|(name, _)| (*name).to_owned()).collect();
        check_names(&decisions).map_err(TableError::Header)?;
        Ok(Self { columns, rows: TableBuilder::new(decisions)? })
    }

    fn push(&mut self, text: &str, location: RowLocation) -> Result<(), TableError> {
        let mut entry = TableEntry { location, decisions: Vec::new(), valid: 0.0, test: 0.0 };
        let fields = text.split(',');
        let got = fields.clone().count();
        if got != self.columns.len() {
            return Err(TableError::Fields { location, expected: self.columns.len(), got });
        }
        for (column, field) in self.columns.iter().zip(fields.map(unquoted)) {
            let wrong = |name: &str, expected| TableError::Field {
                location,
                name: name.to_owned(),
                text: truncated(field),
                expected,
            };
            match column {
                Column::Decision => {
                    let name = &self.rows.names()[entry.decisions.len()];
                    let value = integer(field).ok_or_else(|| wrong(name, "an integer"))?;
                    entry.decisions.push(value);
                }
                Column::Valid => entry.valid = field.parse().ok().ok_or_else(|| wrong(VALID, "a number"))?,
                Column::Test => entry.test = field.parse().ok().ok_or_else(|| wrong(TEST, "a number"))?,
            }
        }
        self.rows.push(&entry)
    }
}

/// A field without the space and the quotes around it.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(field).trim()
}

/// An integer. Some programs write `3.0` for integers in columns with missing values.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse().ok().and_then(exact_integer))
}

fn exact_integer(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

fn truncated(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect::<String>().escape_debug().to_string();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn check_names(names: &[String]) -> Result<(), String> {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    if sorted.first().is_some_and(|name| name.is_empty()) {
        return Err("a column has no name".into());
    }
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two columns are named {}", pair[0])),
        None => Ok(()),
    }
}

/// A JSON table while it is read.
struct JsonVisitor {
    rows: Option<TableBuilder>,
    /// The error of the rows, if there is one.
    error: Option<TableError>,
}

impl<'de> Visitor<'de> for &mut JsonVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        let mut number = 0;
        loop {
            number += 1;
            let expected = self.rows.as_ref().map(TableBuilder::names);
            let location = RowLocation::Object(number);
            let Some(object) = objects.next_element_seed(JsonObject { expected, location })? else {
                return Ok(());
            };
            if let Err(error) = self.push(object) {
                self.error = Some(error);
                return Err(A::Error::custom("unusable row"));
            }
        }
    }
}

impl JsonVisitor {
    fn push(&mut self, object: (Vec<String>, TableEntry)) -> Result<(), TableError> {
        let (names, entry) = object;
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(TableBuilder::new(names)?),
        };
        rows.push(&entry)
    }
}

/// Reads one object. The keys of the first object, in their order, are the columns.
struct JsonObject<'a> {
    expected: Option<&'a [String]>,
    location: RowLocation,
}

impl<'de> DeserializeSeed<'de> for JsonObject<'_> {
    type Value = (Vec<String>, TableEntry);

    fn deserialize<D: serde::Deserializer<'de>>(self, object: D) -> Result<Self::Value, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for JsonObject<'_> {
    type Value = (Vec<String>, TableEntry);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one number per column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let row = self.location;
        let mut names = vec![];
        let mut found: Vec<Option<i64>> = vec![None; self.expected.map_or(0, <[String]>::len)];
        let mut valid = None;
        let mut test = None;
        while let Some(name) = map.next_key::<String>()? {
            let number: f64 = map.next_value()?;
            let slot = match Column::of(&name) {
                Column::Valid => &mut valid,
                Column::Test => &mut test,
                Column::Decision => {
                    let Some(value) = exact_integer(number) else {
                        return Err(A::Error::custom(format!("{row}: {name} = {number} is not an integer")));
                    };
                    self.store(&mut names, &mut found, name, value).map_err(A::Error::custom)?;
                    continue;
                }
            };
            if slot.replace(number).is_some() {
                return Err(A::Error::custom(format!("{row} has {name} twice")));
            }
        }
        let missing = |name: &str| A::Error::custom(format!("{row} has no {name}"));
        let decision = |(slot, name): (&Option<i64>, &String)| slot.ok_or_else(|| missing(name));
        let known = self.expected.unwrap_or(&names);
        let decisions = found.iter().zip(known).map(decision).collect::<Result<_, _>>()?;
        let valid = valid.ok_or_else(|| missing(VALID))?;
        let test = test.ok_or_else(|| missing(TEST))?;
        Ok((names, TableEntry { location: row, decisions, valid, test }))
    }
}

impl JsonObject<'_> {
    /// Stores a decision in the column of its name. The first object defines the columns.
    fn store(
        &self,
        names: &mut Vec<String>,
        found: &mut Vec<Option<i64>>,
        name: String,
        value: i64,
    ) -> Result<(), String> {
        let row = self.location;
        match self.expected.map(|expected| expected.iter().position(|n| *n == name)) {
            Some(Some(position)) if found[position].is_none() => found[position] = Some(value),
            Some(None) => return Err(format!("{row} has a key that the first has not: {name}")),
            None if !names.contains(&name) && names.len() <= Table::MOST_COLUMNS => {
                names.push(name);
                found.push(Some(value));
            }
            None if names.len() > Table::MOST_COLUMNS => return Err(format!("{row} has too many keys")),
            _ => return Err(format!("{row} has {name} twice")),
        }
        Ok(())
    }
}
