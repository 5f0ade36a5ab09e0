//! YAML as a JSON value, as much of it as kubeconfigs are made of: mappings with plain keys, sequences, scalars. Every
//! scalar is a text, as every field that is read here is one.

use granit_parser::{Event, Parser, StrInput, options};
use serde_json::{Map, Value};

use super::KubeconfigError;

/// A kubeconfig needs 4.
const MAX_DEPTH: usize = 32;

/// The only document of a text.
pub fn parse_yaml(text: &str) -> Result<Value, KubeconfigError> {
    let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut reader = Reader(Parser::new_from_str_with_options(text, options));
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) => {}
            event => return reader.value(event),
        }
    }
}

struct Reader<'t>(Parser<'t, StrInput<'t>>);

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, KubeconfigError> {
        match self.0.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(KubeconfigError::Syntax(error.to_string())),
            None => Err(KubeconfigError::Syntax("it ends in the middle".into())),
        }
    }

    fn value(&mut self, event: Event<'t>) -> Result<Value, KubeconfigError> {
        match event {
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.sequence(),
            Event::MappingStart(..) => self.mapping(),
            // `null`, an empty text, an alias: nothing that is read here.
            _ => Ok(Value::Null),
        }
    }

    fn sequence(&mut self) -> Result<Value, KubeconfigError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Value, KubeconfigError> {
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(map)),
                event => self.value(event)?,
            };
            let event = self.next()?;
            let value = self.value(event)?;
            if let Value::String(key) = key {
                map.insert(key, value);
            }
        }
    }
}
