//! `listen`: one address, a list of them, or tables with more to say about each. Pure.

use oxherd_contract::edge::Layers;
use oxherd_contract::listen::{Address, AddressError, Affinity};
use oxherd_supervisor::plan::Listen;

use super::checked::UNIX_MODE;
use super::complaint::Complaints;
use super::key::Key;
use super::typed::{Typed, Value};
use super::value;

/// Listen addresses of a box at most: with `slots` each they stay below what a scoreboard of slots can name.
const LISTENERS_MAX: usize = 32;

/// What a listener's affinity may be.
pub(crate) fn affinity(value: &Value) -> Result<Affinity, String> {
    let text = if let Value::Text(text) = value { text } else { "" };
    text.parse().map_err(|()| "expected \"auto\", \"source-ip\" or \"connection\"".to_owned())
}

/// All listeners of what was typed; what is wrong is complained about and left out.
pub(crate) fn listeners(typed: &Typed, default: Affinity, complaints: &mut Complaints) -> Vec<Listen> {
    let listeners: Vec<Listen> = match &typed.value {
        Value::List(items) if (1..=LISTENERS_MAX).contains(&items.len()) => {
            let named = |(index, item)| listener(&format!("listen[{index}]"), item, default, complaints);
            items.iter().enumerate().filter_map(named).collect()
        }
        Value::List(_) => {
            complaints.value(Key::Listen, typed, format!("expected 1 to {LISTENERS_MAX} addresses"));
            Vec::new()
        }
        _ => listener("listen", typed, default, complaints).into_iter().collect(),
    };
    for (index, listener) in listeners.iter().enumerate() {
        let free_port = matches!(listener.address, Address::Tcp(address) if address.port() == 0);
        if !free_port && listeners[..index].iter().any(|earlier| earlier.address == listener.address) {
            complaints.value(Key::Listen, typed, format!("{} is there twice", listener.address));
        }
    }
    listeners
}

fn listener(name: &str, typed: &Typed, default: Affinity, complaints: &mut Complaints) -> Option<Listen> {
    match &typed.value {
        Value::Text(text) => {
            let address = address(name, typed, text, complaints)?;
            Some(Listen { address, affinity: default, mode: UNIX_MODE, layers: Layers::default() })
        }
        Value::Table(fields) => table(name, typed, fields, default, complaints),
        other => {
            let why = format!("expected an address or a table with one, not {}", other.kind());
            complaints.within(name.to_owned(), Some(other), &typed.origin, why);
            None
        }
    }
}

fn table(
    name: &str,
    typed: &Typed,
    fields: &[(String, Typed)],
    default: Affinity,
    complaints: &mut Complaints,
) -> Option<Listen> {
    let (mut place, mut choice, mut bits, mut layers) = (None, default, None, Layers::default());
    for (field, inner) in fields {
        let full = format!("{name}.{field}");
        let outcome = match (field.as_str(), &inner.value) {
            ("address", Value::Text(text)) => {
                place = Some(address(&full, inner, text, complaints)?);
                Ok(())
            }
            ("address", _) => Err(AddressError::Form.to_string()),
            ("affinity", value) => affinity(value).map(|read| choice = read),
            ("mode", value) => value::mode(value).map(|read| bits = Some(read)),
            ("proxy_protocol", value) => value::truth(value).map(|read| layers.proxy_protocol = read),
            ("tls", value) => value::truth(value).map(|read| layers.tls = read),
            _ => {
                let why = "unknown key; known here: address, affinity, mode, proxy_protocol, tls";
                complaints.place(inner.origin.clone(), full, why);
                continue;
            }
        };
        if let Err(why) = outcome {
            complaints.within(full, Some(&inner.value), &inner.origin, why);
        }
    }
    if place.is_none() {
        complaints.place(typed.origin.clone(), name, "expected an `address` in it");
    }
    let address = place?;
    if bits.is_some() && matches!(address, Address::Tcp(_)) {
        complaints.place(typed.origin.clone(), format!("{name}.mode"), "only a Unix socket has a mode");
    }
    Some(Listen { address, affinity: choice, mode: bits.unwrap_or(UNIX_MODE), layers })
}

fn address(name: &str, typed: &Typed, text: &str, complaints: &mut Complaints) -> Option<Address> {
    let complain = |error: AddressError| {
        complaints.within(name.to_owned(), Some(&typed.value), &typed.origin, error.to_string())
    };
    text.parse().map_err(complain).ok()
}
