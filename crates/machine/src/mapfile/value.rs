//! What TOML and JSON have in common: a tree of values that know their line where the language tells it.

use toml::de::{DeTable, DeValue};

use super::{MapFileError, Place};

/// A value and the line that it stands on.
#[derive(Debug)]
pub(super) struct Item {
    pub line: Option<usize>,
    pub value: Value,
}

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    Flag(bool),
    List(Vec<Item>),
    Table(Vec<Entry>),
    /// What no key takes, by its name.
    Other(&'static str),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: String,
    pub item: Item,
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads TOML.
pub(super) fn from_toml(text: &str) -> Result<Item, MapFileError> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| lines.of(span.start));
        MapFileError::new(Place { line, ..Place::default() }, error.message().replace('\n', ", "))
    })?;
    Ok(Item { line: None, value: lines.table(table.get_ref())? })
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// Number of the line of a byte, from 1.
    fn of(&self, byte: usize) -> usize {
        1 + self.0.partition_point(|start| *start <= byte)
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value, MapFileError> {
        let mut entries = Vec::new();
        for (key, value) in table {
            let line = Some(self.of(key.span().start));
            let name = key.get_ref().to_string();
            let value = self.value(value.get_ref(), &name, line)?;
            entries.push(Entry { key: name, item: Item { line, value } });
        }
        Ok(Value::Table(entries))
    }

    fn value(&self, value: &DeValue<'_>, key: &str, line: Option<usize>) -> Result<Value, MapFileError> {
        Ok(match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let read = i128::from_str_radix(number.as_str(), number.radix());
                let place = Place { line, key: Some(key.to_owned()), ..Place::default() };
                Value::Number(read.map_err(|_| MapFileError::new(place, "the number is out of range"))?)
            }
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                let item = |item: &toml::Spanned<DeValue<'_>>| {
                    let line = Some(self.of(item.span().start));
                    Ok(Item { line, value: self.value(item.get_ref(), key, line)? })
                };
                Value::List(items.iter().map(item).collect::<Result<_, MapFileError>>()?)
            }
            DeValue::Table(table) => self.table(table)?,
        })
    }
}

/// Reads JSON.
pub(super) fn from_json(text: &str) -> Result<Item, MapFileError> {
    let value = serde_json::from_str(text).map_err(|error| {
        let place = Place { line: Some(error.line()), ..Place::default() };
        let what = error.to_string();
        MapFileError::new(place, what.split(" at line ").next().unwrap_or_default())
    })?;
    Ok(json_item(value))
}

fn json_item(value: serde_json::Value) -> Item {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Other("null"),
        Json::Bool(flag) => Value::Flag(flag),
        Json::Number(number) => {
            let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            whole.map_or(Value::Other("a number with a fraction"), Value::Number)
        }
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(json_item).collect()),
        Json::Object(entries) => {
            let entry = |(key, value)| Entry { key, item: json_item(value) };
            Value::Table(entries.into_iter().map(entry).collect())
        }
    };
    Item { line: None, value }
}
