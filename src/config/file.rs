//! The configuration file: TOML text to what was typed, each value with its line. The only place that knows TOML.
//! It reads on after an error, so that one look at the complaints is enough.

use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::Complaints;
use super::key::Key;
use super::typed::{Low, Origin, Typed, Value};

/// Reads the text of the file at `path` into the lowest layer.
pub(crate) fn read(path: &Arc<PathBuf>, text: &str, low: &mut Low, complaints: &mut Complaints) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, broken: Vec::new(), low, complaints };
    for error in errors {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        if !reader.broken.contains(&line) {
            // The message only: the error's own display would repeat the line, and a secret with it.
            reader.complaints.place(reader.at(line), "", format!("not TOML: {}", error.message()));
            reader.broken.push(line);
        }
    }
    reader.table("", document.get_ref());
}

struct Reader<'a> {
    path: &'a Arc<PathBuf>,
    text: &'a str,
    /// Lines with a syntax error: what was recovered of them is not looked at.
    broken: Vec<usize>,
    low: &'a mut Low,
    complaints: &'a mut Complaints,
}

impl Reader<'_> {
    /// One table of keys; `name` is empty at the top.
    fn table(&mut self, name: &str, table: &DeTable<'_>) {
        for (key, value) in in_order(table) {
            let full =
                if name.is_empty() { key.get_ref().to_string() } else { format!("{name}.{}", key.get_ref()) };
            let line = self.line(key.span().start);
            if self.broken.contains(&line) {
                continue;
            }
            if let Some(key) = Key::named(&full) {
                let typed = self.typed(value);
                self.low.say(key, typed.value, typed.origin);
                continue;
            }
            match value.get_ref() {
                _ if !name.is_empty() => self.unknown(&full, line, name),
                _ if Key::names_in(&full).is_empty() => self.unknown(&full, line, name),
                DeValue::Table(inner) => self.table(&full, inner),
                _ => {
                    let why = format!("expected a table with {}", listed(&Key::names_in(&full)));
                    self.complaints.place(self.at(line), full, why);
                }
            }
        }
    }

    fn unknown(&mut self, key: &str, line: usize, table: &str) {
        let why = format!("unknown key; known here: {}", listed(&Key::names_in(table)));
        self.complaints.place(self.at(line), key, why);
    }

    fn typed(&self, value: &Spanned<DeValue<'_>>) -> Typed {
        let kind = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other("an integer beyond 64 bits", digits.to_string()),
            },
            DeValue::Float(digits) => Value::Other("a float", digits.to_string()),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Datetime(time) => Value::Other("a date", time.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.typed(item)).collect()),
            DeValue::Table(table) => Value::Table(
                in_order(table)
                    .into_iter()
                    .map(|(key, item)| (key.get_ref().to_string(), self.typed(item)))
                    .collect(),
            ),
        };
        Typed { value: kind, origin: self.at(self.line(value.span().start)) }
    }

    fn at(&self, line: usize) -> Origin {
        Origin::Line(self.path.clone(), line)
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }
}

type Entry<'t, 'i> = (&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>);

/// The entries as the file has them, so that complaints come in the order of their lines.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_about(text: &str) -> (Low, Vec<String>) {
        let (mut low, mut complaints) = (Low::default(), Complaints::default());
        read(&Arc::new("c.toml".into()), text, &mut low, &mut complaints);
        let lines = complaints.to_string().trim().lines().map(|line| line.trim().to_owned()).collect();
        (low, lines)
    }

    #[test]
    fn every_unknown_key_is_named_with_its_line_and_never_its_value() {
        let (low, complaints) = complaints_about(
            "workers = 2\nwokers = 3\n\n[htpp]\nx = 1\n[redis]\nuri = \"redis://:secret@h\"\n",
        );
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("c.toml:2: wokers: unknown key"));
        assert!(complaints[1].starts_with("c.toml:4: htpp: unknown key"));
        assert_eq!(complaints[2], "c.toml:7: redis.uri: unknown key; known here: url, boot_wait");
        assert_eq!(low.get(Key::Workers).unwrap().value, Value::Integer(2));
    }

    #[test]
    fn a_syntax_error_is_told_with_its_line_and_hides_no_other_complaint() {
        let (low, complaints) = complaints_about("workers = \nslots = 8\nnonsense = 1\n");
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("c.toml:1: not TOML: "));
        assert!(complaints[1].starts_with("c.toml:3: nonsense: unknown key"));
        assert!(low.get(Key::Workers).is_none() && low.get(Key::Slots).is_some());
    }

    #[test]
    fn a_secret_on_a_broken_line_stays_secret() {
        let (_, complaints) =
            complaints_about("redis = \"redis://:secret@h\"\n[redis2\nurl = \"redis://:secret@h\n");
        assert!(complaints.iter().all(|line| !line.contains("secret")), "{complaints:?}");
        assert_eq!(complaints[0], "c.toml:2: not TOML: unclosed table, expected `]`");
    }

    #[test]
    fn every_value_knows_its_own_line() {
        let (low, _) = complaints_about(
            "listen = [\n  \"127.0.0.1:1\",\n  { address = \"[::]:2\",\n mode = 0o600 },\n]\n",
        );
        let Value::List(items) = &low.get(Key::Listen).unwrap().value else { panic!("no list") };
        let Value::Table(fields) = &items[1].value else { panic!("no table") };
        assert_eq!(items[0].origin.to_string(), "c.toml:2");
        assert_eq!((fields[1].0.as_str(), &fields[1].1.value), ("mode", &Value::Integer(0o600)));
        assert_eq!(fields[1].1.origin.to_string(), "c.toml:4");
    }
}
